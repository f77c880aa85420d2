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
            Some(offset) => Ok(self.file.read_exact_at(bytes, offset + from)?),
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
                self.file.read_exact_at(piece, offset + done)?;
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

/// A number at a place of some bytes; zero where there are not as many.
fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().unwrap_or([0; N])
}
