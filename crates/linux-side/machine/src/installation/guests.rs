//! The machine's guests: which there are, for the machine's init to serve.

use super::error::{InstallError, failed};
use crate::guests::{self, GuestName, notes, remove_directory};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use winterop_places::names::SHARED_SOCKET;
use winterop_serve::presence::{Presence, presence};
use winterop_settings::file::replace;
use winterop_settings::machine::{DIRECTORY, GUESTS};

/// How long the machine's init may take to see that a guest has come or gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait before it is looked at again.
const PAUSE: Duration = Duration::from_millis(10);

/// Notes a guest, and waits until it is served; says whether it is. It is served later where the
/// machine's init does not run now.
///
/// # Errors
/// An [`InstallError`].
pub fn add(name: &GuestName) -> Result<bool, InstallError> {
    let folder = notes();
    for directory in [Path::new(DIRECTORY), &*folder] {
        match fs::DirBuilder::new().mode(0o755).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("creating", directory)(error));
            }
            _ => {}
        }
    }
    let note = name.note();
    replace(&note, b"", 0o644).map_err(failed("writing", &note))?;
    // A folder that others may write to is not believed, and nobody would be served.
    guests::wanted().map_err(failed("reading", &folder))?;
    Ok(wait_for(|| is_served(name)))
}

/// Takes a guest away, with its directory; says whether there was one.
///
/// # Errors
/// An [`InstallError`].
pub fn remove(name: &GuestName) -> Result<bool, InstallError> {
    let note = name.note();
    match fs::remove_file(&note) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        removed => removed.map_err(failed("removing", &note))?,
    }
    let directory = name.directory();
    let is_served = matches!(presence(&directory.join(SHARED_SOCKET)), Ok(Presence::Answers(_)));
    if !(is_served && wait_for(|| !directory.exists())) {
        // Nobody serves it who would remove it.
        remove_directory(&directory).map_err(failed("removing", &directory))?;
    }
    Ok(true)
}

/// The guests, each with whether it is served.
///
/// # Errors
/// An [`InstallError`].
pub fn list() -> Result<Vec<(GuestName, bool)>, InstallError> {
    let names = guests::wanted().map_err(failed("reading", &notes()))?;
    let with_state = |name: GuestName| {
        let served = is_served(&name);
        (name, served)
    };
    Ok(names.into_iter().map(with_state).collect())
}

/// Removes the directories of all guests, which nobody serves any more. Who they are stays noted.
pub(crate) fn remove_directories() {
    let entries = fs::read_dir(GUESTS).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir())) {
        // What somebody else has put there stays.
        let _ = remove_directory(&entry.path());
    }
    for directory in [Some(Path::new(GUESTS)), Path::new(GUESTS).parent()].into_iter().flatten() {
        let _ = fs::remove_dir(directory);
    }
}

fn is_served(name: &GuestName) -> bool {
    matches!(presence(&name.directory().join(SHARED_SOCKET)), Ok(Presence::Answers(_)))
}

/// Waits until it is so, if the machine's init runs.
fn wait_for(is_so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if is_so() {
            return true;
        }
        let runs = matches!(super::server::init_state(), super::server::InitState::Answers(_));
        if !runs || Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}
