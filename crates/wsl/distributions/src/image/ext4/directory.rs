//! The names in a directory. The tables by which the kernel finds one name quickly lie where they look
//! like names without a file, and are of no use to who wants all.

use super::claims::Claims;
use super::{FileSystem, Inode, u16_at, u32_at};
use crate::image::bytes::crc32c;
use crate::image::error::{ImageError, wrong};

/// What stands before a name, and a block's checksum, which looks like a name without a file.
const HEAD: usize = 8;
const TAIL: usize = 12;
const TAIL_KIND: u8 = 0xDE;

/// A name and its file.
pub(super) type Name = (Vec<u8>, u32);

impl FileSystem {
    /// The names in a directory, the last one first.
    pub(super) fn names(
        &self,
        inode: &Inode,
        claims: &mut Claims,
    ) -> Result<Vec<Name>, ImageError> {
        let mut names = Vec::new();
        let blocks = inode.size() / self.block;
        for run in self.runs(inode, claims)? {
            let count = run.count.min(blocks.saturating_sub(run.logical));
            for block in run.physical..run.physical.saturating_add(count) {
                self.names_of(&self.read_blocks(block, 1)?, inode, &mut names)?;
            }
        }
        names.sort_unstable_by(|one: &Name, other| other.cmp(one));
        Ok(names)
    }

    fn names_of(
        &self,
        block: &[u8],
        inode: &Inode,
        names: &mut Vec<Name>,
    ) -> Result<(), ImageError> {
        if let Some(seed) = inode.seed {
            let (body, tail) = block.split_at(block.len().saturating_sub(TAIL));
            let has_sum =
                u32_at(tail, 0) == 0 && u16_at(tail, 4) == 12 && tail.get(7) == Some(&TAIL_KIND);
            if has_sum && crc32c(seed, body) != u32_at(tail, 8) {
                return wrong("the checksum of a directory is wrong; check it with `e2fsck`");
            }
        }
        let mut rest = block;
        while rest.len() >= HEAD {
            let length = match u16_at(rest, 4) {
                // Of blocks of 64 KiB.
                0 | u16::MAX if block.len() > u16::MAX.into() => rest.len(),
                length => length.into(),
            };
            let name_length = rest.get(6).copied().map_or(0, usize::from);
            let entry = rest.get(..length).filter(|_| length >= HEAD && length.is_multiple_of(4));
            let name = entry.and_then(|entry| entry.get(HEAD..HEAD + name_length));
            let (Some(name), file) = (name, u32_at(rest, 0)) else {
                return wrong("a directory is damaged; check it with `e2fsck`");
            };
            if file != 0 && !matches!(name, b"." | b"..") {
                if name.is_empty() || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
                    return wrong("a name in it cannot be one; check it with `e2fsck`");
                }
                names.push((name.to_vec(), file));
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(())
    }
}
