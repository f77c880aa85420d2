//! The Windows names of files, by the drives of a prefix and the mounts of the machine.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use winterop_drives::DriveFolder;
use winterop_translate::{Drives, MountTable, Naming, Translator};

/// No file system's times are coarser.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// What a prefix's drives make of the machine's files, kept until mounts or drives change.
#[derive(Debug)]
pub struct Names {
    drives: DriveFolder,
    distribution: String,
    instances: Instances,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    mounts: Option<Mounts>,
    drives_changed: Option<SystemTime>,
    instances_changed: Option<SystemTime>,
    translator: Arc<Translator>,
}

impl Names {
    /// Reads the drives of the prefix at `prefix`. `distribution` is the name of the machine's own,
    /// `instances` knows the others.
    ///
    /// # Errors
    /// Where the drives cannot be read.
    pub fn read(
        prefix: &Path,
        distribution: &str,
        instances: Instances,
    ) -> Result<Self, winterop_drives::Error> {
        // Without the table bind mounts of a drive's folder are named by another drive.
        let mounts = Mounts::open()
            .inspect_err(|error| tracing::warn!(%error, "mounts are not looked at"))
            .ok();
        let state = State {
            mounts,
            drives_changed: None,
            instances_changed: None,
            translator: Arc::default(),
        };
        let names = Self {
            drives: DriveFolder::of_prefix(prefix),
            distribution: distribution.to_owned(),
            instances,
            state: Mutex::new(state),
        };
        names.renew(&mut names.locked())?;
        Ok(names)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The translator, as mounts, drives and distributions are now. Costs three system calls where
    /// nothing changed.
    pub fn translator(&self) -> Arc<Translator> {
        let mut state = self.locked();
        if self.is_outdated(&mut state)
            && let Err(error) = self.renew(&mut state)
        {
            tracing::warn!(%error, "the drives are taken for unchanged");
        }
        Arc::clone(&state.translator)
    }

    fn is_outdated(&self, state: &mut State) -> bool {
        let mounts = state.mounts.as_mut().is_some_and(|mounts| mounts.have_changed());
        let drives = changed(self.drives.path());
        let instances = self.instances.changed();
        mounts
            || drives.is_none()
            || drives != state.drives_changed
            || instances != state.instances_changed
            || (instances.is_none() && self.instances.exist())
    }

    fn renew(&self, state: &mut State) -> Result<(), winterop_drives::Error> {
        // First the links: they are among what is looked at.
        state.instances_changed = self.instances.changed();
        let running = self.instances.list();
        for (name, root) in &running {
            // Without the link its files have names by drive letters, and only those.
            if let Err(error) = self.drives.link_distribution(name, root) {
                tracing::warn!(%error, name, "a distribution has no share");
            }
        }
        state.drives_changed = changed(self.drives.path());
        let offered = self.drives.offered()?;
        let mounts = state.mounts.as_mut().map(Mounts::table).unwrap_or_default();
        let translator = translator_of(mounts, offered, &self.distribution);
        let translator = running.iter().fold(translator, |translator, (name, root)| {
            translator.with_distribution(name.as_bytes(), root.as_os_str().as_bytes())
        });
        state.translator = Arc::new(translator);
        Ok(())
    }
}

/// Names files by a prefix's drives, and those of the machine, by its distribution's name, that no
/// drive has.
pub(crate) fn translator_of(mounts: MountTable, drives: Drives, distribution: &str) -> Translator {
    // Windows drives that are mounted here are another Windows' drives, not Wine's.
    Translator::new(mounts.without_windows())
        .with_drives(drives)
        .with_distribution(distribution.as_bytes(), b"/")
        .with_naming(Naming::Wine)
}

/// The distributions that run: their instances' directories, as their keepers make them.
#[derive(Clone, Debug, Default)]
pub struct Instances {
    directory: Option<PathBuf>,
}

impl Instances {
    /// Those below the user's runtime directory.
    #[must_use]
    pub fn of_user(runtime: &Path) -> Self {
        Self { directory: Some(runtime.join("instances")) }
    }

    fn exist(&self) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.exists())
    }

    fn changed(&self) -> Option<SystemTime> {
        changed(self.directory.as_ref()?)
    }

    /// Names and roots, sorted by name.
    fn list(&self) -> Vec<(String, PathBuf)> {
        let Some(directory) = &self.directory else { return Vec::new() };
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut running: Vec<_> = entries
            .filter_map(|entry| {
                let root = std::fs::read_link(entry.path().join("root")).ok()?;
                let name = std::fs::read_to_string(entry.path().join("name")).ok()?;
                // The machine's own is not among them.
                Some((name, root.canonicalize().ok()?)).filter(|(_, root)| root != Path::new("/"))
            })
            .collect();
        running.sort();
        running
    }
}

/// When a directory last changed. `None`, so that it is read again, where that is so short ago that
/// another change could bear the same time.
fn changed(directory: &Path) -> Option<SystemTime> {
    let changed = std::fs::metadata(directory).ok()?.modified().ok()?;
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
        let names = Names::read(prefix.path(), "Debian", Instances::default()).unwrap();
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
