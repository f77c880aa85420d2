//! Feeds a VHD to the reader: a footer of 512 bytes, a header of 1,024, then what lies behind them. The
//! checksums are put right, and a file system's mark is where one would be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_distributions::image::{Image, ext4::Walk};
use winterop_distributions_fuzz::{file, read_all};

fn checked(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at..at + 4].fill(0);
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    bytes[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() < 512 + 1024 {
        return;
    }
    let (footer, rest) = bytes.split_at(512);
    let (header, rest) = rest.split_at(1024);
    let mut footer = footer.to_vec();
    footer[..8].copy_from_slice(b"conectix");
    let footer = checked(footer, 64);
    let header = checked(header.to_vec(), 36);
    // A whole block behind the tables, so that one can be there.
    let length = (2 << 20) + 4096 + 512;
    let image = file(
        length,
        &[
            (0, &footer),
            (512, &header),
            (1536, &rest[..rest.len().min(4096)]),
            (4096 + 1080, &[0x53, 0xEF]),
            (length - 512, &footer),
        ],
    );
    match Image::open(image).and_then(Walk::new) {
        Ok(walk) => read_all(walk, length),
        Err(error) => drop(error.to_string()),
    }
});
