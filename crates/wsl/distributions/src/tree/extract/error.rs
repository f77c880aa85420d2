//! Why a tree could not be written.

use crate::archive::ArchiveError;
use crate::image::ImageError;
use crate::tree::shown;
use rustix::io::Errno;
use winterop_words::{Failure, Words};

/// Why a tree could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub enum ExtractError {
    /// The archive cannot be read.
    Archive(#[from] ArchiveError),
    /// The disk image cannot be read.
    Image(#[from] ImageError),
    /// It does not fit.
    Full {
        /// The entry.
        name: String,
        /// How much it takes.
        size: u64,
        /// How much is free, without what is left to others.
        free: u64,
    },
    /// There are too many directories, or too large ones, to remember.
    TooMuch {
        /// The directory at which it was too much.
        name: String,
    },
    /// The archive holds nothing.
    Empty,
    /// A name leads out of the root.
    Refused {
        /// The entry.
        name: String,
        /// What it would do.
        problem: &'static str,
    },
    /// The system refused.
    System {
        /// What was tried.
        step: &'static str,
        /// The entry.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl ExtractError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Archive(error) => error.words(),
            Self::Image(error) => error.words(),
            Self::Full { name, size, free } => Failure::NoRoom { name, size, free }.words(),
            Self::TooMuch { name } => Failure::TooManyDirectories { name }.words(),
            Self::Empty => Failure::ArchiveEmpty {}.words(),
            Self::Refused { name, problem } => Failure::EntryRefused { name, problem }.words(),
            Self::System { step, name, source } => {
                Failure::FileNotWritten { step, name, error: source }.words()
            }
        }
    }
}

impl From<ExtractError> for Words {
    fn from(error: ExtractError) -> Self {
        error.words()
    }
}

pub(super) fn failed(step: &'static str, name: &[u8]) -> impl FnOnce(Errno) -> ExtractError {
    let name = shown(name);
    move |error| ExtractError::System { step, name, source: error.into() }
}
