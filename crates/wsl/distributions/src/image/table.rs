//! Where a disk's bytes are in an image, and the tables that say so.

use super::bytes::number;
use super::error::{ImageError, wrong};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The largest disk: 64 TiB, which is the most that VHDX has.
pub(super) const LARGEST: u64 = 64 << 40;

/// How much of a table is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// Where the disk's bytes are in the file.
#[derive(Debug)]
pub(super) enum Layout {
    /// From its beginning, in their order.
    Whole,
    /// In blocks of one size: the number of each that is there, and where it begins in the file.
    Blocks { size: u64, there: Vec<(u64, u64)> },
}

/// A table's blocks, in their order; two of them cannot lie at one place, or a small file would be a
/// large disk.
pub(super) fn placed(
    mut there: Vec<(u64, u64)>,
    block: u64,
    disk: u64,
    file: u64,
) -> Result<Layout, ImageError> {
    there.sort_unstable_by_key(|(_, offset)| *offset);
    let mut end = 0;
    for (index, offset) in &there {
        if *offset < end {
            return wrong("two of its blocks lie at one place; get it again");
        }
        end = offset.saturating_add(block);
        let used = block.min(disk.saturating_sub(index.saturating_mul(block)));
        if offset.saturating_add(used) > file {
            return wrong("it is cut off: one of its blocks lies behind its end; get it again");
        }
    }
    there.sort_unstable();
    Ok(Layout::Blocks { size: block, there })
}

/// Adds a block to those that are there, of which a file has no more than fit in it.
pub(super) fn add(
    there: &mut Vec<(u64, u64)>,
    index: u64,
    offset: u64,
    block: u64,
    file: u64,
) -> Result<(), ImageError> {
    if there.len() as u64 > file / block.max(1) {
        return wrong("its table has more blocks than it; get it again");
    }
    there.push((index, offset));
    Ok(())
}

/// Hands out the entries of a table, of `N` bytes each, with their indices.
pub(super) fn each_entry<const N: usize>(
    file: &File,
    table: u64,
    count: u64,
    mut take: impl FnMut(u64, [u8; N]) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let mut part = vec![0; PIECE];
    let mut done = 0;
    while done < count {
        let most = (count - done).min((part.len() / N) as u64);
        let length = usize::try_from(most).unwrap_or(0) * N;
        let read = part.get_mut(..length).unwrap_or_default();
        file.read_exact_at(read, table.saturating_add(done * N as u64))?;
        for (index, entry) in (done..).zip(read.chunks_exact(N)) {
            take(index, number(entry, 0))?;
        }
        done += most;
    }
    Ok(())
}
