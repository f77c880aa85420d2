//! The process `wslhost`: the user's host with the launcher that the settings name, its socket, its log, and
//! how it goes into the background.
#![forbid(unsafe_code)]

use rustix::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use rustix::process::{Signal, setsid};
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use winterop_accounts::release::Release;
use winterop_host::variables::entry;
use winterop_host::{
    Admission, Audit, Build, CommandLauncher, Host, Launcher, Local, Printable, Served,
};
use winterop_places::names::HOST_LOG;
use winterop_places::{program, user};
use winterop_serve::background::terminated;
use winterop_serve::socket::{ListeningSocket, SocketError};
use winterop_serve::starter::{self, ProgramStart};
use winterop_serve::{Listener, Starter, notify, own_terms};
use winterop_settings::{LauncherKind, Off, Policy, Settings, SwitchPlaces, Switches, machine};
use winterop_sys::{Fork, exit, fork, reset_action};
use winterop_wine::{Places, WineLauncher};
use winterop_words::{Failure, Words, visible};

/// By this variable systemd's services find it.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Whose a host is beside its user's, which says how another build goes on in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Somebody looks at it: it ends, and is started again when it is needed.
    Foreground,
    /// Nobody's: another process takes its socket over.
    Background,
    /// A service of systemd's: the same, and systemd is told.
    Supervised,
}

/// Serves in the background: whoever started this reads a byte from its standard output when the
/// host listens, and waits for nothing else.
///
/// # Errors
/// In words, which are in the log too.
pub fn serve_in_background() -> Result<(), Words> {
    if let Fork::Parent(_) = fork().map_err(failed("forking"))? {
        exit(0);
    }
    setsid().map_err(failed("beginning a session of its own"))?;
    own_terms::take();
    serve_with_log(Manner::Background, || {
        // Whoever started it may be gone; the host serves all the same.
        let _ = io::stdout().write_all(b".").and_then(|()| io::stdout().flush());
        say_nothing_more()
    })
}

/// The same as a service: systemd has put it into the background.
///
/// # Errors
/// Those of [`serve_in_background`].
pub fn serve_supervised() -> Result<(), Words> {
    say_nothing_more().map_err(failed("opening /dev/null"))?;
    serve_with_log(Manner::Supervised, notify::ready)
}

/// Serves in the foreground, with the log on standard error.
///
/// # Errors
/// In words.
pub fn serve_in_foreground() -> Result<(), Words> {
    serve_on(Manner::Foreground, ListeningSocket::bind, None, || Ok(()), io::stderr)
}

/// Goes on where a host of another build has served: on its socket, which is standard input, and with who
/// waits, at standard output.
///
/// # Errors
/// In words.
pub fn succeed() -> Result<(), Words> {
    // It was started by a descriptor, which is no name for people.
    let _ = rustix::thread::set_name(c"winterop");
    let given = |descriptor| rustix::io::fcntl_dupfd_cloexec(descriptor, 3);
    let taking_over = failed("taking over the socket");
    let socket = given(rustix::stdio::stdin()).map_err(taking_over)?;
    // Where nobody waits it is no socket.
    let waiting = given(rustix::stdio::stdout())
        .ok()
        .filter(|waiting| rustix::net::getpeername(waiting).is_ok());
    File::open("/dev/null")
        .and_then(|null| Ok(rustix::stdio::dup2_stdin(null)?))
        .and_then(|()| say_nothing_more())
        .map_err(failed("opening /dev/null"))?;
    let bind = |path: &Path| ListeningSocket::taken_over(socket, path);
    let manner = match std::env::var_os(NOTIFY_SOCKET) {
        Some(_) => Manner::Supervised,
        None => Manner::Background,
    };
    serve_on(manner, bind, waiting, || Ok(()), io::stderr)
}

/// The build that lies in the place of this one, and whom it serves first.
struct Successor {
    program: OwnedFd,
    waiting: Option<OwnedFd>,
}

impl Successor {
    /// Starts it as a process of its own, with `socket`, and leaves the socket's file to it.
    ///
    /// This process does not become it: what hangs in closing something would keep it from that, with the
    /// socket still open. Nor does it start it itself, for the same reason. And the starter has the limits
    /// and the descriptors with which this host was started.
    fn start(self, starter: &Starter, manner: Manner, socket: ListeningSocket) -> io::Result<()> {
        let null = File::open("/dev/null")?;
        let stderr = rustix::stdio::stderr();
        let directory = File::open(".")?;
        let waiting = self.waiting.as_ref().map_or(null.as_fd(), OwnedFd::as_fd);
        let program = format!("/proc/{}/fd/{}", std::process::id(), self.program.as_raw_fd());
        // One whose service is somebody else's has their variable, too.
        let is_its = |name: &OsStr| manner == Manner::Supervised || name != NOTIFY_SOCKET;
        let variables = std::env::vars_os().filter(|(name, _)| is_its(name));
        let process = starter.spawn(&ProgramStart {
            program: program.as_bytes(),
            arguments: ["winterop", "host", "succeed"].map(Into::into).to_vec(),
            environment: variables.map(|(name, value)| entry(&name, &value)).collect(),
            standard: [socket.descriptor(), Some(waiting), Some(stderr)],
            directory: Some(directory.as_fd()),
            patience: Some(starter::PATIENCE),
            ..ProgramStart::default()
        })?;
        tracing::info!(
            process = process.as_raw_nonzero(),
            "the host's program was replaced; the new one goes on"
        );
        if manner == Manner::Supervised
            && let Err(error) = notify::main_process(process)
        {
            tracing::warn!(%error, "systemd cannot be told who goes on");
        }
        // Not at this process's end, for which something that hangs may be waited.
        drop(socket.leave_file());
        Ok(())
    }
}

/// What went wrong in a step of beginning to serve.
fn failed<E: Display>(step: &str) -> impl FnOnce(E) -> Words + '_ {
    move |error| Failure::HostNotSetUp { step: &step, error: &error }.words()
}

fn say_nothing_more() -> io::Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(null)?)
}

fn serve_with_log(manner: Manner, listening: impl FnOnce() -> io::Result<()>) -> Result<(), Words> {
    std::env::set_current_dir("/").map_err(failed("going to /"))?;
    let path = user::runtime()?.join(HOST_LOG);
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let log = Arc::new(log.map_err(failed("opening the log"))?);
    // What a library prints to standard error belongs into the log too.
    rustix::stdio::dup2_stderr(&*log).map_err(failed("writing into the log"))?;
    let copy = Arc::clone(&log);
    let log_too = move || Arc::clone(&copy);
    let result = serve_on(manner, ListeningSocket::bind, None, listening, log_too);
    if let Err(error) = &result {
        // Nobody else hears it; who is told nothing knows that this ended.
        let _ = writeln!(&*log, "wslhost: {}", visible::lines(&error.to_string()));
    }
    result
}

fn serve_on<W>(
    manner: Manner,
    bind: impl FnOnce(&Path) -> Result<ListeningSocket, SocketError>,
    waiting: Option<OwnedFd>,
    listening: impl FnOnce() -> io::Result<()>,
    log: impl Fn() -> W + Send + Sync + 'static,
) -> Result<(), Words>
where
    W: Write + 'static,
{
    // Where it was inherited as ignored, children would be gone, and their pids others', before anybody
    // has waited for them.
    reset_action(Signal::CHILD);
    let filter = tracing_subscriber::EnvFilter::try_from_env("WINTEROP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = move || Printable(log());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(log).init();
    let listened = failed("saying that it listens");
    let path = user::host_socket()?;
    let socket = match bind(&path) {
        // Two were started at the same time: the other one serves.
        Err(SocketError::InUse(_)) => return listening().map_err(listened),
        socket => socket?,
    };
    let program = program::own()?;
    // Before anybody is served: it is to have nothing of theirs. It is of this build, whatever lies in its
    // place by now.
    let starter = Starter::start(Path::new("/proc/self/exe"))
        .inspect_err(|error| tracing::error!(%error, "programs are started without a starter"))
        .ok()
        .map(Arc::new);
    let build = Build::own(&program).map_err(failed("looking at its own program"))?;
    // Without a starter, and where somebody looks at this one, nobody takes the socket over.
    let build = match &starter {
        Some(_) if manner != Manner::Foreground => build,
        _ => build.without_successor(),
    };
    // Programs have what the starter has. A guest's descriptors must not use up those of the host's own
    // user.
    if let Err(error) = own_terms::take_most_files() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed("making a runtime"))?;
    let (launcher, settings) = launcher(starter.clone())?;
    let served = runtime.block_on(async {
        let listener = socket.descriptor().ok_or(io::ErrorKind::NotConnected.into());
        let listener = listener.and_then(|listener| listener.try_clone_to_owned());
        let listener = listener.and_then(Listener::new).map_err(failed("listening"))?;
        listening().map_err(listened)?;
        let switches = Arc::new(Switches::new(switches(&settings)));
        warm_up(Arc::clone(&launcher), Arc::clone(&switches));
        let admission = admission(switches, &settings);
        let host = Host::new(Arc::clone(&launcher), &settings, admission, audit()?);
        let host = host.map_err(failed("beginning to serve"))?;
        let served = host.serve(&listener, build, waiting, terminated()).await;
        served.map_err(failed("accepting connections"))
    })?;
    let successor = match served {
        // Its file stays.
        Served::Outdated { successor: program, waiting } => {
            starter.map(|starter| (starter, Successor { program, waiting }, socket))
        }
        Served::ToTheEnd => {
            drop(socket);
            None
        }
    };
    // Servers that hold a connection see now that this host is gone, and start another; what they
    // sent while Wine ends would be lost.
    runtime.shutdown_background();
    launcher.shut_down();
    let Some((starter, successor, socket)) = successor else { return Ok(()) };
    // Where it fails the socket goes with its file: whoever comes finds that nobody serves.
    let started = successor.start(&starter, manner, socket);
    started.map_err(failed("starting the program in its place"))
}

/// Has the launcher get ready, while the host serves.
fn warm_up(launcher: Arc<dyn Launcher>, switches: Arc<Switches>) {
    tokio::task::spawn_blocking(move || {
        // What Wine cannot read whole it would write anew without the rest.
        if let Err(Off::Unclear(problem)) = switches.check_users() {
            tracing::error!(problem, "Wine is not started");
            return;
        }
        if let Err(refusal) = launcher.warm_up(&mut |step| tracing::info!(step)) {
            tracing::error!(%refusal, "programs cannot be started");
        }
    });
}

/// What root has set about who may run what.
fn admission(switches: Arc<Switches>, settings: &Settings) -> Admission {
    let policy = Arc::new(Policy::new(Path::new(machine::DIRECTORY)));
    Admission { switches, policy, sandboxes: settings.sandboxes }
}

fn audit() -> Result<Audit, Words> {
    let folder = user::data().or_else(|_| user::runtime())?;
    Ok(Audit::new(folder.join("audit.log"), rustix::process::geteuid().as_raw()))
}

/// The switches; a Wine prefix has a say where it is used.
fn switches(settings: &Settings) -> SwitchPlaces {
    let places = SwitchPlaces::of_user();
    let prefix = places.prefix.filter(|_| settings.launcher == LauncherKind::Wine);
    SwitchPlaces { prefix, ..places }
}

fn launcher(starter: Option<Arc<Starter>>) -> Result<(Arc<dyn Launcher>, Settings), Words> {
    let (settings, warnings) = Settings::of_user_with_warnings()?;
    for warning in warnings {
        tracing::warn!(%warning, "a setting is passed over");
    }
    let local = Local::new(settings.placement, starter);
    let launcher: Arc<dyn Launcher> = match settings.launcher {
        LauncherKind::Wine => Arc::new(WineLauncher::new(wine_places()?, settings.clone(), local)),
        LauncherKind::Command => Arc::new(CommandLauncher::new(&settings, local)),
    };
    Ok((launcher, settings))
}

/// Where the launcher `wine` finds its parts and keeps its things.
fn wine_places() -> Result<Places, Words> {
    let libraries = program::parts()?;
    let part = |name: &str| Some(libraries.join(name)).filter(|path: &PathBuf| path.exists());
    Ok(Places {
        data: user::data()?,
        runtime: user::runtime()?,
        preload: part("libwinterop_preload.so"),
        helper: part("winterop-helper.exe"),
        program: Some(program::own()?),
        distribution: Release::distribution_of_machine(),
    })
}
