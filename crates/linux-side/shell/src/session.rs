//! `winterop shell`: an instance of its own, with a command in the caller's own process.

use crate::inherited;
use crate::init::Options;
use crate::keeper;
use crate::namespace::{self, Materials};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, BufRead as _, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use winterop_accounts::release::Release;
use winterop_interop::keeper::send_instance;
use winterop_namespaces::NamespaceError;
use winterop_places::names::{INIT, SOCKET_DIRECTORY, process_of};
use winterop_places::{program, user};
use winterop_registration as registration;
use winterop_serve::own_host;
use winterop_serve::starting::HostAddress;
use winterop_settings::{
    LauncherKind, Settings, SwitchPlaces, Switches, WindowsPathSetting, WslConf,
};
use winterop_sys::status_of_signal;
use winterop_words::{Failure, Words};

/// A session that is to be made.
pub struct ShellSession<'a> {
    /// The command; without one, the user's shell.
    pub command: &'a [OsString],
    /// Where Windows programs are, of what the host keeps in the user's data.
    pub windows_path: fn(&Path, WindowsPathSetting) -> Vec<PathBuf>,
    /// Whether the host has ever had them ready, by the same data.
    pub is_known: fn(&Path) -> bool,
    /// Is told what the session has to do without.
    pub tell: &'a dyn Fn(&dyn Display),
}

/// Which table of executables a session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExecutableTable {
    /// One of its own.
    Private,
    /// The machine's, from which it has to take its entry away at the end.
    Shared,
}

/// Makes an instance and becomes the command in it. It returns the command's status where this process has
/// to stay, since the instance has no table of its own.
///
/// # Errors
/// In words; the process may be in half an instance then, and should end.
pub fn enter_and_execute(wanted: &ShellSession<'_>) -> Result<u8, Words> {
    // Wine gets ready while the instance is made.
    let host = own_host::ensure();
    if let Err(error) = &host {
        (wanted.tell)(&format_args!("the host does not start yet: {error}"));
    }
    let switches = Switches::new(SwitchPlaces::of_user());
    let settings = distributions_word(settings(wanted.tell), &switches, wanted.tell);
    if host.is_ok() && switches.check().is_ok() {
        wait_for_windows(&settings, wanted.is_known, wanted.tell);
    }
    let scratch = Scratch::create()?;
    let plan = Materials {
        init: program::init()?,
        scratch: scratch.path.clone(),
        batch_files: settings.batch_files,
    };
    let keeper = Keeper::start(&plan.init, wanted.tell);
    let table = enter(&plan, wanted.tell)?;
    scratch.forget_inside();
    let keeper = keeper.filter(|_| table == ExecutableTable::Private);
    let socket = server(&switches, keeper, wanted.tell)?;
    let mut command = command_of(wanted.command);
    match socket {
        Some(socket) => command.env("WSL_INTEROP", socket),
        None => command.env_remove("WSL_INTEROP"),
    };
    command.env("WSL_DISTRO_NAME", Release::distribution_of_machine());
    command.env("PATH", path_of_session(&settings, wanted)?);
    inherited::give_back();
    match table {
        ExecutableTable::Private => {
            let error = command.exec();
            Err(not_started(&command, &error))
        }
        ExecutableTable::Shared => wait_and_unregister(command),
    }
}

/// Waits until the host has the Windows side ready, where it never was: what a session finds, and how files
/// are called in it, depends on that from its beginning.
pub fn wait_for_windows(
    settings: &Settings,
    is_known: fn(&Path) -> bool,
    tell: &dyn Fn(&dyn Display),
) {
    // Without a place for it the host says so at the first launch.
    let is_first = || user::data().is_ok_and(|data| !is_known(&data));
    if settings.launcher == LauncherKind::Wine
        && is_first()
        && let Err(error) = own_host::prepare(tell)
    {
        tell(&error);
    }
}

/// Makes the instance of this process.
fn enter(plan: &Materials, tell: &dyn Fn(&dyn Display)) -> Result<ExecutableTable, Words> {
    match namespace::enter(plan) {
        Ok(()) => Ok(ExecutableTable::Private),
        Err(error) if error.is_unsupported() => use_shared_table(plan, &error, tell),
        Err(error) => Err(error.words()),
    }
}

/// Where private tables cannot be had: root may use the machine's own.
fn use_shared_table(
    plan: &Materials,
    error: &NamespaceError,
    tell: &dyn Fn(&dyn Display),
) -> Result<ExecutableTable, Words> {
    if !rustix::process::geteuid().is_root() {
        return Err(error.words());
    }
    tell(&format_args!("{error}; using the machine's own table of executables for now"));
    namespace::enter_shared_table(plan).map_err(|error| error.words())?;
    Ok(ExecutableTable::Shared)
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

fn not_started(command: &Command, error: &io::Error) -> Words {
    // As a shell has it.
    let command = &OsStr::display(command.get_program());
    match error.kind() {
        io::ErrorKind::NotFound => Failure::CommandNotThere { command, error }.words(),
        _ => Failure::CommandNotStarted { command, error }.words(),
    }
}

/// Runs the command below this process, so that the registration can be taken back afterwards.
fn wait_and_unregister(mut command: Command) -> Result<u8, Words> {
    let status = command.status();
    registration::unregister().map_err(step("unregistering", &registration::ENTRY))?;
    let status = status.map_err(|error| not_started(&command, &error))?;
    Ok(code_of(status))
}

/// A status as a shell has it.
#[must_use]
pub fn code_of(status: ExitStatus) -> u8 {
    let by_signal = status.signal().map(status_of_signal);
    status.code().or(by_signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// A step of making the instance that went wrong.
fn step<'a>(step: &'a str, on: &'a dyn Display) -> impl FnOnce(io::Error) -> Words + 'a {
    move |error| Failure::InstanceStep { step: &step, on, error: &error }.words()
}

/// An empty directory to build the instance's root on.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn create() -> Result<Self, Words> {
        let path = user::runtime()?.join(format!("root-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(step("making", &path.display()))?;
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
fn server(
    switches: &Switches,
    keeper: Option<Keeper>,
    tell: &dyn Fn(&dyn Display),
) -> Result<Option<PathBuf>, Words> {
    if let Err(off) = switches.check() {
        tell(&off.words());
        return Ok(None);
    }
    start_init(keeper, tell).map(Some)
}

/// The process of the instance that stays outside; see [`keeper`].
struct Keeper {
    socket: PathBuf,
    /// To it: which process the instance lives by.
    connection: UnixStream,
}

impl Keeper {
    /// Starts it. Without one the host takes the instance for a stranger, which is told of then.
    fn start(init: &Path, tell: &dyn Fn(&dyn Display)) -> Option<Self> {
        let told = |error: Words| tell(&format_args!("the instance has no keeper: {error}"));
        Self::try_start(init).map_err(told).ok()
    }

    fn try_start(init: &Path) -> Result<Self, Words> {
        let socket = user::runtime()?.join(format!("keeper-{}", std::process::id()));
        let HostAddress { socket: host_socket, command: host_command, .. } = own_host::address()?;
        let options = keeper::Options { socket: socket.clone(), host_socket, host_command };
        let pair = UnixStream::pair().map_err(step("connecting to", &"the keeper"))?;
        let (connection, theirs) = pair;
        let mut command = Command::new(init);
        command.arg0("init").args(options.to_arguments()).stdin(OwnedFd::from(theirs));
        started(&mut command).map(|_| Self { socket, connection })
    }

    /// Tells it which process the instance lives by, and waits until the host knows.
    fn tell(self, process: Pid) -> io::Result<()> {
        let process = pidfd_open(process, PidfdFlags::empty())?;
        send_instance(self.connection.as_fd(), process.as_fd())?;
        self.connection.set_read_timeout(Some(KEEPER_PATIENCE))?;
        (&self.connection).read_exact(&mut [0])
    }
}

/// How long the host may take to be started, and to note the instance.
const KEEPER_PATIENCE: Duration = Duration::from_secs(15);

/// The user's settings, as far as the distribution does not say otherwise in its `wsl.conf`.
fn distributions_word(
    settings: Settings,
    switches: &Switches,
    tell: &dyn Fn(&dyn Display),
) -> Settings {
    for diagnostic in switches.diagnostics() {
        tell(&diagnostic);
    }
    let conf = switches.distribution().ok();
    let said = conf.filter(|conf: &WslConf| conf.line_of("interop.appendWindowsPath").is_some());
    let append_windows_path =
        said.map_or(settings.append_windows_path, |conf| conf.interop.append_windows_path);
    Settings { append_windows_path, ..settings }
}

/// Starts the instance's init and returns its socket once it serves.
fn start_init(keeper: Option<Keeper>, tell: &dyn Fn(&dyn Display)) -> Result<PathBuf, Words> {
    let HostAddress { socket: host_socket, command: host_command, .. } = own_host::address()?;
    let options = Options {
        socket_directory: SOCKET_DIRECTORY.into(),
        host_socket,
        first_process: Some(std::process::id()),
        host_command,
        keeper: keeper.as_ref().map(|keeper| keeper.socket.clone()),
    };
    let mut command = Command::new(INIT);
    let socket = started(command.arg0("init").args(options.to_arguments()).stdin(Stdio::null()))?;
    let name = socket.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let process = process_of(name).and_then(Pid::from_raw);
    if let Some((keeper, process)) = keeper.zip(process)
        && let Err(error) = keeper.tell(process)
    {
        tell(&format_args!("the host does not know the instance: {error}"));
    }
    Ok(socket)
}

/// Starts something that goes into the background, and returns where it serves.
fn started(command: &mut Command) -> Result<PathBuf, Words> {
    let failed = |error: io::Error| Failure::InitNotStarted { error: &error }.words();
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut socket = String::new();
    if let Some(output) = child.stdout.take() {
        io::BufReader::new(output).read_line(&mut socket).map_err(failed)?;
    }
    // It has gone into the background by now.
    child.wait().map_err(failed)?;
    let socket = socket.trim_end();
    if socket.is_empty() {
        return Err(Failure::InitNotStarted { error: &"it ended before it served" }.words());
    }
    Ok(socket.into())
}

/// The user's settings. Those that are wrong keep the host from starting, and are told of there.
fn settings(tell: &dyn Fn(&dyn Display)) -> Settings {
    Settings::of_user().unwrap_or_else(|error| {
        tell(&error);
        Settings { append_windows_path: false, ..Settings::default() }
    })
}

/// The session's PATH: our own programs, what the user has, and where Windows programs are.
fn path_of_session(settings: &Settings, wanted: &ShellSession<'_>) -> Result<OsString, Words> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let own = program::directory()?;
    let others = std::env::split_paths(&path).filter(|directory| *directory != own);
    let mut directories: Vec<PathBuf> = [own.clone()].into_iter().chain(others).collect();
    for directory in windows_path(settings, wanted) {
        if directory.as_os_str().as_bytes().contains(&b':') {
            let shown = directory.display();
            (wanted.tell)(&format_args!("{shown}: a colon cannot be in PATH; left out"));
        } else if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    let joined = std::env::join_paths(directories).map_err(io::Error::other);
    joined.map_err(step("writing", &"PATH"))
}

/// Where Windows programs are. That there is no place for the user's data is the host's to tell.
fn windows_path(settings: &Settings, wanted: &ShellSession<'_>) -> Vec<PathBuf> {
    let is_wanted = settings.append_windows_path && settings.launcher == LauncherKind::Wine;
    match user::data() {
        Ok(data) if is_wanted => (wanted.windows_path)(&data, settings.windows_path),
        _ => Vec::new(),
    }
}
