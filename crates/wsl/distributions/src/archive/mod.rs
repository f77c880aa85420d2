//! Archives as streams: what an entry is, reading and writing tar, and compressions.

pub mod compression;
pub mod pax;
pub mod read;
pub mod write;

use crate::tree::Notes;
use std::io;
use winterop_words::{Failure, Words};

/// Everything in an archive begins at a whole block, in bytes.
const BLOCK: u64 = 512;

/// What is missing to whole blocks behind so many bytes.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK
}

/// A device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with its data.
    File,
    /// A further name of the entry with this name.
    HardLink(Vec<u8>),
    /// A symbolic link with this text, which is never followed here.
    SymbolicLink(Vec<u8>),
    /// A directory.
    Directory,
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Pipe,
}

/// A point in time: seconds since 1970, and nanoseconds from 0 to 999,999,999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds on top.
    pub nanoseconds: u32,
}

/// A piece of a file that has data; between two pieces there is a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

/// Extended attributes: their whole names and their values.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name as the archive has it.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions: the low 12 bits of a mode.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was last changed.
    pub modified: Time,
    /// Its extended attributes.
    pub attributes: Attributes,
    /// A file's size in bytes, with its holes.
    pub size: u64,
    /// Which pieces of the file have data, in their order; `None` for all of it.
    pub pieces: Option<Vec<Piece>>,
}

/// What a tree is written from, entry by entry: an archive, or the file system in an image.
pub trait Source {
    /// What may go wrong.
    type Error;

    /// How many bytes of data all files have, as far as that is known at the beginning.
    fn size(&self) -> u64 {
        0
    }

    /// The next entry; `None` at the end. What was not read of the last entry's data is skipped. Of
    /// several names of a file the first one has its data.
    ///
    /// # Errors
    /// Nothing more can be read then.
    fn next_entry(&mut self) -> Result<Option<Entry>, Self::Error>;

    /// Hands out the current entry's data, each part with where it belongs in the file.
    ///
    /// # Errors
    /// The source's, or what `sink` returns.
    fn copy_data<E: From<Self::Error>>(
        &mut self,
        sink: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E>;

    /// Looks at what is behind the last entry.
    ///
    /// # Errors
    /// Where what was read so far turns out to be worth nothing.
    fn finish(self) -> Result<Notes, Self::Error>;
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub enum ArchiveError {
    /// It ends too early.
    CutOff(u64),
    /// It is no tar archive at all.
    NotAnArchive,
    /// It is damaged.
    Damaged {
        /// Where, in the archive without its compression.
        at: u64,
        /// What is wrong.
        problem: String,
    },
    /// It is larger than can be handled.
    TooLarge {
        /// Where, in the archive without its compression.
        at: u64,
        /// What is too large.
        problem: &'static str,
    },
    /// The system or the decompressor refused.
    Read(io::Error),
}

impl ArchiveError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::CutOff(at) => Failure::ArchiveCutOff { at }.words(),
            Self::NotAnArchive => Failure::NotAnArchive {}.words(),
            Self::Damaged { at, problem } => Failure::ArchiveDamaged { at, problem }.words(),
            Self::TooLarge { at, problem } => Failure::ArchiveTooLarge { at, problem }.words(),
            Self::Read(error) => Failure::ArchiveNotRead { error }.words(),
        }
    }
}

impl From<ArchiveError> for Words {
    fn from(error: ArchiveError) -> Self {
        error.words()
    }
}
