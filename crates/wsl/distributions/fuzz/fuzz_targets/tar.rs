//! Feeds an archive to the reader. Checksums of headers are put right, or nothing would get far.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use winterop_distributions::archive::read::Reader;
use winterop_distributions_fuzz::read_all;

fuzz_target!(|bytes: &[u8]| {
    let mut archive = bytes.to_vec();
    for header in archive.chunks_exact_mut(512) {
        // What looks like a header: its field for the mode begins with a digit.
        if header[100..107].iter().all(u8::is_ascii_digit) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    let length = archive.len() as u64;
    read_all(Reader::new(Cursor::new(archive)), length);
});
