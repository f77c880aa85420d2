//! What the policy is told of a program: names that this process has found out itself.
//!
//! A caller passes its program open, and says a path and a root directory besides. Both are claims:
//! anybody may pass any directory of theirs as their root. So
//! - a rule that allows a path is asked about the name that the file has for the *machine*: whatever
//!   leads there is opened in this process's own root, compared with the passed file, and the kernel
//!   says its name, without links, `..` or `.`;
//! - where the file is in the caller's root, found the same way, matters only together with the
//!   program's hash;
//! - a rule that refuses is asked about everything that the file is called, claims too.

use crate::located::{Caller, base_name, kernel_name, open_in, other_names, same};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, fstatfs, major, minor, open, openat2,
};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};
use winterop_sys::is_own_user;

/// The type of file systems that a user's own process serves, as `statfs` says it.
const FUSE: u64 = 0x6573_5546;

/// What was found out of a program.
#[derive(Debug, Default)]
pub struct Identity {
    /// Its name for the machine, where it has one.
    pub own: Option<PathBuf>,
    /// Its name in the root that the caller has passed.
    pub inside: Option<PathBuf>,
    /// Everything that it is called.
    pub names: Vec<PathBuf>,
}

impl Identity {
    /// Finds the names of the file behind `program`. `claimed` is what the caller calls it.
    #[must_use]
    pub fn of(caller: Caller<'_>, program: BorrowedFd<'_>, claimed: Option<&[u8]>) -> Self {
        let claimed = claimed.map(|path| PathBuf::from(OsString::from_vec(path.to_vec())));
        let by_kernel = kernel_name(program);
        let own = caller.names_here(program).into_iter().find_map(|name| own_name(&name, program));
        let inside = caller.root.and_then(|root| {
            let opened = open_in(root, claimed.as_deref()?)?;
            is_same(opened.as_fd(), program).then(|| caller.below_root(opened.as_fd()))?
        });
        let names = [&own, &inside, &by_kernel, &claimed].into_iter().flatten().cloned();
        let names = names.collect();
        Self { own, inside, names }
    }

    /// Adds what else it is called on the machine: a file system that is mounted twice gives each file
    /// two names.
    pub fn add_other_names(&mut self) {
        self.names.extend(self.own.as_deref().map(other_names).unwrap_or_default());
    }
}

/// Whether two descriptors have the same file open.
fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    fstat(one).is_ok_and(|one| fstat(other).is_ok_and(|other| same(&one, &other)))
}

/// The machine's own name for the file behind `program`, if `name` leads to it here.
fn own_name(name: &Path, program: BorrowedFd<'_>) -> Option<PathBuf> {
    let opened = open_here(name, OFlags::PATH)?;
    let own = kernel_name(opened.as_fd()).filter(|_| is_same(opened.as_fd(), program))?;
    // What the kernel says of a file that was removed meanwhile leads nowhere.
    let again = open_here(&own, OFlags::PATH | OFlags::NOFOLLOW)?;
    is_same(again.as_fd(), program).then_some(own)
}

/// Opens a path of the machine's; links of `/proc` that lead to other processes' files are none.
fn open_here(path: &Path, flags: OFlags) -> Option<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS).ok()
}

/// Opens a program that came by its path alone, as somebody sees it whose root is `root`; as this
/// process does, where no root was passed.
///
/// # Errors
/// The system's.
pub fn open_program(root: Option<BorrowedFd<'_>>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match root {
        Some(root) => {
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            openat2(root, path, flags, Mode::empty(), resolve)
        }
        None => openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS),
    }
}

/// Opens the machine's file at `path`, a name without links, if it is the one behind `program`, and if
/// nobody but root and `user` can change it, or put another file in its place.
///
/// What is opened is what should run: it is the machine's own, whatever somebody has mounted elsewhere.
#[must_use]
pub fn open_settled(path: &Path, program: BorrowedFd<'_>, user: u32) -> Option<OwnedFd> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = open("/", directory, Mode::empty()).ok()?;
    let mut parent = settled_directory(here.as_fd(), user)?;
    let mut names = path.components().skip(1).peekable();
    while let Some(component) = names.next() {
        let Component::Normal(name) = component else { return None };
        let is_last = names.peek().is_none();
        let flags = match is_last {
            true => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
            false => directory,
        };
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let next = openat2(&here, name, flags | OFlags::NOFOLLOW, Mode::empty(), resolve).ok()?;
        if is_last {
            // Into a directory that everybody may write to, anybody may link a file that is another's.
            let is_settled = parent == Writers::Few && is_settled_file(next.as_fd(), user);
            return (is_settled && is_same(next.as_fd(), program)).then_some(next);
        }
        parent = settled_directory(next.as_fd(), user)?;
        here = next;
    }
    None
}

/// Who can put names into a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writers {
    /// Root and the user.
    Few,
    /// Others too; but what is another's they can neither remove nor rename.
    Sticky,
}

/// Who can write to a directory; none where that is somebody who may not.
fn settled_directory(directory: BorrowedFd<'_>, user: u32) -> Option<Writers> {
    let status = fstat(directory).ok()?;
    if !is_owned(directory, &status, user) {
        return None;
    }
    // Where there is an access list, the bits of the group say what most it can give to anybody.
    let mode = Mode::from_raw_mode(status.st_mode);
    match (mode.intersects(Mode::WGRP | Mode::WOTH), mode.contains(Mode::SVTX)) {
        (false, _) => Some(Writers::Few),
        (true, true) => Some(Writers::Sticky),
        (true, false) => None,
    }
}

fn is_settled_file(file: BorrowedFd<'_>, user: u32) -> bool {
    fstat(file).is_ok_and(|status| {
        let mode = Mode::from_raw_mode(status.st_mode);
        FileType::from_raw_mode(status.st_mode).is_file()
            && !mode.intersects(Mode::WGRP | Mode::WOTH)
            && is_owned(file, &status, user)
    })
}

/// Whether a file is root's or the user's, on a file system that says the truth of it.
fn is_owned(file: BorrowedFd<'_>, status: &Stat, user: u32) -> bool {
    let is_allowed = |uid: u32| uid == 0 || is_own_user(uid, user);
    let is_fuse = fstatfs(file).map_or(true, |system| system.f_type.cast_unsigned() == FUSE);
    is_allowed(status.st_uid) && (!is_fuse || server_of(status).is_some_and(is_allowed))
}

/// Whose process serves a FUSE file system, as the mount table has it. None is named for one that the
/// kernel itself has from elsewhere, such as virtiofs: that was mounted by root.
fn server_of(status: &Stat) -> Option<u32> {
    let device = format!("{}:{}", major(status.st_dev), minor(status.st_dev));
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    let text = String::from_utf8_lossy(&table);
    let line = text.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
    let options = line.rsplit(' ').next().unwrap_or_default();
    match options.split(',').find_map(|option| option.strip_prefix("user_id=")) {
        Some(user) => user.parse().ok(),
        None => Some(0),
    }
}

/// Whether a name is one that is looked for on `PATH`: no path of any kind.
#[must_use]
pub fn is_bare(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|byte| matches!(byte, b'/' | b'\\' | b':' | 0))
}

/// What a program that was looked for by its bare name is called.
#[must_use]
pub fn names_of_found(name: &[u8], found: Option<&Path>) -> Vec<PathBuf> {
    let name = PathBuf::from(OsString::from_vec(name.to_vec()));
    let in_place = found.and_then(Path::parent).map(|folder| folder.join(base_name(&name)));
    [Some(name), found.map(Path::to_owned), in_place].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn directory(path: &Path) -> OwnedFd {
        open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    /// A folder that nobody else writes to, in one where everybody does.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    fn identity(root: &Path, file: &File, claimed: &str) -> Identity {
        let root = directory(root);
        let caller = Caller { root: Some(root.as_fd()), pid: std::process::id().cast_signed() };
        Identity::of(caller, file.as_fd(), Some(claimed.as_bytes()))
    }

    #[test]
    fn a_path_is_what_it_leads_to_and_not_what_is_said() {
        let (_folder, path) = folder();
        for name in ["tools", "windows"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        let program = path.join("windows/hello.exe");
        fs::write(&program, "MZ").unwrap();
        symlink("../windows", path.join("tools/link")).unwrap();
        symlink("../windows/hello.exe", path.join("tools/hello.exe")).unwrap();
        let tools = path.join("tools");
        let base = tools.display();
        for claimed in [
            format!("{base}/../windows/hello.exe"),
            format!("{base}/link/hello.exe"),
            format!("{base}//.//hello.exe"),
            format!("{base}/hello.exe"),
        ] {
            let file = open_program(None, Path::new(&claimed)).unwrap();
            let found = identity(Path::new("/"), &File::from(file), &claimed);
            assert_eq!(found.own.as_deref(), Some(&*program), "{claimed}");
            assert_eq!(found.inside.as_deref(), Some(&*program), "{claimed}");
            // To refuse it, what was said counts too.
            assert!(found.names.contains(&PathBuf::from(&claimed)), "{found:?}");
        }
    }

    #[test]
    fn a_root_of_ones_own_making_gives_no_name() {
        let (_folder, path) = folder();
        fs::create_dir_all(path.join("opt/tools")).unwrap();
        let program = path.join("opt/tools/evil.exe");
        fs::write(&program, "MZ").unwrap();
        let file = File::open(&program).unwrap();
        let found = identity(&path, &file, "/opt/tools/evil.exe");
        assert_eq!(found.own, Some(program.clone()));
        assert_eq!(found.inside, Some("/opt/tools/evil.exe".into()));
        // Nor does a claim that leads to another file.
        fs::write(path.join("opt/tools/good.exe"), "MZ good").unwrap();
        let found = identity(&path, &file, "/opt/tools/good.exe");
        assert_eq!((found.own, found.inside), (Some(program.clone()), None));
        fs::remove_file(&program).unwrap();
        assert_eq!(identity(&path, &file, "/opt/tools/evil.exe").own, None);
        // Another file at the old place is not what was passed.
        fs::write(&program, "MZ other").unwrap();
        let found = identity(&path, &file, "/opt/tools/evil.exe");
        assert_eq!((found.own, found.inside), (None, None));
    }

    #[test]
    fn only_what_nobody_else_can_change_is_settled() {
        let (_folder, path) = folder();
        let inner = path.join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let program = inner.join("x.exe");
        fs::write(&program, "MZ").unwrap();
        let file = File::open(&program).unwrap();
        let settled = || open_settled(&program, file.as_fd(), own()).is_some();
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        for (place, wrong, right) in [
            (&program, 0o664, 0o644),
            (&program, 0o646, 0o644),
            (&inner, 0o775, 0o755),
            (&inner, 0o757, 0o755),
            // Anybody can link another's program into it.
            (&inner, 0o1777, 0o755),
            (&path.join("a"), 0o777, 0o755),
        ] {
            mode(place, right).unwrap();
            assert!(settled(), "{} {right:o}", place.display());
            mode(place, wrong).unwrap();
            assert!(!settled(), "{} {wrong:o}", place.display());
            mode(place, right).unwrap();
        }
        // As in /tmp: others can neither rename nor remove a directory that is not theirs.
        mode(&path.join("a"), 0o1777).unwrap();
        assert!(settled());
        // Somebody else's, and another file.
        if own() == 0 {
            std::os::unix::fs::chown(&inner, Some(4711), None).unwrap();
            assert!(!settled());
            assert!(open_settled(&program, file.as_fd(), 4711).is_some());
            std::os::unix::fs::chown(&inner, Some(0), None).unwrap();
        }
        let other = tempfile::tempfile().unwrap();
        assert!(open_settled(&program, other.as_fd(), own()).is_none());
        // Through a link nothing is opened, whoever made it.
        symlink(&inner, path.join("link")).unwrap();
        assert!(open_settled(&path.join("link/x.exe"), file.as_fd(), own()).is_none());
        assert!(open_settled(&inner.join("../b/x.exe"), file.as_fd(), own()).is_none());
    }

    #[test]
    fn a_bare_name_is_no_path() {
        assert!(is_bare(b"cmd") && is_bare(b"cmd.exe."));
        for path in ["", "/x", "..\\x", "C:x", "\\\\?\\x", "a/b"] {
            assert!(!is_bare(path.as_bytes()), "{path}");
        }
    }
}
