//! `winterop shell`: an instance of its own, with COMMAND in the caller's own process.

use crate::{host, inherited, places};
use anyhow::{Context as _, Result};
use clap::Args;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;
use winterop_interop::keeper::send_instance;
use winterop_namespaces::NamespaceError;
use winterop_places::names::{INIT, SOCKET_DIRECTORY, process_of};
use winterop_registration as registration;
use winterop_settings::{LauncherKind, Settings, Switches, WslConf};
use winterop_shell::init::Options;
use winterop_shell::keeper;
use winterop_shell::namespace::{self, Plan};
use winterop_wine::session_path;
use winterop_words::Failure;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    winterop shell\n  \
    winterop shell ./configure --host=x86_64-w64-mingw32\n  \
    winterop shell -- sh -c './tool.exe | sort'")]
pub struct Arguments {
    /// The command to run; without it your shell.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    enter_and_execute(&arguments.command)
}

/// Makes an instance and becomes `command` in it; without one, the user's shell.
pub fn enter_and_execute(command: &[OsString]) -> Result<ExitCode> {
    // Wine gets ready while the instance is made.
    let warm = host::ensure();
    if let Err(error) = &warm {
        eprintln!("winterop: the host does not start yet: {error:#}");
    }
    let switches = Switches::new(places::switches());
    let settings = distributions_word(settings(), &switches);
    let scratch = Scratch::create()?;
    let plan = Plan {
        init: places::libraries()?.join("init"),
        scratch: scratch.path.clone(),
        batch_files: settings.batch_files,
    };
    let keeper = Keeper::start(&plan.init);
    let shared = match namespace::enter(&plan) {
        Ok(()) => false,
        Err(error) if error.is_unsupported() => use_shared_table(&plan, error)?,
        Err(error) => return Err(error.words().into()),
    };
    scratch.forget_inside();
    let keeper = keeper.filter(|_| !shared);
    let socket = server(&switches, keeper)?;
    let mut program = command_of(command);
    match socket {
        Some(socket) => program.env("WSL_INTEROP", socket),
        None => program.env_remove("WSL_INTEROP"),
    };
    program.env("WSL_DISTRO_NAME", places::distribution());
    program.env("PATH", path_of_session(&settings)?);
    inherited::give_back();
    if shared { wait_and_unregister(program) } else { Err(not_started(&program)(program.exec())) }
}

/// Where private tables cannot be had: root may use the machine's own.
fn use_shared_table(plan: &Plan, error: NamespaceError) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Err(error.words().into());
    }
    eprintln!("winterop: {error}; using the machine's own table of executables for now");
    namespace::enter_shared_table(plan)?;
    Ok(true)
}

fn command_of(command: &[OsString]) -> Command {
    match command.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        None => Command::new(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())),
    }
}

fn not_started(program: &Command) -> impl FnOnce(std::io::Error) -> anyhow::Error + use<> {
    let name = program.get_program().to_owned();
    move |error| {
        // As a shell has it.
        let (command, error) = (&OsStr::display(&name), &error);
        let words = match error.kind() {
            std::io::ErrorKind::NotFound => Failure::CommandNotThere { command, error }.words(),
            _ => Failure::CommandNotStarted { command, error }.words(),
        };
        eprintln!("winterop: {words}");
        std::process::exit(words.kind.status().into())
    }
}

/// Runs the command below this process, so that the registration can be taken back afterwards.
fn wait_and_unregister(mut program: Command) -> Result<ExitCode> {
    let status = program.status();
    registration::unregister().context("the machine's registration stays")?;
    let status = status.map_err(not_started(&program))?;
    Ok(ExitCode::from(code_of(status)))
}

/// A status as a shell has it: the code, or 128 and the signal's number.
pub fn code_of(status: ExitStatus) -> u8 {
    let by_signal = status.signal().map(|signal| 128 + signal);
    status.code().or(by_signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// An empty directory to build the instance's root on.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn create() -> Result<Self> {
        let path = places::runtime()?.join(format!("root-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path })
    }

    /// Inside the instance it is an ordinary empty directory again, and of no more use.
    fn forget_inside(&self) {
        // A directory that stays is emptied at the next start; nothing depends on it.
        let _ = std::fs::remove_dir(&self.path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.forget_inside();
    }
}

/// The socket of the session's server; there is none while Windows programs are switched off.
fn server(switches: &Switches, keeper: Option<Keeper>) -> Result<Option<PathBuf>> {
    if let Err(off) = switches.check() {
        eprintln!("winterop: {}", off.words());
        return Ok(None);
    }
    start_init(keeper).map(Some)
}

/// The process of the instance that stays outside; see [`winterop_shell::keeper`].
struct Keeper {
    socket: PathBuf,
    /// To it: which process the instance lives by.
    connection: UnixStream,
}

impl Keeper {
    /// Starts it. Without one the host takes the instance for a stranger, which is told of then.
    fn start(init: &Path) -> Option<Self> {
        match Self::try_start(init) {
            Ok(keeper) => Some(keeper),
            Err(error) => {
                eprintln!("winterop: the instance has no keeper: {error:#}");
                None
            }
        }
    }

    fn try_start(init: &Path) -> Result<Self> {
        let socket = places::runtime()?.join(format!("keeper-{}", std::process::id()));
        let options = keeper::Options {
            socket: socket.clone(),
            host_socket: places::host_socket()?,
            host_command: host::address()?.command,
        };
        let (connection, theirs) = UnixStream::pair()?;
        let mut command = Command::new(init);
        command.arg0("init").args(options.to_arguments()).stdin(OwnedFd::from(theirs));
        started(&mut command).map(|_| Self { socket, connection })
    }

    /// Tells it which process the instance lives by, and waits until the host knows.
    fn tell(self, process: Pid) -> Result<()> {
        let process = pidfd_open(process, PidfdFlags::empty())?;
        send_instance(self.connection.as_fd(), process.as_fd())?;
        self.connection.set_read_timeout(Some(KEEPER_PATIENCE))?;
        let mut answer = [0];
        (&self.connection).read_exact(&mut answer).context("the host does not know the instance")
    }
}

/// How long the host may take to be started, and to note the instance.
const KEEPER_PATIENCE: Duration = Duration::from_secs(15);

/// The user's settings, as far as the distribution does not say otherwise in its `wsl.conf`.
fn distributions_word(settings: Settings, switches: &Switches) -> Settings {
    for diagnostic in switches.diagnostics() {
        eprintln!("winterop: {diagnostic}");
    }
    let conf = switches.distribution().ok();
    let said = conf.filter(|conf: &WslConf| conf.line_of("interop.appendWindowsPath").is_some());
    let append_windows_path =
        said.map_or(settings.append_windows_path, |conf| conf.interop.append_windows_path);
    Settings { append_windows_path, ..settings }
}

/// Starts the instance's init and returns its socket once it serves.
fn start_init(keeper: Option<Keeper>) -> Result<PathBuf> {
    let options = Options {
        socket_directory: SOCKET_DIRECTORY.into(),
        host_socket: places::host_socket()?,
        first_process: Some(std::process::id()),
        host_command: host::address()?.command,
        keeper: keeper.as_ref().map(|keeper| keeper.socket.clone()),
    };
    let mut command = Command::new(INIT);
    let socket = started(command.arg0("init").args(options.to_arguments()).stdin(Stdio::null()))?;
    let name = socket.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let process = process_of(name).and_then(Pid::from_raw);
    if let Some((keeper, process)) = keeper.zip(process)
        && let Err(error) = keeper.tell(process)
    {
        eprintln!("winterop: {error:#}");
    }
    Ok(socket)
}

/// Starts something that goes into the background, and returns where it serves.
fn started(command: &mut Command) -> Result<PathBuf> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::InitNotStarted { error: &error }.words())?;
    let mut socket = String::new();
    if let Some(output) = child.stdout.take() {
        std::io::BufReader::new(output).read_line(&mut socket)?;
    }
    // It has gone into the background by now.
    child.wait()?;
    let socket = socket.trim_end();
    if socket.is_empty() {
        return Err(Failure::InitNotStarted { error: &"it ended before it served" }.words().into());
    }
    Ok(socket.into())
}

/// The user's settings. Those that are wrong keep the host from starting, and are told of there.
fn settings() -> Settings {
    let nothing = || Settings { append_windows_path: false, ..Settings::default() };
    let read = places::settings().map_err(anyhow::Error::from).and_then(|file| {
        let read = file.map(|file| Settings::read(&file)).transpose();
        Ok(read.map_err(|error| error.words())?.unwrap_or_default())
    });
    read.unwrap_or_else(|error| {
        eprintln!("winterop: {error:#}");
        nothing()
    })
}

/// The session's PATH: our own programs, what the user has, and where Windows programs are.
fn path_of_session(settings: &Settings) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let own = places::programs()?;
    let others = std::env::split_paths(&path).filter(|directory| *directory != own);
    let mut directories: Vec<PathBuf> = [own.clone()].into_iter().chain(others).collect();
    for directory in windows_path(settings) {
        if directory.as_os_str().as_bytes().contains(&b':') {
            eprintln!("winterop: {}: a colon cannot be in PATH; left out", directory.display());
        } else if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    Ok(std::env::join_paths(directories)?)
}

/// Where Windows programs are. That there is no place for the user's data is the host's to tell.
fn windows_path(settings: &Settings) -> Vec<PathBuf> {
    let is_wanted = settings.append_windows_path && settings.launcher == LauncherKind::Wine;
    match places::data() {
        Ok(data) if is_wanted => session_path::of_session(&data, settings.windows_path),
        _ => Vec::new(),
    }
}
