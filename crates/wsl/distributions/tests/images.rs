//! Images as `mke2fs` and `qemu-img` make them, and such as nobody should: what comes of them on disk.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod common;

use common::{gone, is_same, manifest, open, sample};
use rustix::fs::XattrFlags;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use winterop_distributions::image::{Image, ext4::Walk};
use winterop_distributions::tree::extract::extract;

/// Runs a script in a folder, with the tools of ext4, which a plain user's PATH does not have.
fn run(folder: &Path, script: &str) -> String {
    let script = format!("PATH=$PATH:/usr/sbin:/sbin; {script}");
    let output = Command::new("sh").current_dir(folder).args(["-ec", &script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The tree that images are made of. Its times are whole seconds: `mke2fs` keeps no others.
fn source(folder: &Path) -> PathBuf {
    let root = folder.join("source");
    fs::create_dir(&root).unwrap();
    sample(&root);
    let many = root.join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..600 {
        fs::write(many.join(format!("a-name-that-takes-some-room-{number}")), b"").unwrap();
    }
    // More pieces than fit in an inode, so that there is a tree of them.
    let file = fs::File::create(root.join("pieces")).unwrap();
    for piece in 0..40 {
        file.write_all_at(&[piece; 9000], u64::from(piece) * 40_000).unwrap();
    }
    let large: Vec<u8> =
        (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(root.join("large"), large).unwrap();
    for (name, attribute, value) in attributes() {
        rustix::fs::setxattr(root.join(name), attribute, &value, XattrFlags::empty()).unwrap();
    }
    run(&root, "find . -exec touch -h -d @1700000000 {} +");
    root
}

/// Lists of who may do what, which lie on the disk in another form; and as root a capability.
fn attributes() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let list = |entries: &[(u16, u16, u32)]| {
        let entries = entries.iter().flat_map(|(tag, may, id)| {
            [&tag.to_le_bytes()[..], &may.to_le_bytes(), &id.to_le_bytes()].concat()
        });
        2_u32.to_le_bytes().into_iter().chain(entries).collect::<Vec<u8>>()
    };
    let nobody = u32::MAX;
    let own = rustix::process::geteuid().as_raw();
    let access =
        list(&[(1, 6, nobody), (2, 7, own), (4, 4, nobody), (16, 7, nobody), (32, 4, nobody)]);
    let mut all = vec![
        ("pieces", "system.posix_acl_access", access.clone()),
        ("many", "system.posix_acl_default", access),
        ("large", "user.long", vec![b'x'; 900]),
    ];
    if own == 0 {
        let capability = [&0x0200_0000_u32.to_le_bytes()[..], &[0, 4, 0, 0], &[0; 12]].concat();
        all.push(("large", "security.capability", capability));
    }
    all
}

fn make(folder: &Path, options: &str) -> PathBuf {
    // It can keep what only root can make where root runs it.
    run(
        folder,
        &format!(
            "rm -f image; truncate -s 64M image; mke2fs -q {options} -d source -E root_owner=$(id -u):$(id -g) image"
        ),
    );
    folder.join("image")
}

/// Writes the files of an image below a fresh directory.
fn unpack(image: &Path) -> (tempfile::TempDir, Result<Vec<String>, String>) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("root")).unwrap();
    let result = Image::open(fs::File::open(image).unwrap())
        .and_then(Walk::new)
        .map_err(|error| error.to_string())
        .and_then(|walk| {
            extract(walk, open(&folder.path().join("root"))).map_err(|error| error.to_string())
        });
    (folder, result.map(|notes| notes.lines().collect()))
}

/// What of a tree an image must have; `mke2fs` adds a directory of its own.
fn expected(root: &Path) -> Vec<String> {
    manifest(root).into_iter().filter(|line| !line.starts_with("\"lost+found\"")).collect()
}

/// A directory's owner and times are the image's own.
fn without_root(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.starts_with("\"\" ")).collect()
}

#[track_caller]
fn has_all(image: &Path, source: &Path) {
    let (folder, result) = unpack(image);
    assert_eq!(result, Ok(Vec::new()));
    let root = folder.path().join("root");
    is_same(&without_root(expected(&root)), &without_root(manifest(source)));
    for (name, attribute, value) in attributes() {
        let mut found = [0; 1000];
        let count = rustix::fs::getxattr(root.join(name), attribute, &mut found).unwrap();
        assert_eq!(found[..count], value, "{name} {attribute}");
    }
    let blocks = |name: &str| fs::metadata(root.join(name)).unwrap().blocks();
    assert!(
        blocks("sparse") <= 1024 && blocks("hole") < 16,
        "{} {}",
        blocks("sparse"),
        blocks("hole")
    );
    gone(&folder);
}

#[test]
fn everything_in_an_image_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    for options in [
        "-t ext4",
        "-t ext4 -b 1024",
        "-t ext4 -b 2048 -O ^metadata_csum,^64bit",
        "-t ext4 -F -b 65536",
        "-t ext4 -O meta_bg,^resize_inode -g 1024 -b 1024",
        "-t ext4 -O bigalloc -b 4096",
        "-t ext4 -O ea_inode -I 1024",
        "-t ext3",
        "-t ext2 -b 1024",
        "-t ext2 -I 128 -r 1",
    ] {
        println!("{options}");
        has_all(&make(folder.path(), options), &source);
    }
}

#[test]
fn directories_with_tables_are_read_as_those_without() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    for options in ["-t ext4 -b 1024", "-t ext4 -b 1024 -O ^metadata_csum", "-t ext2 -b 1024"] {
        let image = make(folder.path(), options);
        // It says with 1 that it has changed something.
        run(folder.path(), "e2fsck -fyD image >/dev/null 2>&1 || test $? = 1");
        let flags = run(folder.path(), "debugfs -R 'stat many' image 2>/dev/null | grep Flags:");
        assert!(flags.contains("0x1000") || flags.contains("0x81000"), "{flags}");
        has_all(&image, &source);
    }
}

#[test]
fn every_kind_of_image_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    make(folder.path(), "-t ext4");
    run(
        folder.path(),
        "qemu-img convert -O vhdx image disk.vhdx; \
         qemu-img convert -O vhdx -o subformat=fixed image fixed.vhdx; \
         qemu-img convert -O vpc -o force_size=on image disk.vhd; \
         qemu-img convert -O vpc -o subformat=fixed,force_size=on image fixed.vhd",
    );
    for name in ["disk.vhdx", "fixed.vhdx", "disk.vhd", "fixed.vhd"] {
        println!("{name}");
        has_all(&folder.path().join(name), &source);
    }
}

#[test]
fn what_was_never_written_is_a_hole_and_times_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    source(folder.path());
    let image = make(folder.path(), "-t ext4 -b 4096");
    // Before, in and behind what a file has; what lay on the disk there must not be seen.
    run(
        folder.path(),
        "dd if=/dev/urandom of=image.free bs=1M count=1 2>/dev/null; \
         debugfs -w -R 'write image.free old' image 2>/dev/null; \
         debugfs -w -R 'rm old' image 2>/dev/null; \
         debugfs -w -R 'fallocate pieces 0 2000' image 2>/dev/null; \
         debugfs -w -R 'set_inode_field pieces size 9000000' image 2>/dev/null; \
         debugfs -w -R 'set_inode_field pieces mtime 0x80000000' image 2>/dev/null; \
         debugfs -w -R 'set_inode_field pieces mtime_extra 0x1d6f3455' image 2>/dev/null",
    );
    let (unpacked, result) = unpack(&image);
    assert_eq!(result, Ok(Vec::new()));
    let root = unpacked.path().join("root");
    let (found, before) = (
        fs::read(root.join("pieces")).unwrap(),
        fs::read(folder.path().join("source/pieces")).unwrap(),
    );
    assert_eq!(found.len(), 9_000_000);
    assert!(found[..before.len()] == before[..]);
    assert!(found[before.len()..].iter().all(|byte| *byte == 0));
    let status = fs::metadata(root.join("pieces")).unwrap();
    assert_eq!((status.mtime(), status.mtime_nsec()), (-0x8000_0000 + (1 << 32), 0x1d6f_3455 >> 2));
    gone(&unpacked);
}

#[test]
fn what_cannot_be_kept_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("source");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("small"), "in its inode").unwrap();
    let socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let image = make(folder.path(), "-t ext4 -O inline_data");
    let words = unpack(&image).1.unwrap_err();
    assert!(words.contains("inline_data") && words.contains("tar archive"), "{words}");
    let image = make(folder.path(), "-t ext4");
    run(folder.path(), "debugfs -w -R 'set_inode_field small flags 0x80010' image 2>/dev/null");
    let notes = unpack(&image).1.unwrap();
    let has = |word: &str| notes.iter().any(|line| line.contains(word));
    assert!(notes.len() == 2 && has("socket") && has("chattr"), "{notes:?}");
    drop(socket);
    // It was in use when it was copied.
    run(folder.path(), "debugfs -w -R 'feature needs_recovery' image");
    let words = unpack(&image).1.unwrap_err();
    assert!(words.contains("not unmounted") && words.contains("e2fsck"), "{words}");
}

#[test]
fn one_block_is_never_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("source");
    fs::create_dir_all(root.join("directory/below")).unwrap();
    for name in ["one", "two"] {
        fs::write(root.join(name), vec![7; 100_000]).unwrap();
    }
    // Two files of the same blocks, a directory in itself, an extent twice in a file.
    for (script, words) in [
        (
            "b=$(debugfs -R 'blocks one' image 2>/dev/null | cut -d' ' -f1); \
          debugfs -w -R \"set_inode_field two block[5] $b\" image",
            "two files",
        ),
        ("debugfs -w -R 'link directory directory/below/again' image", "two files"),
        ("debugfs -w -R 'link / directory/again' image", "two files"),
    ] {
        let image = make(folder.path(), "-t ext4 -O ^metadata_csum");
        run(folder.path(), &format!("({script}) 2>/dev/null"));
        let said = unpack(&image).1.unwrap_err();
        assert!(said.contains(words), "{script}: {said}");
    }
}

#[test]
fn a_damaged_image_is_an_error_and_never_a_wrong_file() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("source");
    fs::create_dir(&root).unwrap();
    for number in 0..20 {
        fs::write(root.join(format!("file-{number}")), [number; 9]).unwrap();
    }
    let image = make(folder.path(), "-t ext4 -N 64");
    let whole = fs::read(&image).unwrap();
    let (folder_before, result) = unpack(&image);
    assert_eq!(result, Ok(Vec::new()));
    let before = manifest(&folder_before.path().join("root"));
    // Whatever bit of its own description is wrong: words, or the same files.
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    for at in used.iter().step_by(used.len() / 300 + 1) {
        file.write_all_at(&[whole[*at] ^ 1 << (at % 8)], *at as u64).unwrap();
        let (folder, result) = unpack(&image);
        let is_content = whole[*at] < 20 && result.is_ok();
        if result.is_ok_and(|notes| notes.is_empty()) && !is_content {
            assert_eq!(manifest(&folder.path().join("root")), before, "byte {at}");
        }
        file.write_all_at(&whole[*at..=*at], *at as u64).unwrap();
    }
    // Cut off.
    file.set_len(whole.len() as u64 / 2).unwrap();
    let words = unpack(&image).1.unwrap_err();
    assert!(words.contains("cut off"), "{words}");
}
