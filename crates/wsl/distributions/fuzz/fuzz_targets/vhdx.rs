//! Feeds a VHDX to the reader: a header of 128 bytes, a table of regions of 128, metadata of 320, then
//! the table of blocks. Each is put where it belongs, and the checksums are put right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_distributions::image::{Image, ext4::Walk};
use winterop_distributions_fuzz::{file, read_all};

fn checked(part: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = part.to_vec();
    bytes.resize(length, 0);
    bytes[4..8].fill(0);
    let sum = !bytes.iter().fold(u32::MAX, |mut sum, byte| {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82F6_3B78 } else { sum >> 1 };
        }
        sum
    });
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() < 128 + 128 + 320 {
        return;
    }
    let (header, rest) = bytes.split_at(128);
    let (regions, rest) = rest.split_at(128);
    let (metadata, blocks) = rest.split_at(320);
    let (items, values) = metadata.split_at(256);
    let length = 8 << 20;
    let image = file(
        length,
        &[
            (0, b"vhdxfile"),
            (64 << 10, &checked(header, 4096)),
            (192 << 10, &checked(regions, 64 << 10)),
            (2 << 20, items),
            ((2 << 20) + (64 << 10), values),
            (3 << 20, &blocks[..blocks.len().min(1 << 16)]),
            ((4 << 20) + 1080, &[0x53, 0xEF]),
        ],
    );
    match Image::open(image).and_then(Walk::new) {
        Ok(walk) => read_all(walk, length),
        Err(error) => drop(error.to_string()),
    }
});
