//! Why an instance could not be made.

use std::ffi::OsStr;
use std::io;
use winterop_registration::RegistrationError;
use winterop_words::{Failure, Words};

/// Why an instance could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum NamespaceError {
    /// The kernel denies user namespaces.
    Denied(io::Error),
    /// binfmt_misc cannot be mounted in a user namespace.
    NoPrivateTable(io::Error),
    /// The registration failed.
    Registration(#[from] RegistrationError),
    /// A step failed that works everywhere else.
    Step {
        /// What was tried.
        step: &'static str,
        /// On what.
        on: String,
        /// Why not.
        source: io::Error,
    },
}

impl NamespaceError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Denied(error) => Failure::NoUserNamespaces { error }.words(),
            Self::NoPrivateTable(error) => Failure::NoPrivateTable { error }.words(),
            Self::Registration(error) => error.words(),
            Self::Step { step, on, source } => {
                Failure::InstanceStep { step, on, error: source }.words()
            }
        }
    }

    /// Whether the machine, not this attempt, cannot have private instances.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::NoPrivateTable(_))
    }
}

/// What makes an error of the system's one of this step.
pub fn failed<E: Into<io::Error>>(
    step: &'static str,
    on: impl AsRef<OsStr>,
) -> impl FnOnce(E) -> NamespaceError {
    let on = on.as_ref().to_string_lossy().into_owned();
    move |source| NamespaceError::Step { step, on, source: source.into() }
}
