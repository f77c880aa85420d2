//! Why a machine could not be changed.

use std::io;
use std::path::{Path, PathBuf};
use winterop_registration::RegistrationError;
use winterop_words::{Failure, Words};

/// Why a machine could not be changed.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum InstallError {
    /// A file is there that is not ours.
    Foreign(PathBuf),
    /// What every user is to run can be changed by others than root.
    Changeable {
        /// The file, or a folder on the way to it.
        path: PathBuf,
        /// By whom, in words.
        why: String,
    },
    /// The kernel's table does not take the entry.
    Registration(#[from] RegistrationError),
    /// A step failed.
    Step {
        /// What was tried.
        step: &'static str,
        /// On what.
        on: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl InstallError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Foreign(path) => Failure::ForeignFile { path: &path.display() }.words(),
            Self::Changeable { path, why } => {
                Failure::ChangeableProgram { path: &path.display(), why }.words()
            }
            Self::Registration(error) => error.words(),
            Self::Step { step, on, source } => {
                Failure::InstallationStep { step, place: &on.display(), error: source }.words()
            }
        }
    }
}

pub(crate) fn failed(
    step: &'static str,
    on: &Path,
) -> impl FnOnce(io::Error) -> InstallError + use<> {
    let on = on.to_owned();
    move |source| InstallError::Step { step, on, source }
}
