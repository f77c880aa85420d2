//! Paths of one side in the words of the other.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::drives::{Drive, Drives, Naming, locate, other_name, without_slash};
use super::escapes::{escape_into, opens_in_wine, push_private_use, unescape_into};
use super::normal::{Canonical, canonical, normalize};
use super::types::{LinuxPath, WindowsPath, is_absolute, is_drive, is_separator};
use crate::bytes::{eq_ignore_case, for_display, strip_prefix_ignore_case};
use crate::mounts::{MountTable, strip_directory};

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

#[cfg(test)]
mod tests {
    use super::super::escapes::is_device;
    use super::*;
    use crate::paths::Drives;
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
