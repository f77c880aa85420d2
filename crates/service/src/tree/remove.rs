//! Removing a tree.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes `name` in `parent` with everything below it, whatever its permissions. No link is
/// followed; what is not there is removed already. However deep the tree is, one directory at a time
/// is open besides the top.
///
/// # Errors
/// The system's; a part may be gone then.
pub fn remove(parent: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    let top = match open(parent, name.as_bytes()) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            return rustix::fs::unlinkat(parent, name, AtFlags::empty());
        }
        top => top?,
    };
    empty(&top)?;
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

fn open(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat(parent, name, OPEN, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // One's own directory that one may not read.
            rustix::fs::chmodat(parent, name, Mode::from_raw_mode(0o700), AtFlags::empty())?;
            rustix::fs::openat(parent, name, OPEN, Mode::empty())
        }
        result => result,
    }
}

/// Goes down to a deepest directory, and empties each on the way back up to the top.
fn empty(top: &OwnedFd) -> Result<(), Errno> {
    let mut current = top.try_clone().map_err(|_| Errno::MFILE)?;
    let mut path: Vec<CString> = Vec::new();
    loop {
        match empty_of_files(current.as_fd())? {
            Some(below) => {
                current = open(current.as_fd(), below.as_bytes())?;
                path.push(below);
            }
            None => {
                let Some(name) = path.pop() else { return Ok(()) };
                let above = rustix::fs::openat(&current, "..", OPEN, Mode::empty())?;
                rustix::fs::unlinkat(&above, &name, AtFlags::REMOVEDIR)?;
                current = above;
            }
        }
    }
}

/// Removes what is no directory; returns the first directory there is.
fn empty_of_files(directory: BorrowedFd<'_>) -> Result<Option<CString>, Errno> {
    if let Ok(status) = rustix::fs::fstat(directory)
        && status.st_mode & 0o300 != 0o300
    {
        let _ = rustix::fs::fchmod(directory, Mode::from_raw_mode(0o700));
    }
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() != FileType::Directory {
            match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                // A file system that does not say what it is.
                Err(Errno::ISDIR) => return Ok(Some(name.to_owned())),
                result => result?,
            }
            continue;
        }
        return Ok(Some(name.to_owned()));
    }
    Ok(None)
}
