//! How an ended process counts as a status, as shells have it.

use rustix::process::WaitStatus;

/// The status that stands for the death by a signal of this number.
#[must_use]
pub const fn status_of_signal(number: i32) -> i32 {
    number.saturating_add(128)
}

/// The status of an ended process: its own, or the one that stands for its signal.
#[must_use]
pub fn status_of(ended: WaitStatus) -> i32 {
    let by_signal = ended.terminating_signal().map(status_of_signal);
    ended.exit_status().or(by_signal).unwrap_or(1)
}
