//! Extended attributes: behind an inode's fields, in a block that files may share, and large values in
//! inodes of their own.

use super::claims::Claims;
use super::{FileSystem, Inode, flags, u16_at, u32_at, wide};
use crate::archive::Attributes;
use crate::image::bytes::crc32c;
use crate::image::error::{ImageError, wrong};

const MARK: u32 = 0xEA02_0000;
const BLOCK_HEAD: usize = 32;
const ENTRY: usize = 16;

/// The largest value that Linux has.
const LARGEST: u64 = 64 << 10;

/// The most that all values of a file may have: entries can name one place again and again.
const MOST: usize = 1 << 20;

/// What the number before a name stands for.
fn prefix(index: u8) -> Option<&'static [u8]> {
    Some(match index {
        1 => b"user.",
        2 => b"system.posix_acl_access",
        3 => b"system.posix_acl_default",
        4 => b"trusted.",
        6 => b"security.",
        7 => b"system.",
        8 => b"system.richacl",
        _ => return None,
    })
}

impl FileSystem {
    pub(super) fn attributes(&mut self, inode: &Inode) -> Result<Attributes, ImageError> {
        let mut attributes = Vec::new();
        let extra = inode.extra();
        let inside = inode.raw.get(128 + extra..).filter(|_| extra > 0).unwrap_or_default();
        if u32_at(inside, 0) == MARK {
            let entries = inside.get(4..).unwrap_or_default();
            self.read_entries(entries, entries, &mut attributes)?;
        }
        let at = wide(inode.word(0x68), inode.half(0x76));
        if at != 0 {
            let block = self.read_blocks(at, 1)?;
            if u32_at(&block, 0) != MARK || u32_at(&block, 8) != 1 {
                return wrong("a block of attributes is damaged; check it with `e2fsck`");
            }
            self.check_block(&block, at)?;
            let entries = block.get(BLOCK_HEAD..).unwrap_or_default();
            self.read_entries(entries, &block, &mut attributes)?;
        }
        attributes.sort_unstable();
        Ok(attributes)
    }

    fn check_block(&self, block: &[u8], at: u64) -> Result<(), ImageError> {
        let Some(seed) = self.seed else { return Ok(()) };
        let sum = crc32c(crc32c(seed, &at.to_le_bytes()), block.get(..0x10).unwrap_or_default());
        let sum = crc32c(crc32c(sum, &[0; 4]), block.get(0x14..).unwrap_or_default());
        match sum == u32_at(block, 0x10) {
            true => Ok(()),
            false => wrong("the checksum of attributes is wrong; check it with `e2fsck`"),
        }
    }

    /// The entries up to four zeros; `values` is what their values' places count from.
    fn read_entries(
        &mut self,
        mut entries: &[u8],
        values: &[u8],
        found: &mut Attributes,
    ) -> Result<(), ImageError> {
        while u32_at(entries, 0) != 0 {
            let length = entries.first().copied().map_or(0, usize::from);
            let Some(name) = entries.get(ENTRY..ENTRY + length) else {
                return wrong("a file's attributes are damaged; check it with `e2fsck`");
            };
            let index = entries.get(1).copied().unwrap_or(0);
            let Some(prefix) = prefix(index) else {
                return wrong(format!(
                    "a file has an attribute of the kind {index}, which is not understood; make a \
                     tar archive of its files"
                ));
            };
            let size = u64::from(u32_at(entries, 8));
            if size > LARGEST {
                return wrong("an attribute has more than 64 KiB, which Linux does not have");
            }
            let value = match u32_at(entries, 4) {
                0 => {
                    let begin = usize::from(u16_at(entries, 2));
                    let end = begin + usize::try_from(size).unwrap_or(0);
                    values.get(begin..end).map(<[u8]>::to_vec)
                }
                inode => Some(self.large_value(inode, size)?),
            };
            let value = match index {
                2 | 3 => value.and_then(|value| access_list(&value)),
                _ => value,
            };
            let Some(value) = value else {
                return wrong("a file's attributes are damaged; check it with `e2fsck`");
            };
            let known = found.iter().map(|(_, value)| value.len()).sum::<usize>();
            if known + value.len() > MOST || found.len() > MOST / 256 {
                return wrong(
                    "a file has more than 1 MiB of attributes, which Linux does not have",
                );
            }
            found.push(([prefix, name].concat(), value));
            let next = (ENTRY + length).next_multiple_of(4);
            entries = entries.get(next..).unwrap_or_default();
        }
        Ok(())
    }

    fn large_value(&mut self, inode: u32, size: u64) -> Result<Vec<u8>, ImageError> {
        let inode = self.inode(inode)?;
        if inode.flags() & flags::ATTRIBUTE == 0 {
            return wrong("a large attribute is damaged; check it with `e2fsck`");
        }
        let mut value = vec![0; usize::try_from(size).unwrap_or(0)];
        // Files may share it, so that it is no part of the claims; but its own blocks come once.
        for run in self.runs(&inode, &mut Claims::default())? {
            let begin = run.logical.saturating_mul(self.block);
            let count = run.count.min(size.saturating_sub(begin).div_ceil(self.block));
            let bytes = self.read_blocks(run.physical, count)?;
            let begin = usize::try_from(begin).unwrap_or(usize::MAX);
            let into = value.get_mut(begin..).unwrap_or_default();
            for (to, from) in into.iter_mut().zip(bytes) {
                *to = from;
            }
        }
        Ok(value)
    }
}

/// A list of who may do what: on the disk only users and groups that have a name have an id.
fn access_list(stored: &[u8]) -> Option<Vec<u8>> {
    const NOBODY: u32 = u32::MAX;
    if u32_at(stored, 0) != 1 {
        return None;
    }
    let mut list = 2_u32.to_le_bytes().to_vec();
    let mut rest = stored.get(4..)?;
    while !rest.is_empty() {
        let has_id = matches!(u16_at(rest, 0), 2 | 8);
        let length = if has_id { 8 } else { 4 };
        let entry = rest.get(..length)?;
        list.extend_from_slice(entry.get(..4)?);
        let id = if has_id { u32_at(entry, 4) } else { NOBODY };
        list.extend_from_slice(&id.to_le_bytes());
        rest = rest.get(length..)?;
    }
    Some(list)
}
