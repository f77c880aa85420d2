//! VHDX: Microsoft's \[MS-VHDX\]. Numbers are little-endian.
//!
//! Two headers, of which the newer valid one counts, say whether the log must be replayed, which an
//! image that was closed does not need. A region table names the table of blocks and the metadata:
//! the sizes of blocks, sectors, and the disk.

use super::bytes::{crc32c, number};
use super::error::{ImageError, wrong};
use super::table::{LARGEST, Layout, add, each_entry, placed};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// How the file begins.
pub(super) const MARK: &[u8] = b"vhdxfile";

const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
const REGION_TABLES: [u64; 2] = [192 << 10, 256 << 10];
const REGION_TABLE: usize = 64 << 10;

/// The GUIDs, as they lie in the file.
const BLOCKS: [u8; 16] =
    guid(0x2DC2_7766, 0xF623, 0x4200, [0x9D, 0x64, 0x11, 0x5E, 0x9B, 0xFD, 0x4A, 0x08]);
const METADATA: [u8; 16] =
    guid(0x8B7C_A206, 0x4790, 0x4B9A, [0xB8, 0xFE, 0x57, 0x5F, 0x05, 0x0F, 0x88, 0x6E]);
const FILE_PARAMETERS: [u8; 16] =
    guid(0xCAA1_6737, 0xFA36, 0x4D43, [0xB3, 0xB6, 0x33, 0xF0, 0xAA, 0x44, 0xE7, 0x6B]);
const DISK_SIZE: [u8; 16] =
    guid(0x2FA5_4224, 0xCD1B, 0x4876, [0xB2, 0x11, 0x5D, 0xBE, 0xD8, 0x3B, 0xF4, 0xB8]);
const SECTOR_SIZE: [u8; 16] =
    guid(0x8141_BF1D, 0xA96F, 0x4709, [0xBA, 0x47, 0xF2, 0x33, 0xA8, 0xFA, 0xAB, 0x5F]);

/// In the flags of the file's parameters: it has the differences to another disk only.
const HAS_PARENT: u32 = 2;
/// The state of a block that is there as a whole.
const PRESENT: u64 = 6;
const STATE: u64 = 7;
/// The upper 44 bits of an entry are the block's place in MiB.
const OFFSET: u64 = !0xF_FFFF;

const fn guid(a: u32, b: u16, c: u16, d: [u8; 8]) -> [u8; 16] {
    let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// Size and layout; `None` where the file is no VHDX.
pub(super) fn read(file: &File, length: u64) -> Result<Option<(u64, Layout)>, ImageError> {
    let mut mark = [0; 8];
    if file.read_exact_at(&mut mark, 0).is_err() || mark != MARK {
        return Ok(None);
    }
    refuse_open_log(file)?;
    let table = region_table(file)?;
    let Some(blocks) = region(&table, &BLOCKS) else {
        return wrong("it has no table of blocks");
    };
    let Some(metadata) = region(&table, &METADATA) else { return wrong("it has no metadata") };
    let mut head = vec![0; 64 << 10];
    file.read_exact_at(&mut head, metadata)?;
    if !head.starts_with(b"metadata") {
        return wrong("its metadata is not where its table says; get it again");
    }
    let item = |id: &[u8; 16]| -> Result<[u8; 8], ImageError> {
        let count = usize::from(u16::from_le_bytes(number(&head, 10)));
        let entries = head.get(32..).unwrap_or_default().chunks_exact(32).take(count);
        let found = entries.into_iter().find(|entry| entry.starts_with(id));
        let Some(found) = found else { return wrong("a part of its metadata is missing") };
        let offset = u64::from(u32::from_le_bytes(number(found, 16)));
        let mut value = [0; 8];
        file.read_exact_at(&mut value, metadata.saturating_add(offset))?;
        Ok(value)
    };
    let parameters = item(&FILE_PARAMETERS)?;
    let block = u64::from(u32::from_le_bytes(number(&parameters, 0)));
    if u32::from_le_bytes(number(&parameters, 4)) & HAS_PARENT != 0 {
        return wrong("it has only the differences to another image; merge them first");
    }
    let sector = u64::from(u32::from_le_bytes(number(&item(&SECTOR_SIZE)?, 0)));
    if !matches!(sector, 512 | 4096)
        || !block.is_power_of_two()
        || !(1 << 20..=256 << 20).contains(&block)
    {
        return wrong(format!("it has blocks of {block} bytes and sectors of {sector}"));
    }
    let size = u64::from_le_bytes(item(&DISK_SIZE)?);
    if size > LARGEST {
        return wrong(format!("a disk of {size} bytes; the most is 64 TiB"));
    }
    // After so many blocks the table has an entry for a bitmap, which only differences need.
    let ratio = (sector << 23) / block;
    let there = there(file, blocks, (size, block, ratio), length)?;
    Ok(Some((size, placed(there, block, size, length)?)))
}

/// An image that was not closed has changes in its log, and nowhere else.
fn refuse_open_log(file: &File) -> Result<(), ImageError> {
    let mut newest: Option<(u64, bool)> = None;
    for at in HEADERS {
        let mut header = [0; 4096];
        file.read_exact_at(&mut header, at)?;
        if !header.starts_with(b"head") || !is_right(&header) {
            continue;
        }
        let sequence = u64::from_le_bytes(number(&header, 8));
        let has_log = number::<16>(&header, 48) != [0; 16];
        if newest.is_none_or(|(known, _)| sequence > known) {
            newest = Some((sequence, has_log));
        }
    }
    match newest {
        None => wrong("both of its headers are damaged; get it again"),
        Some((_, true)) => wrong(
            "it was not closed: what was written last is in its log; open it where it comes from, \
             close it, and copy it again",
        ),
        Some((_, false)) => Ok(()),
    }
}

fn region_table(file: &File) -> Result<Vec<u8>, ImageError> {
    for at in REGION_TABLES {
        let mut table = vec![0; REGION_TABLE];
        file.read_exact_at(&mut table, at)?;
        if table.starts_with(b"regi") && is_right(&table) {
            return Ok(table);
        }
    }
    wrong("both of its tables of regions are damaged; get it again")
}

/// Where a region begins.
fn region(table: &[u8], id: &[u8; 16]) -> Option<u64> {
    let count = usize::try_from(u32::from_le_bytes(number(table, 8))).unwrap_or(0);
    let entries = table.get(16..)?.chunks_exact(32).take(count);
    let found = entries.into_iter().find(|entry| entry.starts_with(id))?;
    Some(u64::from_le_bytes(number(found, 16)))
}

/// Whether the checksum at byte 4, a CRC-32C, is right.
fn is_right(bytes: &[u8]) -> bool {
    let sum = crc32c(u32::MAX, bytes.get(..4).unwrap_or_default());
    let sum = crc32c(crc32c(sum, &[0; 4]), bytes.get(8..).unwrap_or_default());
    !sum == u32::from_le_bytes(number(bytes, 4))
}

/// The blocks that are there: the number of each, and where it begins.
fn there(
    file: &File,
    table: u64,
    (size, block, ratio): (u64, u64, u64),
    length: u64,
) -> Result<Vec<(u64, u64)>, ImageError> {
    let count = size.div_ceil(block);
    let entries = count + count.saturating_sub(1) / ratio.max(1);
    let mut there = Vec::new();
    each_entry(file, table, entries, |index, entry| {
        let is_bitmap = index % (ratio + 1) == ratio;
        let entry = u64::from_le_bytes(entry);
        match entry & STATE == PRESENT && !is_bitmap {
            true => add(&mut there, index - index / (ratio + 1), entry & OFFSET, block, length),
            false => Ok(()),
        }
    })?;
    Ok(there)
}
