//! The user's host as a process: started on demand, in the background, once.

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use winterop_accounts::release::Release;
use winterop_host::{
    Admission, Audit, CommandLauncher, Host, Launcher, Places, Printable, WineLauncher,
};
use winterop_places::{program, user};
use winterop_serve::background::terminated;
use winterop_serve::own_host::{self, Stopped};
use winterop_serve::socket::{ListeningSocket, SocketError};
use winterop_serve::{Listener, Starter, notify};
use winterop_settings::{LauncherKind, Off, Policy, Settings, SwitchPlaces, Switches, machine};

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
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    match arguments.action {
        Action::Start => Ok(own_host::ensure().map(|()| ExitCode::SUCCESS)?),
        Action::Stop => stop(),
        Action::Status => status(),
        Action::Supervised => serve_supervised().map(|()| ExitCode::SUCCESS),
        Action::Serve => serve(|| Ok(()), std::io::stderr).map(|()| ExitCode::SUCCESS),
    }
}

fn stop() -> Result<ExitCode> {
    if own_host::stop()? == Stopped::Before {
        eprintln!("winterop: the host does not run");
    }
    Ok(ExitCode::SUCCESS)
}

fn status() -> Result<ExitCode> {
    match own_host::running()? {
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
    Ok(user::runtime()?.join("host.log"))
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

fn serve<W>(
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
    let socket = user::host_socket()?;
    let mut socket = match ListeningSocket::bind(&socket) {
        // Two were started at the same time: the other one serves.
        Err(SocketError::InUse(_)) => return listening(),
        socket => socket.map_err(|error| error.words())?,
    };
    // Before anybody is served: it is to have nothing of theirs.
    let starter = Starter::start(&program::own()?)
        .inspect_err(|error| tracing::error!(%error, "programs are started without a starter"))
        .ok()
        .map(Arc::new);
    // Programs have what the starter has.
    as_many_descriptors_as_may_be();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the host's runtime")?;
    let launcher = launcher(starter.clone())?;
    runtime.block_on(async {
        let Some(listener) = socket.take_descriptor() else { bail!("the socket is gone") };
        let listener = Listener::new(listener)?;
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
        let host = Host::new(Arc::clone(&launcher.0), launcher.1, admission, audit()?, starter)?;
        anyhow::Ok(host.serve(listener, terminated()).await?)
    })?;
    drop(socket);
    // Servers that hold a connection see now that this host is gone, and start another; what they
    // sent while Wine ends would be lost.
    runtime.shutdown_background();
    launcher.0.shut_down();
    Ok(())
}

/// What root has set about who may run what.
fn admission(switches: Arc<Switches>, settings: &Settings) -> Admission {
    let policy = Arc::new(Policy::new(Path::new(machine::DIRECTORY)));
    Admission { switches, policy, sandboxes: settings.sandboxes }
}

fn audit() -> Result<Audit> {
    let folder = user::data().or_else(|_| user::runtime())?;
    Ok(Audit::new(folder.join("audit.log"), rustix::process::geteuid().as_raw()))
}

/// The switches; a Wine prefix has a say where it is used.
fn switches(settings: &Settings) -> SwitchPlaces {
    let places = SwitchPlaces::of_user();
    let prefix = places.prefix.filter(|_| settings.launcher == LauncherKind::Wine);
    SwitchPlaces { prefix, ..places }
}

fn launcher(starter: Option<Arc<Starter>>) -> Result<(Arc<dyn Launcher>, Settings)> {
    let settings = Settings::of_user()?;
    let launcher: Arc<dyn Launcher> = match settings.launcher {
        LauncherKind::Wine => {
            Arc::new(WineLauncher::new(wine_places()?, settings.clone(), starter))
        }
        LauncherKind::Command => Arc::new(CommandLauncher::new(&settings)),
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
