//! Why a prefix could not be prepared.

use std::io;
use std::path::{Path, PathBuf};

use winterop_words::{Failure, Words};

/// Why a prefix could not be prepared.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum Error {
    /// A file or folder could not be made, read or changed.
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A part of Wine cannot be started.
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `wineboot` failed.
    Wineboot {
        /// The folder it worked in.
        path: PathBuf,
        /// How it ended.
        status: String,
        /// What it wrote.
        output: String,
    },
}

impl Error {
    /// The error in words.
    pub fn words(&self) -> Words {
        match self {
            Self::File { what, path, source } => {
                let (path, error) = (&path.display(), source);
                match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        Failure::PrefixNoRoom { what, path, error }.words()
                    }
                    _ => Failure::PrefixFile { what, path, error }.words(),
                }
            }
            Self::Start { program, source } => {
                Failure::WinePartNotStarted { program: &program.display(), error: source }.words()
            }
            Self::Wineboot { path, status, output } => {
                let output = output.replace('\n', "; ");
                let path = path.display();
                Failure::WinebootFailed { path: &path, status, output: &output }.words()
            }
        }
    }
}

/// Makes an [`Error::File`] of a system error.
pub(super) fn file<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::File { what, path: path.to_owned(), source }
}
