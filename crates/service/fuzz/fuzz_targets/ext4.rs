//! Feeds a file system to the reader: pieces of 64 bytes, each behind the number of its place. So a
//! small input is an image of 256 KiB, most of which is zeros.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_service::image::{Image, ext4::Walk};
use winterop_service_fuzz::{file, read_all};

const LENGTH: usize = 256 << 10;

fuzz_target!(|bytes: &[u8]| {
    let mut disk = vec![0; LENGTH];
    for piece in bytes.chunks_exact(66) {
        let at = usize::from(u16::from_le_bytes([piece[0], piece[1]])) * 64 % LENGTH;
        disk[at..at + 64].copy_from_slice(&piece[2..]);
    }
    disk[1080..1082].copy_from_slice(&[0x53, 0xEF]);
    match Image::open(file(LENGTH as u64, &[(0, &disk)])).and_then(Walk::new) {
        Ok(walk) => read_all(walk, LENGTH as u64),
        Err(error) => drop(error.to_string()),
    }
});
