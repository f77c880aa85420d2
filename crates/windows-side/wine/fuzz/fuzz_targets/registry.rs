//! Feeds a registry file to the reader, and to the writer whose values the reader must find.
#![no_main]

use libfuzzer_sys::fuzz_target;

// Private to its crate: nobody else reads Wine's files.
#[path = "../../src/registry.rs"]
#[allow(dead_code)]
mod registry;

use registry::{Key, Value, set, text};

const KEYS: &[Key] = &[Key {
    path: "Software\\A b",
    values: &[("Text", Value::Text("C:/x;%y%")), ("Number", Value::Number(10))],
}];

fuzz_target!(|file: &[u8]| {
    for key in ["Environment", "Software\\A b", ""] {
        for name in ["PATH", "Other", ""] {
            text(file, key, name);
        }
    }
    let Ok(file) = std::str::from_utf8(file) else { return };
    let mut written = file.to_owned();
    for _ in 0..2 {
        written = set(&written, KEYS);
        let read = |name| text(written.as_bytes(), "software\\a B", name);
        assert_eq!(read("text").as_deref(), Some(&b"C:/x;%y%"[..]));
        assert_eq!(read("Number"), None);
    }
});
