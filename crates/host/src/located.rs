//! Finds names under which the host can open what a caller has handed over.
//!
//! A caller may live in another root or mount namespace, its executable may be unlinked or a memfd.
//! Whatever a name says is compared, by device and inode, with the descriptor that was passed, so
//! that nobody can swap one file for another.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, statat};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

fn same(left: &Stat, right: &Stat) -> bool {
    left.st_dev == right.st_dev && left.st_ino == right.st_ino
}

/// Whether `path` names, for the host, the file behind `descriptor`.
#[must_use]
pub fn is_at(path: &Path, descriptor: impl AsFd) -> bool {
    match (statat(CWD, path, AtFlags::empty()), fstat(descriptor)) {
        (Ok(named), Ok(passed)) => same(&named, &passed),
        _ => false,
    }
}

/// Whether `path`, looked up from the caller's `root`, is the same file as for the host.
#[must_use]
pub fn is_same_in(root: BorrowedFd<'_>, path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(theirs) = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) else {
        return false;
    };
    is_at(path, &theirs)
}

/// A name for the file behind `descriptor` that the host can open.
///
/// In this order: the kernel's own name for it, if the host sees the same file there; the caller's
/// name below the caller's root, as long as the caller lives; the descriptor itself, under this
/// process's number.
#[must_use]
pub fn name_of(descriptor: BorrowedFd<'_>, claimed: Option<&[u8]>, peer: i32) -> PathBuf {
    let link = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    if let Ok(name) = std::fs::read_link(link)
        && name.is_absolute()
        && is_at(&name, descriptor)
    {
        return name;
    }
    if let Some(name) = claimed.and_then(|name| below_root_of(peer, name))
        && is_at(&name, descriptor)
    {
        return name;
    }
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd()))
}

/// `path` as the process `peer` sees it, for somebody outside.
fn below_root_of(peer: i32, path: &[u8]) -> Option<PathBuf> {
    if peer <= 0 {
        return None;
    }
    let mut name = format!("/proc/{peer}/root").into_bytes();
    if !path.starts_with(b"/") {
        return None;
    }
    name.extend_from_slice(path);
    Some(PathBuf::from(std::ffi::OsString::from_vec(name)))
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

    #[test]
    fn a_file_has_its_own_name_and_an_unlinked_one_a_descriptors() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        let path = directory.join("x.exe");
        std::fs::write(&path, "MZ").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let peer = std::process::id().cast_signed();
        assert_eq!(name_of(file.as_fd(), None, peer), path);
        std::fs::remove_file(&path).unwrap();
        // Somebody puts another file under the old name.
        std::fs::write(&path, "MZ other").unwrap();
        let claimed = path.as_os_str().as_bytes();
        let name = name_of(file.as_fd(), Some(claimed), peer);
        assert!(name.starts_with("/proc") && is_at(&name, &file), "{}", name.display());
    }

    #[test]
    fn a_root_without_the_file_does_not_see_it() {
        let directory = tempfile::tempdir().unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let root = rustix::fs::open(directory.path(), flags, Mode::empty()).unwrap();
        assert!(!is_same_in(root.as_fd(), Path::new("/bin/sh")));
        let real = rustix::fs::open("/", flags, Mode::empty()).unwrap();
        assert!(is_same_in(real.as_fd(), Path::new("/bin/sh")));
    }
}
