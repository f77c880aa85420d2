//! Why an instance of a distribution could not be made.

use crate::holder::HolderError;
use std::io;
use std::path::PathBuf;
use winterop_namespaces::NamespaceError;
use winterop_words::{Failure, Words};

/// Why there is no instance.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstanceError {
    /// What holds an imported root is not as it must be.
    #[error(transparent)]
    Holder(#[from] HolderError),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] NamespaceError),
    /// The directory cannot be the root.
    #[error("{}", self.words().fault())]
    Root {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// systemd is wanted, and the distribution has none.
    #[error("{}", self.words().fault())]
    NoSystemd,
    /// A process ended before it said anything.
    #[error("{}", self.words().fault())]
    Ended(&'static str),
    /// What a process of the instance has said, in its own words.
    #[error("{0}")]
    Said(String),
}

impl InstanceError {
    fn words(&self) -> Words {
        match self {
            Self::Holder(error) => error.words(),
            Self::Step(error) => error.words(),
            Self::Root { path, source } => {
                Failure::InstanceRoot { path: &path.display(), error: source }.words()
            }
            Self::NoSystemd => Failure::NoSystemd {}.words(),
            Self::Ended(who) => Failure::InstanceEnded { who }.words(),
            Self::Said(text) => Failure::InstanceEnded { who: text }.words(),
        }
    }
}
