//! Disk images: a file system alone, VHD, and VHDX, which is what WSL exports with `--vhd`.
//!
//! An image is a disk's bytes in their order, or a table of blocks, of which those that were never
//! written are not there. What reads it here only finds the blocks; the file system in them is the
//! kernel's to read.

mod vhd;
mod vhdx;

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The largest disk: 64 TiB, which is the most that VHDX has.
const LARGEST: u64 = 64 << 40;

/// Where ext2, ext3 and ext4 have their mark, and what it is.
const EXT_AT: u64 = 1080;
const EXT_MARK: [u8; 2] = [0x53, 0xEF];

/// How much is copied at a time, in bytes; pieces of zeros are left out.
const PIECE: usize = 64 << 10;

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is none.
    #[error("this is no disk image: neither ext4, nor VHD, nor VHDX")]
    NotAnImage,
    /// It is damaged, or a kind that is not understood.
    #[error("the disk image cannot be used: {0}")]
    Wrong(String),
    /// The system refused.
    #[error("reading the disk image: {0}")]
    Read(#[from] io::Error),
}

fn wrong<T>(problem: impl Into<String>) -> Result<T, ImageError> {
    Err(ImageError::Wrong(problem.into()))
}

/// Where the disk's bytes are in the file.
#[derive(Debug)]
enum Layout {
    /// From its beginning, in their order.
    Whole,
    /// In blocks of one size: where each begins in the file; none for one of zeros.
    Blocks { size: u64, offsets: Vec<Option<u64>> },
}

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
        let (size, layout) = match vhdx::read(&file)? {
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

    /// The file, if the disk's bytes are in it in their order from the beginning.
    #[must_use]
    pub fn whole(&self) -> Option<&File> {
        matches!(self.layout, Layout::Whole).then_some(&self.file)
    }

    /// Reads some bytes that lie in one block.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> Result<(), ImageError> {
        let (offset, from) = match &self.layout {
            Layout::Whole => (Some(0), at),
            Layout::Blocks { size, offsets } => {
                let index = usize::try_from(at / size).unwrap_or(usize::MAX);
                (offsets.get(index).copied().flatten(), at % size)
            }
        };
        match offset {
            Some(offset) => Ok(self.file.read_exact_at(bytes, offset.saturating_add(from))?),
            None => {
                bytes.fill(0);
                Ok(())
            }
        }
    }

    /// Writes the disk's bytes in their order into an empty file, without those that are zero.
    ///
    /// # Errors
    /// An [`ImageError`].
    pub fn unfold(&self, into: &File, mut progress: impl FnMut(u64)) -> Result<(), ImageError> {
        into.set_len(self.size)?;
        let whole = [Some(0)];
        let (block, offsets) = match &self.layout {
            Layout::Whole => (self.size.max(1), &whole[..]),
            Layout::Blocks { size, offsets } => (*size, offsets.as_slice()),
        };
        let mut buffer = vec![0; PIECE];
        for (index, offset) in offsets.iter().enumerate() {
            let Some(offset) = offset else { continue };
            let begin = (index as u64).saturating_mul(block);
            let length = block.min(self.size.saturating_sub(begin));
            let mut done = 0;
            while done < length {
                let most = usize::try_from((length - done).min(PIECE as u64)).unwrap_or(PIECE);
                let piece = buffer.get_mut(..most).unwrap_or_default();
                self.file.read_exact_at(piece, offset.saturating_add(done))?;
                if piece.iter().any(|byte| *byte != 0) {
                    into.write_all_at(piece, begin + done)?;
                }
                done += most as u64;
            }
            progress(length);
        }
        Ok(())
    }

    /// Makes a file without a name in a directory, to unfold an image into; it goes with its last
    /// descriptor.
    ///
    /// # Errors
    /// The system's.
    pub fn scratch(directory: &std::path::Path) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::open(directory, flags, Mode::from_raw_mode(0o600))?))
    }
}

/// Hands out the entries of a table, of `N` bytes each, with their indices.
fn each_entry<const N: usize>(
    file: &File,
    table: u64,
    count: u64,
    mut take: impl FnMut(u64, [u8; N]),
) -> io::Result<()> {
    let mut part = vec![0; PIECE];
    let mut done = 0;
    while done < count {
        let most = (count - done).min((part.len() / N) as u64);
        let length = usize::try_from(most).unwrap_or(0) * N;
        let read = part.get_mut(..length).unwrap_or_default();
        file.read_exact_at(read, table.saturating_add(done * N as u64))?;
        for (index, entry) in (done..).zip(read.chunks_exact(N)) {
            take(index, number(entry, 0));
        }
        done += most;
    }
    Ok(())
}

/// A number at a place of some bytes; zero where there are not as many.
fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().unwrap_or([0; N])
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
    fn blocks_are_unfolded_to_where_they_belong() {
        let image = open(&dynamic(2 * BLOCK as u64, BLOCK as u32, 2, 1536)).unwrap();
        assert!(image.whole().is_none());
        let disk = tempfile::tempfile().unwrap();
        let mut done = 0;
        image.unfold(&disk, |count| done += count).unwrap();
        assert_eq!((disk.metadata().unwrap().len(), done), (2 * BLOCK as u64, BLOCK as u64));
        let mut bytes = [0; 2];
        disk.read_exact_at(&mut bytes, 1080).unwrap();
        assert_eq!(bytes, EXT_MARK);
        disk.read_exact_at(&mut bytes, BLOCK as u64 - 1).unwrap();
        assert_eq!(bytes, [7, 0]);
        let mut fixed = vec![0; BLOCK];
        fixed[1080..1082].copy_from_slice(&EXT_MARK);
        fixed.extend(footer(BLOCK as u64, 2, u64::MAX));
        let image = open(&fixed).unwrap();
        assert!(image.whole().is_some() && image.size() == BLOCK as u64);
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
