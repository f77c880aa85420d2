//! Finds names under which the host can open what a caller has handed over.
//!
//! A caller may live in another root or mount namespace, its executable may be unlinked or a memfd.
//! What a name says is never believed: whatever it leads to is compared, by device and inode, with
//! the descriptor that was passed. Names come, in this order, from
//! 1. the kernel, where the host sees the same file at the same name;
//! 2. the mount tables, where the host has the same file system mounted elsewhere: a bind mount of
//!    the caller's, a container whose root is a directory of the machine;
//! 3. the root directory that the caller has passed, with the name below it, where the file system
//!    is the caller's alone;
//! 4. the descriptor itself, for what has no name anywhere.
//!
//! The last two lead through a descriptor of this process, which has to stay open for as long as the
//! name is used, and only processes below this one can follow them.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, statat};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use winterop_translate::MountTable;

/// A name that the host can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The file's own name for the host, without links.
    Own(PathBuf),
    /// A name through a descriptor of this process.
    ThroughDescriptor(PathBuf),
}

impl Name {
    /// The name.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(path) | Self::ThroughDescriptor(path) => path,
        }
    }

    /// Whether the name holds only as long as a descriptor of this process is open.
    #[must_use]
    pub fn is_through_descriptor(&self) -> bool {
        matches!(self, Self::ThroughDescriptor(_))
    }
}

pub(crate) fn same(left: &Stat, right: &Stat) -> bool {
    left.st_dev == right.st_dev && left.st_ino == right.st_ino
}

/// Whether two paths lead the host to the same file.
#[must_use]
pub fn are_same(left: &Path, right: &Path) -> bool {
    let status = |path: &Path| statat(CWD, path, AtFlags::empty());
    status(left).is_ok_and(|left| status(right).is_ok_and(|right| same(&left, &right)))
}

/// Whether `path` names, for the host, the file behind `descriptor`.
#[must_use]
pub fn is_at(path: &Path, descriptor: impl AsFd) -> bool {
    match (statat(CWD, path, AtFlags::empty()), fstat(descriptor)) {
        (Ok(named), Ok(passed)) => same(&named, &passed),
        _ => false,
    }
}

/// Opens `path` as somebody sees it whose root directory is `root`: links and `..` lead nowhere
/// outside.
pub(crate) fn open_in(root: BorrowedFd<'_>, path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve).ok()
}

/// Whether `path`, looked up from the caller's `root`, is the same file as for the host.
#[must_use]
pub fn is_same_in(root: BorrowedFd<'_>, path: &Path) -> bool {
    open_in(root, path).is_some_and(|theirs| is_at(path, &theirs))
}

/// The kernel's name for what a descriptor has open; it may hold in another root or mount namespace
/// only, or no longer.
pub(crate) fn kernel_name(descriptor: BorrowedFd<'_>) -> Option<PathBuf> {
    let link = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    std::fs::read_link(link).ok().filter(|name| name.is_absolute())
}

/// This process's own descriptor as a path that others can follow, too.
pub(crate) fn descriptor_path(descriptor: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd()))
}

/// Whoever has handed files over, as far as that says where they are.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Its root directory, where it was passed.
    pub root: Option<BorrowedFd<'a>>,
    /// Its process, as the kernel says; 0 where that is not visible from here.
    pub pid: i32,
}

impl Caller<'_> {
    /// Finds a name for the file behind `descriptor`. `claimed` is what the caller calls it.
    #[must_use]
    pub fn name_of(&self, descriptor: BorrowedFd<'_>, claimed: Option<&[u8]>) -> Name {
        let by_kernel = kernel_name(descriptor);
        if let Some(name) = by_kernel.as_ref().filter(|name| is_at(name, descriptor)) {
            return Name::Own(name.clone());
        }
        let in_root = self.root.zip(by_kernel).and_then(|(root, name)| below(root, &name));
        if let Some(path) = in_root.as_deref().and_then(|path| self.mounted_here(path, descriptor))
        {
            return Name::Own(path);
        }
        let claimed = claimed.map(|path| PathBuf::from(OsString::from_vec(path.to_vec())));
        let through_root = self.root.and_then(|root| {
            let names = in_root.into_iter().chain(claimed);
            names.into_iter().find_map(|name| through_root(root, &name, descriptor))
        });
        Name::ThroughDescriptor(through_root.unwrap_or_else(|| descriptor_path(descriptor)))
    }

    /// The names that may lead this process to the file behind `descriptor`: the kernel's, and those
    /// from both mount tables. Whether one does has to be looked at.
    pub(crate) fn names_here(&self, descriptor: BorrowedFd<'_>) -> Vec<PathBuf> {
        let by_kernel = kernel_name(descriptor);
        let in_root = self.root.zip(by_kernel.as_ref()).and_then(|(root, name)| below(root, name));
        let mounted = in_root.and_then(|path| self.mounted_here(&path, descriptor));
        by_kernel.into_iter().chain(mounted).collect()
    }

    /// What the caller, whose root directory was passed, calls the file behind `descriptor`.
    pub(crate) fn below_root(&self, descriptor: BorrowedFd<'_>) -> Option<PathBuf> {
        below(self.root?, &kernel_name(descriptor)?)
    }

    /// Where the host has mounted what the caller has at `path`, a name from the caller's root.
    fn mounted_here(&self, path: &Path, descriptor: BorrowedFd<'_>) -> Option<PathBuf> {
        if self.pid <= 0 {
            return None;
        }
        let place = mount_table(&self.pid.to_string())?.place(path.as_os_str().as_bytes())?;
        let names = mount_table("self")?.paths_to(&place);
        let names = names.into_iter().map(|name| PathBuf::from(OsString::from_vec(name)));
        names.into_iter().find(|name| is_at(name, descriptor))
    }

    /// The host's name for a path as the caller says it, links followed. What does not exist is
    /// named below the nearest directory that does. `None` where there is no such name.
    ///
    /// `known` has what earlier paths of the same launch were found to be.
    #[must_use]
    pub fn host_path(&self, path: &Path, known: &mut Known) -> Option<Name> {
        for existing in path.ancestors() {
            let found = match known.0.get(existing) {
                Some(found) => found,
                None => known.0.entry(existing.to_owned()).or_insert(self.look_at(existing)),
            };
            let (through, name) = match found {
                Found::Missing => continue,
                Found::Nameless => return None,
                Found::Named(Name::Own(name)) => (false, name),
                Found::Named(Name::ThroughDescriptor(name)) => (true, name),
            };
            let rest = path.strip_prefix(existing).ok()?;
            let below = if rest.as_os_str().is_empty() { name.clone() } else { name.join(rest) };
            return Some(if through { Name::ThroughDescriptor(below) } else { Name::Own(below) });
        }
        None
    }

    fn look_at(&self, path: &Path) -> Found {
        let Some(root) = self.root else { return Found::Missing };
        let Some(opened) = open_in(root, path) else { return Found::Missing };
        match self.name_of(opened.as_fd(), Some(path.as_os_str().as_bytes())) {
            // What was opened here is closed again; the root stays open.
            Name::ThroughDescriptor(name) if !name.starts_with(descriptor_path(root)) => {
                Found::Nameless
            }
            name => Found::Named(name),
        }
    }
}

/// What paths of a caller's were found to be: the variables of one launch have the same directories
/// again and again, and to look at one may cost as much as reading two mount tables.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<PathBuf, Found>);

#[derive(Debug)]
enum Found {
    /// Nothing is there.
    Missing,
    /// It has no name that the host could use.
    Nameless,
    /// It has one.
    Named(Name),
}

/// Whether a Windows path leads through a descriptor of this process.
#[must_use]
pub fn names_descriptor(windows: &[u8]) -> bool {
    let own = format!("\\proc\\{}\\fd\\", std::process::id());
    windows.windows(own.len()).any(|part| part == own.as_bytes())
}

/// The names that a file of this process's has because its file system is mounted at several places.
pub(crate) fn other_names(path: &Path) -> Vec<PathBuf> {
    let names = mount_table("self").and_then(|table| {
        let place = table.place(path.as_os_str().as_bytes())?;
        Some(table.paths_to(&place))
    });
    let names = names.unwrap_or_default().into_iter();
    names.map(|name| PathBuf::from(OsString::from_vec(name))).collect()
}

/// A caller may mount as often as the kernel lets it; of a table that is longer the rest is not read.
const LONGEST_TABLE: u64 = 4 << 20;

fn mount_table(process: &str) -> Option<MountTable> {
    let file = std::fs::File::open(format!("/proc/{process}/mountinfo")).ok()?;
    let mut text = Vec::new();
    file.take(LONGEST_TABLE).read_to_end(&mut text).ok()?;
    Some(MountTable::parse(&text))
}

/// The kernel's name `name` as somebody says it whose root directory is `root`.
fn below(root: BorrowedFd<'_>, name: &Path) -> Option<PathBuf> {
    let rest = name.strip_prefix(kernel_name(root)?).ok()?;
    Some(Path::new("/").join(rest))
}

/// A name for the file behind `descriptor` that begins at the descriptor `root`, if `name` leads
/// there.
fn through_root(root: BorrowedFd<'_>, name: &Path, descriptor: BorrowedFd<'_>) -> Option<PathBuf> {
    let opened = open_in(root, name)?;
    if !fstat(&opened).is_ok_and(|it| fstat(descriptor).is_ok_and(|passed| same(&it, &passed))) {
        return None;
    }
    // Without links: from here on they would lead into the host's root.
    let name = below(root, &kernel_name(opened.as_fd())?)?;
    let path = descriptor_path(root).join(name.strip_prefix("/").ok()?);
    is_at(&path, descriptor).then_some(path)
}

/// The last component of a path, as text.
#[must_use]
pub fn base_name(path: &Path) -> String {
    path.file_name()
        .map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(path: impl AsRef<Path>) -> OwnedFd {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        rustix::fs::open(path.as_ref(), flags, Mode::empty()).unwrap()
    }

    fn own_pid() -> i32 {
        std::process::id().cast_signed()
    }

    #[test]
    fn a_file_has_its_own_name_and_an_unlinked_one_a_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let path = folder.join("x.exe");
        std::fs::write(&path, "MZ").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let root = directory("/");
        let caller = Caller { root: Some(root.as_fd()), pid: own_pid() };
        assert_eq!(caller.name_of(file.as_fd(), None), Name::Own(path.clone()));
        std::fs::remove_file(&path).unwrap();
        // Somebody puts another file under the old name.
        std::fs::write(&path, "MZ other").unwrap();
        let name = caller.name_of(file.as_fd(), Some(path.as_os_str().as_bytes()));
        assert!(name.is_through_descriptor() && is_at(name.path(), &file), "{name:?}");
    }

    #[test]
    fn a_claim_that_leads_elsewhere_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let passed = folder.path().join("passed");
        std::fs::write(&passed, "MZ").unwrap();
        let file = std::fs::File::open(&passed).unwrap();
        std::fs::remove_file(&passed).unwrap();
        std::fs::write(folder.path().join("claimed"), "MZ").unwrap();
        let root = directory(folder.path());
        let caller = Caller { root: Some(root.as_fd()), pid: own_pid() };
        let name = caller.name_of(file.as_fd(), Some(b"/claimed"));
        assert!(is_at(name.path(), &file) && name.path().starts_with("/proc"), "{name:?}");
    }

    #[test]
    fn paths_of_a_callers_are_found_in_its_root() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir(folder.join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.join("link")).unwrap();
        let root = directory(&folder);
        let caller = Caller { root: Some(root.as_fd()), pid: own_pid() };
        let mut known = Known::default();
        for (path, expected) in
            [("/etc", "etc"), ("/link/new/x", "etc/new/x"), ("/../..", ""), ("/new", "new")]
        {
            let found = caller.host_path(Path::new(path), &mut known).unwrap();
            assert_eq!(found, Name::Own(folder.join(expected)), "{path}");
        }
        let without_root = Caller { root: None, ..caller };
        assert_eq!(without_root.host_path(Path::new("/etc"), &mut Known::default()), None);
        // A root that is gone still has what is below it.
        let gone = folder.join("gone");
        std::fs::create_dir(&gone).unwrap();
        let gone_root = directory(&gone);
        std::fs::remove_dir(&gone).unwrap();
        let gone = Caller { root: Some(gone_root.as_fd()), ..caller };
        let found = gone.host_path(Path::new("/x"), &mut Known::default());
        assert_eq!(
            found,
            Some(Name::ThroughDescriptor(descriptor_path(gone_root.as_fd()).join("x")))
        );
    }

    #[test]
    fn a_root_without_the_file_does_not_see_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = directory(folder.path());
        assert!(!is_same_in(root.as_fd(), Path::new("/bin/sh")));
        let real = directory("/");
        assert!(is_same_in(real.as_fd(), Path::new("/bin/sh")));
    }
}
