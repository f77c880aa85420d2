//! Feeds compressed data to the decompressors: their settings are what a header says. The limits on
//! memory that the target runs with find what takes too much.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::{Cursor, Read as _};
use winterop_distributions::archive::compression::decompressed;

/// Blocks of xz have a checksum over their heads, which is put right.
fn with_right_head(mut data: Vec<u8>) -> Vec<u8> {
    if data.starts_with(b"\xFD7zXZ\0") && data.len() > 12 {
        let sum = crc32(&data[6..8]);
        data[8..12].copy_from_slice(&sum.to_le_bytes());
        let end = 12 + usize::from(data[12]) * 4;
        if end > 12 && data.len() >= end + 4 {
            let sum = crc32(&data[12..end]);
            data[end..end + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    data
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut sum, byte| {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 };
        }
        sum
    })
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut source) = decompressed(Cursor::new(with_right_head(bytes.to_vec()))) {
        let mut sink = Vec::new();
        if let Err(error) = source.by_ref().take(4 << 20).read_to_end(&mut sink) {
            let _ = error.to_string();
        }
        // A thread that is about to end looks like a leak.
        source.finish();
    }
});
