//! What the interpreter has to say when a launch fails; the texts are `winterop_words`'.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};

pub use winterop_sys::system_error;
pub(crate) use winterop_words::Failure as Why;

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
pub struct FailedLaunch {
    /// What was tried, on what, why it failed, what to do.
    pub text: String,
    /// What the interpreter exits with.
    pub status: u8,
}

impl From<Why<'_>> for FailedLaunch {
    fn from(why: Why<'_>) -> Self {
        let words = why.words();
        Self { text: words.to_string(), status: words.kind.status() }
    }
}

/// Shows bytes that a user gave, such as a path, within a message.
#[must_use]
pub fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
