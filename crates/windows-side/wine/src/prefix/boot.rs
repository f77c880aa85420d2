//! `wineboot`, which makes and updates prefixes.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use winterop_drives::DriveFolder;
use winterop_serve::Starter;
use winterop_serve::starter::StartedProgram;

use super::error::{Error, file};
use super::files::remove;
use crate::installation::Installation;
use crate::server::process;
use crate::server::socket::Place;
use crate::surroundings::Surroundings;
use crate::user::WineUser;

/// How long `wineboot` may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What `wineboot` does to a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// It makes one.
    Make,
    /// It brings one up to date.
    Update,
}

/// Lets `wineboot` work on the prefix at `path`, with a server of its own.
pub(super) fn wineboot(
    installation: &Installation,
    user: &WineUser,
    starter: Option<&Starter>,
    path: &Path,
    work: Work,
) -> Result<(), Error> {
    let surroundings = Surroundings {
        installation: installation.clone(),
        prefix: path.to_owned(),
        user: user.clone(),
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
        StartedProgram::start(starter, &plan)
            .map_err(|source| Error::Start { program: program.to_owned(), source })
    };
    let option = match work {
        Work::Make => "--init",
        Work::Update => "--update",
    };
    let _pinned = Pinned::here();
    let server_child = start(&installation.server, &["-f", "-p"], &null)?;
    let _server = EndServer { child: server_child, prefix: path };
    Place::wait(path, Duration::from_secs(20));
    let mut child = start(&installation.loader, &["wineboot.exe", option], &output)?;
    let status = process::wait(&mut child, Instant::now() + PATIENCE);
    let status = match status {
        Some(status) if status.success() && has_drive_c(path) => None,
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

/// Whether a prefix has come so far that it has a drive.
fn has_drive_c(prefix: &Path) -> bool {
    DriveFolder::of_prefix(prefix).path().join("c:").exists()
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
        process::end(&mut self.child);
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
