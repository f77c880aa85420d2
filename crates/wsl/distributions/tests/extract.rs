//! Archives as GNU tar writes them, and such as nobody should: what comes of them on disk.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod common;

use common::{gone, is_same, manifest, open, sample};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io::Cursor;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use winterop_distributions::archive::{
    Source as _, compression::decompressed, read::Reader, write::Writer,
};
use winterop_distributions::tree::{extract::extract, pack::pack};

/// Writes an archive below a fresh directory; returns that, and what was lost or went wrong.
fn unpack(archive: Vec<u8>) -> (tempfile::TempDir, Result<Vec<String>, String>) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("root")).unwrap();
    let reader = Reader::new(decompressed(Cursor::new(archive)).unwrap());
    let result = extract(reader, open(&folder.path().join("root")));
    let result = result.map(|notes| notes.lines().collect()).map_err(|error| error.to_string());
    (folder, result)
}

fn tar(folder: &Path, options: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").arg("-C").arg(folder).args(options).args(["-c", "."]).output();
    let output = output.expect("tar");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn header(kind: tar::EntryType, name: &str, link: &str, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    let own = rustix::process::geteuid().as_raw();
    header.set_uid(own.into());
    header.set_gid(rustix::process::getegid().as_raw().into());
    header.set_mtime(1_000_000);
    header.set_size(data.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

#[test]
fn everything_that_gnu_tar_keeps_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("sample");
    fs::create_dir(&root).unwrap();
    sample(&root);
    let expected = manifest(&root);
    for format in ["gnu", "pax"] {
        for sparse in [
            &["--sparse"][..],
            &["--sparse", "--sparse-version=0.0"],
            &["--sparse", "--sparse-version=0.1"],
        ] {
            let format_option = format!("--format={format}");
            let mut options = vec![format_option.as_str()];
            options.extend_from_slice(sparse);
            if format == "pax" {
                options.extend(["--xattrs", "--xattrs-include=*"]);
            }
            let (unpacked, result) = unpack(tar(&root, &options));
            assert_eq!(result, Ok(Vec::new()), "{options:?}");
            let written = unpacked.path().join("root");
            let (mut expected, mut found) = (expected.clone(), manifest(&written));
            if format == "gnu" {
                // That format has whole seconds and no attributes.
                let plain = |lines: &mut Vec<String>| {
                    for line in lines.iter_mut() {
                        *line = line.replace("user.note\\0", "");
                        let is_nanoseconds = |at: &usize| {
                            let digits = line.get(at + 1..at + 10).unwrap_or_default();
                            digits.len() == 9 && digits.bytes().all(|byte| byte.is_ascii_digit())
                        };
                        let mut dots = line.match_indices('.').map(|(at, _)| at);
                        let at = dots.find(is_nanoseconds).expect("a time");
                        line.replace_range(at + 1..at + 10, "0");
                    }
                };
                plain(&mut expected);
                plain(&mut found);
            } else {
                let mut value = [0; 16];
                let count =
                    rustix::fs::getxattr(written.join("a/file"), "user.note", &mut value).unwrap();
                assert_eq!(&value[..count], b"a\nb\0c");
            }
            assert_eq!(found, expected, "{options:?}");
            let blocks = |name: &str| fs::metadata(written.join(name)).unwrap().blocks();
            assert!(
                blocks("sparse") < 1024 && blocks("hole") < 16,
                "{} {}",
                blocks("sparse"),
                blocks("hole")
            );
            gone(&unpacked);
        }
    }
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn what_is_packed_is_what_was_there_for_us_and_for_gnu_tar() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("sample");
    fs::create_dir(&root).unwrap();
    sample(&root);
    let socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let (notes, archive) = pack(open_to_read(&root), Writer::new(Vec::new())).unwrap();
    let archive = archive.finish().unwrap();
    let notes: Vec<String> = notes.lines().collect();
    assert!(notes.len() == 1 && notes[0].contains("socket"), "{notes:?}");
    // Once more it is the same archive, byte for byte.
    let again = pack(open_to_read(&root), Writer::new(Vec::new())).unwrap().1.finish().unwrap();
    assert!(archive == again);
    // The holes are none of it.
    assert!(archive.len() < 1 << 20, "{}", archive.len());
    drop(socket);
    let modified = fs::metadata(&root).unwrap().modified().unwrap();
    fs::remove_file(root.join("socket")).unwrap();
    fs::File::open(&root).unwrap().set_modified(modified).unwrap();
    let expected = manifest(&root);
    let (ours, result) = unpack(archive.clone());
    assert_eq!(result, Ok(Vec::new()));
    is_same(&manifest(&ours.path().join("root")), &expected);
    let (theirs, file) = (folder.path().join("theirs"), folder.path().join("file.tar"));
    fs::create_dir(&theirs).unwrap();
    fs::write(&file, archive).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&theirs).args(["--xattrs", "--xattrs-include=*", "-xpf"]).arg(&file);
    let output = tar.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    is_same(&manifest(&theirs), &expected);
    for root in [&root, &theirs] {
        fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    }
    gone(&ours);
}

fn open_to_read(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

#[test]
fn nothing_leads_out_of_the_root() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let outside = tempfile::tempdir().unwrap();
    let out = outside.path().to_str().unwrap();
    let file = |name: &str| header(Regular, name, "", b"evil");
    for entries in [
        vec![file("../evil")],
        vec![file("a/../../evil")],
        vec![file("a/..")],
        vec![file("/tmp/evil")],
        vec![header(Symlink, "out", out, b""), file("out/evil")],
        vec![header(Symlink, "up", "..", b""), file("up/evil")],
        vec![header(Symlink, "a", "b", b""), header(Symlink, "b", "../..", b""), file("a/evil")],
        vec![header(Symlink, "out", out, b""), header(Directory, "out/evil/", "", b"")],
        vec![file("x"), header(Link, "y", "../x", b"")],
        vec![header(Symlink, "out", out, b""), file("x"), header(Link, "out/evil", "x", b"")],
        vec![header(Link, "y", "/etc/passwd", b"")],
        vec![header(Symlink, ".", out, b"")],
    ] {
        let (folder, result) = unpack(archive(&entries));
        let words = result.expect_err("refused");
        assert!(words.contains("refused"), "{words}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "beside the root");
    }
}

#[test]
fn links_are_kept_and_never_written_through() {
    use tar::EntryType::{Link, Regular, Symlink};
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let text = victim.to_str().unwrap();
    let (folder, result) = unpack(archive(&[
        header(Symlink, "f", text, b""),
        header(Regular, "f", "", b"new"),
        header(Symlink, "kept", text, b""),
        header(Link, "again", "kept", b""),
        header(Symlink, "lib", "usr/lib", b""),
        header(Regular, "usr/lib/one", "", b"1"),
        header(Regular, "lib/two", "", b"2"),
    ]));
    assert_eq!(result, Ok(Vec::new()));
    let root = folder.path().join("root");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(fs::read_to_string(root.join("f")).unwrap(), "new");
    assert_eq!(fs::read_link(root.join("again")).unwrap(), victim);
    assert_eq!(fs::read_to_string(root.join("usr/lib/two")).unwrap(), "2");
}

#[test]
fn what_is_cut_off_or_damaged_says_so() {
    use tar::EntryType::Regular;
    let whole = archive(&[header(Regular, "a", "", &[7; 5000]), header(Regular, "b", "", b"x")]);
    for length in [1, 511, 512, 1000, 512 + 5120, 512 + 5120 + 512, whole.len() - 1024] {
        let (_folder, result) = unpack(whole[..length].to_vec());
        let words = result.expect_err("cut off");
        assert!(words.contains("cut off") || words.contains("no tar archive"), "{length}: {words}");
    }
    // Each bit of the second header; the checksum's own digits may mean the same still.
    for bit in (0..512 * 8).filter(|bit| !(148 * 8..156 * 8).contains(bit)) {
        let mut flipped = whole.clone();
        flipped[512 + 5120 + bit / 8] ^= 1 << (bit % 8);
        let mut reader = Reader::new(Cursor::new(flipped));
        let damaged = std::iter::from_fn(|| reader.next_entry().transpose()).any(|e| e.is_err());
        assert!(damaged, "bit {bit}");
    }
    for nothing in [Vec::new(), b"hello".to_vec(), vec![b'x'; 4096]] {
        let words = unpack(nothing).1.expect_err("no archive");
        assert!(words.contains("no tar archive"), "{words}");
    }
    let words = unpack(vec![0; 1024]).1.expect_err("an archive of nothing");
    assert!(words.contains("the archive: it holds nothing"), "{words}");
}

#[test]
fn what_an_archive_claims_is_not_believed() {
    use tar::EntryType::{GNULongName, GNUSparse, Regular, XHeader};
    let mut endless = header(GNULongName, "././@LongLink", "", b"");
    let mut long = tar::Header::from_byte_slice(&endless[..512]).clone();
    long.set_size(8 << 30);
    long.set_cksum();
    endless[..512].copy_from_slice(long.as_bytes());
    let words = unpack(endless).1.expect_err("too large");
    assert!(words.contains("more than 1 MiB"), "{words}");
    // A terabyte of holes is there at once.
    let mut sparse = tar::Header::from_byte_slice(&header(GNUSparse, "big", "", b"")).clone();
    sparse.as_gnu_mut().unwrap().set_real_size(1 << 40);
    sparse.set_cksum();
    let (folder, result) = unpack(archive(&[sparse.as_bytes().to_vec()]));
    assert_eq!(result, Ok(Vec::new()));
    assert_eq!(fs::metadata(folder.path().join("root/big")).unwrap().len(), 1 << 40);
    for record in ["19 GNU.sparse.map=1\n", "9 size=x\n", "9 size=1", "3 x\n"] {
        let entries =
            [header(XHeader, "pax", "", record.as_bytes()), header(Regular, "a", "", b"1")];
        let result = unpack(archive(&entries)).1;
        assert!(result.is_err() || record.contains("map"), "{record}");
    }
    let alone = archive(&[header(XHeader, "pax", "", b"9 uid=10\n")]);
    assert!(unpack(alone).1.is_err());
}

/// A header of pax records before an entry.
fn pax(kind: tar::EntryType, records: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length =
            (1..9).map(|digits| rest + digits).find(|all| all.to_string().len() + rest == *all);
        data.extend(format!("{} {key}=", length.unwrap()).as_bytes());
        data.extend(value);
        data.push(b'\n');
    }
    header(kind, "pax", "", &data)
}

#[test]
fn attributes_that_wait_for_the_end_are_bounded() {
    use tar::EntryType::{Directory, XHeader};
    let attributes: Vec<_> = (0..16)
        .map(|number| (format!("SCHILY.xattr.user.n{number}"), vec![b'v'; 60_000]))
        .collect();
    let mut entries = Vec::new();
    for number in 0..90 {
        entries.push(pax(XHeader, &attributes));
        entries.push(header(Directory, &format!("d{number}"), "", b""));
    }
    let words = unpack(archive(&entries)).1.expect_err("too much");
    assert!(words.contains("64 MiB"), "{words}");
}

#[test]
fn records_for_all_entries_are_few() {
    use tar::EntryType::{Regular, XGlobalHeader};
    let comment = |length| pax(XGlobalHeader, &[("comment".to_owned(), vec![b'c'; length])]);
    let with = |length| unpack(archive(&[comment(length), header(Regular, "a", "", b"1")])).1;
    assert_eq!(with(100), Ok(Vec::new()));
    let words = with(100_000).expect_err("each entry would go through them");
    assert!(words.contains("for all entries"), "{words}");
}

#[test]
fn names_and_depth_are_those_that_linux_has() {
    use tar::EntryType::{GNULongLink, GNULongName, Link, Regular, Symlink};
    let named = |name: &str| {
        let entries =
            [header(GNULongName, "l", "", name.as_bytes()), header(Regular, "a", "", b"")];
        unpack(archive(&entries))
    };
    for name in ["a/".repeat(33_000) + "a", "b".repeat(256), format!("x/{}/y", "c".repeat(300))] {
        let (folder, result) = named(&name);
        let words = result.expect_err("too long");
        assert!(words.contains("refused") && words.contains("bytes"), "{words}");
        assert_eq!(fs::read_dir(folder.path().join("root")).unwrap().count(), 0);
    }
    let (folder, result) = named(&("a/".repeat(2100) + "a"));
    assert_eq!(result, Ok(Vec::new()));
    gone(&folder);
    for kind in [Symlink, Link] {
        let long = "t".repeat(5000);
        let entries = [header(GNULongLink, "l", "", long.as_bytes()), header(kind, "a", "", b"")];
        let words = unpack(archive(&entries)).1.expect_err("too long");
        assert!(words.contains("refused"), "{words}");
    }
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_written() {
    let mut large =
        tar::Header::from_byte_slice(&header(tar::EntryType::Regular, "large", "", b"")[..512])
            .clone();
    large.set_size(1 << 60);
    large.set_cksum();
    let (folder, result) = unpack([large.as_bytes().to_vec(), vec![7; 1 << 20]].concat());
    let words = result.expect_err("an exbibyte");
    assert!(words.contains("No space left") && words.contains("large"), "{words}");
    assert_eq!(fs::read_dir(folder.path().join("root")).unwrap().count(), 0);
}

#[test]
fn pipes_are_pipes() {
    let (folder, result) = unpack(archive(&[header(tar::EntryType::Fifo, "p", "", b"")]));
    assert_eq!(result, Ok(Vec::new()));
    assert!(fs::symlink_metadata(folder.path().join("root/p")).unwrap().file_type().is_fifo());
}
