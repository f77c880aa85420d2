//! The directory that holds a distribution's root.
//!
//! A root has another system's set-uid programs, file capabilities and devices, which work for whoever
//! reaches them, and what others can change there is what root or its user writes to next. So the
//! directory that holds it belongs to its user and is closed to everybody else before the first file is
//! written, and at each start. It is opened once, by a name with no link in it; everything below is
//! reached from there.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Dir, Mode, OFlags, fchmod, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use winterop_places::inside::Directory;
use winterop_words::{Failure, Words};

const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Everything that others than the owner may do.
const OTHERS: u32 = 0o077;
/// What lets others put something in the place of something.
const OTHERS_WRITE: u32 = 0o022;

/// Why a directory cannot hold a distribution.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// The system refused, or there is a link on the way.
    #[error("{}", self.words())]
    System {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is somebody else's.
    #[error("{}", self.words())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others reach into it.
    #[error("{}", self.words())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

impl HolderError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::System { path, source } => {
                Failure::HolderUnreachable { path: &path.display(), error: source }.words()
            }
            Self::Foreign { path, owner } => {
                Failure::HolderForeign { path: &path.display(), owner }.words()
            }
            Self::Open { path, mode } => {
                let mode = format!("{mode:04o}");
                Failure::HolderOpen { path: &path.display(), mode: &mode }.words()
            }
        }
    }

    /// Whether there is nothing of that name.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::System { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl From<HolderError> for Words {
    fn from(error: HolderError) -> Self {
        error.words()
    }
}

fn failed<E: Into<io::Error>>(path: &Path) -> impl FnOnce(E) -> HolderError {
    let path = path.to_owned();
    move |source| HolderError::System { path, source: source.into() }
}

/// A directory that holds a distribution's root, open. It is this process's user's own, and nobody
/// else can write to it.
#[derive(Debug)]
pub struct Holder {
    directory: OwnedFd,
    path: PathBuf,
}

impl AsFd for Holder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Holder {
    /// Opens the directory at `path`, no part of which may be a link.
    ///
    /// # Errors
    /// A [`HolderError`].
    pub fn open(path: &Path) -> Result<Self, HolderError> {
        let held = Directory::plain(path).map_err(failed(path))?;
        let directory = openat(&held, ".", OPEN, Mode::empty()).map_err(failed(path))?;
        let holder = Self { directory, path: path.to_owned() };
        holder.refuse_others(OTHERS_WRITE)?;
        Ok(holder)
    }

    /// Makes the directory at `path` where it is missing, closed to others; says whether it did.
    /// An empty one that is there is closed; one that is not must be closed already, since what is in
    /// it may be for others.
    ///
    /// # Errors
    /// A [`HolderError`].
    pub fn make(path: &Path) -> Result<(Self, bool), HolderError> {
        let is_made = make_all(path)?;
        let holder = Self::open(path)?;
        if holder.is_empty().map_err(failed(path))? {
            fchmod(&holder.directory, Mode::from_raw_mode(0o700)).map_err(failed(path))?;
        }
        holder.refuse_open()?;
        Ok((holder, is_made))
    }

    fn is_empty(&self) -> Result<bool, Errno> {
        for entry in Dir::read_from(&self.directory)? {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Refuses a directory that others can enter.
    ///
    /// # Errors
    /// [`HolderError::Open`].
    pub fn refuse_open(&self) -> Result<(), HolderError> {
        self.refuse_others(OTHERS)
    }

    fn refuse_others(&self, rights: u32) -> Result<(), HolderError> {
        let status = fstat(&self.directory).map_err(failed(&self.path))?;
        let (path, owner, mode) = (self.path.clone(), status.st_uid, status.st_mode & 0o7777);
        if owner != geteuid().as_raw() {
            return Err(HolderError::Foreign { path, owner });
        }
        match mode & rights {
            0 => Ok(()),
            _ => Err(HolderError::Open { path, mode }),
        }
    }

    /// Makes the root's own directory, which must not be there.
    ///
    /// # Errors
    /// A [`HolderError`].
    pub fn make_root(&self, name: &str) -> Result<(), HolderError> {
        let path = self.path.join(name);
        mkdirat(&self.directory, name, Mode::from_raw_mode(0o755)).map_err(failed(&path))?;
        // Whatever the caller's mask is.
        let root = openat(&self.directory, name, OPEN, Mode::empty()).map_err(failed(&path))?;
        fchmod(&root, Mode::from_raw_mode(0o755)).map_err(failed(&path))
    }

    /// The root's own directory; a link is none.
    ///
    /// # Errors
    /// A [`HolderError`].
    pub fn root(&self, name: &OsStr) -> Result<Directory, HolderError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(&self.directory, name, flags, Mode::empty());
        root.map(Directory::from).map_err(failed(&self.path.join(name)))
    }

    /// Whether something is in the place of the root.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        !matches!(rustix::fs::statat(&self.directory, name, flags), Err(Errno::NOENT))
    }

    /// Makes sure that its names are on the disk.
    ///
    /// # Errors
    /// A [`HolderError`].
    pub fn sync(&self) -> Result<(), HolderError> {
        rustix::fs::fsync(&self.directory).map_err(failed(&self.path))
    }
}

/// The name of `path` without links, whether it is there or not: what a person names may lead through
/// links, and is resolved once.
///
/// # Errors
/// A [`HolderError`].
pub fn plain_name(path: &Path) -> Result<PathBuf, HolderError> {
    let absolute = std::path::absolute(path).map_err(failed(path))?;
    let mut missing: Vec<OsString> = Vec::new();
    let mut known = absolute.as_path();
    loop {
        match known.canonicalize() {
            Ok(found) => {
                return Ok(missing.iter().rev().fold(found, |path, name| path.join(name)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(path)(error)),
        }
        // A link to nothing is there, and so is what cannot be gone up from by its name.
        let is_plain = known.symlink_metadata().is_err();
        let last = known.components().next_back();
        let (true, Some(Component::Normal(name)), Some(parent)) = (is_plain, last, known.parent())
        else {
            return Err(failed(path)(Errno::NOENT));
        };
        missing.push(name.to_owned());
        known = parent;
    }
}

/// Makes a directory and those above it, where they are missing, by a name with no link in it; says
/// whether it made the last one. What it makes is closed to others.
fn make_all(path: &Path) -> Result<bool, HolderError> {
    let mut names = Vec::new();
    let mut known = path;
    let mut last = loop {
        match Directory::plain(known) {
            Ok(found) => break found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(path)(error)),
        }
        let (Some(name), Some(parent)) = (known.file_name(), known.parent()) else {
            return Err(failed(path)(Errno::NOENT));
        };
        names.push(name);
        known = parent;
    };
    let is_made = !names.is_empty();
    for name in names.into_iter().rev() {
        match mkdirat(&last, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(path)(error)),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        last = openat(&last, name, flags, Mode::empty()).map_err(failed(path))?.into();
    }
    Ok(is_made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_holds_a_root_is_closed_before_anything_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let fresh = folder.path().join("a/b/fresh");
        assert!(Holder::make(&fresh).unwrap().1);
        assert_eq!(mode(&fresh), 0o700);
        // An empty one is closed, one with something of somebody's is refused and stays as it is.
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        set(&own, 0o755);
        assert!(!Holder::make(&own).unwrap().1);
        assert_eq!(mode(&own), 0o700);
        fs::write(own.join("page.html"), "").unwrap();
        set(&own, 0o755);
        let words = Holder::make(&own).unwrap_err().to_string();
        assert!(words.contains("mode 0755") && words.contains("[holder-open]"), "{words}");
        assert_eq!(mode(&own), 0o755);
    }

    #[test]
    fn what_others_own_can_write_or_lead_elsewhere_holds_no_root() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("holder");
        fs::create_dir(&path).unwrap();
        for writable in [0o720, 0o702, 0o1777] {
            set(&path, writable);
            let words = Holder::open(&path).unwrap_err().to_string();
            assert!(words.contains("[holder-open]"), "{words}");
        }
        set(&path, 0o750);
        assert!(Holder::open(&path).unwrap().refuse_open().is_err());
        set(&path, 0o700);
        let holder = Holder::open(&path).unwrap();
        holder.refuse_open().unwrap();
        // A root that is a link, and a directory that is reached through one.
        symlink("/etc", path.join("rootfs")).unwrap();
        assert!(holder.has("rootfs") && holder.root(OsStr::new("rootfs")).is_err());
        symlink(&path, folder.path().join("link")).unwrap();
        let words = Holder::open(&folder.path().join("link")).unwrap_err().to_string();
        assert!(words.contains("[holder-unreachable]"), "{words}");
        if geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(1000), None).unwrap();
            let words = Holder::open(&path).unwrap_err().to_string();
            assert!(words.contains("uid 1000") && words.contains("[holder-foreign]"), "{words}");
        }
    }

    #[test]
    fn a_directory_that_was_swapped_is_not_the_one_that_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("holder");
        let (holder, _) = Holder::make(&path).unwrap();
        holder.make_root("rootfs").unwrap();
        let root = holder.root(OsStr::new("rootfs")).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        fs::create_dir_all(path.join("rootfs")).unwrap();
        fs::write(folder.path().join("moved/rootfs/file"), "right").unwrap();
        assert_eq!(root.text("file"), "right");
        assert!(!root.is(&Directory::plain(&path.join("rootfs")).unwrap()).unwrap());
    }

    #[test]
    fn a_name_that_a_person_typed_is_resolved_once() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        fs::create_dir(base.join("real")).unwrap();
        symlink("real", base.join("link")).unwrap();
        symlink("nowhere", base.join("dangling")).unwrap();
        assert_eq!(plain_name(&base.join("link/a/b")).unwrap(), base.join("real/a/b"));
        assert_eq!(plain_name(&base.join("link")).unwrap(), base.join("real"));
        for bad in ["dangling", "none/../x/none"] {
            assert!(plain_name(&base.join(bad)).is_err(), "{bad}");
        }
    }
}
