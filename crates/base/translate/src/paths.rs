//! Linux paths to Windows paths and back.
//!
//! A [`Translator`] knows three kinds of places with a name on both sides:
//! - mounts that show a Windows directory (from the [`MountTable`]): the truth under WSL;
//! - [`Drives`]: Linux directories that the host offers as drive letters, as Wine offers a prefix's
//!   `dosdevices`. A mount that shows the same directory of the same file system counts too, so
//!   `/mnt/c` is `C:\` where a prefix's `drive_c` is bind mounted there;
//! - distributions: `\\wsl.localhost\NAME` and `\\wsl$\NAME`.
//!
//! Where several names are right, one with a drive letter is preferred (cmd.exe cannot work in a
//! directory without), and of those the one that leaves the least of the path behind it.
//!
//! # Names that Windows cannot have
//! The characters `\ : * ? " < > |` and control characters other than tab go as private-use
//! characters, U+F000 plus the character, as WSL has it. Under `\\wsl.localhost` they are turned
//! back on the way to Linux. On a mounted Windows drive they are not: the file system driver does
//! that, and WSL's `wslpath` leaves them alone. Dots and spaces at the end of a name stay as they
//! are. So a translation comes back as it was if the name holds no private-use characters of its
//! own, and, on a mounted Windows drive, none of those characters.
//!
//! All of this is lexical: links are followed, if at all, by the caller and before.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::bytes::{eq_ignore_case, for_display, strip_prefix_ignore_case, to_utf16};
use crate::mounts::{Device, MountTable, strip_directory};

/// An absolute or relative Linux path: bytes without NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinuxPath<'a>(pub &'a [u8]);

impl<'a> LinuxPath<'a> {
    /// Tells whether the path begins with a slash.
    pub fn is_absolute(self) -> bool {
        self.0.first() == Some(&b'/')
    }

    /// The part behind the last slash.
    pub fn file_name(self) -> &'a [u8] {
        self.0.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// Makes the path absolute by putting `directory` in front of a relative one; nothing else.
    pub fn in_directory(self, directory: LinuxPath) -> Cow<'a, [u8]> {
        if self.is_absolute() {
            return Cow::Borrowed(self.0);
        }
        Cow::Owned([directory.0, b"/", self.0].concat())
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for LinuxPath<'a> {
    fn from(path: &'a T) -> Self {
        Self(path.as_ref())
    }
}

impl fmt::Display for LinuxPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&for_display(self.0))
    }
}

impl fmt::Debug for LinuxPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.0), f)
    }
}

/// A Windows path, as bytes that are read as WTF-8 (see [`crate::bytes`]).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowsPath(Vec<u8>);

impl WindowsPath {
    /// Takes bytes as a Windows path, as they are.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The path's bytes, as they go onto the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path's bytes, as they go onto the wire.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The path as UTF-16 units without a NUL; lossy as [`to_utf16`] is.
    pub fn to_utf16(&self) -> Vec<u16> {
        to_utf16(&self.0)
    }

    /// The same path with forward slashes, as `wslpath -m` prints it.
    pub fn with_forward_slashes(mut self) -> Self {
        for byte in &mut self.0 {
            if *byte == b'\\' {
                *byte = b'/';
            }
        }
        self
    }

    /// Tells whether the path is below a drive letter, and so can be cmd.exe's directory.
    pub fn has_drive_letter(&self) -> bool {
        matches!(self.0.as_slice(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic())
    }

    /// Tells whether WSL takes the path for absolute: a drive letter, or two slashes of any kind.
    pub fn is_absolute(&self) -> bool {
        is_absolute(&self.0)
    }

    /// The part behind the last slash of either kind.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&byte| is_separator(byte)).next().unwrap_or_default()
    }

    /// Reads what a mount says it shows: a drive with or without a slash of either kind behind it,
    /// or `UNC\server\share`. No backslash at the end.
    pub(crate) fn root_of_mount(text: &[u8]) -> Option<Self> {
        let mut root: Vec<u8> = Vec::with_capacity(text.len() + 2);
        match text {
            [b'U', b'N', b'C', b'\\' | b'/', rest @ ..] => {
                root.extend_from_slice(b"\\\\");
                root.extend_from_slice(rest);
            }
            [b'\\' | b'/', b'\\' | b'/', ..] => root.extend_from_slice(text),
            [letter, b':'] | [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic() => {
                root.extend_from_slice(text);
            }
            _ => return None,
        }
        for byte in &mut root {
            if *byte == b'/' {
                *byte = b'\\';
            }
        }
        while root.last() == Some(&b'\\') {
            root.pop();
        }
        (!root.is_empty()).then_some(Self(root))
    }
}

impl fmt::Display for WindowsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&for_display(&self.0))
    }
}

impl fmt::Debug for WindowsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

pub(crate) fn is_separator(byte: u8) -> bool {
    matches!(byte, b'\\' | b'/')
}

pub(crate) fn is_absolute(path: &[u8]) -> bool {
    match path {
        [first, second, _, ..] if is_separator(*first) && is_separator(*second) => true,
        [letter, b':', _, ..] => letter.is_ascii_alphabetic(),
        _ => false,
    }
}

/// Why a path has no name on the other side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// The path is relative and was not joined to a directory before.
    #[error("{0} is not an absolute path")]
    NotAbsolute(String),
    /// A NUL cannot be in a path of either side.
    #[error("{0} contains a NUL character")]
    Nul(String),
    /// No mount, drive or distribution holds the Linux path.
    #[error(
        "{0} has no Windows name: it is not on a mounted Windows drive, below no directory that \
         the host offers as a drive letter, and no distribution's name is known"
    )]
    NoWindowsName(String),
    /// No mount, drive or distribution holds the Windows path.
    #[error(
        "{0} has no Linux name: its drive, share or distribution is not mounted or offered here"
    )]
    NoLinuxName(String),
}

/// How a host's drives name files whose names Windows cannot have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// With private-use characters, as WSL does.
    #[default]
    PrivateUse,
    /// As Wine opens them: Wine 8 knows nothing of private-use characters. A colon may stand in a
    /// name, and what else Windows forbids is reached as `\\?\unix` and the Linux path. Only a
    /// backslash cannot be named at all and still goes as a private-use character.
    Wine,
}

/// The Linux directories that a host offers as drive letters, named as the caller sees them.
///
/// ```
/// let mut drives = winterop_translate::Drives::default();
/// drives.offer(b'Z', b"/");
/// drives.offer(b'C', b"/home/me/.local/share/winterop/prefix/drive_c");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drives {
    drives: Vec<Drive>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Drive {
    letter: u8,
    /// Without a slash at the end: empty for the root.
    directory: Vec<u8>,
    /// Where that is on its file system, and the mount it lies on.
    location: Option<Location>,
    /// The directory, or the mount point that shows the same.
    linux_name: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Location {
    mount: usize,
    device: Device,
    path: Vec<u8>,
}

impl Drives {
    /// Offers an absolute directory as a drive; a letter offered before is replaced.
    ///
    /// What is not a letter or not absolute is ignored.
    pub fn offer(&mut self, letter: u8, directory: &[u8]) {
        if !letter.is_ascii_alphabetic() || directory.first() != Some(&b'/') {
            return;
        }
        let letter = letter.to_ascii_uppercase();
        let directory = without_slash(&normalize(directory)).to_vec();
        self.drives.retain(|drive| drive.letter != letter);
        self.drives.push(Drive {
            letter,
            linux_name: directory.clone(),
            directory,
            location: None,
        });
        self.drives.sort_by_key(|drive| drive.letter);
    }

    /// The letters and directories offered, in the order of the letters.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.drives.iter().map(|drive| (drive.letter, or_root(&drive.directory)))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Distribution {
    name: Vec<u8>,
    /// Without a slash at the end: empty for the root.
    root: Vec<u8>,
}

/// Translates absolute paths between Linux and Windows.
///
/// ```
/// use winterop_translate::{Drives, MountTable, Translator, WindowsPath};
///
/// let mounts = MountTable::parse(b"20 1 0:50 / /mnt/c rw - 9p none rw,aname=drvfs;path=C:\\134\n");
/// let translator = Translator::new(mounts).with_distribution(b"Debian", b"/");
/// let path = translator.to_windows(b"/mnt/c/Users/me".into())?;
/// assert_eq!(path.as_bytes(), b"C:\\Users\\me");
/// assert_eq!(translator.to_linux(&path)?, b"/mnt/c/Users/me");
/// let path = translator.to_windows(b"/etc".into())?;
/// assert_eq!(path.as_bytes(), b"\\\\wsl.localhost\\Debian\\etc");
/// # Ok::<(), winterop_translate::paths::TranslateError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translator {
    mounts: MountTable,
    drives: Vec<Drive>,
    distributions: Vec<Distribution>,
    naming: Naming,
}

impl Translator {
    /// Makes a translator that knows the mounts and nothing else.
    pub fn new(mounts: MountTable) -> Self {
        Self { mounts, ..Self::default() }
    }

    /// Adds the drives that the host offers; they replace those added before.
    #[must_use]
    pub fn with_drives(mut self, drives: Drives) -> Self {
        self.drives = drives.drives;
        for drive in &mut self.drives {
            drive.location = locate(&self.mounts, &drive.directory);
            if let Some(location) = &drive.location
                && let Some(name) = other_name(&self.mounts, location)
            {
                drive.linux_name = name;
            }
        }
        self
    }

    /// Adds a distribution: its name, and its root directory as the caller sees it (`/` for the
    /// caller's own). Names that are empty or hold a slash, and relative roots, are ignored.
    #[must_use]
    pub fn with_distribution(mut self, name: &[u8], root: &[u8]) -> Self {
        let valid = !name.is_empty() && !name.iter().any(|&byte| is_separator(byte) || byte == 0);
        if valid && root.first() == Some(&b'/') {
            let root = without_slash(&normalize(root)).to_vec();
            self.distributions.push(Distribution { name: name.to_vec(), root });
        }
        self
    }

    /// Says how the host's drives name what Windows cannot name; [`Naming::PrivateUse`] if unsaid.
    #[must_use]
    pub fn with_naming(mut self, naming: Naming) -> Self {
        self.naming = naming;
        self
    }

    /// The table of mounts this translator looks at.
    pub fn mounts(&self) -> &MountTable {
        &self.mounts
    }

    /// Translates an absolute Linux path. `.` and `..` are resolved lexically, a slash at the end
    /// stays.
    ///
    /// # Errors
    /// If the path is relative, holds a NUL or has no Windows name.
    pub fn to_windows(&self, path: LinuxPath) -> Result<WindowsPath, TranslateError> {
        if !path.is_absolute() {
            return Err(TranslateError::NotAbsolute(for_display(path.0)));
        }
        if path.0.contains(&0) {
            return Err(TranslateError::Nul(for_display(path.0)));
        }
        let path = normalize(path.0);
        let lies_on = self.mounts.innermost_index(&path).and_then(|index| self.mounts.get(index));
        let shown = lies_on.and_then(|mount| {
            let root = mount.windows_root()?;
            Some((root, strip_directory(&path, mount.point_key())?))
        });
        if let Some((root, rest)) = shown
            && matches!(root.as_bytes(), [_, b':', ..])
        {
            return Ok(join(root.as_bytes(), rest));
        }
        if let Some(imported) = self.in_imported(&path) {
            return Ok(imported);
        }
        if let Some(on_drive) = self.on_drive(&path) {
            return Ok(on_drive);
        }
        if let Some((root, rest)) = shown {
            return Ok(join(root.as_bytes(), rest));
        }
        self.in_distribution(&path).ok_or_else(|| TranslateError::NoWindowsName(for_display(&path)))
    }

    /// Translates an absolute Linux path to one with a drive letter, also where
    /// [`Self::to_windows`] names it by its distribution: for what Windows takes no share for.
    #[must_use]
    pub fn to_drive(&self, path: LinuxPath) -> Option<WindowsPath> {
        let is_right = path.is_absolute() && !path.0.contains(&0);
        self.on_drive(&normalize(path.0)).filter(|_| is_right)
    }

    /// Names a path in a distribution that has a directory of the machine's as its root. A drive
    /// that leads into that directory is nearer, and every other drive is the machine's view.
    fn in_imported(&self, path: &[u8]) -> Option<WindowsPath> {
        let imported = self.distributions.iter().filter(|each| !each.root.is_empty());
        let root = imported
            .map(|each| each.root.as_slice())
            .filter(|root| strip_directory(path, root).is_some())
            .max_by_key(|root| root.len())?;
        let is_nearer = |drive: &Drive| {
            strip_directory(&drive.directory, root).is_some()
                && strip_directory(path, &drive.directory).is_some()
        };
        match self.drives.iter().any(is_nearer) {
            true => None,
            false => self.in_distribution(path),
        }
    }

    /// Names a path below the drive that leaves the least of it.
    fn on_drive(&self, path: &[u8]) -> Option<WindowsPath> {
        let (drive, (head, tail)) = self
            .drives
            .iter()
            .filter_map(|drive| Some((drive, self.below(drive, path)?)))
            .min_by_key(|(_, (head, tail))| head.len() + tail.len())?;
        let rest = if head.is_empty() { Cow::Borrowed(tail) } else { [head, tail].concat().into() };
        if self.naming == Naming::Wine && !opens_in_wine(&rest) && !path.contains(&b'\\') {
            let mut name = b"\\\\?\\unix".to_vec();
            name.extend(path.iter().map(|&byte| if byte == b'/' { b'\\' } else { byte }));
            return Some(WindowsPath(name));
        }
        Some(match self.naming {
            Naming::PrivateUse => join(&[drive.letter, b':'], &rest),
            Naming::Wine => join_for_wine(drive.letter, &rest),
        })
    }

    /// What a path has below a drive's directory, in two pieces: by name, or because a mount shows
    /// part of the same file system at another place.
    fn below<'a>(&'a self, drive: &Drive, path: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let by_name = strip_directory(path, &drive.directory).map(|rest| (&b""[..], rest));
        let by_mount = self.below_elsewhere(drive, path);
        match (by_name, by_mount) {
            (Some(name), Some(mount)) => {
                let shorter = mount.0.len() + mount.1.len() < name.1.len();
                Some(if shorter { mount } else { name })
            }
            (name, mount) => name.or(mount),
        }
    }

    fn below_elsewhere<'a>(
        &'a self,
        drive: &Drive,
        path: &'a [u8],
    ) -> Option<(&'a [u8], &'a [u8])> {
        let location = drive.location.as_ref()?;
        let index = self.mounts.innermost_index(path)?;
        let mount = self.mounts.get(index)?;
        if mount.device() != location.device || index == location.mount {
            return None;
        }
        let rest = strip_directory(path, mount.point_key())?;
        let (head, tail) = match strip_directory(mount.root_key(), &location.path) {
            // The mount shows the drive's directory or one below it.
            Some(head) => (head, rest),
            // The mount shows a directory above the drive's.
            None => {
                let below_mount = strip_directory(&location.path, mount.root_key())?;
                (&b""[..], strip_directory(rest, below_mount)?)
            }
        };
        // Something else may be mounted at the same place below the drive's own directory.
        let by_drive = [&drive.directory, head, tail].concat();
        (self.mounts.innermost_index(&by_drive) == Some(location.mount)).then_some((head, tail))
    }

    fn in_distribution(&self, path: &[u8]) -> Option<WindowsPath> {
        let (distribution, rest) = self
            .distributions
            .iter()
            .filter_map(|each| Some((each, strip_directory(path, &each.root)?)))
            .min_by_key(|(_, rest)| rest.len())?;
        let mut name = Vec::with_capacity(path.len() + distribution.name.len() + 24);
        name.extend_from_slice(b"\\\\wsl.localhost\\");
        name.extend_from_slice(&distribution.name);
        escape_into(&mut name, if rest.is_empty() { b"/" } else { rest });
        Some(WindowsPath(name))
    }

    /// Translates an absolute Windows path, with any kind and number of slashes, ignoring case,
    /// with or without `\\?\` or `\\.\` before it. `..` never leads above a drive or share, and a
    /// backslash at the end stays.
    ///
    /// # Errors
    /// If the path is relative, holds a NUL or has no Linux name.
    pub fn to_linux(&self, path: &WindowsPath) -> Result<Vec<u8>, TranslateError> {
        if path.0.contains(&0) {
            return Err(TranslateError::Nul(for_display(&path.0)));
        }
        let no_name = || TranslateError::NoLinuxName(for_display(&path.0));
        if !(is_absolute(&path.0) || is_drive(&path.0)) {
            return Err(TranslateError::NotAbsolute(for_display(&path.0)));
        }
        match canonical(&path.0).ok_or_else(no_name)? {
            Canonical::Linux(linux) => match self.naming {
                Naming::Wine => Ok(linux),
                Naming::PrivateUse => Err(no_name()),
            },
            Canonical::Windows(windows) => self.canonical_to_linux(&windows).ok_or_else(no_name),
        }
    }

    fn canonical_to_linux(&self, path: &[u8]) -> Option<Vec<u8>> {
        if let Some((mount, rest)) = self.mounts.by_windows_path(path) {
            return Some(linux_below(mount.point_key(), rest, flip_into));
        }
        if let [letter, b':', rest @ ..] = path {
            let letter = letter.to_ascii_uppercase();
            let drive = self.drives.iter().find(|drive| drive.letter == letter)?;
            let push = match self.naming {
                Naming::PrivateUse => unescape_into,
                Naming::Wine => flip_into,
            };
            return Some(linux_below(&drive.linux_name, rest, push));
        }
        let share = strip_prefix_ignore_case(path, b"\\\\wsl.localhost\\")
            .or_else(|| strip_prefix_ignore_case(path, b"\\\\wsl$\\"))?;
        let end = share.iter().position(|&byte| byte == b'\\').unwrap_or(share.len());
        let (name, rest) = share.split_at_checked(end)?;
        let distribution =
            self.distributions.iter().find(|each| eq_ignore_case(&each.name, name))?;
        Some(linux_below(&distribution.root, rest, unescape_into))
    }
}

/// Puts a Windows root and the rest of a Linux path together.
fn join(root: &[u8], rest: &[u8]) -> WindowsPath {
    let mut path = Vec::with_capacity(root.len() + rest.len() + 8);
    path.extend_from_slice(root);
    if rest.is_empty() && is_drive(root) {
        path.push(b'\\');
    }
    escape_into(&mut path, rest);
    WindowsPath(path)
}

/// Puts a drive and the rest of a Linux path together for Wine, which takes a colon as it is.
fn join_for_wine(letter: u8, rest: &[u8]) -> WindowsPath {
    let mut path = Vec::with_capacity(rest.len() + 8);
    path.extend_from_slice(&[letter, b':']);
    if rest.is_empty() {
        path.push(b'\\');
    }
    for &byte in rest {
        match byte {
            b'/' => path.push(b'\\'),
            b'\\' => push_private_use(&mut path, byte),
            _ => path.push(byte),
        }
    }
    WindowsPath(path)
}

/// Tells whether Wine opens a name, or names with slashes between them, below a drive letter, and
/// not only as `\\?\unix\…`.
pub fn opens_in_wine(rest: &[u8]) -> bool {
    rest.split(|&byte| byte == b'/').all(|name| {
        !name.iter().any(|byte| matches!(byte, 0..=31 | b'*' | b'?' | b'"' | b'<' | b'>' | b'|'))
            && !matches!(name.last(), Some(b'.' | b' '))
    })
}

/// Tells whether Windows takes the name of a file for a device: `con`, `NUL.txt`, `com1 .log`.
pub fn is_device(name: &[u8]) -> bool {
    let stem = name.split(|byte| matches!(byte, b'.' | b':')).next().unwrap_or_default();
    let stem = stem.trim_ascii_end();
    let named = |device: &&[u8]| stem.eq_ignore_ascii_case(device);
    let numbered =
        |device: &[u8]| device.eq_ignore_ascii_case(b"com") || device.eq_ignore_ascii_case(b"lpt");
    [&b"con"[..], b"prn", b"aux", b"nul", b"conin$", b"conout$"].iter().any(named)
        || matches!(stem, [device @ .., b'1'..=b'9'] if numbered(device))
}

/// Puts a Linux directory and the rest of a Windows path together.
fn linux_below(directory: &[u8], rest: &[u8], push: fn(&mut Vec<u8>, &[u8])) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + rest.len() + 1);
    path.extend_from_slice(directory);
    push(&mut path, rest);
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

/// Appends part of a Windows path with slashes the other way and nothing else changed.
fn flip_into(out: &mut Vec<u8>, path: &[u8]) {
    out.extend(path.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }));
}

fn is_drive(path: &[u8]) -> bool {
    matches!(path, [letter, b':'] if letter.is_ascii_alphabetic())
}

fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

fn or_root(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"/" } else { path }
}

fn locate(mounts: &MountTable, directory: &[u8]) -> Option<Location> {
    let index = mounts.innermost_index(directory)?;
    let mount = mounts.get(index)?;
    let rest = strip_directory(directory, mount.point_key())?;
    Some(Location { mount: index, device: mount.device(), path: [mount.root_key(), rest].concat() })
}

/// Finds the shortest mount point that shows exactly the place.
fn other_name(mounts: &MountTable, location: &Location) -> Option<Vec<u8>> {
    mounts
        .iter()
        .filter(|mount| mount.device() == location.device && mount.root_key() == location.path)
        .map(|mount| mount.point_key())
        .min_by_key(|point| point.len())
        .map(<[u8]>::to_vec)
}

/// Makes an absolute Linux path lexically normal: single slashes, no `.`, no `..`.
///
/// A slash at the end stays (also one that only a `.` or `..` leaves there), the root's parent is
/// the root, and what is normal already is not copied.
pub fn normalize(path: &[u8]) -> Cow<'_, [u8]> {
    let dotted = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
    if !path.windows(2).any(dotted) {
        return Cow::Borrowed(path);
    }
    let mut normal = Vec::with_capacity(path.len());
    collapse(&mut normal, path, b'/');
    if normal.is_empty() {
        normal.push(b'/');
    }
    Cow::Owned(normal)
}

/// Appends the components of `path` to `out`, each with a separator before it; tells how often
/// `..` asked for more than there was.
fn collapse(out: &mut Vec<u8>, path: &[u8], separator: u8) -> usize {
    let start = out.len();
    let mut above = 0;
    let mut open = false;
    for name in path.split(|&byte| byte == separator) {
        open = matches!(name, b"" | b"." | b"..");
        match name {
            b"" | b"." => {}
            b".." if out.len() > start => {
                let from = out.iter().rposition(|&byte| byte == separator).unwrap_or(start);
                out.truncate(from.max(start));
            }
            b".." => above += 1,
            _ => {
                out.push(separator);
                out.extend_from_slice(name);
            }
        }
    }
    if open {
        out.push(separator);
    }
    above
}

/// A Windows path with one way to write it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Canonical {
    /// `X:` or `\\server\share`, then nothing or a backslash and names between single backslashes.
    Windows(Vec<u8>),
    /// `\\?\unix\…`, as Wine writes it: the Linux path.
    Linux(Vec<u8>),
}

pub(crate) fn canonical(path: &[u8]) -> Option<Canonical> {
    let mut path: Vec<u8> =
        path.iter().map(|&byte| if byte == b'/' { b'\\' } else { byte }).collect();
    for prefix in [&b"\\\\?\\"[..], b"\\\\.\\", b"\\??\\"] {
        let Some(inside) = path.strip_prefix(prefix) else { continue };
        if let Some(share) = strip_prefix_ignore_case(inside, b"UNC\\") {
            path = [b"\\\\", share].concat();
        } else if let Some(linux) = strip_prefix_ignore_case(inside, b"unix\\") {
            let linux = linux.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte });
            let linux: Vec<u8> = core::iter::once(b'/').chain(linux).collect();
            return Some(Canonical::Linux(normalize(&linux).into_owned()));
        } else {
            path = inside.to_vec();
        }
        break;
    }
    let (root, rest) = split_root(&path)?;
    let mut canonical = root.to_vec();
    if !rest.is_empty() {
        collapse(&mut canonical, rest.get(1..).unwrap_or_default(), b'\\');
    }
    Some(Canonical::Windows(canonical))
}

/// Splits a path with single kinds of separators behind its drive or share.
fn split_root(path: &[u8]) -> Option<(&[u8], &[u8])> {
    match path {
        [letter, b':', rest @ ..] if letter.is_ascii_alphabetic() => {
            let absolute = matches!(rest.first(), None | Some(b'\\'));
            absolute.then(|| path.split_at_checked(2)).flatten()
        }
        [b'\\', b'\\', names @ ..] => {
            let mut ends = names.iter().enumerate().filter(|(_, byte)| **byte == b'\\');
            let server_end = ends.next().map_or(names.len(), |(index, _)| index);
            let share_end = ends.next().map_or(names.len(), |(index, _)| index);
            if server_end == 0 || server_end + 1 == share_end {
                return None;
            }
            path.split_at_checked(share_end + 2)
        }
        _ => None,
    }
}

/// Tells whether a character of a Linux name has to go as a private-use character.
///
/// Tab is legal to WSL.
fn needs_escape(byte: u8) -> bool {
    matches!(byte, 1..=8 | 10..=31 | b'"' | b'*' | b':' | b'<' | b'>' | b'?' | b'\\' | b'|')
}

fn push_private_use(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[0xEF, 0x80 | (byte >> 6), 0x80 | (byte & 0x3F)]);
}

/// Appends part of a Linux path as part of a Windows path: slashes become backslashes, and what
/// Windows cannot have in a name becomes private-use characters.
pub(crate) fn escape_into(out: &mut Vec<u8>, path: &[u8]) {
    for &byte in path {
        match byte {
            b'/' => out.push(b'\\'),
            _ if needs_escape(byte) => push_private_use(out, byte),
            _ => out.push(byte),
        }
    }
}

/// Appends part of a Windows path as part of a Linux path; the inverse of [`escape_into`].
fn unescape_into(out: &mut Vec<u8>, path: &[u8]) {
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = match rest {
            [0xEF, high @ 0x80..=0x81, low @ 0x80..=0xBF, tail @ ..]
                if needs_escape(((high & 1) << 6) | (low & 0x3F)) =>
            {
                out.push(((high & 1) << 6) | (low & 0x3F));
                tail
            }
            _ => {
                out.push(if *first == b'\\' { b'/' } else { *first });
                tail
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WSL: &str = "\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
20 1 0:50 / /mnt/c rw - 9p none rw,aname=drvfs;path=C:\\134
21 1 0:51 / /mnt/d rw - drvfs D:/ rw
22 1 0:52 / /mnt/share rw - 9p none rw,aname=drvfs;path=UNC\\134server\\134share
23 1 0:53 / /data rw - drvfs C:/data rw
24 20 0:54 / /mnt/c/tmp rw - tmpfs none rw
";

    fn wsl() -> Translator {
        Translator::new(MountTable::parse(WSL.as_bytes()))
            .with_distribution(b"Debian", b"/")
            .with_distribution(b"Other", b"/srv/other")
    }

    const WINE: &str = "\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 8:1 /home/me/prefix/drive_c /mnt/c rw - ext4 /dev/sda1 rw
6 1 0:8 / /srv/d rw - 9p none rw,aname=drvfs;path=D:\\134sub
7 1 0:8 / /srv/share rw - 9p none rw,aname=drvfs;path=UNC\\134server\\134share
3 1 8:1 /home/me/prefix/drive_c/users /people rw - ext4 /dev/sda1 rw
4 1 8:1 /home /homes rw - ext4 /dev/sda1 rw
5 2 0:9 / /mnt/c/tmp rw - tmpfs none rw
";

    fn wine(naming: Naming) -> Translator {
        let mut drives = Drives::default();
        drives.offer(b'z', b"/");
        drives.offer(b'C', b"/home/me/prefix/drive_c/");
        Translator::new(MountTable::parse(WINE.as_bytes()))
            .with_drives(drives)
            .with_naming(naming)
            .with_distribution(b"Debian", b"/")
    }

    fn windows(translator: &Translator, path: &str) -> String {
        let translated = translator.to_windows(path.into());
        translated.map_or_else(
            |error| alloc::format!("{error}"),
            |path| String::from_utf8_lossy(path.as_bytes()).into_owned(),
        )
    }

    fn linux(translator: &Translator, path: &str) -> String {
        let translated = translator.to_linux(&WindowsPath::from_bytes(path));
        translated.map_or_else(
            |error| alloc::format!("{error}"),
            |path| String::from_utf8_lossy(&path).into_owned(),
        )
    }

    #[test]
    fn wsl_mounts_to_windows() {
        for (path, expected) in [
            ("/mnt/c", "C:\\"),
            ("/mnt/c/", "C:\\"),
            ("/mnt/c/Users//me/./x/..", "C:\\Users\\me\\"),
            ("/mnt/d/x", "D:\\x"),
            ("/mnt/share/x/y", "\\\\server\\share\\x\\y"),
            ("/data/x", "C:\\data\\x"),
            ("/mnt/c/tmp/x", "\\\\wsl.localhost\\Debian\\mnt\\c\\tmp\\x"),
            ("/../..", "\\\\wsl.localhost\\Debian\\"),
            ("/srv/other/etc", "\\\\wsl.localhost\\Other\\etc"),
            ("/srv/otherwise", "\\\\wsl.localhost\\Debian\\srv\\otherwise"),
            ("/mnt/c/a\\b:c|d", "C:\\a\u{f05c}b\u{f03a}c\u{f07c}d"),
            ("/a\\b\u{1}\t", "\\\\wsl.localhost\\Debian\\a\u{f05c}b\u{f001}\t"),
        ] {
            assert_eq!(windows(&wsl(), path), expected, "{path}");
        }
    }

    #[test]
    fn wsl_mounts_to_linux() {
        for (path, expected) in [
            ("C:\\", "/mnt/c/"),
            ("c:", "/mnt/c"),
            ("C:/Users\\\\me", "/mnt/c/Users/me"),
            ("C:\\..\\x", "/mnt/c/x"),
            ("c:\\DATA\\x", "/data/x"),
            ("\\\\?\\D:\\x", "/mnt/d/x"),
            ("\\\\.\\D:\\x", "/mnt/d/x"),
            ("\\\\?\\UNC\\Server\\SHARE\\x", "/mnt/share/x"),
            ("//server/share", "/mnt/share"),
            ("\\\\wsl$\\DEBIAN\\etc\\a\u{f05c}b\u{f03a}", "/etc/a\\b:"),
            ("\\\\WSL.localhost\\other", "/srv/other"),
            ("\\\\wsl.localhost\\other\\..\\..\\x", "/srv/other/x"),
        ] {
            assert_eq!(linux(&wsl(), path), expected, "{path}");
        }
        let unknown = "its drive, share or distribution is not mounted or offered here";
        for path in [
            "E:\\x",
            "\\\\server\\other",
            "\\\\wsl.localhost\\Debian-2\\x",
            "\\\\\\x",
            "\\\\?\\unix\\x",
        ] {
            assert!(linux(&wsl(), path).contains(unknown), "{path}: {}", linux(&wsl(), path));
        }
        assert!(linux(&wsl(), "x\\y").contains("not an absolute path"));
    }

    #[test]
    fn wine_drives_to_windows() {
        for (path, expected) in [
            ("/", "Z:\\"),
            ("/etc/x", "Z:\\etc\\x"),
            ("/mnt/c", "C:\\"),
            ("/mnt/c/windows", "C:\\windows"),
            ("/home/me/prefix/drive_c/windows", "C:\\windows"),
            ("/people/me/x", "C:\\users\\me\\x"),
            ("/homes/me/prefix/drive_c/x", "C:\\x"),
            ("/homes/me/x", "Z:\\home\\me\\x"),
            // On a file system of its own: C:\tmp is another directory.
            ("/mnt/c/tmp/x", "Z:\\mnt\\c\\tmp\\x"),
            ("/etc/a:b", "Z:\\etc\\a\u{f03a}b"),
            ("/srv/d/x", "D:\\sub\\x"),
            // A drive letter is preferred to a share.
            ("/srv/share/x", "Z:\\srv\\share\\x"),
        ] {
            assert_eq!(windows(&wine(Naming::PrivateUse), path), expected, "{path}");
        }
    }

    #[test]
    fn wine_drives_to_linux() {
        for (path, expected) in [
            ("Z:\\", "/"),
            ("z:", "/"),
            ("Z:\\etc", "/etc"),
            ("C:\\windows", "/mnt/c/windows"),
            ("\\\\wsl.localhost\\debian\\etc", "/etc"),
        ] {
            assert_eq!(linux(&wine(Naming::PrivateUse), path), expected, "{path}");
        }
    }

    #[test]
    fn wine_opens_odd_names_in_its_own_way() {
        let wine = wine(Naming::Wine);
        for (path, expected) in [
            ("/etc/a:b", "Z:\\etc\\a:b"),
            ("/etc/a*b", "\\\\?\\unix\\etc\\a*b"),
            ("/etc/dot./x", "\\\\?\\unix\\etc\\dot.\\x"),
            ("/etc/a\\b", "Z:\\etc\\a\u{f05c}b"),
        ] {
            assert_eq!(windows(&wine, path), expected, "{path}");
        }
        assert_eq!(linux(&wine, "\\\\?\\unix\\etc\\a*b"), "/etc/a*b");
        assert_eq!(linux(&wine, "Z:\\a\u{f03a}b"), "/a\u{f03a}b");
    }

    #[test]
    fn devices_are_known_by_their_names() {
        for name in ["con", "NUL.txt", "Aux .exe", "com1", "LPT9.a.b", "prn:", "CONIN$"] {
            assert!(is_device(name.as_bytes()), "{name}");
        }
        for name in ["", "cons", "com", "com0", "com10", ".con", "xnul", "conin", "c on"] {
            assert!(!is_device(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_stay() {
        let path = wsl().to_windows(LinuxPath(b"/mnt/c/\xff\xed\xa0\x80")).unwrap();
        assert_eq!(path.as_bytes(), b"C:\\\xff\xed\xa0\x80");
        assert_eq!(wsl().to_linux(&path).unwrap(), b"/mnt/c/\xff\xed\xa0\x80");
    }

    #[test]
    fn what_has_no_name_is_refused_with_words() {
        let none = Translator::default();
        assert!(windows(&none, "/x").contains("/x has no Windows name"));
        assert!(windows(&none, "x").contains("not an absolute path"));
        assert!(windows(&wsl(), "/x\0y").contains("NUL"));
        assert!(linux(&wsl(), "C:\\x\0y").contains("NUL"));
    }

    /// Names without private-use characters of their own.
    fn name() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b':'), Just(b'\\'), Just(b'.'), 1..=255u8];
        proptest::collection::vec(byte, 1..8).prop_filter("a name of a file", |name| {
            !name.contains(&b'/') && !name.contains(&0xEF) && !name.contains(&0)
        })
    }

    fn path() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(name(), 0..6).prop_map(|names| {
            let mut path: Vec<u8> =
                names.iter().flat_map(|n| [b"/", n.as_slice()].concat()).collect();
            if path.is_empty() {
                path.push(b'/');
            }
            normalize(&path).into_owned()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn distributions_and_drives_come_back(path in path()) {
            let debian = Translator::default().with_distribution(b"Debian", b"/");
            let windows = debian.to_windows(LinuxPath(&path)).unwrap();
            prop_assert_eq!(&debian.to_linux(&windows).unwrap(), &path);
            let wine = wine(Naming::PrivateUse);
            if let Ok(windows) = wine.to_windows(LinuxPath(&path)) {
                prop_assert_eq!(&wine.to_linux(&windows).unwrap(), &path);
            }
        }

        #[test]
        fn mounted_drives_come_back(path in "(/[a-zA-Z0-9 .!ü-]{1,5}){1,5}") {
            let path = normalize(&[b"/mnt/c", path.as_bytes()].concat()).into_owned();
            let windows = wsl().to_windows(LinuxPath(&path)).unwrap();
            prop_assert_eq!(&wsl().to_linux(&windows).unwrap(), &path);
        }

        #[test]
        fn any_bytes_can_be_translated(path in proptest::collection::vec(any::<u8>(), 0..40)) {
            for translator in [wsl(), wine(Naming::PrivateUse), wine(Naming::Wine)] {
                let _ = translator.to_windows(LinuxPath(&path));
                let _ = translator.to_linux(&WindowsPath::from_bytes(path.clone()));
            }
        }

        #[test]
        fn likely_windows_paths_can_be_translated(path in "[\\\\/.?CcZz:wsl$UNCux -]{0,24}") {
            for translator in [wsl(), wine(Naming::Wine)] {
                if let Ok(linux) = translator.to_linux(&WindowsPath::from_bytes(path.clone())) {
                    prop_assert!(LinuxPath(&linux).is_absolute());
                    prop_assert!(!linux.split(|&byte| byte == b'/').any(|name| name == b".."));
                }
            }
        }

        #[test]
        fn normal_paths_are_normal(path in "(/|[.]|a|b){0,16}") {
            let path = [b"/", path.as_bytes()].concat();
            let normal = normalize(&path).into_owned();
            prop_assert_eq!(&*normalize(&normal), &normal);
            prop_assert!(!normal.windows(2).any(|pair| pair == b"//"));
            prop_assert_eq!(normal.first(), Some(&b'/'));
        }
    }
}
