//! What people are told beside a command's own output.

use std::fmt::Display;

/// Tells people something on standard error.
pub(crate) fn say(line: &dyn Display) {
    eprintln!("winterop: {line}");
}
