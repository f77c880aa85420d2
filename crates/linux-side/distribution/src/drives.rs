//! The Windows drives of an instance, below `/mnt`.
//!
//! A drive is a link in the Wine prefix's `dosdevices`, and its folder is bound. `Z:`, the machine's
//! own root, is left out, and so is every folder that holds the distribution: it would hold itself.
//! A prefix that is made later than the instance is looked for at each new session ([`Drives::add`]).

use crate::mounts::bind_directory;
use std::fs;
use std::path::{Path, PathBuf};
use winterop_settings::wsl_conf::Automount;

/// Where the user's data is seen inside, for root alone.
pub(crate) const DATA: &str = "/run/winterop/data";

/// The drives of one instance.
#[derive(Debug, Default)]
pub struct Drives {
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
    pub fn path(automount: &Automount, windows: &[u8]) -> Option<Vec<u8>> {
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
    let devices = data.join("prefix/dosdevices");
    let inside = outside.join(devices.strip_prefix("/").unwrap_or(&devices));
    let entries = fs::read_dir(&inside).into_iter().flatten().flatten();
    let drives = entries.filter_map(|entry| {
        let name = entry.file_name();
        let [letter, b':'] = name.as_encoded_bytes() else { return None };
        let letter = char::from(*letter).to_ascii_lowercase();
        let target = fs::read_link(entry.path()).ok()?;
        // A relative link leads on from the folder that it is in; links on the way were written by
        // the host, which has only these two kinds.
        let folder = if target.is_absolute() { target } else { plain(&devices.join(target)) };
        let is_drive = letter.is_ascii_lowercase() && folder != Path::new("/");
        is_drive.then_some((letter, folder))
    });
    drives.collect()
}

/// The path with `..` taken out.
fn plain(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                result.pop();
            }
            std::path::Component::CurDir => {}
            part => result.push(part),
        }
    }
    result
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

    #[test]
    fn a_relative_link_is_followed_from_its_folder() {
        assert_eq!(
            plain(Path::new("/d/prefix/dosdevices/../drive_c")),
            Path::new("/d/prefix/drive_c")
        );
    }
}
