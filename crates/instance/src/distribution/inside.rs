//! Files of a distribution, opened so that no link in it leads out.
//!
//! Process 1 has seen the machine: descriptors of its directories are open, and `/proc/self/fd` has
//! links to them that are followed out of every root. So names are looked up with `openat2`: links
//! lead from the root that is being built, and those that the kernel makes are not followed.

use rustix::fd::{AsFd, AsRawFd as _, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, open, openat2};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

/// The most that is read of a file that describes the distribution: 1 MiB.
const LARGEST: u64 = 1 << 20;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory of the distribution.
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

impl Directory {
    /// The root.
    pub(super) fn root() -> io::Result<Self> {
        Ok(Self(open("/", DIRECTORY, Mode::empty())?))
    }

    /// The directory at `path`, which may be a link. It lies on the root's own file system: what is
    /// mounted there, the machine among it, is not the distribution's.
    pub(super) fn of_root(path: &str) -> io::Result<Self> {
        Ok(Self(Self::root()?.look_up(Path::new(path), DIRECTORY, ResolveFlags::NO_XDEV)?))
    }

    /// The directory at `path`; it and those above it are made where they are missing.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        let root = Self::root()?;
        let mut made = PathBuf::new();
        let mut last = Self::root()?;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            made.push(name);
            let looked_up = match root.look_up(&made, DIRECTORY, ResolveFlags::empty()) {
                Err(Errno::NOENT) => {
                    mkdirat(&last.0, name, Mode::from_raw_mode(0o755))?;
                    root.look_up(&made, DIRECTORY, ResolveFlags::empty())
                }
                looked_up => looked_up,
            };
            last = Self(looked_up?);
        }
        Ok(last)
    }

    fn look_up(&self, path: &Path, flags: OFlags, more: ResolveFlags) -> Result<OwnedFd, Errno> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// A name that leads to this directory and nowhere else, as long as this is there.
    pub(super) fn name(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A text that describes the distribution, at most 1 MiB of it. Empty where there is none, and where
/// it is no file; it never blocks.
pub(super) fn read_text(path: &str) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = Directory::root()?.look_up(Path::new(path), flags, ResolveFlags::empty())?;
        let mut bytes = Vec::new();
        if FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile {
            File::from(file).take(LARGEST).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Refuses a path that is a link, or no directory; one that is missing will do.
pub(super) fn refuse_other_than_directory(path: &Path) -> io::Result<()> {
    match rustix::fs::statat(CWD, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Directory => Ok(()),
        Ok(_) => Err(io::Error::other("it is no directory; a running system needs one there")),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
