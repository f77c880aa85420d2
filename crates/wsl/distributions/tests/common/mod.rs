//! A tree with everything that is to be kept, and what of it is on disk.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use winterop_distributions::tree::remove::remove;

pub(crate) fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

/// Everything below a directory, a line each: what `tar` is to keep.
pub(crate) fn manifest(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inodes = std::collections::HashMap::new();
    let mut names = vec![root.to_owned()];
    while let Some(path) = names.pop() {
        let status = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if status.is_dir() {
            let entries = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            let mut entries: Vec<_> = entries.collect();
            entries.sort();
            names.extend(entries.into_iter().rev());
        }
        let first = inodes.entry(status.ino()).or_insert_with(|| name.clone()).clone();
        let content = if status.is_file() {
            let mut bytes = Vec::new();
            fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
            let hash = bytes.iter().fold(5381_u64, |h, b| h.wrapping_mul(33) ^ u64::from(*b));
            format!("{hash:x}")
        } else {
            fs::read_link(&path).map(|to| to.display().to_string()).unwrap_or_default()
        };
        let mut list = vec![0; 4096];
        let count = rustix::fs::llistxattr(&path, &mut list).unwrap_or(0);
        let attributes = String::from_utf8_lossy(&list[..count]).into_owned();
        lines.push(format!(
            "{name:?} {:o} {}:{} {} {}.{:09} {first:?} {content} {attributes:?} {}",
            status.mode(),
            status.uid(),
            status.gid(),
            if status.is_dir() { 0 } else { status.size() },
            status.mtime(),
            status.mtime_nsec(),
            status.rdev(),
        ));
    }
    lines
}

pub(crate) fn sample(root: &Path) {
    let is_root = rustix::process::geteuid().is_root();
    fs::create_dir_all(root.join("a/deep/er")).unwrap();
    fs::create_dir(root.join("closed")).unwrap();
    fs::write(root.join("a/file"), "text\n").unwrap();
    fs::hard_link(root.join("a/file"), root.join("a/deep/again")).unwrap();
    fs::write(root.join("closed/inside"), "x").unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("a/file", root.join("relative")).unwrap();
    let long = "n".repeat(200);
    fs::create_dir(root.join(&long)).unwrap();
    fs::write(root.join(&long).join("m".repeat(200)), "long").unwrap();
    symlink("t".repeat(300), root.join("long-link")).unwrap();
    fs::write(root.join("program"), "#!").unwrap();
    fs::set_permissions(root.join("program"), fs::Permissions::from_mode(0o4755)).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    use std::os::unix::fs::FileExt as _;
    for piece in 0..8 {
        sparse.write_all_at(&[b'a' + piece; 4096], u64::from(piece) << 20).unwrap();
    }
    sparse.set_len(16 << 20).unwrap();
    fs::File::create(root.join("hole")).unwrap().set_len(16 << 20).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), Mode::from_raw_mode(0o600)).unwrap();
    rustix::fs::setxattr(
        root.join("a/file"),
        "user.note",
        b"a\nb\0c",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    if is_root {
        std::os::unix::fs::chown(root.join("a"), Some(12), Some(34)).unwrap();
        std::os::unix::fs::chown(root.join("program"), Some(70_000), Some(5)).unwrap();
        fs::set_permissions(root.join("program"), fs::Permissions::from_mode(0o6755)).unwrap();
        std::os::unix::fs::lchown(root.join("absolute"), Some(1), Some(2)).unwrap();
        let device = rustix::fs::makedev(1, 3);
        let kind = rustix::fs::FileType::CharacterDevice;
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("null"),
            kind,
            Mode::from_raw_mode(0o666),
            device,
        );
        made.unwrap();
    }
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
}

#[track_caller]
pub(crate) fn is_same(found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

pub(crate) fn gone(folder: &tempfile::TempDir) {
    remove(open(folder.path()).as_fd(), "root").unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
