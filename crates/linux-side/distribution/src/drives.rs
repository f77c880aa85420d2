//! The Windows drives of an instance, below `/mnt`.
//!
//! A drive is a link in the prefix's folder of drives, and what it leads to is bound. `Z:`, the machine's
//! own root, is left out, and so is every folder that holds the distribution: it would hold itself.
//! A prefix that is made later than the instance is looked for at each new session ([`Drives::add`]).

use crate::mounts::bind_directory;
use std::path::{Path, PathBuf};
use winterop_drives::{Drive, DriveFolder};
use winterop_settings::wsl_conf::Automount;

/// Where the user's data is seen inside, for root alone.
pub(crate) const DATA: &str = "/run/winterop/data";

/// The drives of one instance.
#[derive(Debug, Default)]
pub(crate) struct Drives {
    /// The directory below which they are; empty where none are wanted.
    root: PathBuf,
    mounted: Vec<char>,
}

impl Drives {
    /// Binds what is there. The machine's root is at `outside`; `data` and `distribution` are
    /// names there.
    pub(crate) fn mount(
        automount: &Automount,
        data: &Path,
        distribution: &Path,
        outside: &Path,
    ) -> Self {
        let mut drives = Self::default();
        if !automount.enabled || !automount.root.starts_with('/') {
            return drives;
        }
        drives.root = PathBuf::from(&automount.root);
        for (letter, folder) in listed(data, outside) {
            if !distribution.starts_with(&folder) {
                let source = outside.join(folder.strip_prefix("/").unwrap_or(&folder));
                drives.bind(letter, &source);
            }
        }
        drives
    }

    /// Binds drive C once the prefix is there.
    pub(crate) fn add(&mut self) {
        if self.root.as_os_str().is_empty() || self.mounted.contains(&'c') {
            return;
        }
        let source = Path::new(DATA).join("prefix/drive_c");
        if source.is_dir() {
            self.bind('c', &source);
        }
    }

    fn bind(&mut self, letter: char, source: &Path) {
        let target = self.root.join(letter.to_string());
        match bind_directory(source, &target) {
            Ok(()) => self.mounted.push(letter),
            Err(error) => tracing::warn!(%error, %letter, "a drive is not mounted"),
        }
    }

    /// The Linux path of `C:\folder`, if the drive is one that can be mounted here.
    #[must_use]
    pub(crate) fn path(automount: &Automount, windows: &[u8]) -> Option<Vec<u8>> {
        let [letter, b':', rest @ ..] = windows else { return None };
        if !automount.enabled || !letter.is_ascii_alphabetic() {
            return None;
        }
        let mut path = automount.root.as_bytes().to_vec();
        path.push(letter.to_ascii_lowercase());
        path.extend(rest.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }));
        Some(path)
    }
}

/// Letters and folders as the machine has them, the folders absolute and without links.
fn listed(data: &Path, outside: &Path) -> Vec<(char, PathBuf)> {
    let links = DriveFolder::of_prefix(&data.join("prefix")).links_below(outside);
    let is_bound = |drive: &Drive| drive.folder != Path::new("/");
    links.into_iter().filter(is_bound).map(|drive| (drive.letter.lower(), drive.folder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_directories_are_below_their_drives() {
        let path = |windows: &str| Drives::path(&Automount::default(), windows.as_bytes());
        assert_eq!(path(r"C:\windows\system32").unwrap(), b"/mnt/c/windows/system32");
        assert_eq!(path("D:").unwrap(), b"/mnt/d");
        for odd in [r"\\server\share", "", "c", "/etc", "1:\\x"] {
            assert_eq!(path(odd), None, "{odd}");
        }
        let off = Automount { enabled: false, ..Automount::default() };
        assert_eq!(Drives::path(&off, b"C:\\x"), None);
    }
}
