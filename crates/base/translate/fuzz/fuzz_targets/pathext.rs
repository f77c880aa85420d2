//! Feeds a PATH, a PATHEXT and a program's name to the search for it, and a PATH to the expansion.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_translate::pathext::{Places, SearchOrder, expand};

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |&byte| byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (name, pathext, path) = (next(), next(), next());
    assert_eq!(expand(path, |_| None), path);
    let path = expand(path, |name| Some(name.to_vec()));
    let places = Places { path: Some(&path), pathext: Some(pathext), ..Places::default() };
    let order = SearchOrder::new(&places);
    let mut tried = 0_usize;
    let none = order.find(name, |found| {
        tried += 1;
        assert!(!name.is_empty() && found.as_bytes().windows(name.len()).any(|part| part == name));
        false
    });
    assert!(none.is_none());
    let found = order.find(name, |_| true);
    assert_eq!(found.is_some(), tried > 0);
});
