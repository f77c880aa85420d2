//! Waiting for a descriptor without a runtime.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::time::Instant;

/// Waits until something can be read, or the other side has ended (for a pidfd: the process has); false
/// where it is `deadline` before. An interruption does not end the wait.
///
/// # Errors
/// The system's.
pub fn until_readable(descriptor: impl AsFd, deadline: Instant) -> Result<bool, Errno> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // What is too long for the kernel is no deadline to speak of.
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            polled => return Ok(polled? > 0),
        }
    }
}
