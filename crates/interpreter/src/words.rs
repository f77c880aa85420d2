//! The texts of what the interpreter has to say when a launch fails.

use alloc::borrow::Cow;
use alloc::string::String;

pub use winterop_sys::system_error;

/// The exit statuses that shells give to commands which could not be run.
pub mod status {
    /// A request that the host could not carry out, of no more precise kind.
    pub const FAILED: u8 = 1;
    /// The program is there and cannot run.
    pub const CANNOT_RUN: u8 = 126;
    /// The program is not there.
    pub const NOT_FOUND: u8 = 127;
}

/// A launch that did not happen: one or more lines for the user, and the status to exit with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was tried, on what, why it failed, what to do.
    pub text: String,
    /// What the interpreter exits with.
    pub status: u8,
}

impl Failure {
    /// The program is there and cannot run.
    pub fn cannot_run(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: status::CANNOT_RUN }
    }

    /// The program is not there.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: status::NOT_FOUND }
    }

    /// The peer broke off, or broke the rules.
    pub fn broken(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: status::FAILED }
    }
}

/// Shows bytes that a user gave, such as a path, within a message.
#[must_use]
pub fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
