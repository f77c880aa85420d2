//! Disk images: a file system alone, VHD, and VHDX, which is what WSL exports with `--vhd`.
//!
//! An image is a disk's bytes in their order, or a table of blocks, of which those that were never
//! written are not there. They are read where they lie: nothing is unfolded, and the kernel, whose
//! drivers trust what they read, never sees a foreign image. [`ext4`] finds the files in it.

mod bytes;
mod error;
pub mod ext4;
mod table;
mod vhd;
mod vhdx;

pub use error::ImageError;

use error::wrong;
use rustix::fs::SeekFrom;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use table::{LARGEST, Layout};

/// Where ext2, ext3 and ext4 have their mark, and what it is.
const EXT_AT: u64 = 1080;
const EXT_MARK: [u8; 2] = [0x53, 0xEF];

/// A disk image.
#[derive(Debug)]
pub struct Image {
    file: File,
    size: u64,
    layout: Layout,
}

impl Image {
    /// Whether a file's content is an image's; a file that cannot be read at any place is none.
    #[must_use]
    pub fn is_one(file: &File) -> bool {
        let begins = |mark: &[u8], at: u64| {
            let mut found = vec![0; mark.len()];
            file.read_exact_at(&mut found, at).is_ok() && found == mark
        };
        let length = file.metadata().map_or(0, |status| status.len());
        let end = length.saturating_sub(vhd::FOOTER);
        begins(vhdx::MARK, 0)
            || begins(vhd::MARK, 0)
            || begins(vhd::MARK, end)
            || begins(&EXT_MARK, EXT_AT)
    }

    /// Understands an image.
    ///
    /// # Errors
    /// An [`ImageError`].
    pub fn open(file: File) -> Result<Self, ImageError> {
        if !Self::is_one(&file) {
            return Err(ImageError::NotAnImage);
        }
        let length = file.metadata()?.len();
        let (size, layout) = match vhdx::read(&file, length)? {
            Some(found) => found,
            None => vhd::read(&file, length)?.unwrap_or((length, Layout::Whole)),
        };
        if size > LARGEST {
            return wrong(format!("a disk of {size} bytes; the most is 64 TiB"));
        }
        let image = Self { file, size, layout };
        let mut mark = [0; 2];
        image.read_at(&mut mark, EXT_AT)?;
        match mark == EXT_MARK {
            true => Ok(image),
            false => {
                wrong("it does not begin with an ext4 file system; one in a partition is not found")
            }
        }
    }

    /// The disk's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes the image itself has; no disk has more data than that.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.file.metadata().map_or(0, |status| status.len())
    }

    /// Reads some of the disk's bytes.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> Result<(), ImageError> {
        let is_inside = at.checked_add(bytes.len() as u64).is_some_and(|end| end <= self.size);
        if !is_inside {
            return wrong("it ends before its file system does; get it again");
        }
        let Layout::Blocks { size, there } = &self.layout else {
            return Ok(self.file.read_exact_at(bytes, at)?);
        };
        let (mut rest, mut at) = (bytes, at);
        while !rest.is_empty() {
            let (index, from) = (at / size, at % size);
            let most = rest.len().min(usize::try_from(size - from).unwrap_or(usize::MAX));
            let (part, others) = rest.split_at_mut(most);
            let found = there.binary_search_by_key(&index, |(index, _)| *index);
            match found.ok().and_then(|found| there.get(found)) {
                Some((_, offset)) => self.file.read_exact_at(part, offset.saturating_add(from))?,
                None => part.fill(0),
            }
            (rest, at) = (others, at + most as u64);
        }
        Ok(())
    }

    /// Hands out which pieces of some of the disk's bytes are in the image, the others being zeros.
    fn data(
        &self,
        mut begin: u64,
        end: u64,
        mut take: impl FnMut(u64, u64),
    ) -> Result<(), ImageError> {
        if let Layout::Blocks { size, there } = &self.layout {
            let first = there.partition_point(|(index, _)| *index < begin / size);
            let rest = there.get(first..).unwrap_or_default();
            for (index, _) in rest.iter().take_while(|(index, _)| index * size < end) {
                take(begin.max(index * size), end.min((index + 1) * size));
            }
            return Ok(());
        }
        while begin < end {
            let (from, to) = match rustix::fs::seek(&self.file, SeekFrom::Data(begin)) {
                Err(rustix::io::Errno::NXIO) => return Ok(()),
                // A file system that does not know of holes.
                Err(_) => (begin, end),
                Ok(from) => {
                    let from = from.clamp(begin, end);
                    let to = rustix::fs::seek(&self.file, SeekFrom::Hole(from));
                    (from, to.map_or(end, |to| to.clamp(from, end)))
                }
            };
            if from < to {
                take(from, to);
            }
            begin = to.max(begin + 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const BLOCK: usize = 2 << 20;

    fn checked(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
        let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        bytes[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
        bytes
    }

    fn footer(size: u64, kind: u32, header: u64) -> Vec<u8> {
        let mut footer = vec![0; 512];
        footer[..8].copy_from_slice(vhd::MARK);
        footer[16..24].copy_from_slice(&header.to_be_bytes());
        footer[48..56].copy_from_slice(&size.to_be_bytes());
        footer[60..64].copy_from_slice(&kind.to_be_bytes());
        checked(footer, 64)
    }

    /// Two blocks, of which the first is there and has the mark of ext4 and an end.
    fn dynamic(size: u64, block: u32, entries: u32, table: u64) -> Vec<u8> {
        let mut header = vec![0; 1024];
        header[..8].copy_from_slice(b"cxsparse");
        header[16..24].copy_from_slice(&table.to_be_bytes());
        header[28..32].copy_from_slice(&entries.to_be_bytes());
        header[32..36].copy_from_slice(&block.to_be_bytes());
        let mut content = vec![0; BLOCK];
        content[1080..1082].copy_from_slice(&EXT_MARK);
        content[BLOCK - 1] = 7;
        // Footer, header, table, then at sector 4 the block's bitmap.
        let mut map = vec![0xFF; 512];
        map[..4].copy_from_slice(&4_u32.to_be_bytes());
        let ends = footer(size, 3, 512);
        [ends.clone(), checked(header, 36), map, vec![0xFF; 512], content, ends].concat()
    }

    fn open(bytes: &[u8]) -> Result<Image, ImageError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Image::open(file)
    }

    #[test]
    fn blocks_are_read_where_they_lie() {
        let image = open(&dynamic(2 * BLOCK as u64, BLOCK as u32, 2, 1536)).unwrap();
        let mut pieces = Vec::new();
        image.data(100, 2 * BLOCK as u64, |begin, end| pieces.push((begin, end))).unwrap();
        assert_eq!(pieces, [(100, BLOCK as u64)]);
        // Across the border to a block that is not there.
        let mut bytes = [9; 2];
        image.read_at(&mut bytes, BLOCK as u64 - 1).unwrap();
        assert_eq!(bytes, [7, 0]);
        let end = image.read_at(&mut bytes, 2 * BLOCK as u64 - 1).unwrap_err().to_string();
        assert!(end.contains("ends before"), "{end}");
        let mut fixed = vec![0; BLOCK];
        fixed[1080..1082].copy_from_slice(&EXT_MARK);
        fixed[BLOCK - 1] = 3;
        fixed.extend(footer(BLOCK as u64, 2, u64::MAX));
        let image = open(&fixed).unwrap();
        assert_eq!(image.size(), BLOCK as u64);
        image.read_at(&mut bytes[..1], BLOCK as u64 - 1).unwrap();
        assert_eq!(bytes[0], 3);
        assert!(image.read_at(&mut bytes, BLOCK as u64 - 1).is_err(), "its footer is no data");
    }

    #[test]
    fn one_block_of_a_file_is_one_block_of_the_disk() {
        // The second block is where the first one is, or begins within it.
        for sector in [4_u32, 5, 100] {
            let mut bytes = dynamic(2 * BLOCK as u64, BLOCK as u32, 2, 1536);
            bytes[1540..1544].copy_from_slice(&sector.to_be_bytes());
            let error = open(&bytes).unwrap_err().to_string();
            assert!(error.contains("at one place") || error.contains("more blocks"), "{error}");
        }
        // Thousands of blocks, of which the file has one.
        let blocks = 4096_u32;
        let mut bytes = dynamic(u64::from(blocks) * BLOCK as u64, BLOCK as u32, blocks, 1536);
        let end = bytes.split_off(1536);
        bytes.extend(4_u32.to_be_bytes().repeat(blocks as usize));
        bytes.extend(end);
        let error = open(&bytes).unwrap_err().to_string();
        assert!(error.contains("more blocks than it"), "{error}");
    }

    #[test]
    fn what_an_image_claims_is_not_believed() {
        let size = 2 * BLOCK as u64;
        let flipped = {
            let mut bytes = dynamic(size, BLOCK as u32, 2, 1536);
            let last = bytes.len() - 500;
            bytes[last] ^= 1;
            bytes
        };
        for (bytes, words) in [
            (dynamic(u64::MAX, BLOCK as u32, u32::MAX, 1536), "2 TiB"),
            (dynamic(size, 3, 2, 1536), "blocks of 3 bytes"),
            (dynamic(size, BLOCK as u32, 1, 1536), "fewer blocks"),
            (dynamic(size, BLOCK as u32, 2, u64::MAX - 1), "reading the disk image"),
            (dynamic(size, BLOCK as u32, 2, 1 << 40), "reading the disk image"),
            (flipped, "checksum"),
            (footer(size, 2, 0), "cut off"),
            (dynamic(size, BLOCK as u32, 2, 1536)[..BLOCK + 1024].to_vec(), "cut off"),
            (footer(size, 4, 0), "differences"),
            (footer(size, 9, 0), "type 9"),
            (vec![0; 4096], "no disk image"),
            (Vec::new(), "no disk image"),
            ([vhdx::MARK, &[0; 300]].concat(), "reading the disk image"),
            ([vhdx::MARK, &[0; 2 << 20]].concat(), "headers are damaged"),
        ] {
            let error = open(&bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
