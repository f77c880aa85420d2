//! Feeds links, a line `NAME=TARGET` each, to the reader of drives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use winterop_drives::DriveFolder;

fuzz_target!(|bytes: &[u8]| {
    let prefix = tempfile::tempdir().expect("a folder");
    let folder = DriveFolder::of_prefix(prefix.path());
    let devices = folder.path();
    std::fs::create_dir_all(devices.join("folder")).expect("a folder");
    for line in bytes.split(|byte| *byte == b'\n').take(32) {
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        let (name, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if name.is_empty() || name.contains(&b'/') {
            continue;
        }
        // What cannot be a link's name or target is none.
        let _ = symlink(OsStr::from_bytes(target), devices.join(OsStr::from_bytes(name)));
    }
    let found = folder.read().expect("the folder is there");
    assert!(found.is_sorted_by(|one, other| one.letter <= other.letter));
    for drive in &found {
        assert!(drive.folder.is_absolute() && drive.folder.is_dir(), "{drive:?}");
        assert!(drive.letter.upper().is_ascii_uppercase());
    }
    folder.offered().expect("the folder is there");
});
