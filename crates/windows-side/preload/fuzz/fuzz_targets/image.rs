//! Feeds images to whoever looks for what they export and import.
#![no_main]

#[path = "../../src/image.rs"]
mod image;

use image::Image;
use libfuzzer_sys::fuzz_target;

/// Whether a text of the image is `name`, NUL and all.
fn is_text(bytes: &[u8], at: usize, name: &[u8]) -> bool {
    bytes
        .get(at..)
        .and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|rest| rest.first() == Some(&0))
}

fuzz_target!(|bytes: &[u8]| {
    let image = Image::new(bytes);
    let _ = image.is_builtin();
    if let Some(export) = image.export(b"Beta") {
        assert!(is_text(bytes, export.name, b"Beta"));
    }
    if let Some(place) = image.import(b"kernel32.dll", b"ReadFile") {
        assert!(place <= bytes.len() - 8);
    }
});
