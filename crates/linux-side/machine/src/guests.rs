//! Guests' sockets: a directory for each, made to be mounted into a container in the place of
//! `/run/WSL`.
//!
//! Whoever can write to `/run/WSL` can serve the machine's users and root, so no container may have
//! that. A guest's directory has nothing but a socket of its own, and nobody on the machine looks into
//! it. It is mounted, and not the socket's file: a directory stays the same when this server is started
//! again and makes a new socket in it, also for containers that run.
//!
//! A file for each guest below `/etc/winterop/guests` says which there are; `winterop guest` writes
//! them. They are looked at when one changes, and once a second.

use crate::admit::GuestsAlone;
use crate::directory::prepare_directory;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use winterop_interop::server::{MODE_FOR_ALL, serve};
use winterop_places::names::{SHARED_SOCKET, SOCKET_SUFFIX, socket_name};
use winterop_serve::socket::ListeningSocket;
use winterop_settings::Switches;
use winterop_settings::machine::{DIRECTORY, GUESTS};
use winterop_words::{Failure, Words};

/// How often the list is looked at where no event tells of a change.
const PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The name of a guest: 1 to 64 letters, digits, `-`, `_` and `.`, no `.` first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestName(String);

/// What cannot be a guest's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words().fault())]
pub struct BadGuestName(String);

impl BadGuestName {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        Failure::GuestName { name: &self.0 }.words()
    }
}

impl FromStr for GuestName {
    type Err = BadGuestName;

    fn from_str(name: &str) -> Result<Self, BadGuestName> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_right = (1..=64).contains(&name.len()) && !name.starts_with(['.', '-']);
        if !is_right || !name.chars().all(is_plain) {
            return Err(BadGuestName(format!("{name:?}")));
        }
        Ok(Self(name.to_owned()))
    }
}

impl Display for GuestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl GuestName {
    /// The directory that is mounted into the guest.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        Path::new(GUESTS).join(&self.0)
    }

    /// The file that says that there is this guest.
    #[must_use]
    pub fn note(&self) -> PathBuf {
        notes().join(&self.0)
    }
}

/// The folder of root's that says which guests there are.
#[must_use]
pub fn notes() -> PathBuf {
    Path::new(DIRECTORY).join("guests")
}

/// The guests that root wants.
///
/// # Errors
/// The system's; a folder that others than root can write to.
pub fn wanted() -> io::Result<BTreeSet<GuestName>> {
    let folder = notes();
    let status = match fs::symlink_metadata(&folder) {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    if !status.is_dir() || status.uid() != 0 || status.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!(
            "{} must be a directory of root's that nobody else writes to",
            folder.display()
        )));
    }
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_note = entry.file_type()?.is_file();
        // What is no guest's name is an editor's file, or nobody's.
        names.extend(name.to_str().filter(|_| is_note).and_then(|name| name.parse().ok()));
    }
    Ok(names)
}

/// Removes what servers have left in a guest's directory, and the directory. What others have put
/// there stays.
///
/// # Errors
/// The system's.
pub fn remove_directory(directory: &Path) -> io::Result<()> {
    match remove_sockets(directory).and_then(|()| fs::remove_dir(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn remove_sockets(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(SOCKET_SUFFIX) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The guests' sockets that this process serves.
#[derive(Debug)]
pub struct Guests {
    admit: GuestsAlone,
    switches: Arc<Switches>,
    served: BTreeMap<GuestName, Served>,
    /// What was said to be wrong, so that it is said once.
    told: Option<String>,
}

/// A socket that is being served. Its file goes with it; the directory stays, for the next server.
#[derive(Debug)]
struct Served {
    _file: ListeningSocket,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Guests {
    /// Serves guests as `admit` says.
    #[must_use]
    pub fn new(admit: GuestsAlone, switches: Arc<Switches>) -> Self {
        Self { admit, switches, served: BTreeMap::new(), told: None }
    }

    /// Serves those that are wanted now, and from then on those that are wanted then, until the
    /// runtime ends.
    pub fn keep_served(mut self) {
        self.look();
        let changed = Arc::new(Notify::new());
        let told = Arc::clone(&changed);
        std::thread::spawn(move || tell_of_changes(&told));
        tokio::spawn(async move {
            loop {
                changed.notified().await;
                self.look();
            }
        });
    }

    fn look(&mut self) {
        match self.change() {
            Ok(()) => self.told = None,
            Err(error) => {
                let error = error.to_string();
                if self.told.as_ref() != Some(&error) {
                    tracing::error!(error, "a guest is not served");
                }
                self.told = Some(error);
            }
        }
    }

    fn change(&mut self) -> io::Result<()> {
        let wanted = wanted()?;
        let gone: Vec<_> = self.served.keys().filter(|it| !wanted.contains(it)).cloned().collect();
        for name in gone {
            self.served.remove(&name);
            remove_directory(&name.directory())?;
            tracing::info!(%name, "a guest is not served any more");
        }
        let mut failed = Ok(());
        for name in wanted {
            if self.served.get(&name).is_some_and(|served| is_there(&name, served)) {
                continue;
            }
            // One that is in order is served whatever is wrong with another.
            match self.serve(&name) {
                Ok(served) => {
                    tracing::info!(%name, "a guest is served");
                    self.served.insert(name, served);
                }
                Err(error) => failed = Err(io::Error::other(format!("{name}: {error}"))),
            }
        }
        failed
    }

    fn serve(&self, name: &GuestName) -> io::Result<Served> {
        let directory = name.directory();
        let outer = Path::new(GUESTS);
        for folder in outer.parent().into_iter().chain([outer, &*directory]) {
            prepare_directory(folder)?;
        }
        remove_sockets(&directory)?;
        let own = directory.join(socket_name(std::process::id()));
        let mut file = ListeningSocket::bind(&own).map_err(io::Error::other)?;
        // Connecting takes the right to write to the socket. Whom it serves the policy says.
        fs::set_permissions(&own, Permissions::from_mode(MODE_FOR_ALL))?;
        file.also_known_as(&directory.join(SHARED_SOCKET))?;
        let descriptor = file.take_descriptor().ok_or(io::ErrorKind::NotConnected)?;
        let (admit, switches) = (self.admit.clone(), Arc::clone(&self.switches));
        let name = name.clone();
        let task = tokio::spawn(async move {
            let served = serve(descriptor, admit, switches, std::future::pending()).await;
            if let Err(error) = served {
                tracing::error!(%error, %name, "a guest's socket cannot be served");
            }
        });
        Ok(Served { _file: file, task })
    }
}

/// Whether a guest is being served, and its socket is where launches look for it.
fn is_there(name: &GuestName, served: &Served) -> bool {
    !served.task.is_finished() && name.directory().join(SHARED_SOCKET).exists()
}

/// Says when the list has to be looked at, for as long as this process runs. It is watched before it
/// is looked at, and anew each time, because it may be another directory then.
fn tell_of_changes(changed: &Notify) {
    loop {
        let watch = watch();
        changed.notify_one();
        let mut interest: Vec<_> =
            watch.iter().map(|watch| PollFd::new(watch, PollFlags::IN)).collect();
        // Whatever ends the wait, the list is looked at.
        let _ = poll(&mut interest, Some(&PAUSE));
    }
}

/// Events of the list, or of the directory in which it is to be.
fn watch() -> Option<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    let events = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
    let list = inotify::add_watch(&watch, notes(), events);
    list.or_else(|_| inotify::add_watch(&watch, DIRECTORY, events)).ok()?;
    Some(watch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_name_is_one_name_below_its_directory() {
        for wrong in ["", ".", "..", ".a", "-a", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(wrong.parse::<GuestName>().is_err(), "{wrong}");
        }
        let name: GuestName = "build-1.x_y".parse().unwrap();
        assert_eq!(name.directory(), Path::new("/run/winterop/guests/build-1.x_y"));
        assert_eq!(name.note(), Path::new("/etc/winterop/guests/build-1.x_y"));
    }

    #[test]
    fn what_is_not_a_servers_stays_in_a_directory() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("guest");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("7_interop"), "").unwrap();
        std::os::unix::fs::symlink("7_interop", directory.join("1_interop")).unwrap();
        fs::write(directory.join("mine"), "").unwrap();
        assert!(remove_directory(&directory).is_err());
        let left: Vec<_> = fs::read_dir(&directory).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        fs::remove_file(directory.join("mine")).unwrap();
        remove_directory(&directory).unwrap();
        remove_directory(&directory).unwrap();
        assert!(!directory.exists());
    }
}
