//! Trees that somebody changes while they are removed or read, and trees that are very deep.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use rustix::fs::{AtFlags, Mode, OFlags, inotify};
use std::fs;
use std::io::Cursor;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use winterop_distributions::archive::{read::Reader, write::Writer};
use winterop_distributions::tree::{extract::extract, pack::pack, remove::remove};

/// Deeper than there are descriptors, and longer than a path may be.
const DEEP: usize = 3_000;

fn open(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).unwrap()
}

/// Makes directories in each other, with a file in the last of them.
fn make_deep(top: &Path, depth: usize) {
    let mut current = open(top);
    for _ in 0..depth {
        rustix::fs::mkdirat(&current, "d", Mode::from_raw_mode(0o755)).unwrap();
        current = rustix::fs::openat(&current, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let file = rustix::fs::openat(&current, "file", flags, Mode::from_raw_mode(0o644)).unwrap();
    rustix::io::write(&file, b"text").unwrap();
}

/// How deep the directories are, and whether the file is in the last of them.
fn depth(top: &Path) -> (usize, bool) {
    let mut current = open(top);
    let mut depth = 0;
    while let Ok(below) = rustix::fs::openat(&current, "d", OFlags::DIRECTORY, Mode::empty()) {
        current = below;
        depth += 1;
    }
    (depth, rustix::fs::statat(&current, "file", AtFlags::SYMLINK_NOFOLLOW).is_ok())
}

/// A small stack and few descriptors are enough.
fn with_little<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let few = rustix::process::Rlimit { current: Some(200), maximum: Some(200) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(256 << 10);
        builder.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

#[test]
fn a_directory_that_is_moved_out_while_it_is_removed_takes_nothing_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("root/a/inner");
    let homes = folder.path().join("homes");
    fs::create_dir_all(&inner).unwrap();
    fs::create_dir_all(homes.join("alice")).unwrap();
    fs::write(homes.join("alice/letters"), "mine").unwrap();
    for number in 0..4_000 {
        fs::write(inner.join(number.to_string()), "").unwrap();
    }
    // The attacker waits until the removal is inside, and moves that directory to where its parent
    // is the homes.
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, &inner, inotify::WatchFlags::DELETE).unwrap();
    let attacker = std::thread::spawn({
        let (from, to) = (inner.clone(), homes.join("inner"));
        move || {
            rustix::io::read(&watch, &mut [0; 4096]).unwrap();
            fs::rename(from, to).unwrap();
        }
    });
    let removed = remove(open(folder.path()).as_fd(), "root");
    attacker.join().unwrap();
    assert!(fs::read_to_string(homes.join("alice/letters")).is_ok(), "{removed:?}");
    assert!(homes.join("inner").exists(), "the attack came too late to show anything");
}

#[test]
fn links_in_a_tree_and_in_the_place_of_it_are_removed_and_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "").unwrap();
    fs::create_dir_all(folder.path().join("root/closed")).unwrap();
    symlink(&kept, folder.path().join("root/link")).unwrap();
    symlink(&kept, folder.path().join("root/closed/link")).unwrap();
    let closed = fs::Permissions::from_mode(0o0);
    fs::set_permissions(folder.path().join("root/closed"), closed).unwrap();
    remove(open(folder.path()).as_fd(), "root").unwrap();
    symlink(&kept, folder.path().join("root")).unwrap();
    remove(open(folder.path()).as_fd(), "root").unwrap();
    remove(open(folder.path()).as_fd(), "root").unwrap();
    assert!(!folder.path().join("root").exists() && kept.join("file").exists());
}

#[test]
fn deep_trees_are_read_written_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    fs::create_dir(&first).unwrap();
    fs::create_dir(&second).unwrap();
    make_deep(&first, DEEP);
    let archive = with_little(|| {
        let (notes, archive) = pack(open(&first), Writer::new(Vec::new())).unwrap();
        assert_eq!(notes.lines().count(), 0);
        archive.finish().unwrap()
    });
    with_little(|| extract(Reader::new(Cursor::new(archive)), open(&second)).map(drop)).unwrap();
    assert_eq!(depth(&second), (DEEP, true));
    for name in ["first", "second"] {
        with_little(|| remove(open(folder.path()).as_fd(), name)).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
