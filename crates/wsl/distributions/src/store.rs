//! The registry on disk: `distributions/registry.json` in the user's data, and the lock beside it.
//!
//! The file is replaced as a whole (written beside, synced, renamed, the directory synced), so that
//! a reader finds it as it was before or as it is after, whenever whoever writes it is stopped, and
//! needs no lock. Only who holds the lock writes. The lock is on an open file: it goes with the last
//! process that has it open, so that nobody cleans up what a child of a `wsl` that was killed
//! still writes. Importing and removing take long and hold a lock of the distribution's own instead:
//! [`Store::work_on`].

use crate::name::DistributionName;
use crate::registry::{Registry, UnclearRegistry};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use winterop_words::{Failure, Words};

/// The most bytes of the file: some thousand distributions.
const LARGEST: u64 = 1 << 20;

/// How long the last worker of a service that is gone may take to notice that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub enum StoreError {
    /// The system refused.
    System {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file says nothing clear.
    Unclear {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: UnclearRegistry,
    },
    /// Somebody else has the lock.
    Locked(PathBuf),
}

impl StoreError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::System { step, path, source } => {
                Failure::DistributionsFile { step, path: &path.display(), error: source }.words()
            }
            Self::Unclear { path, problem } => {
                Failure::DistributionsUnclear { path: &path.display(), problem }.words()
            }
            Self::Locked(path) => Failure::DistributionsLocked { path: &path.display() }.words(),
        }
    }
}

impl From<StoreError> for Words {
    fn from(error: StoreError) -> Self {
        error.words()
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::System { step, path, source }
}

/// A file whose lock counts, and nothing in it.
fn lock_file(path: &Path) -> Result<File, StoreError> {
    let mut options = File::options();
    options.create(true).write(true).truncate(false).mode(0o600);
    options.open(path).map_err(failed("opening", path))
}

/// Where the list of a user's distributions is.
#[derive(Clone, Debug)]
pub struct Shelf {
    directory: PathBuf,
}

impl Shelf {
    /// The state below `data`, the user's directory for Winterop's data.
    #[must_use]
    pub fn below(data: &Path) -> Self {
        Self { directory: data.join("distributions") }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("registry.json")
    }

    /// Reads the registry. It may be changing; what is read is one state of it.
    ///
    /// # Errors
    /// A [`StoreError`]; a file that is not there is an empty registry.
    pub fn read(&self) -> Result<Registry, StoreError> {
        let path = self.file();
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Registry::default()),
            file => file.map_err(failed("reading", &path))?,
        };
        let unclear = |problem| StoreError::Unclear { path: path.clone(), problem };
        let mut text = String::new();
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed("reading", &path))?;
        if text.len() as u64 > LARGEST {
            return Err(unclear(UnclearRegistry::TooLarge));
        }
        Registry::parse(&text).map_err(unclear)
    }

    /// Takes the lock, which makes its holder the one who writes.
    ///
    /// # Errors
    /// A [`StoreError`]; [`StoreError::Locked`] after ten seconds.
    pub fn lock(&self) -> Result<Store, StoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(failed("making", &self.directory))?;
        let path = self.directory.join("lock");
        let lock = lock_file(&path)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Store { shelf: self.clone(), lock }),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    // Nothing tells when a lock is free but waiting in the call, without a deadline.
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Locked(path)),
                Err(error) => return Err(failed("locking", &path)(error.into())),
            }
        }
    }
}

/// The state, held by the one who may change it.
#[derive(Debug)]
pub struct Store {
    shelf: Shelf,
    lock: File,
}

impl Store {
    /// Reads the registry.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub fn read(&self) -> Result<Registry, StoreError> {
        self.shelf.read()
    }

    /// Replaces the file. When this returns it is on the disk.
    ///
    /// # Errors
    /// A [`StoreError`]; the file is then as it was before.
    pub fn write(&self, registry: &Registry) -> Result<(), StoreError> {
        let path = self.shelf.file();
        let text = registry
            .to_text()
            .map_err(|problem| StoreError::Unclear { path: path.clone(), problem })?;
        let fresh = self.shelf.directory.join("registry.new");
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(failed("writing", &fresh))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed("writing", &fresh))?;
        fs::rename(&fresh, &path).map_err(failed("replacing", &path))?;
        sync_directory(&self.shelf.directory)
    }

    /// Takes the lock of whoever writes or removes the files of one distribution; `None` where
    /// somebody has it. It is held until the last process with this file open ends, so that one
    /// which nobody holds says that an unfinished import is a leftover.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub fn work_on(&self, name: &DistributionName) -> Result<Option<File>, StoreError> {
        let path = self.work_file(name);
        let file = lock_file(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(failed("locking", &path)(error.into())),
        }
    }

    /// Removes the file of [`Store::work_on`]; only its holder may, and only while this store is
    /// locked.
    pub fn forget_work(&self, name: &DistributionName) {
        // An empty file that stays harms nobody.
        let _ = fs::remove_file(self.work_file(name));
    }

    fn work_file(&self, name: &DistributionName) -> PathBuf {
        let name = name.as_str().to_ascii_lowercase();
        self.shelf.directory.join(format!("{name}.work"))
    }

    /// The lock, for those who work for the holder: it is held as long as anybody has it open.
    #[must_use]
    pub fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }
}

/// Makes sure that names in a directory are on the disk.
fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .and_then(|directory| rustix::fs::fsync(&directory))
        .map_err(|error| failed("syncing", path)(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Distribution, Flags, State, Uid, Version};

    fn one(name: &str) -> Registry {
        let mut registry = Registry::default();
        registry
            .begin(Distribution {
                name: name.parse().unwrap(),
                directory: "/srv/x".into(),
                made_directory: false,
                default_uid: Uid(0),
                version: Version::SharedKernel,
                flags: Flags::default(),
                state: State::Installing,
            })
            .unwrap();
        registry
    }

    #[test]
    fn nothing_written_is_an_empty_registry() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::below(folder.path());
        assert_eq!(shelf.read().unwrap(), Registry::default());
        assert!(!folder.path().join("distributions").exists());
    }

    #[test]
    fn what_was_written_is_read_without_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::below(folder.path());
        let store = shelf.lock().unwrap();
        store.write(&one("one")).unwrap();
        assert_eq!(shelf.read().unwrap(), one("one"));
        // A leftover of a write that was cut off.
        fs::write(folder.path().join("distributions/registry.new"), "{").unwrap();
        store.write(&one("two")).unwrap();
        assert_eq!(shelf.read().unwrap(), one("two"));
    }

    #[test]
    fn the_lock_goes_with_the_last_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::below(folder.path());
        let store = shelf.lock().unwrap();
        let worker = store.lock().try_clone_to_owned().unwrap();
        drop(store);
        let waiting = std::thread::spawn({
            let shelf = shelf.clone();
            move || shelf.lock().is_ok()
        });
        drop(worker);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn a_file_that_is_no_registry_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::below(folder.path());
        shelf.lock().unwrap().write(&Registry::default()).unwrap();
        let file = folder.path().join("distributions/registry.json");
        for text in [&b"{"[..], b"\xff", &[b' '; (LARGEST + 1) as usize]] {
            fs::write(&file, text).unwrap();
            let words = shelf.read().unwrap_err().to_string();
            assert!(words.contains("registry.json"), "{words}");
        }
    }
}
