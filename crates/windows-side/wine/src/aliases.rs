//! Names that Wine can open for files whose own names it cannot.
//!
//! Wine 8 starts no program and opens no working directory below a drive letter where a name on the
//! way has one of `* ? " < > | \`, a control character, or a dot or a blank at its end: it knows
//! nothing of private-use characters, and takes `\\?\unix\…` for files that a program opens, but not
//! for these two. A program named like a device (`nul.exe`) is taken for the device, and a working
//! directory may have no more than 259 characters. So such a file
//! gets a link without all that, in a folder of the host's own: Windows programs see the link's
//! name, and everything below it, as they would see any other.

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, statat, utimensat};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use winterop_translate::bytes::to_utf16;
use winterop_translate::paths::{is_device, opens_in_wine};

/// The most UTF-16 units that a directory may have, with a drive letter and a backslash at its end.
const LONGEST_DIRECTORY: usize = 259 - 3;

/// How many links are kept: the one that was used least recently makes room for a new one.
const MOST: usize = 1024;

/// The folder with the links.
#[derive(Debug)]
pub struct Aliases {
    folder: PathBuf,
}

impl Aliases {
    /// Keeps links in `folder`, which is made when the first one is.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Removes all of them: nothing that could use one runs any more.
    pub fn remove(&self) {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let folder = self.folder.display();
                tracing::warn!(%error, %folder, "links to oddly named files stay");
            }
            _ => {}
        }
    }

    /// A name for the program at the absolute path `path` that Wine opens below a drive letter; the
    /// path itself where it is one.
    ///
    /// # Errors
    /// The system's, where a link cannot be made.
    pub fn of_program(&self, path: &Path) -> io::Result<PathBuf> {
        // Wine would take the last name of the path, and only that, for the device.
        let is_device = path.file_name().is_some_and(|name| is_device(name.as_bytes()));
        if is_device { self.through_link(path, path) } else { self.without_odd(path) }
    }

    /// The same for a directory to start in, which may not be too long either.
    ///
    /// # Errors
    /// The system's, where a link cannot be made.
    pub fn of_directory(&self, path: &Path) -> io::Result<PathBuf> {
        let name = self.without_odd(path)?;
        let is_long = to_utf16(name.as_os_str().as_bytes()).len() > LONGEST_DIRECTORY;
        if is_long { self.through_link(path, path) } else { Ok(name) }
    }

    fn without_odd(&self, path: &Path) -> io::Result<PathBuf> {
        match last_odd(path) {
            Some(odd) => self.through_link(path, &odd),
            None => Ok(path.to_owned()),
        }
    }

    fn make_room(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries.flatten(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut links: Vec<_> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        links.sort();
        for (_, link) in links.iter().take((links.len() + 1).saturating_sub(MOST)) {
            match fs::remove_file(link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// `path` with a link in the place of `odd`, its beginning.
    fn through_link(&self, path: &Path, odd: &Path) -> io::Result<PathBuf> {
        let link = self.folder.join(link_name(odd));
        if leads_to(&link, odd) {
            note_use(&link);
        } else {
            self.make_room()?;
            make(&link, odd)?;
        }
        let rest = path.strip_prefix(odd).unwrap_or(Path::new(""));
        Ok(if rest.as_os_str().is_empty() { link } else { link.join(rest) })
    }
}

/// The beginning of `path` up to the last name that Wine cannot open.
fn last_odd(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|part| is_odd(part)).map(Path::to_owned)
}

fn is_odd(path: &Path) -> bool {
    let Some(Component::Normal(name)) = path.components().next_back() else { return false };
    let name = name.as_bytes();
    !opens_in_wine(name) || name.contains(&b'\\') || std::str::from_utf8(name).is_err()
}

/// A name for the link: what can stay of the old one, and what tells it from all others.
fn link_name(odd: &Path) -> PathBuf {
    let name = odd.file_name().unwrap_or_default();
    let name = String::from_utf8_lossy(name.as_bytes());
    // Windows passes over dots and blanks at the end too: `x.bat.` is a batch file.
    let kept = name.trim_end_matches(['.', ' ']).chars();
    let kept: String = kept.map(|c| if is_plain(c) { c } else { '_' }).collect();
    let (stem, extension) = match kept.rsplit_once('.') {
        Some((stem, extension)) if extension.len() < 8 => (stem, format!(".{extension}")),
        _ => (&*kept, String::new()),
    };
    let stem: String = stem.chars().take(40).collect();
    let mark = fnv(odd.as_os_str().as_bytes());
    PathBuf::from(format!("{stem}-{mark:016x}{extension}"))
}

fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '.' | '-' | '_' | '+')
}

/// FNV-1a with 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn leads_to(link: &Path, target: &Path) -> bool {
    fs::read_link(link).is_ok_and(|current| current == target)
        && statat(CWD, link, AtFlags::empty()).is_ok()
}

/// A link's own time says when it was last used; where that cannot be noted it only goes earlier.
fn note_use(link: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    let _ = utimensat(CWD, link, &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// Makes or replaces a link in one step.
fn make(link: &Path, target: &Path) -> io::Result<()> {
    let folder = link.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let mut fresh = link.as_os_str().to_owned().into_vec();
    fresh.extend_from_slice(format!(".new-{:?}", std::thread::current().id()).as_bytes());
    let fresh = PathBuf::from(std::ffi::OsString::from_vec(fresh));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, &fresh)?;
    fs::rename(&fresh, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay() {
        let folder = tempfile::tempdir().unwrap();
        let aliases = Aliases::new(folder.path().join("names"));
        for path in ["/", "/usr/a b/x.exe", "/a:b/x", "/con/ü/.con"] {
            assert_eq!(aliases.of_program(Path::new(path)).unwrap(), Path::new(path));
        }
        assert!(!folder.path().join("names").exists());
    }

    #[test]
    fn odd_names_are_linked_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let aliases = Aliases::new(folder.path().join("names"));
        for odd in [&b"a*b"[..], b"a\\b", b"dot.", b"blank ", b"a\nb", b"\xff", b"x?y.exe"] {
            let base = folder.path().join("base").join(std::ffi::OsStr::from_bytes(odd));
            fs::create_dir_all(&base).unwrap();
            fs::write(base.join("x.exe"), "MZ").unwrap();
            let name = aliases.of_program(&base.join("x.exe")).unwrap();
            assert!(last_odd(&name).is_none(), "{}", name.display());
            assert_eq!(
                fs::canonicalize(&name).unwrap(),
                base.canonicalize().unwrap().join("x.exe")
            );
            assert_eq!(aliases.of_program(&base.join("x.exe")).unwrap(), name);
        }
        let device = folder.path().join("base/nul.exe");
        assert!(!is_device(aliases.of_program(&device).unwrap().file_name().unwrap().as_bytes()));
        for program in ["x?y.exe", "x.exe.", "x.exe . ."] {
            let link = aliases.of_program(&folder.path().join("base").join(program)).unwrap();
            assert!(link.to_string_lossy().ends_with(".exe"), "{}", link.display());
        }
        assert_eq!(fs::read_dir(folder.path().join("names")).unwrap().count(), 10);
    }

    #[test]
    fn the_least_recently_used_link_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let aliases = Aliases::new(folder.path().join("names"));
        let odd = |number: usize| {
            let path = folder.path().join(format!("{number}*"));
            fs::create_dir_all(&path).unwrap();
            aliases.of_directory(&path).unwrap()
        };
        let first = odd(0);
        let long_ago = Timespec { tv_sec: 1, tv_nsec: 0 };
        let times = Timestamps { last_access: long_ago, last_modification: long_ago };
        let second = odd(1);
        for link in [&first, &second] {
            utimensat(CWD, link, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
        assert_eq!(odd(0), first);
        for number in 2..=MOST {
            odd(number);
        }
        assert_eq!(fs::read_dir(folder.path().join("names")).unwrap().count(), MOST);
        assert!(first.exists() && !second.exists());
        aliases.remove();
        aliases.remove();
        assert!(!folder.path().join("names").exists());
    }

    #[test]
    fn directories_that_are_too_long_are_linked() {
        let folder = tempfile::tempdir().unwrap();
        let aliases = Aliases::new(folder.path().join("names"));
        let long = folder.path().join("n".repeat(200)).join("m".repeat(200));
        fs::create_dir_all(&long).unwrap();
        let name = aliases.of_directory(&long).unwrap();
        assert!(name.as_os_str().len() < 200, "{}", name.display());
        assert_eq!(fs::canonicalize(name).unwrap(), long.canonicalize().unwrap());
        assert_eq!(aliases.of_program(&long).unwrap(), long);
    }
}
