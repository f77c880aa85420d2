//! The Windows names of files, by the drives of a prefix and the mounts of the machine.

use super::drives;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use winterop_translate::{Drives, MountTable, Naming, Translator};

/// No file system's times are coarser.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// What a prefix's drives make of the machine's files, kept until mounts or drives change.
#[derive(Debug)]
pub struct Names {
    prefix: PathBuf,
    distribution: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    mounts: Option<Mounts>,
    drives_changed: Option<SystemTime>,
    translator: Arc<Translator>,
}

impl Names {
    /// Reads the drives of the prefix at `prefix`. `distribution` is the name of the machine's own.
    ///
    /// # Errors
    /// Where the drives cannot be read.
    pub fn read(prefix: &Path, distribution: &str) -> Result<Self, drives::Error> {
        // Without the table bind mounts of a drive's folder are named by another drive.
        let mounts = Mounts::open()
            .inspect_err(|error| tracing::warn!(%error, "mounts are not looked at"))
            .ok();
        let mut state = State { mounts, drives_changed: None, translator: Arc::default() };
        state.renew(prefix, distribution)?;
        let state = Mutex::new(state);
        Ok(Self { prefix: prefix.to_owned(), distribution: distribution.to_owned(), state })
    }

    /// The translator, as mounts and drives are now. Costs two system calls where nothing changed.
    pub fn translator(&self) -> Arc<Translator> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_outdated(&self.prefix)
            && let Err(error) = state.renew(&self.prefix, &self.distribution)
        {
            tracing::warn!(%error, "the drives are taken for unchanged");
        }
        Arc::clone(&state.translator)
    }
}

impl State {
    fn is_outdated(&mut self, prefix: &Path) -> bool {
        let mounts = self.mounts.as_mut().is_some_and(|mounts| mounts.have_changed());
        let drives = drives_changed(prefix);
        mounts || drives.is_none() || drives != self.drives_changed
    }

    fn renew(&mut self, prefix: &Path, distribution: &str) -> Result<(), drives::Error> {
        self.drives_changed = drives_changed(prefix);
        let mut offered = Drives::default();
        for drive in drives::read(prefix)? {
            // The letter is ASCII by its type.
            let letter = u8::try_from(drive.letter.upper()).unwrap_or(b'Z');
            offered.offer(letter, drive.folder.as_os_str().as_bytes());
        }
        // Windows drives that are mounted here are another Windows' drives, not Wine's.
        let mounts = self.mounts.as_mut().map(Mounts::table).unwrap_or_default().without_windows();
        let translator = Translator::new(mounts)
            .with_drives(offered)
            .with_distribution(distribution.as_bytes(), b"/")
            .with_naming(Naming::Wine);
        self.translator = Arc::new(translator);
        Ok(())
    }
}

/// When the drives last changed. `None`, so that they are read again, where that is so short ago
/// that another change could bear the same time.
fn drives_changed(prefix: &Path) -> Option<SystemTime> {
    let changed = std::fs::metadata(prefix.join("dosdevices")).ok()?.modified().ok()?;
    changed.elapsed().is_ok_and(|age| age > COARSEST_CLOCK).then_some(changed)
}

/// The mount table of this process, which the kernel tells when it changes.
#[derive(Debug)]
struct Mounts {
    file: File,
}

impl Mounts {
    fn open() -> io::Result<Self> {
        Ok(Self { file: File::open("/proc/self/mountinfo")? })
    }

    /// Whether the table has changed since this was asked before, or since it was opened.
    fn have_changed(&mut self) -> bool {
        let mut interest = [PollFd::new(&self.file, PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Where it cannot be said the table is read again, which only takes time.
        poll(&mut interest, Some(&now)).is_err()
            || interest.iter().any(|it| it.revents().contains(PollFlags::PRI))
    }

    fn table(&mut self) -> MountTable {
        let mut text = Vec::new();
        let read = self.file.rewind().and_then(|()| self.file.read_to_end(&mut text));
        if let Err(error) = read {
            tracing::warn!(%error, "the mount table cannot be read");
        }
        MountTable::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn drives_that_come_later_are_known() {
        let prefix = tempfile::tempdir().unwrap();
        let devices = prefix.path().join("dosdevices");
        std::fs::create_dir(&devices).unwrap();
        std::fs::create_dir(prefix.path().join("drive_c")).unwrap();
        symlink("../drive_c", devices.join("c:")).unwrap();
        let names = Names::read(prefix.path(), "Debian").unwrap();
        let name = |path: &Path| {
            let name = names.translator().to_windows(path.as_os_str().as_bytes().into());
            name.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned())
        };
        let inside = prefix.path().canonicalize().unwrap().join("drive_c/x");
        assert_eq!(name(&inside).unwrap(), "C:\\x");
        assert_eq!(name(Path::new("/etc")).unwrap(), "\\\\wsl.localhost\\Debian\\etc");
        symlink("/", devices.join("z:")).unwrap();
        assert_eq!(name(Path::new("/etc")).unwrap(), "Z:\\etc");
        let long_ago = SystemTime::now() - COARSEST_CLOCK * 2;
        File::open(&devices).unwrap().set_modified(long_ago).unwrap();
        let renewed = names.translator();
        assert!(Arc::ptr_eq(&renewed, &names.translator()), "it is kept while nothing changes");
    }
}
