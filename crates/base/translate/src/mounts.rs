//! The text of `/proc/self/mountinfo`, read into a table of what is mounted where.
//!
//! Two questions are answered: which mount a path lies on once everything that is mounted over
//! something else is taken into account, and which mounts show a Windows directory. The layout of a
//! line is in proc_pid_mountinfo(5):
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt/parent rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//! id parent device root point  options    optional   type source    options of the file system
//! ```
//!
//! A mount shows a Windows directory if it is
//! - `9p` with an option `aname=drvfs;path=C:\…` or `path=UNC\server\share` (a VM's drives),
//! - `drvfs`, whose source is the Windows path, with either kind of slash (a shared kernel), or
//! - `virtiofs` whose source is `drvfs` or `drvfsa` (elevated) and a drive letter.
//!
//! Lines that cannot be read are left out; a source field that is empty is not one of those.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::bytes::cmp_ignore_case;
use crate::paths::{WindowsPath, escape_into};

/// Major and minor number of the file system that a mount shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Major number; 0 for a file system without a block device.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// A file or directory by its position on its file system, whatever that is mounted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePosition {
    /// The file system.
    pub device: Device,
    /// The path below the root of the file system, with a slash in front; empty for the root.
    pub path: Vec<u8>,
}

/// One mount that can be reached by its mount point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    point: Vec<u8>,
    root: Vec<u8>,
    device: Device,
    windows: Option<WindowsPath>,
    /// Position in the file: of two mounts of the same Windows directory WSL takes the later one.
    order: usize,
    /// Index of the mount that this one lies in.
    enclosing: Option<usize>,
}

impl Mount {
    /// Where the mount is, as an absolute Linux path; `/` for the root.
    pub fn point(&self) -> &[u8] {
        if self.point.is_empty() { b"/" } else { &self.point }
    }

    /// The mount point without a slash at its end: empty for the root.
    pub(crate) fn point_key(&self) -> &[u8] {
        &self.point
    }

    /// The directory of the file system that is shown, without a slash at its end: empty for all
    /// of the file system, otherwise what was bind mounted.
    pub(crate) fn root_key(&self) -> &[u8] {
        &self.root
    }

    fn windows_bytes(&self) -> &[u8] {
        self.windows.as_ref().map_or(&[], WindowsPath::as_bytes)
    }

    fn cmp_root(&self, root: &[u8]) -> Ordering {
        cmp_ignore_case(self.windows_bytes(), root)
    }

    /// The file system that is shown.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The Windows directory that is shown, without a backslash at its end (`C:`,
    /// `\\server\share`), or `None` for an ordinary Linux file system.
    pub fn windows_root(&self) -> Option<&WindowsPath> {
        self.windows.as_ref()
    }
}

/// What is mounted where, as one process sees it.
///
/// Mounts that something else is mounted over are not in it. The default is an empty table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountTable {
    /// In the order of a walk through the tree of directories.
    mounts: Vec<Mount>,
    /// Indices of the mounts that show Windows directories, in the order of these; of equals the one
    /// mounted last is before the others.
    windows: Vec<usize>,
    /// How many bytes the longest of these directories has.
    longest_root: usize,
}

impl MountTable {
    /// Reads the text of a `mountinfo` file.
    ///
    /// Never fails: lines that cannot be read are left out.
    pub fn parse(mountinfo: &[u8]) -> Self {
        let lines: Vec<Line> =
            mountinfo.split(|&byte| byte == b'\n').filter_map(parse_line).collect();
        let reachable = Reachability::new(&lines);
        let mut mounts: Vec<Mount> = lines
            .iter()
            .enumerate()
            .filter(|&(index, _)| reachable.is_reachable(index))
            .map(|(order, line)| line.to_mount(order))
            .collect();
        mounts.sort_by(|a, b| tree_order(&a.point, &b.point).then(b.order.cmp(&a.order)));
        mounts.dedup_by(|later, kept| later.point == kept.point);
        link_enclosing(&mut mounts);
        let mut windows: Vec<usize> = (0..mounts.len())
            .filter(|&index| mounts.get(index).is_some_and(|mount| mount.windows.is_some()))
            .collect();
        windows.sort_by(|&a, &b| {
            let (Some(a), Some(b)) = (mounts.get(a), mounts.get(b)) else { return Ordering::Equal };
            a.cmp_root(b.windows_bytes()).then(b.order.cmp(&a.order))
        });
        let lengths = mounts.iter().map(|mount| mount.windows_bytes().len());
        let longest_root = lengths.max().unwrap_or_default();
        Self { mounts, windows, longest_root }
    }

    /// Finds the mount that an absolute path lies on, or `None` in an empty table.
    ///
    /// The path must be lexically normal, see [`crate::paths::normalize`].
    pub fn innermost(&self, path: &[u8]) -> Option<&Mount> {
        self.mounts.get(self.innermost_index(path)?)
    }

    pub(crate) fn innermost_index(&self, path: &[u8]) -> Option<usize> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let after = self.mounts.partition_point(|mount| tree_order(&mount.point, path).is_le());
        // The mount sought is the predecessor in tree order or one that encloses it.
        let mut candidate = after.checked_sub(1);
        while let Some(index) = candidate {
            let mount = self.mounts.get(index)?;
            if strip_directory(path, &mount.point).is_some() {
                return Some(index);
            }
            candidate = mount.enclosing;
        }
        None
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Mount> {
        self.mounts.get(index)
    }

    /// Finds where an absolute path is on its file system, which is the same for every process that
    /// has the file system mounted anywhere; `None` where the table does not say.
    ///
    /// The path must be lexically normal and without links.
    pub fn place(&self, path: &[u8]) -> Option<FilePosition> {
        let mount = self.innermost(path)?;
        let rest = strip_directory(path.strip_suffix(b"/").unwrap_or(path), mount.point_key())?;
        Some(FilePosition { device: mount.device, path: [mount.root_key(), rest].concat() })
    }

    /// The absolute paths that lead to a place in this table, shortest first.
    pub fn paths_to(&self, place: &FilePosition) -> Vec<Vec<u8>> {
        let mut paths: Vec<Vec<u8>> = self
            .mounts
            .iter()
            .enumerate()
            .filter(|(_, mount)| mount.device == place.device)
            .filter_map(|(index, mount)| {
                let rest = strip_directory(&place.path, mount.root_key())?;
                let path = [mount.point_key(), rest].concat();
                let path = if path.is_empty() { b"/".to_vec() } else { path };
                (self.innermost_index(&path) == Some(index)).then_some(path)
            })
            .collect();
        paths.sort_by_key(Vec::len);
        paths
    }

    /// The same table, in which no mount shows a Windows directory: for a host whose drives are its
    /// own and not the ones that are mounted here.
    #[must_use]
    pub fn without_windows(mut self) -> Self {
        self.windows.clear();
        self.longest_root = 0;
        for mount in &mut self.mounts {
            mount.windows = None;
        }
        self
    }

    /// All mounts, in the order of a walk through the tree of directories.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }

    /// Finds the mount of the Windows directory that is the longest beginning of `path`, and what
    /// of `path` is left behind it; of equals the one mounted last.
    pub(crate) fn by_windows_path<'a>(&self, path: &'a [u8]) -> Option<(&Mount, &'a [u8])> {
        // No character is shorter than a third of itself in the other case.
        let longest = self.longest_root.saturating_mul(3).min(path.len());
        let ends = (1..=longest).rev().filter(|&end| matches!(path.get(end), None | Some(b'\\')));
        let candidates = ends.filter_map(|end| path.split_at_checked(end));
        candidates.filter_map(|(root, rest)| Some((self.of_windows_root(root)?, rest))).next()
    }

    /// Finds the mount that shows exactly the Windows directory `root`; of several the one mounted
    /// last.
    fn of_windows_root(&self, root: &[u8]) -> Option<&Mount> {
        let compare =
            |index: usize| self.mounts.get(index).map_or(Ordering::Equal, |m| m.cmp_root(root));
        let first = self.windows.partition_point(|&index| compare(index).is_lt());
        let index = *self.windows.get(first)?;
        compare(index).is_eq().then(|| self.mounts.get(index))?
    }
}

/// Removes the directory `prefix` (without a slash at its end) from the front of `path`.
///
/// What is left is empty or begins with a slash.
pub(crate) fn strip_directory<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    path.strip_prefix(prefix).filter(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// Orders paths so that everything in a directory follows the directory with nothing between.
fn tree_order(left: &[u8], right: &[u8]) -> Ordering {
    let shared = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let key = |path: &[u8]| path.get(shared).map(|&byte| if byte == b'/' { 0 } else { byte });
    key(left).cmp(&key(right))
}

fn link_enclosing(mounts: &mut [Mount]) {
    let mut open: Vec<usize> = Vec::new();
    for index in 0..mounts.len() {
        let Some(point) = mounts.get(index).map(|mount| mount.point.clone()) else { return };
        while let Some(&top) = open.last() {
            let encloses = mounts
                .get(top)
                .is_some_and(|mount| strip_directory(&point, &mount.point).is_some());
            if encloses {
                break;
            }
            open.pop();
        }
        if let Some(mount) = mounts.get_mut(index) {
            mount.enclosing = open.last().copied();
        }
        open.push(index);
    }
}

/// The fields of one line that matter here.
struct Line<'a> {
    id: u64,
    parent: u64,
    device: Device,
    root: Vec<u8>,
    point: Vec<u8>,
    kind: &'a [u8],
    source: &'a [u8],
    options: &'a [u8],
}

fn parse_line(line: &[u8]) -> Option<Line<'_>> {
    // The kernel puts one space between fields and escapes those within them, so an empty field
    // shows as two spaces.
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = parse_device(fields.next()?)?;
    let root = directory_key(fields.next()?)?;
    let point = directory_key(fields.next()?)?;
    let _options = fields.next()?;
    fields.by_ref().find(|&field| field == b"-")?;
    let kind = fields.next()?;
    let source = fields.next().unwrap_or_default();
    let options = fields.next().unwrap_or_default();
    Some(Line { id, parent, device, root, point, kind, source, options })
}

fn number(field: &[u8]) -> Option<u64> {
    core::str::from_utf8(field).ok()?.parse().ok()
}

fn parse_device(field: &[u8]) -> Option<Device> {
    let (major, minor) = core::str::from_utf8(field).ok()?.split_once(':')?;
    Some(Device { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

/// Reads a field that holds an absolute path; no slash at the end, so the root is empty.
fn directory_key(field: &[u8]) -> Option<Vec<u8>> {
    let mut path = unescape_octal(field).into_owned();
    if path.first() != Some(&b'/') || path.contains(&0) {
        return None;
    }
    while path.last() == Some(&b'/') {
        path.pop();
    }
    Some(path)
}

/// Undoes the kernel's escapes: a backslash and three octal digits.
fn unescape_octal(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return Cow::Borrowed(field);
    }
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        rest = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                text.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                tail
            }
            _ => {
                text.push(*first);
                tail
            }
        };
    }
    Cow::Owned(text)
}

impl Line<'_> {
    fn to_mount(&self, order: usize) -> Mount {
        Mount {
            point: self.point.clone(),
            root: self.root.clone(),
            device: self.device,
            windows: self.windows_root(),
            order,
            enclosing: None,
        }
    }

    fn windows_root(&self) -> Option<WindowsPath> {
        let shown = match self.kind {
            b"9p" => self.options.split(|&byte| byte == b',').find_map(plan9_root)?,
            b"drvfs" => WindowsPath::root_of_mount(&unescape_octal(self.source))?,
            b"virtiofs" => virtiofs_root(self.source)?,
            _ => return None,
        };
        if self.root.is_empty() {
            return Some(shown);
        }
        // A bind mount shows a directory inside.
        let mut inside = shown.into_bytes();
        escape_into(&mut inside, &self.root);
        Some(WindowsPath::from_bytes(inside))
    }
}

/// Reads one option of a 9p mount: `aname=drvfs;path=C:\;uid=0;…`, or `path=` by itself.
fn plan9_root(option: &[u8]) -> Option<WindowsPath> {
    let option = unescape_octal(option);
    let path = match option.strip_prefix(b"aname=drvfs") {
        Some(parts) => {
            parts.split(|&byte| byte == b';').find_map(|part| part.strip_prefix(b"path="))?
        }
        None => option.strip_prefix(b"path=")?,
    };
    WindowsPath::root_of_mount(path)
}

/// Reads the source of a virtiofs mount: `drvfsC`, or `drvfsaC` for the elevated share.
fn virtiofs_root(source: &[u8]) -> Option<WindowsPath> {
    let share = source.strip_prefix(b"drvfs")?;
    match share {
        [letter] | [b'a', letter] if letter.is_ascii_alphabetic() => {
            WindowsPath::root_of_mount(&[*letter, b':'])
        }
        _ => None,
    }
}

/// Which lines of the table can be reached by walking down from the root.
///
/// A mount is out of reach if something is mounted over its mount point, over the place in its
/// parent where it hangs, or if its parent is out of reach. The order of the lines says nothing
/// about that (a mount can be moved), the ids of the parents do.
struct Reachability {
    hidden: Vec<bool>,
    covered: Vec<bool>,
}

impl Reachability {
    fn new(lines: &[Line]) -> Self {
        let by_id: BTreeMap<u64, usize> =
            lines.iter().enumerate().map(|(index, line)| (line.id, index)).collect();
        // Later lines replace earlier ones that hang at the same place of the same parent.
        let children: BTreeMap<(u64, &[u8]), usize> = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.id != line.parent)
            .map(|(index, line)| ((line.parent, line.point.as_slice()), index))
            .collect();
        let covered = lines
            .iter()
            .enumerate()
            .map(|(index, line)| {
                children.get(&(line.id, line.point.as_slice())).is_some_and(|&child| child != index)
            })
            .collect();
        let shadowed = |index: usize, line: &Line| {
            let at_same_place = children
                .get(&(line.parent, line.point.as_slice()))
                .is_some_and(|&top| top != index);
            line.id != line.parent
                && (at_same_place
                    || ancestors(&line.point)
                        .any(|above| children.contains_key(&(line.parent, above))))
        };
        let mut state: Vec<Option<bool>> = lines.iter().map(|_| None).collect();
        for index in 0..lines.len() {
            settle(index, lines, &by_id, &shadowed, &mut state);
        }
        Self { hidden: state.into_iter().map(|hidden| hidden == Some(true)).collect(), covered }
    }

    fn is_reachable(&self, index: usize) -> bool {
        self.hidden.get(index) == Some(&false) && self.covered.get(index) == Some(&false)
    }
}

/// Decides for a line and all lines above it whether they are hidden.
///
/// Walks up to the first line that is already decided, then back down; a circle of parents, which
/// no kernel writes, ends the walk.
fn settle(
    start: usize,
    lines: &[Line],
    by_id: &BTreeMap<u64, usize>,
    shadowed: &impl Fn(usize, &Line) -> bool,
    state: &mut [Option<bool>],
) {
    let mut chain = Vec::new();
    let mut hidden = false;
    let mut next = Some(start);
    while let Some(index) = next {
        if let Some(Some(known)) = state.get(index) {
            hidden = *known;
            break;
        }
        let Some(line) = lines.get(index) else { break };
        // Decided for now, so that a circle meets its own beginning.
        if let Some(slot) = state.get_mut(index) {
            *slot = Some(false);
        }
        chain.push(index);
        next = by_id.get(&line.parent).copied().filter(|&parent| parent != index);
    }
    for index in chain.into_iter().rev() {
        hidden = hidden || lines.get(index).is_some_and(|line| shadowed(index, line));
        if let Some(slot) = state.get_mut(index) {
            *slot = Some(hidden);
        }
    }
}

/// The directories above a path, from the nearest to the root (which is empty).
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = path;
    core::iter::from_fn(move || {
        let slash = rest.iter().rposition(|&byte| byte == b'/')?;
        rest = rest.get(..slash)?;
        Some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::strip_prefix_ignore_case;
    use alloc::format;
    use alloc::string::String;
    use core::cmp::Reverse;
    use proptest::prelude::*;

    const TABLE: &str = "\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
20 1 0:50 / /mnt/c rw,noatime - 9p drvfs rw,dirsync,aname=drvfs;path=C:\\134;uid=1000;gid=1000,mmap
21 1 0:51 / /mnt/d rw shared:3 master:1 - drvfs D:/ rw
22 1 0:52 / /mnt/share rw - 9p none rw,aname=drvfs;path=UNC\\134server\\134share,trans=fd
23 1 0:53 / /mnt/e rw - virtiofs drvfsaE rw
24 1 0:54 / /mnt/with\\040space rw - tmpfs  rw,size=1k
25 1 0:50 /Users/me /home/win rw - 9p drvfs rw,aname=drvfs;path=C:\\134
";

    fn windows_root<'a>(table: &'a MountTable, path: &str) -> Option<&'a [u8]> {
        Some(table.innermost(path.as_bytes())?.windows_root()?.as_bytes())
    }

    #[test]
    fn finds_windows_directories() {
        let table = MountTable::parse(TABLE.as_bytes());
        assert_eq!(windows_root(&table, "/mnt/c/x"), Some(&b"C:"[..]));
        assert_eq!(windows_root(&table, "/mnt/cx"), None);
        assert_eq!(windows_root(&table, "/mnt/d"), Some(&b"D:"[..]));
        assert_eq!(windows_root(&table, "/mnt/share/a/b"), Some(&b"\\\\server\\share"[..]));
        assert_eq!(windows_root(&table, "/mnt/e"), Some(&b"E:"[..]));
        assert_eq!(windows_root(&table, "/home/win/x"), Some(&b"C:\\Users\\me"[..]));
        let mount = table.innermost(b"/mnt/with space/x").map(Mount::point);
        assert_eq!(mount, Some(&b"/mnt/with space"[..]));
        assert_eq!(table.innermost(b"/etc").map(Mount::point), Some(&b"/"[..]));
    }

    #[test]
    fn a_line_with_an_empty_source_breaks_nothing() {
        let table = MountTable::parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
              2 1 0:9 / /a rw - tmpfs  rw\n\
              3 1 0:9 / /b rw - 9p  rw,aname=drvfs;path=C:\\134\n\
              4 1 0:9 / /c rw - drvfs\n\
              5 1 0:9 / /d rw - drvfs  rw\n\
              6 1 0:9 / /e rw -\n\
              7 1 0:9\n\n x\n",
        );
        assert_eq!(windows_root(&table, "/b/x"), Some(&b"C:"[..]));
        assert_eq!(windows_root(&table, "/c/x"), None);
        assert_eq!(windows_root(&table, "/d/x"), None);
        assert_eq!(table.iter().count(), 5);
    }

    #[test]
    fn what_is_mounted_over_cannot_be_reached() {
        let over = format!("{TABLE}30 1 0:60 / /mnt rw - tmpfs none rw\n");
        assert_eq!(windows_root(&MountTable::parse(over.as_bytes()), "/mnt/c/x"), None);
        let stacked = format!("{TABLE}31 20 0:61 / /mnt/c rw - drvfs F: rw\n");
        let stacked = MountTable::parse(stacked.as_bytes());
        assert_eq!(windows_root(&stacked, "/mnt/c/x"), Some(&b"F:"[..]));
        let inside = format!("{TABLE}32 20 0:62 / /mnt/c/tmp rw - tmpfs none rw\n");
        let inside = MountTable::parse(inside.as_bytes());
        assert_eq!(windows_root(&inside, "/mnt/c/tmp/x"), None);
        assert_eq!(windows_root(&inside, "/mnt/c/x"), Some(&b"C:"[..]));
    }

    #[test]
    fn a_mount_that_was_moved_counts_by_its_parent_and_not_by_its_line() {
        let table = MountTable::parse(
            b"5 9 0:50 / /mnt/c rw - drvfs C: rw\n\
              9 1 0:60 / /mnt rw - tmpfs none rw\n\
              1 0 8:1 / / rw - ext4 /dev/sda1 rw\n",
        );
        assert_eq!(windows_root(&table, "/mnt/c/x"), Some(&b"C:"[..]));
    }

    #[test]
    fn the_same_place_has_names_by_every_mount_that_shows_it() {
        let table = MountTable::parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
              2 1 8:1 /home /homes rw - ext4 /dev/sda1 rw\n\
              3 1 8:1 /home/me /me rw - ext4 /dev/sda1 rw\n\
              4 1 0:9 / /home/me/tmp rw - tmpfs none rw\n",
        );
        let names = |path: &str| {
            let names = table.paths_to(&table.place(path.as_bytes()).unwrap());
            names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names("/"), ["/"]);
        assert_eq!(names("/home/me"), ["/me", "/home/me", "/homes/me"]);
        assert_eq!(names("/homes/x"), ["/home/x", "/homes/x"]);
        // Something else lies over the place in /home.
        assert_eq!(names("/me/tmp/x"), ["/me/tmp/x", "/homes/me/tmp/x"]);
        assert_eq!(names("/home/me/tmp/x"), ["/home/me/tmp/x"]);
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let table = MountTable::parse(
            b"1 2 0:1 / /a rw - drvfs A: rw\n2 3 0:1 / /b rw - drvfs B: rw\n3 1 0:1 / /c rw - drvfs C: rw\n",
        );
        assert_eq!(table.iter().count(), 3);
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(&*unescape_octal(b"C:\\;\\1\\477\\040x\\"), b"C:\\;\\1\\477 x\\");
    }

    fn slow_innermost<'a>(table: &'a MountTable, path: &[u8]) -> Option<&'a Mount> {
        table
            .iter()
            .filter(|mount| strip_directory(path, mount.point_key()).is_some())
            .max_by_key(|mount| mount.point_key().len())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_bytes_can_be_parsed(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            MountTable::parse(&text);
        }

        #[test]
        fn likely_bytes_can_be_parsed(text in "[0-3 :/\\\\a-c,;=\n-]{0,200}") {
            MountTable::parse(text.as_bytes());
        }

        #[test]
        fn the_longest_windows_directory_is_found(
            roots in proptest::collection::vec("[cC]:(\\\\134[aAäÄ]){0,2}", 0..8),
            path in "[cCd]:(\\\\[aAäÄ]{1,2}){0,4}",
        ) {
            let mut text = String::new();
            for (index, root) in roots.iter().enumerate() {
                let id = index + 2;
                text += &format!("{id} 1 0:{id} / /mnt/{id} rw - 9p none rw,aname=drvfs;path={root}\n");
            }
            let table = MountTable::parse(text.as_bytes());
            let all = table.iter().filter_map(|mount| {
                let root = mount.windows_root()?.as_bytes();
                let rest = strip_prefix_ignore_case(path.as_bytes(), root)?;
                matches!(rest.first(), None | Some(b'\\')).then_some((mount, rest))
            });
            let expected = all.min_by_key(|(mount, rest)| (rest.len(), Reverse(mount.order)));
            prop_assert_eq!(table.by_windows_path(path.as_bytes()), expected);
        }

        #[test]
        fn a_place_leads_back_to_its_names(
            mounts in proptest::collection::vec(("(/[ab]{1,2}){0,3}", "(/[ab]){0,2}", 0..3_u32), 0..12),
            path in "(/[ab]{1,2}){0,5}",
        ) {
            let mut text = String::from("1 0 0:0 / / rw - tmpfs none rw\n");
            for (index, (point, root, device)) in mounts.iter().enumerate() {
                let id = index + 2;
                text += &format!("{id} 1 0:{device} /{root} /{point} rw - tmpfs none rw\n");
            }
            let table = MountTable::parse(text.replace(" //", " /").as_bytes());
            let path = if path.is_empty() { "/" } else { &path };
            if let Some(place) = table.place(path.as_bytes()) {
                let names = table.paths_to(&place);
                prop_assert!(names.iter().any(|name| name == path.as_bytes()));
                for name in names {
                    prop_assert_eq!(table.place(&name), Some(place.clone()));
                }
            }
        }

        #[test]
        fn the_quick_search_finds_what_a_slow_one_finds(
            points in proptest::collection::vec("(/[ab-]{1,2}){0,4}", 0..20),
            path in "(/[ab-]{1,2}){0,6}",
        ) {
            let mut text = String::new();
            for (index, point) in points.iter().enumerate() {
                // Parents of their own, so that nothing hides anything.
                text += &format!("{index} {} 0:1 / /{point} rw - tmpfs none rw\n", 1000 + index);
            }
            let table = MountTable::parse(text.replace(" //", " /").as_bytes());
            prop_assert_eq!(table.innermost(path.as_bytes()), slow_innermost(&table, path.as_bytes()));
        }
    }
}
