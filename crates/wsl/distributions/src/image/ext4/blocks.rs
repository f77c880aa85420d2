//! Where the blocks of a file are: in a tree of extents, or in ext2's map of blocks.

use super::claims::Claims;
use super::{FileSystem, Inode, flags, u16_at, u32_at, wide};
use crate::image::bytes::crc32c;
use crate::image::error::{ImageError, wrong};

/// How deep a tree of extents is at most, and how many bytes its head and each of its entries have.
const DEEPEST: u16 = 5;
const ENTRY: usize = 12;

/// An extent of more blocks than this has so many less, and was never written.
const LONGEST: u16 = 1 << 15;

/// Some blocks of a file that lie one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first one in the file.
    pub(super) logical: u64,
    /// The first one in the file system.
    pub(super) physical: u64,
    /// How many.
    pub(super) count: u64,
}

/// A file's blocks that are found one after another.
struct Finder<'a> {
    system: &'a FileSystem,
    inode: &'a Inode,
    claims: &'a mut Claims,
    runs: Vec<Run>,
    /// Where the next block in the file may be.
    next: u64,
}

impl FileSystem {
    /// The blocks of a file, in their order, without holes and without what was never written.
    pub(super) fn runs(&self, inode: &Inode, claims: &mut Claims) -> Result<Vec<Run>, ImageError> {
        let mut finder = Finder { system: self, inode, claims, runs: Vec::new(), next: 0 };
        match inode.flags() & flags::EXTENTS {
            0 => finder.map()?,
            _ => finder.node(&inode.content(), None)?,
        }
        Ok(finder.runs)
    }
}

impl Finder<'_> {
    /// One node of a tree of extents. The root's depth is what it says.
    fn node(&mut self, node: &[u8], depth: Option<u16>) -> Result<(), ImageError> {
        let (count, most, its_depth) = (u16_at(node, 2), u16_at(node, 4), u16_at(node, 6));
        let room = node.len() / ENTRY;
        let is_right = u16_at(node, 0) == 0xF30A
            && its_depth <= DEEPEST
            && depth.is_none_or(|depth| depth == its_depth)
            && count <= most
            && usize::from(most) < room;
        if !is_right {
            return wrong("a file's table of blocks is damaged; check it with `e2fsck`");
        }
        let entries = node.get(ENTRY..).unwrap_or_default().chunks_exact(ENTRY);
        for entry in entries.take(count.into()) {
            match its_depth {
                0 => self.extent(entry)?,
                _ => self.below(entry, its_depth - 1)?,
            }
        }
        Ok(())
    }

    fn below(&mut self, entry: &[u8], depth: u16) -> Result<(), ImageError> {
        let at = wide(u32_at(entry, 4), u16_at(entry, 8));
        self.claims.take(at, 1)?;
        let node = self.system.read_blocks(at, 1)?;
        if let Some(seed) = self.inode.seed {
            let end = ENTRY * (usize::from(u16_at(&node, 4)) + 1);
            let sum = node.get(..end).map(|bytes| crc32c(seed, bytes));
            if sum != node.get(end..end + 4).map(|bytes| u32_at(bytes, 0)) {
                return wrong("the checksum of a table of blocks is wrong; check it with `e2fsck`");
            }
        }
        self.node(&node, Some(depth))
    }

    fn extent(&mut self, entry: &[u8]) -> Result<(), ImageError> {
        let (logical, count) = (u64::from(u32_at(entry, 0)), u16_at(entry, 4));
        let physical = wide(u32_at(entry, 8), u16_at(entry, 6));
        match count.checked_sub(LONGEST) {
            None | Some(0) => self.found(Run { logical, physical, count: count.into() }),
            // It is there, but what it has is another file's of long ago.
            Some(count) => {
                self.claims.take(physical, count.into())?;
                self.skip(logical, count.into())
            }
        }
    }

    fn skip(&mut self, logical: u64, count: u64) -> Result<(), ImageError> {
        if logical < self.next {
            return wrong("the pieces of a file overlap; check it with `e2fsck`");
        }
        self.next = logical + count;
        Ok(())
    }

    fn found(&mut self, run: Run) -> Result<(), ImageError> {
        self.claims.take(run.physical, run.count)?;
        if run.physical + run.count > self.system.blocks {
            return wrong("a file lies outside its file system; check it with `e2fsck`");
        }
        self.skip(run.logical, run.count)?;
        match self.runs.last_mut() {
            Some(last)
                if last.logical + last.count == run.logical
                    && last.physical + last.count == run.physical =>
            {
                last.count += run.count;
            }
            _ => self.runs.push(run),
        }
        Ok(())
    }

    /// Twelve blocks, then blocks of numbers of blocks, one, two and three levels deep.
    fn map(&mut self) -> Result<(), ImageError> {
        let content = self.inode.content();
        let blocks = self.inode.size().div_ceil(self.system.block);
        let mut logical = 0;
        for (index, entry) in content.chunks_exact(4).enumerate() {
            let levels = u32::try_from(index.saturating_sub(11)).unwrap_or(0);
            logical = self.mapped(u32_at(entry, 0).into(), levels, logical)?;
            if logical >= blocks {
                break;
            }
        }
        Ok(())
    }

    /// One number of a block, of data or of such numbers; returns which block comes next in the file.
    fn mapped(&mut self, physical: u64, levels: u32, logical: u64) -> Result<u64, ImageError> {
        let count = (self.system.block / 4).pow(levels);
        if physical == 0 {
            return Ok(logical + count);
        }
        if levels == 0 {
            self.found(Run { logical, physical, count: 1 })?;
            return Ok(logical + 1);
        }
        self.claims.take(physical, 1)?;
        let block = self.system.read_blocks(physical, 1)?;
        let mut next = logical;
        for entry in block.chunks_exact(4) {
            next = self.mapped(u32_at(entry, 0).into(), levels - 1, next)?;
        }
        Ok(next)
    }
}
