//! Drive letters as links in a folder, the `dosdevices` of a prefix: the one reader.
//!
//! A link `z:` leads to the folder that is `Z:\`, and folders `unc/SERVER/SHARE` are `\\SERVER\SHARE`. Entries
//! such as `com1` and `z::` (the raw device behind a drive) are not drives.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use winterop_translate::Drives;

/// By which servers the shares are reached that are distributions.
const SERVERS: [&str; 2] = ["wsl.localhost", "wsl$"];

/// A drive letter, `a` to `z`, kept in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Letter(u8);

impl Letter {
    /// The letter of this character, if it is one from A to Z in either case.
    #[must_use]
    pub fn new(character: char) -> Option<Self> {
        let byte = u8::try_from(character).ok()?;
        byte.is_ascii_alphabetic().then(|| Self(byte.to_ascii_lowercase()))
    }

    /// The letter in lower case.
    #[must_use]
    pub fn lower(self) -> char {
        char::from(self.0)
    }

    /// The letter as Windows shows it.
    #[must_use]
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

/// Why drives or links could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder with the drives cannot be read.
    #[error("cannot read the drives in {}: {source}", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A distribution's link cannot be made.
    #[error("cannot link {} to {}: {source}; make the prefix writable", path.display(), target.display())]
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

/// The folder with the links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveFolder(PathBuf);

impl DriveFolder {
    /// That of the prefix at `prefix`.
    #[must_use]
    pub fn of_prefix(prefix: &Path) -> Self {
        Self(prefix.join("dosdevices"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folder with the servers' shares.
    #[must_use]
    pub fn shares(&self) -> PathBuf {
        self.0.join("unc")
    }

    /// Reads the drives, sorted by letter. Links that lead nowhere are left out, as Windows leaves out a
    /// drive without a disk.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read(&self) -> Result<Vec<Drive>, Error> {
        let entries = fs::read_dir(&self.0);
        let entries = entries.map_err(|source| Error::Read { path: self.0.clone(), source })?;
        let followed = |entry: fs::DirEntry| {
            let letter = letter(&entry)?;
            let folder = fs::canonicalize(entry.path()).ok()?;
            folder.is_dir().then_some(Drive { letter, folder })
        };
        let mut drives: Vec<Drive> = entries.flatten().filter_map(followed).collect();
        drives.sort_by_key(|drive| drive.letter);
        Ok(drives)
    }

    /// The drives as a translator takes them.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn offered(&self) -> Result<Drives, Error> {
        let mut offered = Drives::default();
        for Drive { letter, folder } in self.read()? {
            offered.offer(letter.0, folder.as_os_str().as_bytes());
        }
        Ok(offered)
    }

    /// What the links say, of a root that lies at `outside` and cannot be entered: only the links
    /// themselves are read, so a folder may not be there, or lead on by further links.
    #[must_use]
    pub fn links_below(&self, outside: &Path) -> Vec<Drive> {
        let folder = outside.join(self.0.strip_prefix("/").unwrap_or(&self.0));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let links = entries.filter_map(|entry| {
            let letter = letter(&entry)?;
            let target = fs::read_link(entry.path()).ok()?;
            // A relative link leads on from the folder that it is in; links on the way were written by
            // the host, which has only these two kinds.
            let folder = if target.is_absolute() { target } else { plain(&self.0.join(target)) };
            Some(Drive { letter, folder })
        });
        links.collect()
    }

    /// The distributions that have a share, with their roots.
    #[must_use]
    pub fn distributions(&self) -> Vec<(OsString, PathBuf)> {
        let [server, _] = SERVERS;
        let entries = fs::read_dir(self.shares().join(server)).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| Some((entry.file_name(), fs::read_link(entry.path()).ok()?)))
            .collect()
    }

    /// Makes `\\wsl.localhost\NAME` and `\\wsl$\NAME` the folder `root`, replacing what they were.
    ///
    /// The links are replaced in one step each, so that no program sees a name without a folder.
    ///
    /// # Errors
    /// [`Error::Name`] for what is no name, [`Error::Link`].
    pub fn link_distribution(&self, name: &str, root: &Path) -> Result<(), Error> {
        if name.is_empty() || name.contains(['/', '\\', '\0']) || name == "." || name == ".." {
            return Err(Error::Name { name: name.to_owned() });
        }
        for server in SERVERS {
            let path = self.shares().join(server).join(name);
            replace_link(&path, root).map_err(|source| Error::Link {
                path: path.clone(),
                target: root.to_owned(),
                source,
            })?;
        }
        Ok(())
    }
}

/// The letter that a link in the folder is for.
fn letter(entry: &fs::DirEntry) -> Option<Letter> {
    match entry.file_name().as_encoded_bytes() {
        [letter, b':'] => Letter::new(char::from(*letter)),
        _ => None,
    }
}

/// The path with `..` taken out.
fn plain(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                result.pop();
            }
            Component::CurDir => {}
            part => result.push(part),
        }
    }
    result
}

/// Makes `path` a link to `target`, in one step, with the folders that it is in.
///
/// # Errors
/// The system's.
pub fn replace_link(path: &Path, target: &Path) -> io::Result<()> {
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
        let drives = DriveFolder::of_prefix(prefix.path()).read().unwrap();
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
            let drives = DriveFolder::of_prefix(prefix.path());
            drives.link_distribution("debian", Path::new(root)).unwrap();
            let link = prefix.path().join("dosdevices/unc/wsl.localhost/debian");
            assert_eq!(fs::read_link(link).unwrap(), Path::new(root));
        }
        let drives = DriveFolder::of_prefix(prefix.path());
        assert_eq!(drives.distributions(), [("debian".into(), "/usr".into())]);
        let folder = prefix.path().join("dosdevices/unc/wsl$");
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        let prefix = prefix();
        for name in ["", ".", "..", "a/b", "a\\b"] {
            let error = DriveFolder::of_prefix(prefix.path())
                .link_distribution(name, Path::new("/"))
                .unwrap_err();
            assert!(matches!(error, Error::Name { .. }), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_no_prefix_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = DriveFolder::of_prefix(folder.path()).read().unwrap_err().to_string();
        assert!(error.contains("dosdevices"), "{error}");
    }

    #[test]
    fn links_of_a_root_that_cannot_be_entered_are_followed_from_their_folder() {
        let outside = prefix();
        let folder = Path::new("/data/prefix/dosdevices");
        let inside = outside.path().join("data/prefix");
        fs::create_dir_all(&inside).unwrap();
        fs::rename(outside.path().join("dosdevices"), inside.join("dosdevices")).unwrap();
        let drives = DriveFolder::of_prefix(Path::new("/data/prefix"));
        assert_eq!(drives.path(), folder);
        let mut links = drives.links_below(outside.path());
        links.sort_by_key(|drive| drive.letter);
        let links: Vec<_> = links
            .iter()
            .map(|drive| (drive.letter.lower(), drive.folder.to_str().unwrap()))
            .collect();
        let expected = [('c', "/data/prefix/drive_c"), ('x', "/nowhere/at/all"), ('z', "/")];
        assert_eq!(links, expected);
    }
}
