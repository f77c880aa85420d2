//! Feeds a file system to the reader: pieces of 64 bytes, each behind the number of its place. So a
//! small input is an image of 256 KiB, most of which is zeros.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_distributions::image::{Image, ext4::Walk};
use winterop_distributions_fuzz::{file, read_all};

const LENGTH: u64 = 256 << 10;

fuzz_target!(|bytes: &[u8]| {
    let place = |piece: &[u8]| u64::from(u16::from_le_bytes([piece[0], piece[1]])) * 64 % LENGTH;
    let mut pieces: Vec<_> =
        bytes.chunks_exact(66).map(|piece| (place(piece), &piece[2..])).collect();
    pieces.push((1080, &[0x53, 0xEF]));
    match Image::open(file(LENGTH, &pieces)).and_then(Walk::new) {
        Ok(walk) => read_all(walk, LENGTH),
        Err(error) => drop(error.to_string()),
    }
});
