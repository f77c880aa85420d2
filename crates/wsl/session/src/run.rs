//! One command in a distribution: what `wsl` tells a session leader, and the wait for the end.

use crate::client::{ClientError, Ends, Instance, Session};
use crate::console;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use winterop_distribution::{InstancePlan, RootOf};
use winterop_distributions::care::registry;
use winterop_distributions::choice::{Meant, meant};
use winterop_distributions::registry::Distribution;
use winterop_distributions::{DistributionName, Instances};
use winterop_places::instance::INSTANCES;
use winterop_places::program;
use winterop_places::user::{self, NoPlace};
use winterop_serve::own_host;
use winterop_settings::{LauncherKind, Settings, SwitchPlaces, Switches, WindowsPathSetting};
use winterop_shell::session::wait_for_windows;
use winterop_shell::variables;
use winterop_translate::shell;
use winterop_translate::wslenv::{self, Direction};
use winterop_wine::session_path;
use winterop_wire::{LinuxProcess, ProcessFlags, ShellOptions};
use winterop_words::{Failure, Words};

/// How long an instance may take that is about to end: it gives its processes a second.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How a command is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shell {
    /// By a shell that asks nobody who it is.
    #[default]
    Standard,
    /// By a login shell.
    Login,
    /// By none: the command is the program and its arguments.
    None,
}

impl Shell {
    /// The way that `--shell-type` names.
    #[must_use]
    pub fn of_type(name: Option<&str>) -> Self {
        match name {
            Some("none") => Self::None,
            Some("login") => Self::Login,
            _ => Self::Standard,
        }
    }
}

/// What somebody wants to have run.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The user; the distribution's default if none is named.
    pub user: Option<String>,
    /// The directory: a Linux path inside, a Windows path, `~`; if none is named the caller's own
    /// where the distribution has it, else the user's home.
    pub directory: Option<OsString>,
    /// The program and its arguments; without it the user's shell.
    pub command: Vec<OsString>,
    /// The same as it was written, for the shell that runs it; without it the shell gets the words.
    pub line: Option<OsString>,
    /// How it is started.
    pub shell: Shell,
}

impl Wanted {
    /// What the shell is to run; `None` where it is to ask, or there is none.
    pub(crate) fn line(&self) -> Option<OsString> {
        self.written_or_quoted().map(|line| match line.as_bytes().first() {
            // A shell would take it for its own options.
            Some(b'-' | b'+') => [OsStr::new(" "), &line].into_iter().collect(),
            _ => line,
        })
    }

    fn written_or_quoted(&self) -> Option<OsString> {
        if self.shell == Shell::None || self.command.is_empty() {
            return None;
        }
        let words: Vec<_> = self.command.iter().map(|word| word.as_bytes()).collect();
        let written = self.line.clone();
        Some(written.unwrap_or_else(|| OsString::from_vec(shell::line(&words))))
    }
}

/// Where a distribution comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was imported: what holds its root must be closed to others. The user of this id starts its
    /// commands, where nothing else says who.
    Imported {
        /// The user's id.
        default_uid: u32,
    },
    /// Somebody has named the directory.
    Directory,
}

/// A distribution that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runnable {
    /// Its name.
    pub name: String,
    /// The directory with its files.
    pub root: PathBuf,
    /// Where it comes from.
    pub origin: Origin,
}

impl Runnable {
    /// One that nobody has imported, whose files are in `root`.
    ///
    /// # Errors
    /// In words: no distribution can be called so.
    pub fn of_directory(name: &str, root: &Path) -> Result<Self, Words> {
        let name = name.parse::<DistributionName>()?.as_str().to_owned();
        Ok(Self { name, root: root.to_owned(), origin: Origin::Directory })
    }
}

impl From<&Distribution> for Runnable {
    fn from(one: &Distribution) -> Self {
        let origin = Origin::Imported { default_uid: one.default_uid.0 };
        Self { name: one.name.as_str().to_owned(), root: one.root(), origin }
    }
}

/// Why a distribution did not do what was wanted of it.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It did not come as far as the distribution.
    #[error(transparent)]
    Outside(#[from] Words),
    /// The distribution refused, or was lost.
    #[error(transparent)]
    Inside(#[from] ClientError),
}

impl From<NoPlace> for SessionError {
    fn from(error: NoPlace) -> Self {
        Self::Outside(error.words())
    }
}

impl From<SessionError> for Words {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Outside(words) => words,
            SessionError::Inside(error) => error.words(),
        }
    }
}

/// The instances of this process's user.
#[derive(Clone, Copy, Debug)]
pub struct OwnInstances;

impl Instances for OwnInstances {
    fn runs(&self, name: &DistributionName) -> Result<bool, Words> {
        Ok(running(name.as_str())?.is_some())
    }

    fn end(&self, name: &DistributionName) -> Result<(), Words> {
        Ok(terminate(name.as_str())?)
    }
}

/// The instance of the distribution `name`, if one runs.
///
/// # Errors
/// In words: there is no place for instances.
pub fn running(name: &str) -> Result<Option<Instance>, Words> {
    Ok(Instance::find(&directory_of(name)?))
}

fn directory_of(name: &str) -> Result<PathBuf, Words> {
    Ok(user::runtime()?.join(INSTANCES).join(name))
}

/// Ends the distribution `name` where it runs, with everything that runs in it.
///
/// # Errors
/// It does not end.
pub fn terminate(name: &str) -> Result<(), SessionError> {
    let Some(instance) = running(name)? else { return Ok(()) };
    instance.terminate(Ends::Always)?;
    match instance.wait_for_end(PATIENCE)? {
        true => Ok(()),
        false => Err(Failure::InstanceDoesNotEnd { name: &name }.words().into()),
    }
}

/// The same for whoever may have named the machine.
///
/// # Errors
/// It is the machine, nobody knows it, or it does not end.
pub fn terminate_named(name: &str) -> Result<(), SessionError> {
    match meant(Some(name))? {
        Meant::Imported(one) => terminate(one.name.as_str()),
        Meant::Machine => Err(Failure::MachineNotEnded { name: &name }.words().into()),
    }
}

/// Ends all of the user's imported distributions that run.
///
/// # Errors
/// One does not end.
pub fn shut_down() -> Result<(), SessionError> {
    for one in registry()?.distributions() {
        terminate(one.name.as_str())?;
    }
    Ok(())
}

/// A session in a distribution, which is started if it does not run.
fn begin(one: &Runnable, tell: &dyn Fn(&dyn Display)) -> Result<Session, SessionError> {
    // The first launch starts it too, but then it waits for Wine.
    match own_host::ensure() {
        Err(error) => tell(&format_args!("the host does not start yet: {error}")),
        Ok(()) if Switches::new(SwitchPlaces::of_user()).check_users().is_ok() => {
            wait_for_windows(&Settings::of_user()?, session_path::is_known, tell);
        }
        Ok(()) => {}
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match instance(one, tell)?.create_session() {
            // It was about to end when it was asked.
            Err(error) if error.has_ended() && Instant::now() < deadline => {
                Instance::find(&directory_of(&one.name)?).map(|it| it.wait_for_end(PATIENCE));
            }
            session => return Ok(session?),
        }
    }
}

/// The system's refusal, at something in the runtime directory.
fn refused(path: &Path) -> impl Fn(io::Error) -> Words + '_ {
    move |error| Failure::InstanceFile { path: &path.display(), error: &error }.words()
}

/// The instance, found or started; one at a time, so that two who want it do not start two.
fn instance(one: &Runnable, tell: &dyn Fn(&dyn Display)) -> Result<Instance, SessionError> {
    let instances = user::runtime()?.join(INSTANCES);
    fs::create_dir_all(&instances).map_err(refused(&instances))?;
    let lock = File::open(&instances).map_err(refused(&instances))?;
    lock.lock().map_err(refused(&instances))?;
    let directory = instances.join(&one.name);
    if let Some(running) = Instance::find(&directory) {
        return running_with(running, one);
    }
    let plan = InstancePlan {
        name: one.name.clone(),
        root: match one.origin {
            Origin::Imported { .. } => one.root.clone(),
            Origin::Directory => canonical(&one.root)?,
        },
        root_of: match one.origin {
            Origin::Imported { .. } => RootOf::Import,
            Origin::Directory => RootOf::Anybody,
        },
        directory: directory.clone(),
        data: user::data()?,
        host: own_host::address()?,
        idle: Duration::from_secs(Settings::of_user()?.instance_idle_seconds),
        log: user::runtime()?.join("distributions.log"),
    };
    // What a keeper that was killed has left, or one that is about to end.
    if directory.exists() {
        Instance::at(&directory).wait_for_end(PATIENCE)?;
    }
    let (started, notes) = Instance::start(&program::init()?, &plan)?;
    notes.iter().for_each(|note| tell(note));
    Ok(started)
}

/// The instance that runs, if its files are those that are wanted.
fn running_with(running: Instance, one: &Runnable) -> Result<Instance, SessionError> {
    if running.has_root(&one.root)? {
        return Ok(running);
    }
    Err(Failure::OtherRoot { name: &one.name, root: &one.root.display() }.words().into())
}

fn canonical(root: &Path) -> Result<PathBuf, Words> {
    let found = root.canonicalize();
    found.map_err(|error| Failure::RootNotThere { root: &root.display(), error: &error }.words())
}

/// Runs what is wanted in a distribution, on this process's own terminal and descriptors, and returns its
/// exit status. `tell` hears what it has to do without, and why it does not begin inside or has been lost.
///
/// # Errors
/// In words: it did not come as far as a session. The terminal is as it was.
pub fn run(
    one: &Runnable,
    wanted: &Wanted,
    tell: &dyn Fn(&dyn Display),
) -> Result<u8, SessionError> {
    let session = begin(one, tell)?;
    match run_in(session, one, wanted) {
        Err(SessionError::Inside(error)) => {
            tell(&error);
            Ok(error.status())
        }
        ended => ended,
    }
}

fn run_in(mut session: Session, one: &Runnable, wanted: &Wanted) -> Result<u8, SessionError> {
    let root = canonical(&one.root)?;
    let settings = Settings::of_user()?;
    let is_on = Switches::new(SwitchPlaces::of_user()).check_users().is_ok();
    let directory = directory(&root, wanted);
    let (filename, arguments) = words(wanted);
    let environment = environment();
    let windows_path = windows_path(&settings);
    let mut process = LinuxProcess {
        filename: filename.as_bytes(),
        working_directory: directory.as_bytes(),
        arguments: arguments.iter().map(|argument| argument.as_bytes()).collect(),
        environment: environment.iter().map(Vec::as_slice).collect(),
        windows_path: Some(windows_path.as_slice()).filter(|path| !path.is_empty()),
        user_name: wanted.user.as_deref().map(str::as_bytes),
        default_uid: match one.origin {
            Origin::Imported { default_uid } => default_uid,
            Origin::Directory => 0,
        },
        ..LinuxProcess::default()
    };
    if wanted.shell == Shell::Login || wanted.command.is_empty() {
        process.shell_options = ShellOptions::LOGIN;
    }
    if is_on {
        process.flags = ProcessFlags::INTEROP_ENABLED;
    }
    let code = console::run(&mut session, &process)?;
    Ok(u8::try_from(code & 0xFF).unwrap_or(1))
}

/// File name and arguments of the message: no name stands for the user's shell.
fn words(wanted: &Wanted) -> (OsString, Vec<OsString>) {
    match (wanted.line(), wanted.command.first()) {
        (Some(line), _) => (OsString::new(), vec!["".into(), "-c".into(), line]),
        (None, Some(program)) => (program.clone(), wanted.command.clone()),
        (None, None) => (OsString::new(), Vec::new()),
    }
}

fn directory(root: &Path, wanted: &Wanted) -> OsString {
    let own = || std::env::current_dir().ok();
    let below = |own: &Path| {
        let inside = own.strip_prefix(root).ok()?;
        Some(Path::new("/").join(inside).into_os_string())
    };
    let on_drive = |own: &Path| windows_directory(own).map(OsString::from);
    let named = wanted.directory.clone();
    named
        .or_else(|| own().and_then(|own| below(&own).or_else(|| on_drive(&own))))
        .unwrap_or_default()
}

/// `C:\…` for a directory of the Wine prefix's drive.
fn windows_directory(path: &Path) -> Option<String> {
    let drive = user::data().ok()?.join("prefix/drive_c");
    let rest = path.strip_prefix(drive).ok()?.to_str()?;
    Some(format!("C:\\{}", rest.replace('/', "\\")))
}

/// The variables that tell of the terminal, and those that WSLENV lists.
fn environment() -> Vec<Vec<u8>> {
    let listed = std::env::var_os("WSLENV").unwrap_or_default();
    // This is WSL's way from Windows to Linux; a path of this machine is none of the distribution's.
    let names = wslenv::entries(listed.as_bytes()).filter_map(|listed| {
        let travels = listed.travels(Direction::ToLinux) && !listed.is_path;
        travels.then(|| OsStr::from_bytes(listed.name).to_owned())
    });
    let always = ["TERM", "COLORTERM", "WSLENV"].map(OsString::from);
    let set = always.into_iter().chain(names).filter_map(|name| {
        let value = std::env::var_os(&name).filter(|value| !value.is_empty())?;
        Some(variables::entry(&name, &value))
    });
    set.collect()
}

/// Where Windows programs are, as Windows has it.
fn windows_path(settings: &Settings) -> Vec<u8> {
    let is_wanted = settings.append_windows_path && settings.launcher == LauncherKind::Wine;
    let directories: Vec<PathBuf> = match user::data() {
        Ok(data) if is_wanted => session_path::of_session(&data, WindowsPathSetting::Directories),
        _ => Vec::new(),
    };
    let names = directories.iter().filter_map(|directory| windows_directory(directory));
    names.collect::<Vec<_>>().join(";").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn no_line_is_an_option_of_the_shell() {
        for (words, line) in
            [(["-x", "$"], " -x '$'"), (["+x", "a"], " +x a"), (["a", "-b"], "a -b")]
        {
            let command = words.map(OsString::from).to_vec();
            let wanted =
                Wanted { user: None, directory: None, command, line: None, shell: Shell::Login };
            assert_eq!(wanted.line().unwrap(), line);
        }
        let line = Some(OsString::from("-x \"a  b\""));
        let command = vec!["-x".into(), "a  b".into()];
        let (user, directory, shell) = (None, None, Shell::Standard);
        let wanted = Wanted { user, directory, command, line, shell };
        assert_eq!(wanted.line().unwrap(), " -x \"a  b\"");
    }

    #[test]
    fn what_went_wrong_outside_is_said_once() {
        let words = Failure::InstanceDoesNotEnd { name: &"alpha" }.words();
        let error = SessionError::from(words.clone());
        assert_eq!(error.to_string(), words.to_string());
        // Whoever prints an error with what lies behind it would print the same again.
        assert!(error.source().is_none());
    }
}
