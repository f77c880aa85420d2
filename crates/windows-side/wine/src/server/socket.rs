//! Finds the server of a prefix by the lock that it holds.
//!
//! A server keeps `lock` and `socket` in a folder `server-DEV-INO`, named after device and inode of
//! its prefix. That folder lies in `/tmp/.wine-UID`; Debian's Wine has it in `/run/user/UID/wine`
//! where there is such a folder, else in one of random name below `/tmp` which the file
//! `wineserver` in the prefix names. (Below `$TMPDIR`, to be exact; this program never passes it.)

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockOffsetType, FlockType, Pid, fcntl_getlk, getuid};

/// The folder of a prefix's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// The folder where a server of this prefix runs, or else one that an earlier server left.
    pub(crate) fn find(prefix: &Path) -> Option<Self> {
        let data = fs::metadata(prefix).ok()?;
        let name = format!("server-{:x}-{:x}", data.dev(), data.ino());
        let uid = getuid().as_raw();
        let noted = fs::read_to_string(prefix.join("wineserver")).ok();
        let noted = noted.as_deref().map(str::trim).filter(|name| is_one_name(name));
        let roots = [
            Some(PathBuf::from(format!("/run/user/{uid}/wine"))),
            noted.map(|name| Path::new("/tmp").join(name)),
            Some(PathBuf::from(format!("/tmp/.wine-{uid}"))),
        ];
        let places: Vec<Self> = roots
            .into_iter()
            .flatten()
            .map(|root| Self(root.join(&name)))
            .filter(|place| place.0.is_dir())
            .collect();
        places.iter().find(|place| place.owner().is_some()).or(places.first()).cloned()
    }

    /// Waits until a server of this prefix takes connections, at most `patience`.
    pub(crate) fn wait(prefix: &Path, patience: Duration) -> Option<Pid> {
        let deadline = Instant::now() + patience;
        loop {
            let place = Self::find(prefix).filter(|place| place.0.join("socket").exists());
            if let Some(owner) = place.and_then(|place| place.owner()) {
                return Some(owner);
            }
            if Instant::now() > deadline {
                return None;
            }
            // The server says nothing when it is ready; it takes 5 to 20 ms.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The process that holds the lock, so the server that runs.
    pub(crate) fn owner(&self) -> Option<Pid> {
        let lock = self.lock_file()?;
        let wanted = Flock {
            start: 0,
            length: 1,
            pid: None,
            typ: FlockType::WriteLock,
            offset_type: FlockOffsetType::Set,
        };
        fcntl_getlk(&lock, &wanted).ok().flatten()?.pid
    }

    fn lock_file(&self) -> Option<File> {
        OpenOptions::new().read(true).write(true).open(self.0.join("lock")).ok()
    }

    /// Removes the folder of a prefix whose server has ended. The next server makes it anew.
    pub(crate) fn remove(prefix: &Path) {
        let Some(place) = Self::find(prefix).filter(|place| place.owner().is_none()) else {
            return;
        };
        for name in ["lock", "socket"] {
            let _ = fs::remove_file(place.0.join(name));
        }
        // Both only if they are empty, which other servers' folders are not.
        let _ = fs::remove_dir(&place.0);
        let _ = place.0.parent().map(fs::remove_dir);
        let _ = fs::remove_file(prefix.join("wineserver"));
    }
}

/// Whether a name read from a file stays in the folder it is joined to.
fn is_one_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_server_has_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Place::find(folder.path()), None);
        assert_eq!(Place::wait(folder.path(), Duration::ZERO), None);
    }

    #[test]
    fn a_noted_name_cannot_lead_elsewhere() {
        for name in ["", ".", "..", "../etc", "/etc", "a/b"] {
            assert!(!is_one_name(name));
        }
        assert!(is_one_name("wine-AbCdEf"));
    }
}
