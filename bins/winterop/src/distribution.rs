//! One command in a distribution: what `wsl` tells a session leader, and the wait for the end.

use crate::{host, places};
use anyhow::{Context as _, Result, bail};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use winterop_distribution::Plan;
use winterop_places::instance::INSTANCES;
use winterop_session::{Instance, Session, console};
use winterop_settings::{LauncherKind, Settings, Switches, WindowsPathSetting};
use winterop_translate::wslenv::{self, Direction};
use winterop_wine::session_path;
use winterop_wire::{LinuxProcess, ProcessFlags};

/// How long an instance may take that is about to end: it gives its processes a second.
pub const PATIENCE: Duration = Duration::from_secs(10);

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
    /// Whether the program is run without a shell.
    pub exec: bool,
    /// Whether a shell is a login shell.
    pub login: bool,
    /// Who it is, where neither `user` nor the distribution's `wsl.conf` says it.
    pub default_uid: u32,
}

/// The instance of the distribution `name`, if one runs.
pub fn running(name: &str) -> Result<Option<Instance>> {
    Ok(Instance::find(&directory_of(name)?))
}

fn directory_of(name: &str) -> Result<PathBuf> {
    Ok(places::runtime()?.join(INSTANCES).join(name))
}

/// A session in the distribution `name`, whose files are in `root`; it is started if it does not run.
/// What holds the root of one that was imported must be closed to others.
pub fn session(name: &str, root: &Path, imported: bool) -> Result<Session> {
    // The first launch starts it too, but then it waits for Wine.
    if let Err(error) = host::ensure() {
        eprintln!("wsl: the host does not start yet: {error:#}");
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match instance(name, root, imported)?.create_session() {
            // It was about to end when it was asked.
            Err(error) if error.has_ended() && Instant::now() < deadline => {
                Instance::find(&directory_of(name)?).map(|it| it.wait_for_end(PATIENCE));
            }
            session => return Ok(session?),
        }
    }
}

/// The instance, found or started; one at a time, so that two who want it do not start two.
fn instance(name: &str, root: &Path, imported: bool) -> Result<Instance> {
    let directory = directory_of(name)?;
    let parent = directory.parent().context("the runtime directory")?;
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let lock = File::open(parent).with_context(|| parent.display().to_string())?;
    lock.lock().with_context(|| parent.display().to_string())?;
    if let Some(running) = Instance::find(&directory) {
        if !running.has_root(root)? {
            bail!(
                "{name} runs already, with the files of another directory than {}: \
                 give this one another name, or end that one with `wsl --terminate {name}`",
                root.display()
            );
        }
        return Ok(running);
    }
    let plan = Plan {
        name: name.to_owned(),
        root: match imported {
            true => root.to_owned(),
            false => root.canonicalize().with_context(|| root.display().to_string())?,
        },
        imported,
        directory: directory.clone(),
        data: places::data()?,
        host: host::address()?,
        idle: Duration::from_secs(settings()?.instance_idle_seconds),
        log: places::runtime()?.join("distributions.log"),
    };
    // What a keeper that was killed has left, or one that is about to end.
    if directory.exists() {
        Instance::at(&directory).wait_for_end(PATIENCE)?;
    }
    let (started, notes) = Instance::start(&places::libraries()?.join("init"), &plan)?;
    for note in notes {
        eprintln!("wsl: {note}");
    }
    Ok(started)
}

/// Runs what is wanted in a session, on this process's own terminal and descriptors. `root` is where
/// the distribution's files are outside.
pub fn run(mut session: Session, root: &Path, wanted: &Wanted) -> Result<ExitCode> {
    let settings = settings()?;
    let is_on = Switches::new(places::switches()).check_users().is_ok();
    let directory = directory(root, wanted);
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
        default_uid: wanted.default_uid,
        ..LinuxProcess::default()
    };
    if wanted.login || wanted.command.is_empty() {
        process.shell_options = winterop_wire::ShellOptions::LOGIN;
    }
    if is_on {
        process.flags = ProcessFlags::INTEROP_ENABLED;
    }
    match console::run(&mut session, &process) {
        Ok(code) => Ok(ExitCode::from(u8::try_from(code & 0xFF).unwrap_or(1))),
        Err(error) => {
            eprintln!("wsl: {error}");
            Ok(ExitCode::from(error.status()))
        }
    }
}

fn settings() -> Result<Settings> {
    Ok(places::settings()?.map(|file| Settings::read(&file)).transpose()?.unwrap_or_default())
}

/// File name and arguments of the message: no name stands for the user's shell.
fn words(wanted: &Wanted) -> (OsString, Vec<OsString>) {
    match wanted.command.first() {
        None => (OsString::new(), Vec::new()),
        Some(program) if wanted.exec => (program.clone(), wanted.command.clone()),
        // As WSL does it, the words are joined and given to the shell.
        Some(_) => {
            let line = wanted.command.join(OsStr::new(" "));
            (OsString::new(), vec!["".into(), "-c".into(), line])
        }
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
    let drive = places::data().ok()?.join("prefix/drive_c");
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
        Some([name.as_bytes(), b"=", value.as_bytes()].concat())
    });
    set.collect()
}

/// Where Windows programs are, as Windows has it.
fn windows_path(settings: &Settings) -> Vec<u8> {
    let is_wanted = settings.append_windows_path && settings.launcher == LauncherKind::Wine;
    let directories: Vec<PathBuf> = match places::data() {
        Ok(data) if is_wanted => session_path::of_session(&data, WindowsPathSetting::Directories),
        _ => Vec::new(),
    };
    let names = directories.iter().filter_map(|directory| windows_directory(directory));
    names.collect::<Vec<_>>().join(";").into_bytes()
}
