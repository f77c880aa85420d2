//! ext2, ext3 and ext4, read without the kernel: what is wrong in a foreign image is an error here, and
//! can be no fault of a driver.
//!
//! The layout is that of the kernel's *ext4 Data Structures and Algorithms*. Numbers are little-endian.
//! Checksums are looked at where the file system has them. Nothing is read twice into a file: each
//! block belongs to one file, or the image is refused ([`claims`]), so that a small image cannot become
//! a large tree.

mod attributes;
mod blocks;
mod claims;
mod directory;
mod walk;

pub use walk::Walk;

use super::Image;
use super::bytes::{crc32c, number};
use super::error::{ImageError, wrong};
use crate::archive::Time;

/// Where the superblock is, and how long it is.
const SUPERBLOCK: u64 = 1024;
const SUPERBLOCK_SIZE: usize = 1024;

/// The root directory's inode.
const ROOT: u32 = 2;

/// What a reader must understand.
mod needs {
    pub(super) const COMPRESSION: u32 = 0x1;
    pub(super) const RECOVERY: u32 = 0x4;
    pub(super) const JOURNAL_DEVICE: u32 = 0x8;
    pub(super) const META_GROUPS: u32 = 0x10;
    pub(super) const WIDE: u32 = 0x80;
    pub(super) const SEED: u32 = 0x2000;
    /// File types in directories, extents, protection from being mounted twice, flexible groups,
    /// attributes in inodes of their own, large directories; inline data, encryption and names in
    /// other cases, which are looked at where a file has them.
    pub(super) const OTHERS: u32 =
        0x2 | 0x40 | 0x100 | 0x200 | 0x400 | 0x4000 | 0x8000 | 0x1_0000 | 0x2_0000;
}

/// What a writer must understand.
const SPARSE_BACKUPS: u32 = 0x1;
const CHECKSUMS: u32 = 0x400;
const SHARED_BLOCKS: u32 = 0x4000;

/// An inode's flags.
mod flags {
    pub(super) const IMMUTABLE: u32 = 0x10;
    pub(super) const APPEND: u32 = 0x20;
    pub(super) const ENCRYPTED: u32 = 0x800;
    pub(super) const EXTENTS: u32 = 0x8_0000;
    pub(super) const VERITY: u32 = 0x10_0000;
    pub(super) const ATTRIBUTE: u32 = 0x20_0000;
    pub(super) const INLINE: u32 = 0x1000_0000;
    pub(super) const CASE: u32 = 0x4000_0000;
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(number(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(number(bytes, at))
}

/// A number in two halves, of which the upper one is 16 bits.
fn wide(low: u32, high: u16) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// A file system in an image.
#[derive(Debug)]
pub(super) struct FileSystem {
    image: Image,
    /// A block's size in bytes, and how many there are.
    block: u64,
    blocks: u64,
    first_block: u64,
    inodes: u32,
    inodes_per_group: u32,
    blocks_per_group: u64,
    inode_size: usize,
    descriptor_size: u64,
    /// From which block of descriptors on they lie in the groups that they describe.
    first_meta_group: u64,
    has_sparse_backups: bool,
    /// Where checksums begin; none where there are none.
    seed: Option<u32>,
    /// How many bytes of its blocks are in use, as far as it says.
    in_use: u64,
    /// The group that was looked at last, and where its inodes begin.
    group: Option<(u32, u64)>,
}

/// What is known of a file.
#[derive(Clone, Debug)]
struct Inode {
    raw: Vec<u8>,
    /// Where its checksums begin; none where there are none.
    seed: Option<u32>,
}

impl FileSystem {
    /// Understands a file system's own description.
    fn open(image: Image) -> Result<Self, ImageError> {
        let mut superblock = [0; SUPERBLOCK_SIZE];
        image.read_at(&mut superblock, SUPERBLOCK)?;
        let found = |at| u32_at(&superblock, at);
        if u16_at(&superblock, 0x38) != 0xEF53 {
            return wrong("there is no ext4 file system in it");
        }
        let features = if found(0x4C) == 0 { 0 } else { found(0x60) };
        understood(features)?;
        let writers = if found(0x4C) == 0 { 0 } else { found(0x64) };
        if writers & SHARED_BLOCKS != 0 {
            return wrong(
                "its files share blocks, as Android's do; make a tar archive of its files",
            );
        }
        let has_checksums = writers & CHECKSUMS != 0;
        if has_checksums
            && crc32c(u32::MAX, superblock.get(..0x3FC).unwrap_or_default()) != found(0x3FC)
        {
            return wrong("its superblock's checksum is wrong; get it again");
        }
        let seed = match features & needs::SEED {
            0 => crc32c(u32::MAX, superblock.get(0x68..0x78).unwrap_or_default()),
            _ => found(0x270),
        };
        let is_wide = features & needs::WIDE != 0;
        let block = 1024_u64 << found(0x18).min(7);
        let system = Self {
            block,
            blocks: u64::from(found(0x4)) | if is_wide { u64::from(found(0x150)) << 32 } else { 0 },
            first_block: found(0x14).into(),
            inodes: found(0x0),
            inodes_per_group: found(0x28),
            blocks_per_group: found(0x20).into(),
            inode_size: if found(0x4C) == 0 { 128 } else { u16_at(&superblock, 0x58).into() },
            descriptor_size: if is_wide { u16_at(&superblock, 0xFE).into() } else { 32 },
            first_meta_group: match features & needs::META_GROUPS {
                0 => u64::MAX,
                _ => found(0x104).into(),
            },
            has_sparse_backups: writers & SPARSE_BACKUPS != 0,
            seed: has_checksums.then_some(seed),
            in_use: in_use(&superblock, is_wide, block),
            group: None,
            image,
        };
        system.checked(found(0x18))
    }

    fn checked(self, log: u32) -> Result<Self, ImageError> {
        let inode = self.inode_size as u64;
        let descriptors = if self.descriptor_size == 32 { 32..=32 } else { 64..=1024 };
        let is_right = log <= 6
            && self.inodes_per_group > 0
            && self.blocks_per_group > 0
            && self.first_block <= 1
            && inode.is_power_of_two()
            && (128..=self.block).contains(&inode)
            && self.descriptor_size.is_power_of_two()
            && descriptors.contains(&self.descriptor_size);
        if !is_right {
            return wrong("its superblock is damaged; get it again");
        }
        match self.blocks.checked_mul(self.block) {
            Some(size) if size <= self.image.size() => Ok(self),
            _ => wrong("its file system is larger than it: it is cut off; get it again"),
        }
    }

    /// Reads whole blocks.
    fn read_blocks(&self, first: u64, count: u64) -> Result<Vec<u8>, ImageError> {
        if first.checked_add(count).is_none_or(|end| end > self.blocks) {
            return wrong("a block lies outside its file system; check it with `e2fsck`");
        }
        let mut bytes = vec![0; usize::try_from(count * self.block).unwrap_or(0)];
        self.image.read_at(&mut bytes, first * self.block)?;
        Ok(bytes)
    }

    /// Where a group's inodes begin, in blocks.
    fn inode_table(&mut self, group: u32) -> Result<u64, ImageError> {
        if let Some((_, table)) = self.group.filter(|(known, _)| *known == group) {
            return Ok(table);
        }
        let (wanted, size) = (u64::from(group), self.descriptor_size);
        let per_block = self.block / size;
        let at = match wanted / per_block {
            index if index < self.first_meta_group => self.first_block + 1 + index,
            // Its first group has it, behind a copy of the superblock where that group has one.
            index => {
                let first = index * per_block;
                let has_copy = first == 0 || !self.has_sparse_backups;
                self.first_block + first * self.blocks_per_group + u64::from(has_copy)
            }
        };
        let block = self.read_blocks(at, 1)?;
        let begin = usize::try_from(wanted % per_block * size).unwrap_or(0);
        let descriptor = block.get(begin..).unwrap_or_default();
        let descriptor = descriptor.get(..usize::try_from(size).unwrap_or(0)).unwrap_or_default();
        if let Some(seed) = self.seed {
            let sum = crc32c(seed, &group.to_le_bytes());
            let sum = crc32c(sum, descriptor.get(..0x1E).unwrap_or_default());
            let sum = crc32c(crc32c(sum, &[0; 2]), descriptor.get(0x20..).unwrap_or_default());
            if sum & 0xFFFF != u32::from(u16_at(descriptor, 0x1E)) {
                return wrong("the checksum of a group of blocks is wrong; check it with `e2fsck`");
            }
        }
        let high = if size >= 64 { u32_at(descriptor, 0x28) } else { 0 };
        let table = u64::from(u32_at(descriptor, 0x8)) | u64::from(high) << 32;
        self.group = Some((group, table));
        Ok(table)
    }

    fn inode(&mut self, number: u32) -> Result<Inode, ImageError> {
        let Some(index) = number.checked_sub(1).filter(|_| number <= self.inodes) else {
            return wrong("a name leads to no file; check it with `e2fsck`");
        };
        let table = self.inode_table(index / self.inodes_per_group)?;
        let offset = u64::from(index % self.inodes_per_group) * self.inode_size as u64;
        let at = table.checked_mul(self.block).and_then(|at| at.checked_add(offset));
        let Some(at) = at else { return wrong("a group of blocks is damaged") };
        let mut raw = vec![0; self.inode_size];
        self.image.read_at(&mut raw, at)?;
        let mut inode = Inode { raw, seed: None };
        if let Some(seed) = self.seed {
            let seed = crc32c(crc32c(seed, &number.to_le_bytes()), &inode.part::<4>(0x64));
            inode.seed = Some(seed);
            if inode.checksum(seed) != inode.stored_checksum() {
                return wrong("the checksum of a file is wrong; check it with `e2fsck`");
            }
        }
        Ok(inode)
    }
}

/// How much files take, as a superblock has it; nothing where it does not say what it takes itself.
fn in_use(superblock: &[u8], is_wide: bool, block: u64) -> u64 {
    let number = |low, high| {
        let high = if is_wide { u64::from(u32_at(superblock, high)) } else { 0 };
        u64::from(u32_at(superblock, low)) | high << 32
    };
    let has_clusters = u32_at(superblock, 0x18) != u32_at(superblock, 0x1C);
    match u64::from(u32_at(superblock, 0x248)) {
        0 => 0,
        _ if has_clusters => 0,
        own => number(0x4, 0x150)
            .saturating_sub(number(0xC, 0x158))
            .saturating_sub(own)
            .saturating_mul(block),
    }
}

/// Whether a file system with these features can be read.
fn understood(features: u32) -> Result<(), ImageError> {
    use needs::{COMPRESSION, JOURNAL_DEVICE, META_GROUPS, OTHERS, RECOVERY, SEED, WIDE};
    if features & RECOVERY != 0 {
        return wrong(
            "it was not unmounted: what was written last is in its journal; shut down what it comes \
             from and copy it again, or run `e2fsck -p` on a copy of its file system",
        );
    }
    if features & JOURNAL_DEVICE != 0 {
        return wrong("it is a journal for another file system, or has one elsewhere");
    }
    match features & !(OTHERS | META_GROUPS | WIDE | SEED) {
        0 => Ok(()),
        COMPRESSION => wrong("its files are compressed; make a tar archive of its files"),
        others => wrong(format!(
            "its file system has features that are not understood ({others:#x}); make a tar archive \
             of its files"
        )),
    }
}

impl Inode {
    fn part<const N: usize>(&self, at: usize) -> [u8; N] {
        number(&self.raw, at)
    }

    fn word(&self, at: usize) -> u32 {
        u32_at(&self.raw, at)
    }

    fn half(&self, at: usize) -> u16 {
        u16_at(&self.raw, at)
    }

    /// How much of what stands behind the first 128 bytes is in use.
    fn extra(&self) -> usize {
        if self.raw.len() > 128 {
            usize::from(self.half(0x80)).min(self.raw.len() - 128)
        } else {
            0
        }
    }

    /// All of it, with its checksum as zero.
    fn checksum(&self, seed: u32) -> u32 {
        let mut raw = self.raw.clone();
        for (at, is_there) in [(0x7C, true), (0x82, self.extra() >= 4)] {
            if let Some(field) = raw.get_mut(at..at + 2).filter(|_| is_there) {
                field.fill(0);
            }
        }
        let sum = crc32c(seed, &raw);
        if self.extra() >= 4 { sum } else { sum & 0xFFFF }
    }

    fn stored_checksum(&self) -> u32 {
        let high = if self.extra() >= 4 { self.half(0x82) } else { 0 };
        u32::from(self.half(0x7C)) | u32::from(high) << 16
    }

    fn mode(&self) -> u16 {
        self.half(0)
    }

    fn owner(&self) -> (u32, u32) {
        let id = |low, high| u32::from(self.half(low)) | u32::from(self.half(high)) << 16;
        (id(0x2, 0x78), id(0x18, 0x7A))
    }

    fn size(&self) -> u64 {
        u64::from(self.word(0x4)) | u64::from(self.word(0x6C)) << 32
    }

    fn names(&self) -> u16 {
        self.half(0x1A)
    }

    fn flags(&self) -> u32 {
        self.word(0x20)
    }

    /// Where its blocks are; a short link's text, a device's number.
    fn content(&self) -> [u8; 60] {
        self.part(0x28)
    }

    fn modified(&self) -> Time {
        let low = i64::from(self.word(0x10).cast_signed());
        let more = if self.extra() >= 0x8C - 0x80 { self.word(0x88) } else { 0 };
        // Two bits more for the years after 2038.
        let seconds = low + (i64::from(more & 3) << 32);
        Time { seconds, nanoseconds: (more >> 2).min(999_999_999) }
    }
}
