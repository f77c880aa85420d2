//! Prepares a Wine prefix once, so that a program starts in it at once ever after.
//!
//! `wineboot` makes a prefix in 3 to 5 s and 695 MB. This module lets it do that in a folder of its
//! own, repairs what keeps modern programs from running, replaces every library that is Wine's own by
//! a link to Wine's, and keeps the result (60 MB) as a template. The prefix itself is a copy.
//!
//! Below the data folder:
//! - `prefix`: the prefix. It appears complete or not at all.
//! - `template`: what it was copied from; a further prefix is a copy of it.
//! - `prefix.lock`: held while one process prepares.
//! - `.new-*`, `.old-*`: what a preparation works on; what a crash leaves of it goes the next time.
//!
//! A stamp (`.winterop` in the prefix) names the recipe and the Wine. When either changes the
//! prefix is brought up to date in a copy, which then takes its place; what its user installed in
//! it stays.
//!
//! # The repairs
//! 1. Wine 8 says it is Windows 7: the values that `winecfg -v win10` sets, but written into the
//!    registry's file, without a start of Wine.
//! 2. Wine 8 has no `bcryptprimitives.dll`, which Rust and Go programs need for `ProcessPrng`: one
//!    that only forwards it to `advapi32.SystemFunction036`. A Wine that has its own keeps it.
//! 3. A crash starts `winedbg`, writes into the program's output and ends with 0: the debugger is
//!    switched off (`AeDebug`), so that a crash ends with the exception's code.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::command::{Account, Surroundings};
use crate::forwarder::{self, Forward};
use crate::installation::Installation;
use crate::registry::{self, Key, Value};
use crate::server::socket::Place;
use winterop_serve::Starter;
use winterop_serve::starter::StartedProgram;
use winterop_words::{Failure, Words};

/// The version of what this module does to a prefix; a change makes old ones be brought up to date.
const RECIPE: u32 = 2;

/// The file in a prefix that says who made it.
const STAMP: &str = ".winterop";

/// How long `wineboot` may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A prepared prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// Its folder.
    pub path: PathBuf,
    /// Whether it was made for another Wine or by an older version of this program, and could not
    /// be brought up to date because programs run in it.
    pub outdated: bool,
}

/// What a preparation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another process prepares; this one waits for it.
    Waiting,
    /// `wineboot` makes or updates a prefix (3 to 5 s).
    Creating,
    /// The three repairs.
    Repairing,
    /// Links take the place of Wine's own files.
    Slimming,
    /// The template is copied.
    Copying,
    /// All is done.
    Done,
}

impl Step {
    /// What the step does, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for another preparation of Wine",
            Self::Creating => "making a Wine prefix",
            Self::Repairing => "repairing it for modern programs",
            Self::Slimming => "linking Wine's own files",
            Self::Copying => "copying it",
            Self::Done => "Wine is ready",
        }
    }
}

/// Why a prefix could not be prepared.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum Error {
    /// A file or folder could not be made, read or changed.
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A part of Wine cannot be started.
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `wineboot` failed.
    Wineboot {
        /// The folder it worked in.
        path: PathBuf,
        /// How it ended.
        status: String,
        /// What it wrote.
        output: String,
    },
}

impl Error {
    /// The error in words.
    pub fn words(&self) -> Words {
        match self {
            Self::File { what, path, source } => {
                let (path, error) = (&path.display(), source);
                match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        Failure::PrefixNoRoom { what, path, error }.words()
                    }
                    _ => Failure::PrefixFile { what, path, error }.words(),
                }
            }
            Self::Start { program, source } => {
                Failure::WinePartNotStarted { program: &program.display(), error: source }.words()
            }
            Self::Wineboot { path, status, output } => {
                let output = output.replace('\n', "; ");
                let path = path.display();
                Failure::WinebootFailed { path: &path, status, output: &output }.words()
            }
        }
    }
}

/// Makes an [`Error::File`] of a system error.
fn file<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::File { what, path: path.to_owned(), source }
}

/// Prepares the prefix below `data`, or finds it prepared (well under a millisecond).
///
/// `progress` is called at the beginning of each step that takes time.
pub fn prepare(
    installation: &Installation,
    account: &Account,
    data: &Path,
    starter: Option<&Starter>,
    progress: &mut dyn FnMut(Step),
) -> Result<Prefix, Error> {
    let store = Store { installation, account, data, starter };
    let path = data.join("prefix");
    if store.is_current(&path) {
        return Ok(Prefix { path, outdated: false });
    }
    let _lock = store.lock(progress)?;
    // Another process may have done it while this one waited.
    if store.is_current(&path) {
        return Ok(Prefix { path, outdated: false });
    }
    store.sweep()?;
    store.template(progress)?;
    let outdated = if path.join("system.reg").exists() {
        !store.update(&path, progress)?
    } else {
        store.copy_template(&path, progress)?;
        false
    };
    progress(Step::Done);
    Ok(Prefix { path, outdated })
}

/// What is not as [`prepare`] leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// There is no prefix yet.
    NotMade,
    /// It was prepared for another Wine, or by an older Winterop.
    Outdated,
    /// Its registry does not name Windows 10, or has a crash debugger.
    Registry,
    /// It lacks the library that Rust programs of today need.
    Library,
}

/// Looks whether the prefix below `data` is as [`prepare`] leaves it, and changes nothing.
///
/// # Errors
/// [`Error::File`] where its registry cannot be read.
pub fn examine(installation: &Installation, data: &Path) -> Result<Vec<Flaw>, Error> {
    let account = Account::current();
    let store = Store { installation, account: &account, data, starter: None };
    let prefix = data.join("prefix");
    if !prefix.exists() {
        return Ok(vec![Flaw::NotMade]);
    }
    let path = prefix.join("system.reg");
    let registry = fs::read(&path).map_err(file("read the registry", &path))?;
    let library = "bcryptprimitives.dll";
    let has_library = prefix.join("drive_c/windows/system32").join(library).exists()
        || installation.windows_libraries().join(library).exists();
    let flaws = [
        (!store.is_current(&prefix), Flaw::Outdated),
        (!registry::has(&registry, REGISTRY), Flaw::Registry),
        (!has_library, Flaw::Library),
    ];
    Ok(flaws.into_iter().filter_map(|(is_there, flaw)| is_there.then_some(flaw)).collect())
}

/// Makes a further prefix at `path` from the template that [`prepare`] left (0.1 s).
pub fn copy(data: &Path, path: &Path) -> Result<Prefix, Error> {
    let fresh = beside(path, ".new");
    copy_tree(&data.join("template"), &fresh)?;
    fs::rename(&fresh, path).map_err(file("put the new prefix at", path))?;
    Ok(Prefix { path: path.to_owned(), outdated: false })
}

/// A name in the same folder that only this process uses.
fn beside(path: &Path, start: &str) -> PathBuf {
    let name = path.file_name().unwrap_or(OsStr::new("prefix")).to_string_lossy();
    path.with_file_name(format!("{start}-{name}-{}", std::process::id()))
}

/// Where prefixes are kept, and for which Wine.
struct Store<'a> {
    installation: &'a Installation,
    account: &'a Account,
    data: &'a Path,
    starter: Option<&'a Starter>,
}

impl Store<'_> {
    fn stamp(&self) -> String {
        format!(
            "recipe {RECIPE}\n{}\n{}\n",
            self.installation.version,
            self.installation.libraries.display()
        )
    }

    fn is_current(&self, prefix: &Path) -> bool {
        fs::read_to_string(prefix.join(STAMP)).is_ok_and(|stamp| stamp == self.stamp())
    }

    fn lock(&self, progress: &mut dyn FnMut(Step)) -> Result<File, Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(self.data).map_err(file("make the folder", self.data))?;
        let path = self.data.join("prefix.lock");
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(file("make the lock", &path))?;
        let outcome = match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                progress(Step::Waiting);
                rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))
            }
            other => other,
        };
        outcome.map_err(|error| file("take the lock", &path)(error.into()))?;
        Ok(lock)
    }

    /// Removes what crashed preparations left. Only called with the lock held.
    fn sweep(&self) -> Result<(), Error> {
        let entries = fs::read_dir(self.data).map_err(file("read the folder", self.data))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(".new-") || name.starts_with(".old-") {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Makes sure that the template is there and current.
    fn template(&self, progress: &mut dyn FnMut(Step)) -> Result<(), Error> {
        let path = self.data.join("template");
        if self.is_current(&path) {
            return Ok(());
        }
        let fresh = beside(&path, ".new");
        make_folder(&fresh)?;
        self.make(&fresh, "--init", progress)?;
        self.exchange(&fresh, &path)
    }

    fn copy_template(&self, path: &Path, progress: &mut dyn FnMut(Step)) -> Result<(), Error> {
        progress(Step::Copying);
        let fresh = beside(path, ".new");
        copy_tree(&self.data.join("template"), &fresh)?;
        self.exchange(&fresh, path)
    }

    /// Brings a prefix up to date in a copy; `false` if it has to stay because it is in use.
    fn update(&self, path: &Path, progress: &mut dyn FnMut(Step)) -> Result<bool, Error> {
        if Place::find(path).is_some_and(|place| place.owner().is_some()) {
            tracing::warn!(path = %path.display(), "outdated Wine prefix is in use");
            return Ok(false);
        }
        progress(Step::Copying);
        let fresh = beside(path, ".new");
        copy_tree(path, &fresh)?;
        // Wine opens existing files for writing to update them: what is linked would be Wine's own.
        remove_links_to_wine(&fresh.join("drive_c"))?;
        let timestamp = fresh.join(".update-timestamp");
        remove(&timestamp)?;
        self.make(&fresh, "--update", progress)?;
        self.exchange(&fresh, path)?;
        Ok(true)
    }

    /// Puts `fresh` at `path` in one step, and removes what was there.
    fn exchange(&self, fresh: &Path, path: &Path) -> Result<(), Error> {
        let put = file("put the new prefix at", path);
        if !path.exists() {
            return fs::rename(fresh, path).map_err(put);
        }
        let here = rustix::fs::CWD;
        renameat_with(here, fresh, here, path, RenameFlags::EXCHANGE)
            .map_err(|error| put(error.into()))?;
        remove(fresh)
    }

    /// Lets `wineboot` work on `path`, then repairs and slims it.
    fn make(&self, path: &Path, mode: &str, progress: &mut dyn FnMut(Step)) -> Result<(), Error> {
        progress(Step::Creating);
        self.wineboot(path, mode)?;
        progress(Step::Repairing);
        repair(path, self.installation)?;
        progress(Step::Slimming);
        slim(&path.join("drive_c"), self.installation)?;
        // Wine would update a prefix on its own when its own files change, and write through links.
        write(&path.join(".update-timestamp"), b"disable\n")?;
        write(&path.join(STAMP), self.stamp().as_bytes())
    }

    fn wineboot(&self, path: &Path, mode: &str) -> Result<(), Error> {
        let surroundings = Surroundings {
            installation: self.installation.clone(),
            prefix: path.to_owned(),
            account: self.account.clone(),
            preload: None,
            launches: None,
            starter: None,
        };
        let log = path.join(".wineboot.log");
        let output = File::create(&log).map_err(file("make", &log))?;
        // No .NET, no browser, and no entries in the user's desktop menus.
        let overrides = "mscoree,mshtml=;winemenubuilder.exe=d";
        let mut environment = surroundings.environment();
        environment.set("WINEDLLOVERRIDES", overrides);
        environment.set("WINEARCH", "win64");
        environment.set("WINEDEBUG", "err+all,fixme-all");
        let null = File::options().read(true).write(true).open("/dev/null");
        let null = null.map_err(file("open", Path::new("/dev/null")))?;
        let root = File::open("/").map_err(file("open", Path::new("/")))?;
        let start = |program: &Path, arguments: &[&str], errors: &File| {
            let standard = [null.as_fd(), null.as_fd(), errors.as_fd()];
            let plan = environment.plan(program, arguments, standard, root.as_fd());
            StartedProgram::start(self.starter, &plan)
                .map_err(|source| Error::Start { program: program.to_owned(), source })
        };
        let _pinned = Pinned::here();
        let server_child = start(&self.installation.server, &["-f", "-p"], &null)?;
        let _server = EndServer { child: server_child, prefix: path };
        Place::wait(path, Duration::from_secs(20));
        let mut child = start(&self.installation.loader, &["wineboot.exe", mode], &output)?;
        let status = crate::server::process::wait(&mut child, Instant::now() + PATIENCE);
        let status = match status {
            Some(status) if status.success() && path.join("dosdevices/c:").exists() => None,
            Some(status) => Some(status.to_string()),
            None => {
                // It is ended and reaped with the server, below.
                child.kill();
                let _ = child.wait();
                Some(format!("still running after {} s", PATIENCE.as_secs()))
            }
        };
        match status {
            None => remove(&log),
            Some(status) => {
                let output = last_lines(&log);
                Err(Error::Wineboot { path: path.to_owned(), status, output })
            }
        }
    }
}

/// Keeps what this thread starts on one processor, until it is dropped.
///
/// Making a prefix is a hundred thousand questions from one program to the server, each of which
/// the other waits for. On one processor that takes 2 to 4 s, on two 4 to 6. Nothing of it outlives
/// the preparation.
struct Pinned(Option<CpuSet>);

impl Pinned {
    fn here() -> Self {
        let mut one = CpuSet::new();
        one.set(sched_getcpu());
        let before = sched_getaffinity(None).ok();
        Self(before.filter(|_| sched_setaffinity(None, &one).is_ok()))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // The set was this thread's before, so it can be again.
            let _ = sched_setaffinity(None, before);
        }
    }
}

/// Ends a temporary server, with everything that runs in its prefix, when it is dropped. The server
/// writes the registry before it ends.
struct EndServer<'a> {
    child: StartedProgram,
    prefix: &'a Path,
}

impl Drop for EndServer<'_> {
    fn drop(&mut self) {
        crate::server::process::end(&mut self.child);
        // Debian's Wine notes in the prefix where its socket is, which a copy must not share.
        Place::remove(self.prefix);
    }
}

fn last_lines(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let start = bytes.len().saturating_sub(2000);
    let text = String::from_utf8_lossy(bytes.get(start..).unwrap_or_default());
    let text = text.trim();
    if text.is_empty() { "it wrote nothing".to_owned() } else { text.to_owned() }
}

const WINDOWS_10: &[(&str, Value)] = &[
    ("CurrentVersion", Value::Text("10.0")),
    ("CurrentMajorVersionNumber", Value::Number(10)),
    ("CurrentMinorVersionNumber", Value::Number(0)),
    ("CSDVersion", Value::Text("")),
    ("CurrentBuild", Value::Text("19045")),
    ("CurrentBuildNumber", Value::Text("19045")),
    ("ProductName", Value::Text("Microsoft Windows 10")),
];

const REGISTRY: &[Key] = &[
    Key { path: "Software\\Microsoft\\Windows NT\\CurrentVersion", values: WINDOWS_10 },
    Key {
        path: "Software\\Microsoft\\Windows NT\\CurrentVersion\\AeDebug",
        values: &[("Auto", Value::Text("0")), ("Debugger", Value::Text(""))],
    },
    Key {
        path: "System\\ControlSet001\\Control\\Windows",
        values: &[("CSDVersion", Value::Number(0))],
    },
    Key {
        path: "System\\ControlSet001\\Control\\ProductOptions",
        values: &[("ProductType", Value::Text("WinNT"))],
    },
];

fn repair(prefix: &Path, installation: &Installation) -> Result<(), Error> {
    let path = prefix.join("system.reg");
    let registry = fs::read_to_string(&path).map_err(file("read the registry", &path))?;
    write(&path, registry::set(&registry, REGISTRY).as_bytes())?;
    let library = prefix.join("drive_c/windows/system32/bcryptprimitives.dll");
    let own = installation.windows_libraries().join("bcryptprimitives.dll");
    if own.exists() || library.exists() {
        return Ok(());
    }
    let exports = [Forward { name: "ProcessPrng", target: "advapi32.SystemFunction036" }];
    write(&library, &forwarder::build("bcryptprimitives.dll", &exports))
}

/// Replaces every file below `folder` that equals one of Wine's own by a link to that.
fn slim(folder: &Path, installation: &Installation) -> Result<(), Error> {
    let mut originals: HashMap<u64, Vec<PathBuf>> = HashMap::new();
    for library in [installation.windows_libraries(), installation.windows_libraries_32()] {
        for entry in fs::read_dir(library).into_iter().flatten().flatten() {
            if let Ok(data) = entry.metadata()
                && data.is_file()
            {
                originals.entry(data.len()).or_default().push(entry.path());
            }
        }
    }
    slim_folder(folder, &mut originals)
}

fn slim_folder(folder: &Path, originals: &mut HashMap<u64, Vec<PathBuf>>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(file("read the folder", folder))? {
        let entry = entry.map_err(file("read the folder", folder))?;
        let path = entry.path();
        let data = entry.metadata().map_err(file("look at", &path))?;
        if data.is_dir() {
            slim_folder(&path, originals)?;
        } else if data.is_file()
            && let Some(same_size) = originals.get_mut(&data.len())
        {
            slim_file(&path, same_size)?;
        }
    }
    Ok(())
}

fn slim_file(path: &Path, originals: &mut [PathBuf]) -> Result<(), Error> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("exe")) {
        // A program stays a file of its own, 28 MB in all: the kernel starts only what may be
        // executed, and Wine's own programs may not.
        return fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(file("make executable", path));
    }
    // The one of the same name first: it is nearly always that one.
    originals.sort_by_key(|original| original.file_name() != path.file_name());
    for original in originals {
        if same_content(path, original).map_err(file("compare", path))? {
            fs::remove_file(path).map_err(file("remove", path))?;
            return symlink(original, path).map_err(file("make the link", path));
        }
    }
    Ok(())
}

fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = ([0u8; 32 * 1024], [0u8; 32 * 1024]);
    loop {
        let length = one.read(&mut left)?;
        let (Some(left), Some(right)) = (left.get(..length), right.get_mut(..length)) else {
            return Ok(false);
        };
        match other.read_exact(right) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            outcome => outcome?,
        }
        if left != right {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}

/// Removes links to absolute paths, which below `drive_c/windows` are only the ones made here.
fn remove_links_to_wine(drive: &Path) -> Result<(), Error> {
    fn clean(folder: &Path) -> Result<(), Error> {
        for entry in fs::read_dir(folder).map_err(file("read the folder", folder))?.flatten() {
            let path = entry.path();
            let data = entry.metadata().map_err(file("look at", &path))?;
            if data.is_dir() {
                clean(&path)?;
            } else if data.is_symlink()
                && fs::read_link(&path).is_ok_and(|target| target.is_absolute())
            {
                remove(&path)?;
            }
        }
        Ok(())
    }
    for entry in fs::read_dir(drive).map_err(file("read the folder", drive))?.flatten() {
        // Links in the users' folders lead to their Linux homes.
        if entry.file_name() != "users" && entry.path().is_dir() {
            clean(&entry.path())?;
        }
    }
    Ok(())
}

/// Copies a folder with everything in it, links as links.
fn copy_tree(from: &Path, to: &Path) -> Result<(), Error> {
    make_folder(to)?;
    for entry in fs::read_dir(from).map_err(file("read the folder", from))? {
        let entry = entry.map_err(file("read the folder", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(file("look at", &source))?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            let link = fs::read_link(&source).map_err(file("read the link", &source))?;
            symlink(link, &target).map_err(file("make the link", &target))?;
        } else if kind.is_file() && !is_of_one_prefix(&source) {
            fs::copy(&source, &target).map_err(file("copy to", &target))?;
        }
    }
    Ok(())
}

/// Files that belong to one prefix and its running server, and must not come along into a copy.
fn is_of_one_prefix(path: &Path) -> bool {
    let in_prefix = path.with_file_name("system.reg").exists();
    let name = path.file_name().unwrap_or_default();
    in_prefix && (name == "wineserver" || name == crate::server::OWNER_FILE)
}

fn make_folder(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(file("make the folder", path))
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    fs::write(path, content).map_err(file("write", path))
}

/// Removes a file, link or folder; that there is none is fine.
fn remove(path: &Path) -> Result<(), Error> {
    let outcome = match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", path)(error)),
        _ => Ok(()),
    }
}
