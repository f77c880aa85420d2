//! Feeds an entry as the kernel shows it, and behind a NUL the beginning of a file, to both of its readers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use winterop_registration::entries::Entry;
use winterop_registration::table::{LOOKED_AT, Rule, Table, TableEntry};

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let Ok(text) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return };
    let head = parts.next().unwrap_or_default();
    let shown = Entry::parse(text);
    let Some(entry) = TableEntry::parse("entry".to_owned(), text) else { return };
    assert_eq!(
        (shown.enabled, shown.interpreter.as_str()),
        (entry.enabled, entry.interpreter.trim())
    );
    assert!(!entry.rule.words().is_empty());
    let path = Path::new("/a/b.exe");
    let is_enabled = entry.enabled;
    let rule = entry.rule.clone();
    let table = Table { enabled: true, entries: vec![entry] };
    let is_taken = table.taker(path, head).is_some();
    assert_eq!(is_taken, is_enabled && rule.matches(path, head));
    // The file that has the magic where it is looked for.
    if let Rule::Magic { offset, magic, mask: None } = &rule
        && offset.checked_add(magic.len()).is_some_and(|end| end <= LOOKED_AT)
    {
        let file = [&vec![0; *offset][..], magic].concat();
        assert!(rule.matches(path, &file), "{rule:?}");
    }
});
