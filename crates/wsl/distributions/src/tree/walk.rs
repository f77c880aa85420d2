//! Going down into a tree and up again.
//!
//! A directory above is never opened by the name `..`: somebody may have moved the one below it
//! meanwhile, and it would be any directory then. The nearest directories on the way down stay open;
//! where the way up is longer than that, it is gone down again from the top, by the same names, and has
//! to lead to the same directory.

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

/// The most directories that are open at a time, besides the top.
const MOST: usize = 64;

const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Device and inode.
type Identity = (u64, u64);

fn identity(directory: BorrowedFd<'_>) -> Result<Identity, Errno> {
    fstat(directory).map(|status| (status.st_dev, status.st_ino))
}

/// Where mounts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mounts {
    /// What is mounted somewhere in the tree is a part of it.
    Entered,
    /// What is mounted somewhere in the tree is not a part of it: [`Errno::XDEV`].
    Refused,
}

/// A way down from the top of a tree.
#[derive(Debug)]
pub(super) struct Walk {
    top: OwnedFd,
    mounts: Mounts,
    /// The directories on the way, below the top.
    steps: Vec<(Vec<u8>, Identity)>,
    /// The last of them. Where there are steps there is at least one.
    open: VecDeque<OwnedFd>,
}

impl Walk {
    pub(super) fn new(top: OwnedFd, mounts: Mounts) -> Self {
        Self { top, mounts, steps: Vec::new(), open: VecDeque::new() }
    }

    /// The directory at the end of the way.
    pub(super) fn here(&self) -> BorrowedFd<'_> {
        self.open.back().unwrap_or(&self.top).as_fd()
    }

    /// Opens a directory in the last one. No link is followed.
    pub(super) fn open(&self, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        open_below(self.here(), name, flags, self.mounts)
    }

    /// Goes on to a directory in the last one.
    pub(super) fn enter(&mut self, name: &[u8]) -> Result<(), Errno> {
        let below = self.open(name, OPEN)?;
        self.steps.push((name.to_vec(), identity(below.as_fd())?));
        if self.open.len() >= MOST {
            self.open.pop_front();
        }
        self.open.push_back(below);
        Ok(())
    }

    /// Goes back to the directory above; returns the name of the one that was left, `None` at the top.
    /// [`Errno::STALE`] is said where the way does not lead there any more.
    pub(super) fn leave(&mut self) -> Result<Option<Vec<u8>>, Errno> {
        let Some((name, _)) = self.steps.pop() else { return Ok(None) };
        self.open.pop_back();
        if self.open.is_empty() {
            self.go_again()?;
        }
        Ok(Some(name))
    }

    /// Opens the last directories of the way again.
    fn go_again(&mut self) -> Result<(), Errno> {
        let first_kept = self.steps.len().saturating_sub(MOST);
        let mut last: Option<OwnedFd> = None;
        for (at, (name, expected)) in self.steps.iter().enumerate() {
            let from = last.as_ref().or(self.open.back()).unwrap_or(&self.top);
            let below = match open_below(from.as_fd(), name, OPEN, self.mounts) {
                // It is elsewhere, or a link is in its place.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(Errno::STALE),
                below => below?,
            };
            if identity(below.as_fd())? != *expected {
                return Err(Errno::STALE);
            }
            last = if at < first_kept {
                Some(below)
            } else {
                self.open.push_back(below);
                None
            };
        }
        Ok(())
    }

    /// The names of the directories on the way.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.steps.iter().map(|(name, _)| name.as_slice())
    }
}

fn open_below(
    above: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    mounts: Mounts,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let resolve = match mounts {
        Mounts::Entered => resolve,
        Mounts::Refused => resolve | ResolveFlags::NO_XDEV,
    };
    let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::io::retry_on_intr(|| openat2(above, name, flags, Mode::empty(), resolve))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OPEN, Mode::empty()).unwrap()
    }

    /// A way down that is longer than what stays open.
    fn walk(top: &Path) -> Walk {
        fs::create_dir_all(top.join("d/".repeat(3 * MOST))).unwrap();
        let mut walk = Walk::new(open(top), Mounts::Refused);
        for _ in 0..3 * MOST {
            walk.enter(b"d").unwrap();
        }
        walk
    }

    fn leave_all(walk: &mut Walk) -> Result<usize, Errno> {
        let mut count = 0;
        while walk.leave()?.is_some() {
            count += 1;
            assert!(walk.open.len() <= MOST);
        }
        Ok(count)
    }

    #[test]
    fn the_way_up_is_the_way_down() {
        let folder = tempfile::tempdir().unwrap();
        let mut walk = walk(folder.path());
        assert_eq!(leave_all(&mut walk), Ok(3 * MOST));
        assert_eq!(identity(walk.here()), identity(open(folder.path()).as_fd()));
    }

    #[test]
    fn a_way_that_leads_elsewhere_now_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        for is_link in [true, false] {
            let mut walk = walk(&top);
            // The same names lead to other directories.
            let other = folder.path().join("other");
            fs::create_dir_all(other.join("d/".repeat(3 * MOST))).unwrap();
            fs::rename(top.join("d/d"), folder.path().join("moved")).unwrap();
            match is_link {
                true => symlink(&other, top.join("d/d")).unwrap(),
                false => fs::rename(&other, top.join("d/d")).unwrap(),
            }
            assert_eq!(leave_all(&mut walk), Err(Errno::STALE));
            for name in ["top", "other", "moved"] {
                let _ = fs::remove_dir_all(folder.path().join(name));
            }
        }
    }
}
