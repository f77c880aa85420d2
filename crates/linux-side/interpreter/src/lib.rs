//! The interpreter: what the kernel starts for a Windows executable.
//!
//! It finds the interop server, asks for the program to be created, and then either runs what the
//! host has planned in the caller's place or waits for the host's word that the program has ended.
//! `ARCHITECTURE.md` follows one launch through it.
//!
//! No libc, no runtime, no threads: the kernel's words come in as a [`Start`], everything else are
//! system calls, and the result is an [`Ending`] for the caller to carry out. Nothing here may
//! panic on what a peer or an environment holds.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, expect(clippy::indexing_slicing, reason = "a test that cannot go on has failed"))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod discovery;
pub mod ending;
mod hosted;
mod in_place;
mod launch;
mod names;
mod request;
mod response;
mod signals;
pub mod start;
mod terminal;
pub mod words;

pub use ending::{Ending, ExitCode};
pub use launch::launch;
pub use request::Wishes;
pub use start::{Auxiliary, CallerEnvironment, Invocation, Start, base_name};

use alloc::vec::Vec;
use rustix::process::{Signal, getpid, kill_process};
use winterop_words::visible;
use words::FailedLaunch;

/// Runs the program that this process was started for, and says how to end.
///
/// Whatever goes wrong is told on standard error in one place, here.
#[must_use]
pub fn interpret(start: &Start<'_>) -> Ending {
    let hosted = start.environment.get(b"WINTEROP_PLACEMENT") == Some(b"hosted");
    let wishes = Wishes { hosted: hosted && !start.auxiliary.secure, ..Wishes::default() };
    match start.invocation() {
        Some(invocation) => launch(start, &invocation, &wishes),
        None => complain(&words::Why::NoProgram {}.into()),
    }
}

/// The length of the request that `invocation` would send, built and thrown away: for measuring.
///
/// # Errors
/// A [`FailedLaunch`] where the program cannot be opened or the request is over the protocol's limits.
pub fn request_length(
    start: &Start<'_>,
    invocation: &Invocation<'_>,
    wishes: &Wishes<'_>,
) -> Result<usize, FailedLaunch> {
    let caller = request::Caller::inspect(start, invocation.program, wishes)?;
    let (request, _) = request::build(caller, &start.environment, invocation, wishes)?;
    Ok(request.bytes.len())
}

/// Tells the user of a failure and returns the ending that goes with it.
pub fn complain(failure: &FailedLaunch) -> Ending {
    say(failure.text.as_bytes());
    Ending::Status(failure.status)
}

/// Writes one message to standard error, where that is open.
pub(crate) fn say(text: &[u8]) {
    let Some(errors) = winterop_sys::inherited(2) else { return };
    let line: Vec<u8> = [b"winterop: ", &*visible::bytes(text), b"\n"].concat();
    let mut rest = &*line;
    while !rest.is_empty() {
        match rustix::io::write(errors, rest) {
            Ok(count) if count > 0 => rest = rest.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            // Nobody reads it: there is nowhere else to say so.
            _ => return,
        }
    }
}

/// Ends this process as `ending` says.
pub fn end(ending: Ending) -> ! {
    match ending {
        Ending::Status(status) => winterop_sys::exit(status),
        Ending::Signal(signal) => end_by(signal),
    }
}

/// Ends this process by `signal`, so that a shell sees what it would of a Linux program, without
/// leaving a core file of the interpreter behind.
fn end_by(signal: Signal) -> ! {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    // A core pattern that pipes to a program ignores the limit of 0, but not this.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    winterop_sys::reset_action(signal);
    winterop_sys::restore_mask(winterop_sys::SignalSet::of(&[]));
    let _ = kill_process(getpid(), signal);
    // Process 1 of a pid namespace is not ended by its own signals.
    winterop_sys::exit(128_u8.saturating_add(u8::try_from(signal.as_raw()).unwrap_or(0)))
}
