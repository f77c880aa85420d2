//! Reads which Linux folder each drive letter of a prefix means, and keeps its UNC links.
//!
//! Wine keeps this in `dosdevices` below the prefix: a link `z:` to the folder that is `Z:\`, and
//! folders `unc/SERVER/SHARE` that are `\\SERVER\SHARE`. Entries such as `com1` and `z::` (the raw
//! device behind a drive) are not drives.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use winterop_translate::Drives;

/// A drive letter, `a` to `z`, kept in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Letter(u8);

impl Letter {
    /// The letter of this character, if it is one from A to Z in either case.
    pub fn new(character: char) -> Option<Self> {
        let byte = u8::try_from(character).ok()?;
        byte.is_ascii_alphabetic().then(|| Self(byte.to_ascii_lowercase()))
    }

    /// The letter in lower case.
    pub fn lower(self) -> char {
        char::from(self.0)
    }

    /// The letter as Windows shows it.
    pub fn upper(self) -> char {
        char::from(self.0.to_ascii_uppercase())
    }
}

/// One drive: the folder that is its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// Its letter.
    pub letter: Letter,
    /// The folder, absolute and without links.
    pub folder: PathBuf,
}

/// Why drives or links of a prefix could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder with the drives cannot be read.
    #[error("cannot read the drives in {}: {source}; is it a Wine prefix?", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A distribution's link cannot be made.
    #[error("cannot link {} to {}: {source}; make the Wine prefix writable", path.display(), target.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// What it was to name.
        target: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name that cannot be one part of a path.
    #[error("{name:?} cannot be the name of a share: it must be one part of a path")]
    Name {
        /// The name.
        name: String,
    },
}

/// Reads the drives of the prefix at `prefix`, sorted by letter. Links that lead nowhere are left
/// out, as Windows leaves out a drive without a disk.
pub fn read(prefix: &Path) -> Result<Vec<Drive>, Error> {
    let path = prefix.join("dosdevices");
    let entries = fs::read_dir(&path);
    let entries = entries.map_err(|source| Error::Read { path: path.clone(), source })?;
    let mut drives: Vec<Drive> = entries.flatten().filter_map(|entry| drive(&entry)).collect();
    drives.sort_by_key(|drive| drive.letter);
    Ok(drives)
}

/// The drives of the prefix as a translator takes them.
pub fn offered(prefix: &Path) -> Result<Drives, Error> {
    let mut offered = Drives::default();
    for drive in read(prefix)? {
        // The letter is ASCII by its type.
        let letter = u8::try_from(drive.letter.upper()).unwrap_or(b'Z');
        offered.offer(letter, drive.folder.as_os_str().as_bytes());
    }
    Ok(offered)
}

fn drive(entry: &fs::DirEntry) -> Option<Drive> {
    let name = entry.file_name();
    let [letter, b':'] = name.as_encoded_bytes() else { return None };
    let letter = Letter::new(char::from(*letter))?;
    let folder = fs::canonicalize(entry.path()).ok()?;
    folder.is_dir().then_some(Drive { letter, folder })
}

/// Makes `\\wsl.localhost\NAME` and `\\wsl$\NAME` the folder `root`, replacing what they were.
///
/// The links are replaced in one step each, so that no program sees a name without a folder.
pub fn link_distribution(prefix: &Path, name: &str, root: &Path) -> Result<(), Error> {
    if name.is_empty() || name.contains(['/', '\\', '\0']) || name == "." || name == ".." {
        return Err(Error::Name { name: name.to_owned() });
    }
    for server in ["wsl.localhost", "wsl$"] {
        let path = prefix.join("dosdevices/unc").join(server).join(name);
        replace_link(&path, root).map_err(|source| Error::Link {
            path: path.clone(),
            target: root.to_owned(),
            source,
        })?;
    }
    Ok(())
}

/// Makes `path` a link to `target`, in one step.
pub(crate) fn replace_link(path: &Path, target: &Path) -> io::Result<()> {
    if fs::read_link(path).is_ok_and(|current| current == target) {
        return Ok(());
    }
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    // A name of this process's own, so that two hosts at once do not take each other's.
    let fresh = folder.join(format!(".new-{}", std::process::id()));
    if let Err(error) = fs::remove_file(&fresh)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    symlink(target, &fresh)?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix() -> tempfile::TempDir {
        let prefix = tempfile::tempdir().unwrap();
        fs::create_dir_all(prefix.path().join("drive_c")).unwrap();
        fs::create_dir_all(prefix.path().join("dosdevices")).unwrap();
        symlink("../drive_c", prefix.path().join("dosdevices/c:")).unwrap();
        symlink("/", prefix.path().join("dosdevices/z:")).unwrap();
        symlink("/dev/null", prefix.path().join("dosdevices/d::")).unwrap();
        symlink("/dev/null", prefix.path().join("dosdevices/com1")).unwrap();
        symlink("/nowhere/at/all", prefix.path().join("dosdevices/x:")).unwrap();
        prefix
    }

    #[test]
    fn only_letters_that_lead_to_folders_are_drives() {
        let prefix = prefix();
        let drives = read(prefix.path()).unwrap();
        let c = prefix.path().canonicalize().unwrap().join("drive_c");
        let letters: Vec<_> = drives.iter().map(|drive| drive.letter.upper()).collect();
        assert_eq!(letters, ['C', 'Z']);
        assert_eq!(drives[0].folder, c);
        assert_eq!(drives[1].folder, Path::new("/"));
    }

    #[test]
    fn a_distribution_is_linked_and_moved() {
        let prefix = prefix();
        for root in ["/", "/usr", "/usr"] {
            link_distribution(prefix.path(), "debian", Path::new(root)).unwrap();
            let link = prefix.path().join("dosdevices/unc/wsl.localhost/debian");
            assert_eq!(fs::read_link(link).unwrap(), Path::new(root));
        }
        let folder = prefix.path().join("dosdevices/unc/wsl$");
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        let prefix = prefix();
        for name in ["", ".", "..", "a/b", "a\\b"] {
            let error = link_distribution(prefix.path(), name, Path::new("/")).unwrap_err();
            assert!(matches!(error, Error::Name { .. }), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_no_prefix_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("Wine prefix"), "{error}");
    }
}
