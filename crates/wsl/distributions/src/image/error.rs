//! Why an image cannot be used.

use std::io;
use winterop_words::{Failure, Words};

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub enum ImageError {
    /// It is none.
    NotAnImage,
    /// It is damaged, or a kind that is not understood.
    Wrong(String),
    /// The system refused.
    Read(#[from] io::Error),
}

impl ImageError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::NotAnImage => Failure::NotAnImage {}.words(),
            Self::Wrong(problem) => Failure::ImageUnusable { problem }.words(),
            Self::Read(error) => Failure::ImageNotRead { error }.words(),
        }
    }
}

impl From<ImageError> for Words {
    fn from(error: ImageError) -> Self {
        error.words()
    }
}

pub(super) fn wrong<T>(problem: impl Into<String>) -> Result<T, ImageError> {
    Err(ImageError::Wrong(problem.into()))
}
