//! Feeds a list of variables and a value for all of them to both directions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_translate::wslenv::{self, Direction};

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |&byte| byte == 0);
    let list = parts.next().unwrap_or_default();
    let value = parts.next().unwrap_or_default().split(|&byte| byte == 0).next();
    for direction in [Direction::ToWindows, Direction::ToLinux] {
        let path = |path: &[u8]| path.first().map(|_| [b"<", path, b">"].concat());
        let entries = wslenv::translate(Some(list), direction, |_| value, path);
        assert_eq!(entries[0], [b"WSLENV=", list].concat());
        for entry in &entries[1..] {
            assert!(!entry.contains(&0));
            assert!(entry.iter().position(|&byte| byte == b'=') > Some(0));
        }
    }
});
