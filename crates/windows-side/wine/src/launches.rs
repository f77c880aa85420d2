//! The page through which Wine's server and the programs that start know how many start at once.
//!
//! A start of Wine is several hundred short questions to the server. On an otherwise idle machine
//! most of its time goes into waking the other side's processor for each; with the library of
//! `crates/windows-side/preload` both sides look again for a moment before they sleep. That only pays when
//! exactly one program starts. So each start writes into this page when it began, and both sides
//! look how many are under way.
//!
//! Layout: 64 slots of 8 bytes, native byte order: the time of the monotonic clock in nanoseconds
//! at which that start began, 0 for none. A start takes the first slot that is free or older than
//! 2 s, and puts it back to 0 when the program's own work begins. A start that is killed leaves a
//! time that grows old by itself, so nothing has to be cleaned up. Behind them are 32 notes of 8 bytes,
//! by which a start finds the time zone that the last one has found (`zones` there); 0 for none.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The size of the page in bytes: 64 slots and 32 notes of 8.
pub const SIZE: u64 = (64 + 32) * 8;

/// A page on disk, removed when this is dropped. What has it open may go on using it.
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
}

/// The page cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the page of launches in flight at {}: {source}; is its folder writable?", path.display())]
pub struct Error {
    /// Where it was to be.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Page {
    /// Makes the page at `path`, which only this user can read and write. One that is already
    /// there is taken over, so that a server which has it open and a new host agree.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let path = path.to_owned();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        match options.open(&path).and_then(|file| file.set_len(SIZE)) {
            Ok(()) => Ok(Self { path }),
            Err(source) => Err(Error { path, source }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Nothing depends on it: without the page starts are only slower.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_made_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("launches");
        let page = Page::create(&path).unwrap();
        assert_eq!(fs::metadata(page.path()).unwrap().len(), SIZE);
        drop(page);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_is_missing_is_said() {
        let error = Page::create(Path::new("/nowhere/at/all/launches")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/launches"), "{error}");
    }
}
