//! VHD: Microsoft's *Virtual Hard Disk Image Format Specification*. Numbers are big-endian.
//!
//! A footer of 512 bytes ends the file; a dynamic disk has a copy of it at the beginning, then a
//! header that names the table of blocks. Each block begins with a bitmap of its sectors, which is of
//! use only for differences to another disk.

use super::bytes::number;
use super::error::{ImageError, wrong};
use super::table::{Layout, add, each_entry, placed};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The footer's length.
pub(super) const FOOTER: u64 = 512;
/// How the footer begins.
pub(super) const MARK: &[u8] = b"conectix";

const SECTOR: u64 = 512;
/// The most that 32 bits of sectors can be: 2 TiB.
const LARGEST_DYNAMIC: u64 = 2 << 40;
/// What the table has for a block that is not there.
const UNUSED: u32 = u32::MAX;

/// Size and layout; `None` where the file is no VHD.
pub(super) fn read(file: &File, length: u64) -> Result<Option<(u64, Layout)>, ImageError> {
    let Some(at) = length.checked_sub(FOOTER) else { return Ok(None) };
    let mut footer = [0; FOOTER as usize];
    file.read_exact_at(&mut footer, at)?;
    if !footer.starts_with(MARK) {
        file.read_exact_at(&mut footer, 0)?;
        if !footer.starts_with(MARK) {
            return Ok(None);
        }
    }
    if u32::from_be_bytes(number(&footer, 64)) != checksum(&footer, 64) {
        return wrong("its footer's checksum is wrong; get it again");
    }
    let size = u64::from_be_bytes(number(&footer, 48));
    match u32::from_be_bytes(number(&footer, 60)) {
        2 if size <= at => Ok(Some((size, Layout::Whole))),
        2 => wrong("it is cut off; get it again"),
        3 => {
            let header = u64::from_be_bytes(number(&footer, 16));
            Ok(Some((size, dynamic(file, header, size, length)?)))
        }
        4 => wrong("it has only the differences to another image; merge them first"),
        other => wrong(format!("it is a VHD of the unknown type {other}")),
    }
}

/// The one's complement of the sum of all bytes but the checksum itself.
fn checksum(bytes: &[u8], at: usize) -> u32 {
    let others = bytes.iter().enumerate().filter(|(index, _)| !(at..at + 4).contains(index));
    !others.map(|(_, byte)| u32::from(*byte)).sum::<u32>()
}

fn dynamic(file: &File, at: u64, size: u64, length: u64) -> Result<Layout, ImageError> {
    let mut header = [0; 1024];
    file.read_exact_at(&mut header, at)?;
    if !header.starts_with(b"cxsparse") {
        return wrong("its header is not where its footer says; get it again");
    }
    if u32::from_be_bytes(number(&header, 36)) != checksum(&header, 36) {
        return wrong("its header's checksum is wrong; get it again");
    }
    let table = u64::from_be_bytes(number(&header, 16));
    let block = u64::from(u32::from_be_bytes(number(&header, 32)));
    if !block.is_power_of_two() || !(512 << 10..=256 << 20).contains(&block) {
        return wrong(format!("it has blocks of {block} bytes"));
    }
    if size > LARGEST_DYNAMIC {
        return wrong(format!("a disk of {size} bytes; the most is 2 TiB"));
    }
    let count = size.div_ceil(block);
    if count > u64::from(u32::from_be_bytes(number(&header, 28))) {
        return wrong("its table has fewer blocks than the disk");
    }
    let bitmap = (block / SECTOR).div_ceil(8).next_multiple_of(SECTOR);
    let mut there = Vec::new();
    each_entry(file, table, count, |index, entry| match u32::from_be_bytes(entry) {
        UNUSED => Ok(()),
        sector => add(&mut there, index, u64::from(sector) * SECTOR + bitmap, block, length),
    })?;
    placed(there, block, size, length)
}
