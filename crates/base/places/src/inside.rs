//! Files of a system, opened so that no link in it leads out: the one way in which anything of a root
//! is read.
//!
//! A root is a directory with a system's files, somebody else's perhaps. Links in it lead from that
//! directory (`RESOLVE_IN_ROOT`), and those that the kernel makes are not followed: a process that
//! builds an instance has directories of the machine's open, and `/proc/self/fd` has links to them which
//! are followed out of every root. What is read is a regular file, and is held before it is opened: to
//! open a device is to use it, and a pipe would wait for its writer.

use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, mkdirat, open, openat2};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

/// The most that is read of a file that describes a system: 1 MiB.
pub const LARGEST: u64 = 1 << 20;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory of a system, from which names are looked up as from its root.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl From<OwnedFd> for Directory {
    fn from(directory: OwnedFd) -> Self {
        Self(directory)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Directory {
    /// This process's own root.
    ///
    /// # Errors
    /// The system's.
    pub fn root() -> io::Result<Self> {
        Ok(Self(open("/", DIRECTORY, Mode::empty())?))
    }

    /// A directory that is named as it is: no part of its path is a link.
    ///
    /// # Errors
    /// The system's; `ELOOP` where there is a link.
    pub fn plain(path: &Path) -> io::Result<Self> {
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(Self(openat2(CWD, path, DIRECTORY, Mode::empty(), resolve)?))
    }

    /// The directory at `path` of this process's root, which may be a link. It lies on the root's own
    /// file system: what is mounted there, the machine among it, is not the distribution's.
    ///
    /// # Errors
    /// The system's.
    pub fn of_root(path: &str) -> io::Result<Self> {
        Ok(Self(Self::root()?.look_up(Path::new(path), DIRECTORY, ResolveFlags::NO_XDEV)?))
    }

    /// The directory at `path` of this process's root; it and those above it are made where they are
    /// missing.
    ///
    /// # Errors
    /// The system's.
    pub fn make(path: &Path) -> io::Result<Self> {
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

    /// What is in the file at `path`; `None` where there is none. It never blocks.
    ///
    /// # Errors
    /// The system's; where it is no regular file, and where it has more than `largest` bytes.
    pub fn read(&self, path: impl AsRef<Path>, largest: u64) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.begin(path, largest + 1)?;
        match bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 > largest) {
            true => Err(io::Error::other(format!("it has more than {largest} bytes"))),
            false => Ok(bytes),
        }
    }

    /// The first bytes of what is in the file at `path`; `None` where there is none. It never blocks.
    ///
    /// # Errors
    /// The system's, and where it is no regular file.
    pub fn begin(&self, path: impl AsRef<Path>, most: u64) -> io::Result<Option<Vec<u8>>> {
        let held = match self.look_up(path.as_ref(), OFlags::PATH, ResolveFlags::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            held => held?,
        };
        let status = fstat(&held)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut bytes = Vec::new();
        open_held(&held, &status)?.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// A text that describes the system, at most 1 MiB. Empty where it cannot be read.
    #[must_use]
    pub fn text(&self, path: impl AsRef<Path>) -> String {
        let bytes = self.begin(path, LARGEST).ok().flatten().unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A name that leads to this directory and nowhere else, as long as this is there.
    #[must_use]
    pub fn name(&self) -> PathBuf {
        name_of(&self.0)
    }

    /// Whether this is the same directory as another one.
    ///
    /// # Errors
    /// The system's.
    pub fn is(&self, other: &Self) -> io::Result<bool> {
        let [own, other] = [fstat(&self.0)?, fstat(&other.0)?];
        Ok(is_same(&own, &other))
    }
}

fn name_of(held: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()))
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Holds what is at `path` from this process's root, whatever it is, without using it.
///
/// # Errors
/// The system's; `ELOOP` where a link that the kernel makes is on the way.
pub fn hold(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
}

/// Opens a regular file that is held, whose state is `status`.
///
/// # Errors
/// The system's, and where another file is found.
pub fn open_held(held: &OwnedFd, status: &Stat) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(name_of(held), flags, Mode::empty())?;
    // Somebody may have put another file system where `/proc` belongs.
    match is_same(&fstat(&file)?, status) {
        true => Ok(File::from(file)),
        false => Err(io::Error::other("/proc does not lead to the file that is open")),
    }
}

/// A text of this process's own root that describes the system: [`Directory::text`].
#[must_use]
pub fn read_text(path: &str) -> String {
    Directory::root().map(|root| root.text(path)).unwrap_or_default()
}

/// Refuses a path that is a link, or no directory; one that is missing will do.
///
/// # Errors
/// The system's, and where it is something else.
pub fn refuse_other_than_directory(path: &Path) -> io::Result<()> {
    match rustix::fs::statat(CWD, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Directory => Ok(()),
        Ok(_) => Err(io::Error::other("it is no directory; a running system needs one there")),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_of_a_root_is_read_by_a_name_that_leads_out_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        fs::write(root.join("etc/own"), "own").unwrap();
        let outside = fs::File::open(folder.path()).unwrap();
        let magic = format!("/proc/self/fd/{}/secret", outside.as_raw_fd());
        let absolute = folder.path().join("secret");
        for (name, target) in [
            ("up", Path::new("../../secret")),
            ("absolute", &absolute),
            ("magic", Path::new(&magic)),
            ("inside", Path::new("/etc/own")),
        ] {
            symlink(target, root.join("etc").join(name)).unwrap();
        }
        // A link that the kernel makes is one only where /proc is.
        symlink(outside.as_raw_fd().to_string(), root.join("fd")).unwrap();
        let directory = Directory::plain(&root).unwrap();
        assert_eq!(directory.text("/etc/inside"), "own");
        for name in ["etc/up", "etc/absolute", "etc/magic", "../secret", "etc/none", "etc/own/x"] {
            assert_eq!(directory.read(name, LARGEST).unwrap(), None, "{name}");
        }
        // From the machine's own root such a link would be followed out of every other.
        symlink(&magic, folder.path().join("link")).unwrap();
        let link = folder.path().join("link");
        assert_eq!(Directory::root().unwrap().text(&link), "");
        assert!(hold(&link).is_err() && fs::read(link).is_ok());
    }

    #[test]
    fn only_regular_files_of_a_sensible_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(CWD, path("pipe"), FileType::Fifo, mode, 0).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        File::create(path("large")).unwrap().set_len(LARGEST + 1).unwrap();
        fs::create_dir(path("folder")).unwrap();
        let directory = Directory::plain(folder.path()).unwrap();
        for name in ["pipe", "socket", "folder"] {
            let words = directory.read(name, LARGEST).unwrap_err().to_string();
            assert!(words.contains("no regular file"), "{name}: {words}");
        }
        let words = directory.read("large", LARGEST).unwrap_err().to_string();
        assert!(words.contains("more than 1048576"), "{words}");
        let own = Directory::root().unwrap();
        assert!(own.read("/dev/zero", LARGEST).is_err());
    }

    #[test]
    fn a_plain_directory_is_reached_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        symlink("a", folder.path().join("link")).unwrap();
        assert!(Directory::plain(&folder.path().join("a/b")).is_ok());
        for name in ["link", "link/b", "none"] {
            assert!(Directory::plain(&folder.path().join(name)).is_err(), "{name}");
        }
    }
}
