//! What a session's PATH ends with: the directories of Windows' PATH, or one folder of links that are
//! named after the programs, with and without their extensions.
//!
//! The host keeps both below the user's data folder, and a session takes what it finds there: it looks
//! into none of these directories, among which a slow one may be. The host looks when it starts, and
//! again at a launch after one of them or the registry has changed. A session that starts before there
//! is a prefix gets the directories that every new one has.
//!
//! - `windows-path`: the directories, one a line.
//! - `programs`: the links. A session finds `ipconfig` there as well as `ipconfig.exe`, and a shell
//!   that completes names reads one folder instead of several large ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use winterop_settings::WindowsPathSetting;
use winterop_translate::command_line::ProgramKind;

use crate::programs::Programs;

/// More programs than this are nobody's.
const MOST_PROGRAMS: usize = 20_000;

/// A list of directories is never longer; the rest of one that is was not written by a host.
const LONGEST_LIST: u64 = 1 << 20;

/// What a session's PATH is to end with, from what the host has written below `data`.
#[must_use]
pub fn of_session(data: &Path, setting: WindowsPathSetting) -> Vec<PathBuf> {
    match setting {
        WindowsPathSetting::Links => vec![folder_of_links(data)],
        WindowsPathSetting::Directories => {
            let mut text = Vec::new();
            let file = File::open(list(data)).map(|file| file.take(LONGEST_LIST));
            match file.and_then(|mut file| file.read_to_end(&mut text)) {
                Ok(_) => lines(&text),
                Err(_) => Programs::of_new_prefix(&data.join("prefix")).folders(),
            }
        }
    }
}

/// Whether a host has ever got Wine ready for the user whose data this is, so that a session finds what it
/// takes.
#[must_use]
pub fn is_known(data: &Path) -> bool {
    list(data).is_file() && data.join("prefix").is_dir()
}

fn lines(text: &[u8]) -> Vec<PathBuf> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"/"));
    lines.map(|line| OsStr::from_bytes(line).into()).collect()
}

fn list(data: &Path) -> PathBuf {
    data.join("windows-path")
}

fn folder_of_links(data: &Path) -> PathBuf {
    data.join("programs")
}

/// Keeps what sessions take.
#[derive(Debug)]
pub struct Kept {
    prefix: PathBuf,
    data: PathBuf,
    /// With links; with such to batch files where the kernel starts them.
    links: Option<Batch>,
    /// What was looked at, and when it had changed last.
    seen: Mutex<Vec<Seen>>,
    looked: Mutex<Option<Instant>>,
}

/// Many launches in a row are not many reasons to look.
const INTERVAL: Duration = Duration::from_secs(1);

/// Whether batch files count as programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// The kernel starts them.
    Files,
    /// It does not.
    No,
}

/// A file or folder, and when it had changed last.
type Seen = (PathBuf, Option<(i64, i64)>);

impl Kept {
    /// For the programs of `prefix`, below `data`, with links if they are wanted.
    #[must_use]
    pub fn new(prefix: &Path, data: &Path, links: Option<Batch>) -> Self {
        let (prefix, data) = (prefix.to_owned(), data.to_owned());
        Self { prefix, data, links, seen: Mutex::default(), looked: Mutex::default() }
    }

    /// Whether it is time to look again whether anything has changed; then nobody else is told so.
    /// This itself looks at no file: one of the directories may be slow, or hang.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = looked.is_none_or(|last| last.elapsed() >= INTERVAL);
        if is_due {
            *looked = Some(Instant::now());
        }
        is_due
    }

    /// Writes it anew if any of the programs' folders or the registry has changed. That it fails is
    /// logged: a session has what was there before.
    pub fn refresh(&self) {
        let mut seen = match self.seen.try_lock() {
            Ok(seen) => seen,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Another thread is at it; where a directory hangs, one that waits is enough.
            Err(TryLockError::WouldBlock) => return,
        };
        if is_current(&seen) {
            return;
        }
        let folders = Programs::read(&self.prefix).folders();
        let registry = ["system.reg", "user.reg"].map(|name| self.prefix.join(name));
        // Before they are read: what changes meanwhile is noticed the next time.
        *seen = registry
            .into_iter()
            .chain(folders.iter().cloned())
            .map(|path| (path.clone(), changed_last(&path)))
            .collect();
        let written = write_list(&list(&self.data), &folders).and_then(|()| match self.links {
            Some(batch) => replace(&folder_of_links(&self.data), &wanted(&folders, batch)),
            None => Ok(()),
        });
        match written {
            Ok(()) => tracing::info!(directories = folders.len(), "what sessions append to PATH"),
            Err(error) => {
                tracing::warn!(data = %self.data.display(), %error, "what sessions append is old");
            }
        }
    }
}

/// Replaces the list in one step.
fn write_list(path: &Path, folders: &[PathBuf]) -> io::Result<()> {
    let is_usable = |folder: &&PathBuf| !folder.as_os_str().as_bytes().contains(&b'\n');
    let mut text = Vec::new();
    for folder in folders.iter().filter(is_usable) {
        text.extend_from_slice(folder.as_os_str().as_bytes());
        text.push(b'\n');
    }
    let fresh = path.with_file_name(format!(".new-windows-path-{}", std::process::id()));
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}

fn is_current(seen: &[Seen]) -> bool {
    !seen.is_empty() && seen.iter().all(|(path, changed)| changed_last(path) == *changed)
}

fn changed_last(path: &Path) -> Option<(i64, i64)> {
    fs::metadata(path).ok().map(|data| (data.mtime(), data.mtime_nsec()))
}

/// The links to make: names, and what they lead to.
fn wanted(folders: &[PathBuf], batch: Batch) -> BTreeMap<OsString, PathBuf> {
    let mut taken = BTreeSet::new();
    let mut links = BTreeMap::new();
    for folder in folders {
        for program in programs_in(folder, batch) {
            if links.len() >= MOST_PROGRAMS {
                return links;
            }
            // A batch file the kernel knows by its extension alone.
            let stem = program.file_stem().filter(|_| !is_batch(&program));
            for link in program.file_name().into_iter().chain(stem) {
                if taken.insert(link.as_bytes().to_ascii_lowercase()) {
                    links.insert(link.to_owned(), program.clone());
                }
            }
        }
    }
    links
}

/// The programs in a folder, in the order in which Windows prefers their extensions.
fn programs_in(folder: &Path, batch: Batch) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ranked = entries.filter_map(|entry| {
        let path = entry.path();
        let rank = rank(path.extension()?, batch)?;
        // Behind a link, too.
        let data = fs::metadata(&path).ok()?;
        (data.is_file() && data.mode() & 0o111 != 0).then_some((rank, path))
    });
    let mut ranked: Vec<(usize, PathBuf)> = ranked.take(MOST_PROGRAMS).collect();
    ranked.sort();
    ranked.into_iter().map(|(_, path)| path).collect()
}

fn is_batch(program: &Path) -> bool {
    ProgramKind::of(program.as_os_str().as_bytes()) == ProgramKind::Batch
}

/// The place of an extension among those that the kernel starts.
fn rank(extension: &OsStr, batch: Batch) -> Option<usize> {
    let known = ["com", "exe", "bat", "cmd"];
    let known = known.get(..if batch == Batch::Files { 4 } else { 2 }).unwrap_or_default();
    known.iter().position(|known| extension.eq_ignore_ascii_case(known))
}

/// Puts a folder with these links at `folder`, in one step.
fn replace(folder: &Path, links: &BTreeMap<OsString, PathBuf>) -> io::Result<()> {
    if present(folder).is_ok_and(|present| present == *links) {
        return Ok(());
    }
    let fresh = folder.with_file_name(format!(".new-programs-{}", std::process::id()));
    remove(&fresh)?;
    fs::create_dir(&fresh)?;
    for (name, target) in links {
        symlink(target, fresh.join(name))?;
    }
    match renameat_with(CWD, &fresh, CWD, folder, RenameFlags::EXCHANGE) {
        Err(Errno::NOENT) => fs::rename(&fresh, folder),
        Err(error) => Err(error.into()),
        Ok(()) => remove(&fresh),
    }
}

fn present(folder: &Path) -> io::Result<BTreeMap<OsString, PathBuf>> {
    let entries = fs::read_dir(folder)?;
    entries.map(|entry| entry.and_then(|e| Ok((e.file_name(), fs::read_link(e.path())?)))).collect()
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn touch(path: &Path) {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_first_folder_and_the_first_extension_win() {
        let base = tempfile::tempdir().unwrap();
        let folders = ["a", "b"].map(|name| base.path().join(name));
        for folder in &folders {
            fs::create_dir(folder).unwrap();
        }
        for file in ["a/x.EXE", "a/x.com", "a/y.bat", "a/lib.dll", "b/X.exe", "b/y.exe", "b/z.exe"]
        {
            touch(&base.path().join(file));
        }
        fs::write(base.path().join("b/plain.exe"), "").unwrap();
        let names = |batch| -> Vec<String> {
            let links = wanted(&folders, batch);
            let shown = |(name, target): (&OsString, &PathBuf)| {
                let target = target.strip_prefix(base.path()).unwrap();
                format!("{} {}", name.display(), target.display())
            };
            links.iter().map(shown).collect()
        };
        let exe = ["x a/x.com", "x.EXE a/x.EXE", "x.com a/x.com"];
        let without = ["y b/y.exe", "y.exe b/y.exe", "z b/z.exe", "z.exe b/z.exe"];
        assert_eq!(names(Batch::No), [&exe[..], &without].concat());
        let with = ["y b/y.exe", "y.bat a/y.bat", "y.exe b/y.exe", "z b/z.exe", "z.exe b/z.exe"];
        assert_eq!(names(Batch::Files), [&exe[..], &with].concat());
    }

    #[test]
    fn a_session_takes_what_the_host_has_written() {
        let base = tempfile::tempdir().unwrap();
        let data = base.path();
        let directories = || of_session(data, WindowsPathSetting::Directories);
        assert_eq!(directories().first().unwrap(), &data.join("prefix/drive_c/windows/system32"));
        assert_eq!(of_session(data, WindowsPathSetting::Links), [data.join("programs")]);
        let folders = ["/a b", "/c\nd", "/ü"].map(PathBuf::from);
        write_list(&list(data), &folders).unwrap();
        assert_eq!(directories(), [&folders[0], &folders[2]].map(PathBuf::from));
        fs::write(list(data), b"relative\n\n/x").unwrap();
        assert_eq!(directories(), [PathBuf::from("/x")]);
        // That there is nothing is noticed, and that there is something then.
        let kept = Kept::new(&data.join("prefix"), data, Some(Batch::No));
        assert!(kept.is_due() && !kept.is_due());
        let is_current = || is_current(&kept.seen.lock().unwrap());
        assert!(!is_current());
        kept.refresh();
        assert!(is_current() && data.join("programs").is_dir());
        fs::create_dir_all(data.join("prefix")).unwrap();
        fs::write(data.join("prefix/user.reg"), "").unwrap();
        assert!(!is_current());
    }

    #[test]
    fn the_folder_is_replaced_as_a_whole() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder_of_links(base.path());
        let links = |names: &[&str]| -> BTreeMap<OsString, PathBuf> {
            names
                .iter()
                .map(|name| (OsString::from(name), PathBuf::from("/t").join(name)))
                .collect()
        };
        for names in [&["a", "b"][..], &["b", "c"], &["b", "c"], &[]] {
            replace(&folder, &links(names)).unwrap();
            assert_eq!(present(&folder).unwrap(), links(names));
        }
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }
}
