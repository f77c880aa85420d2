//! Waits for child processes with a deadline, and ends them.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open};
use winterop_serve::starter::StartedProgram;

/// How long a server may take to end everything in its prefix and to write the registry.
const ENDING: Duration = Duration::from_secs(5);

/// Waits until a child has ended, at most until `deadline`.
pub(crate) fn wait(child: &mut StartedProgram, deadline: Instant) -> Option<ExitStatus> {
    wait_while(child, None, deadline)
}

/// The same, and no longer than the process of `needed` lives, without which the child never ends.
pub(crate) fn wait_while(
    child: &mut StartedProgram,
    needed: Option<BorrowedFd<'_>>,
    deadline: Instant,
) -> Option<ExitStatus> {
    if let Ok(Some(status)) = child.try_wait() {
        // From here on its pid may be another process's.
        return Some(status);
    }
    let Ok(pidfd) = pidfd_open(child.pid(), PidfdFlags::empty()) else {
        // Without a descriptor (a limit was reached) there is no deadline.
        return child.wait().ok().flatten();
    };
    let watched: Vec<_> = std::iter::once(pidfd.as_fd()).chain(needed).collect();
    match wait_readable(&watched, Some(deadline)).first() {
        Some(true) => child.wait().ok().flatten(),
        _ => None,
    }
}

/// Whether the process of a pidfd has ended.
pub(crate) fn has_ended(pidfd: &OwnedFd) -> bool {
    wait_readable(&[pidfd.as_fd()], Some(Instant::now())) == [true]
}

/// Ends a server with SIGINT, which makes it end all of its programs first, or by force.
pub(crate) fn end(child: &mut StartedProgram) {
    if !matches!(child.try_wait(), Ok(None)) {
        // It was waited for, so its pid may be another process's by now.
        return;
    }
    // Nobody but this thread waits for it: until then its pid is its own.
    let _ = kill_process(child.pid(), Signal::INT);
    if wait(child, Instant::now() + ENDING).is_none() {
        child.kill();
        let _ = child.wait();
    }
}

/// Ends a server that is not a child, in the same way.
pub(crate) fn end_other(pidfd: &OwnedFd) {
    for signal in [Signal::INT, Signal::KILL] {
        let _ = rustix::process::pidfd_send_signal(pidfd, signal);
        if wait_readable(&[pidfd.as_fd()], Some(Instant::now() + ENDING)) == [true] {
            return;
        }
    }
}

/// Waits until at least one of the descriptors is readable (for a pidfd: the process has ended) or
/// the deadline has passed, and says which are.
pub(crate) fn wait_readable(
    descriptors: &[BorrowedFd<'_>],
    deadline: Option<Instant>,
) -> Vec<bool> {
    let mut polled: Vec<PollFd<'_>> =
        descriptors.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut polled, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            _ => return polled.iter().map(|fd| !fd.revents().is_empty()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::successor::{Successor, has_own_pids};
    use winterop_serve::starter::ProgramStart;

    #[test]
    fn whoever_has_the_pid_of_a_server_that_was_waited_for_is_neither_ended_nor_waited_for() {
        if !has_own_pids() {
            return;
        }
        let plan = ProgramStart { program: b"/bin/true", ..ProgramStart::default() };
        let mut child = StartedProgram::start(None, &plan).unwrap();
        assert!(wait(&mut child, Instant::now() + ENDING).is_some());
        let other = Successor::of(child.pid().as_raw_nonzero().get().cast_unsigned());
        end(&mut child);
        assert!(wait(&mut child, Instant::now() + ENDING).is_some());
        assert!(other.was_spared());
    }
}
