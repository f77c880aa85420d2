//! Removing a tree.

use super::shown;
use super::walk::{Mounts, Walk};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use winterop_words::{Failure, Words};

/// Why a tree is not removed, or not completely.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub enum RemoveError {
    /// The system refused.
    System {
        /// What was tried.
        step: &'static str,
        /// On what, from the tree's own parent.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A file system is mounted in it.
    Mounted(String),
    /// Somebody moved a directory while it was emptied.
    Moved(String),
    /// Somebody made something in a directory that had been emptied.
    Refilled(String),
}

impl RemoveError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::System { step, name, source } => {
                Failure::FileNotRemoved { step, name, error: source }.words()
            }
            Self::Mounted(name) => Failure::MountedInside { name }.words(),
            Self::Moved(name) => {
                let what = format!("{name} was moved");
                Failure::ChangedWhileRemoved { name, what: &what }.words()
            }
            Self::Refilled(name) => {
                let what = format!("something was made in {name}");
                Failure::ChangedWhileRemoved { name, what: &what }.words()
            }
        }
    }
}

impl From<RemoveError> for Words {
    fn from(error: RemoveError) -> Self {
        error.words()
    }
}

/// Removes `name` in `parent` with everything below it, whatever its permissions. No link is
/// followed and nothing mounted is entered; what is not there is removed already. However deep the
/// tree is, few directories are open at a time. What somebody moves out meanwhile stays where it is,
/// and so does all that it is moved to.
///
/// # Errors
/// A [`RemoveError`]; a part may be gone then.
pub fn remove(parent: BorrowedFd<'_>, name: &str) -> Result<(), RemoveError> {
    let parent = parent.try_clone_to_owned().map_err(|source| RemoveError::System {
        step: "opening the directory of",
        name: name.to_owned(),
        source,
    })?;
    let walk = Walk::new(parent, Mounts::Refused);
    let top = Level { directories: vec![name.as_bytes().to_vec()] };
    Removal { walk, levels: vec![top] }.run()
}

/// A directory on the way down whose files are gone.
struct Level {
    /// What is still to be removed in it.
    directories: Vec<Vec<u8>>,
}

struct Removal {
    walk: Walk,
    levels: Vec<Level>,
}

impl Removal {
    fn run(mut self) -> Result<(), RemoveError> {
        while let Some(level) = self.levels.last_mut() {
            match level.directories.pop() {
                Some(name) => self.name(&name)?,
                None => self.leave()?,
            }
        }
        Ok(())
    }

    /// Removes a name in the last directory; goes into it where it is a directory.
    fn name(&mut self, name: &[u8]) -> Result<(), RemoveError> {
        match self.enter(name) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(()),
            // A link or a file has taken its place.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return match rustix::fs::unlinkat(self.walk.here(), name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(error) => Err(self.failed("removing", name, error)),
                };
            }
            Err(error) => return Err(self.failed("opening the directory", name, error)),
        }
        let directories = empty_of_files(self.walk.here());
        let directories =
            directories.map_err(|(step, name, error)| self.failed(step, &name, error))?;
        self.levels.push(Level { directories });
        Ok(())
    }

    fn enter(&mut self, name: &[u8]) -> Result<(), Errno> {
        match self.walk.enter(name) {
            // One's own directory that one may not read.
            Err(Errno::ACCESS) => {
                let closed = self.walk.open(name, OFlags::PATH)?;
                let path = format!("/proc/self/fd/{}", closed.as_raw_fd());
                rustix::fs::chmod(path, Mode::from_raw_mode(0o700))?;
                self.walk.enter(name)
            }
            result => result,
        }
    }

    /// Goes up from a directory that is empty now, and removes it.
    fn leave(&mut self) -> Result<(), RemoveError> {
        self.levels.pop();
        let left = self.walk.leave().map_err(|error| self.failed("leaving", b"", error))?;
        let Some(name) = left else { return Ok(()) };
        match rustix::fs::unlinkat(self.walk.here(), &*name, AtFlags::REMOVEDIR) {
            // Something else has its name where it was moved elsewhere.
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("removing", &name, error)),
        }
    }

    fn failed(&self, step: &'static str, name: &[u8], error: Errno) -> RemoveError {
        let names = self.walk.names().chain([name]).filter(|name| !name.is_empty());
        let name = shown(&names.collect::<Vec<_>>().join(&b'/'));
        match error {
            Errno::XDEV | Errno::BUSY => RemoveError::Mounted(name),
            Errno::STALE | Errno::NOTDIR => RemoveError::Moved(name),
            Errno::NOTEMPTY | Errno::EXIST => RemoveError::Refilled(name),
            error => RemoveError::System { step, name, source: error.into() },
        }
    }
}

/// What was tried, on which name, and why not.
type Obstacle = (&'static str, Vec<u8>, Errno);

/// Removes what is no directory; returns the directories there are.
fn empty_of_files(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Obstacle> {
    if let Ok(status) = rustix::fs::fstat(directory)
        && status.st_mode & 0o300 != 0o300
    {
        let _ = rustix::fs::fchmod(directory, Mode::from_raw_mode(0o700));
    }
    let mut directories = Vec::new();
    let listing = |error| ("listing the directory", Vec::new(), error);
    for entry in Dir::read_from(directory).map_err(listing)? {
        let entry = entry.map_err(listing)?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            directories.push(name.to_vec());
            continue;
        }
        match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            // A file system that does not say what it is.
            Err(Errno::ISDIR) => directories.push(name.to_vec()),
            Err(error) => return Err(("removing", name.to_vec(), error)),
        }
    }
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_made_meanwhile_is_named_and_not_removed_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("root/a/b")).unwrap();
        let parent = rustix::fs::open(folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        let walk = Walk::new(parent, Mounts::Refused);
        let mut removal =
            Removal { walk, levels: vec![Level { directories: vec![b"root".to_vec()] }] };
        for name in [&b"root"[..], b"a", b"b"] {
            removal.levels.last_mut().unwrap().directories.clear();
            removal.name(name).unwrap();
        }
        fs::write(folder.path().join("root/a/b/new"), "").unwrap();
        let words = removal.run().unwrap_err().to_string();
        assert!(words.contains("root/a/b while it was removed"), "{words}");
    }
}
