//! The user's host as a process: started on demand, in the background, once.

use crate::places;
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, geteuid, getrlimit, pidfd_send_signal, setrlimit,
};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use winterop_host::{
    Admission, Audit, Build, CommandLauncher, Host, Launcher, Local, Printable, Served,
};
use winterop_places::names::{KEEPER_LINK, SOCKET_DIRECTORY};
use winterop_serve::Listener;
use winterop_serve::notify;
use winterop_serve::presence::{Presence, presence, server};
use winterop_serve::socket::{ListeningSocket, SocketError};
use winterop_serve::starter::Starter;
use winterop_serve::starting::{HostAddress, HostError, start};
use winterop_settings::{LauncherKind, Off, Policy, Settings, SwitchPlaces, Switches, machine};
use winterop_sys::is_own_user;
use winterop_wine::{Places, WineLauncher};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start it, if it does not run, and wait until it listens; Wine gets ready meanwhile.
    Start,
    /// End it, and the Wine that it runs with everything in it.
    Stop,
    /// Say whether it runs; exits 0 if it does.
    Status,
    /// Serve in the foreground, with the log on standard error.
    Serve,
    /// Serve as a service of systemd's, which hears when the host listens.
    #[command(hide = true)]
    Supervised,
    /// Go on where a host of another build has served: on its socket, which is standard input.
    #[command(hide = true)]
    Succeed,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    match arguments.action {
        Action::Start => ensure().map(|()| ExitCode::SUCCESS),
        Action::Stop => stop(),
        Action::Status => status(),
        Action::Supervised => serve_supervised().map(|()| ExitCode::SUCCESS),
        Action::Succeed => succeed().map(|()| ExitCode::SUCCESS),
        Action::Serve => serve(|| Ok(()), std::io::stderr).map(|()| ExitCode::SUCCESS),
    }
}

/// How others start this user's host.
pub fn address() -> Result<HostAddress> {
    Ok(HostAddress {
        socket: places::host_socket()?,
        command: vec![places::own_program()?.into_os_string()],
        ..HostAddress::default()
    })
}

/// Starts the host where none serves.
///
/// In an instance its keeper does, which also tells the host of it.
pub fn ensure() -> Result<()> {
    let address = HostAddress { keeper: keeper(), ..address()? };
    if address.keeper.is_some() {
        return Ok(start(&address, None).map_err(|error| error.words())?);
    }
    match present(&address.socket)? {
        Presence::Answers(_) => Ok(()),
        Presence::Nobody => Ok(start(&address, None).map_err(|error| error.words())?),
        Presence::Silent(_) | Presence::Foreign(_) => {
            Err(HostError::Silent(address.socket).words().into())
        }
    }
}

/// The socket of the keeper of the instance that this process lives in.
fn keeper() -> Option<PathBuf> {
    let link = Path::new(SOCKET_DIRECTORY).join(KEEPER_LINK);
    let status = std::fs::symlink_metadata(&link).ok()?;
    let is_own = status.uid() == rustix::process::geteuid().as_raw();
    std::fs::read_link(link).ok().filter(|keeper| is_own && keeper.exists())
}

/// Whether a host runs; one that does not answer does too.
pub fn running() -> Result<Option<Pid>> {
    match present(&places::host_socket()?)? {
        Presence::Nobody => Ok(None),
        Presence::Answers(peer) | Presence::Silent(peer) | Presence::Foreign(peer) => {
            Ok(Pid::from_raw(peer.pid))
        }
    }
}

fn present(socket: &Path) -> Result<Presence> {
    let present = presence(socket).map_err(winterop_sys::system_error);
    present.map_err(|error| anyhow!("connecting to {}: {error}", socket.display()))
}

pub fn stop() -> Result<ExitCode> {
    let socket = places::host_socket()?;
    let served = server(&socket).map_err(winterop_sys::system_error);
    let (presence, process) =
        served.map_err(|error| anyhow!("connecting to {}: {error}", socket.display()))?;
    let peer = match presence {
        Presence::Nobody => {
            eprintln!("winterop: the host does not run");
            return Ok(ExitCode::SUCCESS);
        }
        Presence::Answers(peer) | Presence::Silent(peer) | Presence::Foreign(peer) => peer,
    };
    let socket = socket.display();
    if !is_own_user(peer.uid, geteuid().as_raw()) {
        bail!("{socket} is served by uid {}, not by you; nothing was ended", peer.uid);
    }
    // Its pid alone would not do: it may be another's before the signal is there.
    let Some(process) = process else {
        bail!(
            "the process that made {socket} ({}) has ended, or cannot be seen from here; nothing was \
             ended. If others hold its socket, remove it: rm {socket}",
            peer.pid
        );
    };
    match pidfd_send_signal(&process, Signal::INT) {
        // It has ended by itself meanwhile.
        Ok(()) | Err(Errno::SRCH) => {}
        Err(Errno::INVAL) => bail!(
            "the host lives in another pid namespace than this; end it where it was started: \
             winterop host stop"
        ),
        Err(error) => {
            bail!("the host cannot be told to end: {}", winterop_sys::system_error(error))
        }
    }
    let patience = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
    let mut interest = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
    if rustix::event::poll(&mut interest, Some(&patience))? == 0 {
        bail!("the host (process {}) does not end", peer.pid);
    }
    Ok(ExitCode::SUCCESS)
}

fn status() -> Result<ExitCode> {
    match running()? {
        Some(pid) => {
            println!("the host runs as process {}", pid.as_raw_nonzero());
            Ok(ExitCode::SUCCESS)
        }
        None => {
            println!("the host does not run; it is started when it is needed");
            Ok(ExitCode::from(3))
        }
    }
}

fn log_file() -> Result<PathBuf> {
    Ok(places::runtime()?.join("host.log"))
}

/// Serves in the background: whoever started this reads a byte from its standard output when the
/// host listens, and waits for nothing else.
pub fn serve_in_background() -> Result<()> {
    if let winterop_sys::Fork::Parent(_) = winterop_sys::fork()? {
        winterop_sys::exit(0);
    }
    rustix::process::setsid().context("a session of its own")?;
    serve_with_log(tell_that_it_listens)
}

/// The same as a service: systemd has put it into the background.
fn serve_supervised() -> Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null)?;
    serve_with_log(|| notify::ready().context("telling systemd that the host listens"))
}

fn serve_with_log(listening: impl FnOnce() -> Result<()>) -> Result<()> {
    std::env::set_current_dir("/").context("/")?;
    let path = log_file()?;
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let log = Arc::new(log.with_context(|| path.display().to_string())?);
    // What a library prints to standard error belongs into the log too.
    rustix::stdio::dup2_stderr(&*log)?;
    let result = serve(listening, move || Arc::clone(&log));
    if let Err(error) = &result {
        eprintln!("wslhost: {error:#}");
    }
    result
}

fn tell_that_it_listens() -> Result<()> {
    // Whoever started it may be gone; the host serves all the same.
    let _ = std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush());
    let null = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null)?;
    Ok(())
}

/// Goes on where a host of another build has served; it has become this process.
fn succeed() -> Result<()> {
    let given = |descriptor| rustix::io::fcntl_dupfd_cloexec(descriptor, 3);
    let (socket, waiting) = (given(rustix::stdio::stdin())?, given(rustix::stdio::stdout())?);
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    // Where nobody waits it is no socket.
    let waiting = Some(waiting).filter(|it| rustix::net::getpeername(it).is_ok());
    let bind = |path: &Path| ListeningSocket::taken_over(socket, path);
    serve_on(bind, waiting, || Ok(()), std::io::stderr)
}

/// Becomes the build that lies in the place of this one. It goes on with the socket, and with who waits.
fn become_successor(build: &Build, socket: OwnedFd, waiting: Option<OwnedFd>) -> std::io::Error {
    let program = build.program().display();
    tracing::info!(%program, "the host's program was replaced; the new one goes on");
    let mut command = Command::new(build.program());
    command.arg0("winterop").args(["host", "succeed"]).stdin(socket);
    command.stdout(waiting.map_or_else(Stdio::null, Stdio::from)).exec()
}

fn serve<W>(
    listening: impl FnOnce() -> Result<()>,
    log: impl Fn() -> W + Send + Sync + 'static,
) -> Result<()>
where
    W: std::io::Write + 'static,
{
    serve_on(ListeningSocket::bind, None, listening, log)
}

fn serve_on<W>(
    bind: impl FnOnce(&Path) -> Result<ListeningSocket, SocketError>,
    waiting: Option<OwnedFd>,
    listening: impl FnOnce() -> Result<()>,
    log: impl Fn() -> W + Send + Sync + 'static,
) -> Result<()>
where
    W: std::io::Write + 'static,
{
    // Where it was inherited as ignored, children would be gone, and their pids others', before anybody
    // has waited for them.
    winterop_sys::reset_action(Signal::CHILD);
    let filter = tracing_subscriber::EnvFilter::try_from_env("WINTEROP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = move || Printable(log());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(log).init();
    let socket = places::host_socket()?;
    let socket = match bind(&socket) {
        // Two were started at the same time: the other one serves.
        Err(SocketError::InUse(_)) => return listening(),
        socket => socket.map_err(|error| error.words())?,
    };
    let build = Build::own(&places::own_program()?).context("this program's own file")?;
    // Before anybody is served: it is to have nothing of theirs.
    let starter = Starter::start(&places::own_program()?)
        .inspect_err(|error| tracing::error!(%error, "programs are started without a starter"))
        .ok()
        .map(Arc::new);
    // Programs have what the starter has.
    as_many_descriptors_as_may_be();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the host's runtime")?;
    let launcher = launcher(starter)?;
    let served = runtime.block_on(async {
        let Some(listener) = socket.descriptor() else { bail!("the socket is gone") };
        let listener = Listener::new(listener.try_clone_to_owned()?)?;
        listening()?;
        let warm = Arc::clone(&launcher.0);
        let switches = Arc::new(Switches::new(switches(&launcher.1)));
        let own_switches = Arc::clone(&switches);
        tokio::task::spawn_blocking(move || {
            // What Wine cannot read whole it would write anew without the rest.
            if let Err(Off::Unclear(problem)) = own_switches.check_users() {
                tracing::error!(problem, "Wine is not started");
                return;
            }
            if let Err(refusal) = warm.warm_up(&mut |step| tracing::info!(step)) {
                tracing::error!(%refusal, "programs cannot be started");
            }
        });
        let admission = admission(switches, &launcher.1);
        let host = Host::new(Arc::clone(&launcher.0), &launcher.1, admission, audit()?)?;
        anyhow::Ok(host.serve(&listener, &build, waiting, ended()).await?)
    })?;
    let successor = match served {
        // Its file stays.
        Served::Outdated { waiting } => socket.leave_file().map(|socket| (socket, waiting)),
        Served::ToTheEnd => {
            drop(socket);
            None
        }
    };
    // Servers that hold a connection see now that this host is gone, and start another; what they
    // sent while Wine ends would be lost.
    runtime.shutdown_background();
    launcher.0.shut_down();
    if let Some((socket, waiting)) = successor {
        let error = become_successor(&build, socket, waiting);
        // Whoever comes now finds that nobody serves, and starts a host.
        let _ = std::fs::remove_file(places::host_socket()?);
        return Err(error).with_context(|| build.program().display().to_string());
    }
    Ok(())
}

/// What root has set about who may run what.
fn admission(switches: Arc<Switches>, settings: &Settings) -> Admission {
    let policy = Arc::new(Policy::new(std::path::Path::new(machine::DIRECTORY)));
    Admission { switches, policy, sandboxes: settings.sandboxes }
}

fn audit() -> Result<Audit> {
    let folder = places::data().or_else(|_| places::runtime())?;
    Ok(Audit::new(folder.join("audit.log"), rustix::process::geteuid().as_raw()))
}

/// The switches; a Wine prefix has a say where it is used.
fn switches(settings: &Settings) -> SwitchPlaces {
    let places = places::switches();
    let prefix = places.prefix.filter(|_| settings.launcher == LauncherKind::Wine);
    SwitchPlaces { prefix, ..places }
}

fn launcher(starter: Option<Arc<Starter>>) -> Result<(Arc<dyn Launcher>, Settings)> {
    let settings = match places::settings()? {
        Some(file) => {
            let settings = Settings::read(&file).map_err(|error| error.words())?;
            for warning in settings.warnings(&file) {
                tracing::warn!(%warning, "a setting is passed over");
            }
            settings
        }
        None => Settings::default(),
    };
    let local = Local::new(settings.placement, starter);
    let launcher: Arc<dyn Launcher> = match settings.launcher {
        LauncherKind::Wine => Arc::new(WineLauncher::new(wine_places()?, settings.clone(), local)),
        LauncherKind::Command => Arc::new(CommandLauncher::new(&settings, local)),
    };
    Ok((launcher, settings))
}

/// A guest's descriptors must not use up those of the host's own user.
fn as_many_descriptors_as_may_be() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Where the launcher `wine` finds its parts and keeps its things.
pub fn wine_places() -> Result<Places> {
    let libraries = places::libraries()?;
    let part = |name: &str| Some(libraries.join(name)).filter(|path: &PathBuf| path.exists());
    Ok(Places {
        data: places::data()?,
        runtime: places::runtime()?,
        preload: part("libwinterop_preload.so"),
        helper: part("winterop-helper.exe"),
        program: Some(places::own_program()?),
        distribution: places::distribution(),
    })
}

async fn ended() {
    let streams = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let mut waiting: Vec<_> = streams.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    let any = waiting.iter_mut().map(|stream| Box::pin(async move { stream.recv().await }));
    let mut any: Vec<_> = any.collect();
    std::future::poll_fn(|context| {
        match any.iter_mut().any(|wait| wait.as_mut().poll(context).is_ready()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}
