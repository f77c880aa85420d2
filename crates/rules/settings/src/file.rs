//! Reads settings files: with limits, without ever blocking, and again only when they have changed.

use rustix::fs::{FileType, Stat, Timespec, fstat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use winterop_places::inside::{hold, open_held};
use winterop_places::own::is_roots;
use winterop_words::{Failure, Words};

/// For how many seconds after a change a file may change again without its times telling: the
/// clock of file systems goes in steps, of two seconds at worst.
const UNSETTLED: i64 = 2;

/// Why a settings file cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    /// The system does not give it.
    #[error("{}", self.words().fault())]
    System {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// It is a directory, a pipe, a device.
    #[error("{}", self.words().fault())]
    NoFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// It has more bytes than such a file can sensibly have.
    #[error("{}", self.words().fault())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How many bytes it has.
        size: u64,
        /// The most it may have.
        limit: u64,
    },
    /// Somebody other than root could have written it.
    #[error("{}", self.words().fault())]
    NotRoots {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its mode bits.
        mode: u32,
    },
}

impl FileError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::System { path, source } => {
                Failure::SettingsUnreadable { path: &path.display(), error: source }.words()
            }
            Self::NoFile { path, kind } => {
                Failure::SettingsNoFile { path: &path.display(), kind }.words()
            }
            Self::TooLarge { path, size, limit } => {
                Failure::SettingsTooLarge { path: &path.display(), size, limit }.words()
            }
            Self::NotRoots { path, owner, mode } => {
                let (path, mode) = (path.display(), format!("{mode:04o}"));
                Failure::SettingsNotRoots { path: &path, owner, mode: &mode }.words()
            }
        }
    }
}

/// What a settings file may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    largest: u64,
    roots: bool,
}

impl Limits {
    /// Anybody's, of at most so many bytes.
    pub(crate) fn up_to(largest: u64) -> Self {
        Self { largest, roots: false }
    }

    /// Root's alone.
    pub(crate) fn of_root(self) -> Self {
        Self { roots: true, ..self }
    }
}

/// A file's bytes, and the state in which they were read.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    stamp: Stamp,
}

/// By what a change of a file is seen: the file itself, its size, and when it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: i64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Stamp {
    fn of(status: &Stat) -> Self {
        Self {
            file: (status.st_dev, status.st_ino),
            size: status.st_size,
            changed: (status.st_ctime, status.st_ctime_nsec.cast_signed()),
            modified: (status.st_mtime, status.st_mtime_nsec.cast_signed()),
        }
    }

    /// Whether a later change is bound to show.
    fn is_settled(&self) -> bool {
        let Timespec { tv_sec, .. } = clock_gettime(ClockId::Realtime);
        tv_sec - self.changed.0 > UNSETTLED
    }
}

/// Reads the file at `path`; `None` where there is none.
///
/// # Errors
/// A [`FileError`]. A pipe is refused, not waited for, and no more than the limit is read.
pub(crate) fn read(path: &Path, limits: Limits) -> Result<Option<Content>, FileError> {
    let failed =
        |error: io::Error| FileError::System { path: path.to_owned(), source: Arc::new(error) };
    let held = match hold(path) {
        Ok(held) => held,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(failed(error.into())),
    };
    let status = fstat(&held).map_err(|error| failed(error.into()))?;
    check(path, &status, limits)?;
    let mut bytes = Vec::new();
    let file = open_held(&held, &status).map_err(failed)?;
    file.take(limits.largest + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limits.largest {
        return Err(too_large(path, bytes.len() as u64, limits));
    }
    Ok(Some(Content { bytes, stamp: Stamp::of(&status) }))
}

fn check(path: &Path, status: &Stat, limits: Limits) -> Result<(), FileError> {
    let kind = match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("a directory"),
        FileType::Fifo => Some("a pipe"),
        FileType::Socket => Some("a socket"),
        _ => Some("a device"),
    };
    if let Some(kind) = kind {
        return Err(FileError::NoFile { path: path.to_owned(), kind });
    }
    if limits.roots && !(is_roots(status.st_uid) && status.st_mode & 0o022 == 0) {
        let (owner, mode) = (status.st_uid, status.st_mode & 0o7777);
        return Err(FileError::NotRoots { path: path.to_owned(), owner, mode });
    }
    let size = status.st_size.cast_unsigned();
    if size > limits.largest {
        return Err(too_large(path, size, limits));
    }
    Ok(())
}

fn too_large(path: &Path, size: u64, limits: Limits) -> FileError {
    FileError::TooLarge { path: path.to_owned(), size, limit: limits.largest }
}

/// Writes a file whole or not at all: beside its place, synced, renamed, and the folder synced. The
/// folder is made where it is missing.
///
/// # Errors
/// The system's; what was there before is there still.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".new-{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let written = (|| {
        let mut file = File::create(&fresh)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // What was tried leaves nothing.
        let _ = std::fs::remove_file(&fresh);
    }
    written
}

/// What a file says, kept as long as the file stays as it is: looking whether it has changed costs
/// a microsecond, and nothing has to be told of a change.
#[derive(Debug)]
pub(crate) struct Cached<T> {
    path: PathBuf,
    limits: Limits,
    parse: fn(Option<&[u8]>, &Path) -> T,
    /// What `parse` reads besides.
    besides: &'static [&'static str],
    known: Mutex<Option<Known<T>>>,
}

#[derive(Debug)]
struct Known<T> {
    stamps: Stamps,
    /// What it was made of.
    bytes: Option<Vec<u8>>,
    value: Result<Arc<T>, FileError>,
}

impl<T> Known<T> {
    /// The value, if these bytes have made it and nothing else has changed.
    fn made_of(&self, bytes: Option<&[u8]>, stamps: &Stamps) -> Option<Arc<T>> {
        let same = self.bytes.as_deref() == bytes && self.stamps == *stamps;
        self.value.as_ref().ok().filter(|_| same).map(Arc::clone)
    }
}

/// The states of a file and of what is read besides; none for a file that is not there.
#[derive(Debug, PartialEq, Eq)]
struct Stamps {
    own: Option<Stamp>,
    besides: Vec<Option<Stamp>>,
}

fn stamp_of(path: impl rustix::path::Arg) -> Option<Stamp> {
    rustix::fs::stat(path).ok().map(|status| Stamp::of(&status))
}

impl<T> Cached<T> {
    /// The file at `path`, of which `parse` makes a value; it is given `None` where there is none.
    pub(crate) fn new(path: PathBuf, limits: Limits, parse: fn(Option<&[u8]>, &Path) -> T) -> Self {
        Self { path, limits, parse, besides: &[], known: Mutex::new(None) }
    }

    /// The same, where what the file says depends on these files too.
    pub(crate) fn with(self, besides: &'static [&'static str]) -> Self {
        Self { besides, ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says now.
    ///
    /// # Errors
    /// A [`FileError`].
    pub(crate) fn get(&self) -> Result<Arc<T>, FileError> {
        let besides = self.besides.iter().map(|path| stamp_of(*path)).collect();
        let mut stamps = Stamps { own: stamp_of(&self.path), besides };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.stamps == stamps)
            && stamps.own.is_none_or(|stamp| stamp.is_settled())
        {
            return known.value.clone();
        }
        let content = read(&self.path, self.limits);
        if let Ok(content) = &content {
            stamps.own = content.as_ref().map(|content| content.stamp);
        }
        let content = content.map(|content| content.map(|content| content.bytes));
        let value = content.as_ref().map_err(Clone::clone).map(|bytes| {
            let bytes = bytes.as_deref();
            // A file that has just been changed is read at each look, but not understood anew.
            let same = known.as_ref().and_then(|known| known.made_of(bytes, &stamps));
            same.unwrap_or_else(|| Arc::new((self.parse)(bytes, &self.path)))
        });
        let bytes = content.unwrap_or_default();
        *known = Some(Known { stamps, bytes, value: value.clone() });
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const LIMITS: Limits = Limits { largest: 100, roots: false };

    #[test]
    fn what_is_no_file_is_named_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(read(&path("none"), LIMITS).unwrap().is_none());
        assert!(read(&path("none/below"), LIMITS).unwrap().is_none());
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("pipe"),
            FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o666),
            0,
        )
        .unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for (path, words) in [
            (folder.path().to_owned(), "is a directory"),
            (path("pipe"), "is a pipe"),
            (path("socket"), "is a socket"),
            (PathBuf::from("/dev/zero"), "is a device"),
        ] {
            let error = read(&path, LIMITS).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let large = path("large");
        // 100 MiB that are never read.
        File::create(&large).unwrap().set_len(100 << 20).unwrap();
        let error = read(&large, LIMITS).unwrap_err().to_string();
        assert!(error.contains("104857600") && error.contains("100"), "{error}");
        // A file of /proc says that it is empty.
        let error = read(Path::new("/proc/self/status"), LIMITS).unwrap_err().to_string();
        assert!(error.contains("no such file has more than 100"), "{error}");
    }

    #[test]
    fn what_others_may_write_is_not_roots() {
        let why = "this test cannot run here: only root can make a file of root's";
        assert!(rustix::process::geteuid().is_root(), "{why}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, "x").unwrap();
        for (mode, owner, expected) in
            [(0o644, 0, true), (0o664, 0, false), (0o646, 0, false), (0o644, 1000, false)]
        {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
            assert_eq!(read(&path, LIMITS.of_root()).is_ok(), expected, "{mode:o} {owner}");
        }
    }

    #[test]
    fn what_was_just_written_is_understood_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "a").unwrap();
        let cached = Cached::new(path.clone(), LIMITS, |bytes, _| bytes.map(<[u8]>::to_vec));
        let (first, second) = (cached.get().unwrap(), cached.get().unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        // A new date means a new look, also at what the file depends on.
        File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert!(!Arc::ptr_eq(&first, &cached.get().unwrap()));
    }

    #[test]
    fn a_change_is_seen_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let cached = Cached::new(path.clone(), LIMITS, |bytes, _| bytes.map(<[u8]>::to_vec));
        for text in [None, Some("a"), Some("b"), Some("c"), None, Some("d")] {
            match text {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => _ = std::fs::remove_file(&path),
            }
            for _ in 0..2 {
                let value = cached.get().unwrap();
                assert_eq!(value.as_deref(), text.map(str::as_bytes));
            }
        }
    }
}
