//! Starts a program on descriptors that were handed over, closed ones left closed.

use crate::{CStrings, Fork, SignalSet, c_string, exec, exit, fork, reset_action, restore_mask};
use alloc::ffi::CString;
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::DupFlags;
use rustix::io::{Errno, dup3, read, write};
use rustix::process::{Pid, Signal};

/// A program to be started below this process, in a session of its own.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The path to execute.
    pub program: &'a [u8],
    /// Its argv.
    pub arguments: &'a CStrings,
    /// Its whole environment.
    pub environment: &'a CStrings,
    /// Its descriptors 0, 1 and 2; `None` is closed in the program.
    pub standard: [Option<BorrowedFd<'a>>; 3],
    /// One more descriptor that it inherits under the same number.
    pub inherited: Option<BorrowedFd<'a>>,
    /// The directory to start in.
    pub directory: Option<BorrowedFd<'a>>,
}

/// Starts the program and returns once it runs.
///
/// The child makes nothing but system calls until it is the program, so that it does not matter
/// which threads this process has. Signals are as a shell would have them.
///
/// # Errors
/// The system's: of the fork, or of the step in the child that failed.
pub fn spawn(plan: &Spawn<'_>) -> Result<Pid, Errno> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let writer = above_standard(writer)?;
    let standard =
        [moved_up(plan.standard[0])?, moved_up(plan.standard[1])?, moved_up(plan.standard[2])?];
    let program = c_string(plan.program);
    let child = match fork()? {
        Fork::Child => {
            let error = become_program(plan, &program, &standard);
            // The parent reads it, or is gone.
            let _ = write(&writer, &error.raw_os_error().to_ne_bytes());
            exit(127)
        }
        Fork::Parent(child) => child,
    };
    drop(writer);
    let mut error = [0; 4];
    match read_fully(&reader, &mut error) {
        // The pipe closed without a word: exec has happened.
        Ok(0) => Ok(child),
        Ok(_) => {
            let _ = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
            Err(Errno::from_raw_os_error(i32::from_ne_bytes(error)))
        }
        Err(error) => Err(error),
    }
}

fn read_fully(reader: &OwnedFd, buffer: &mut [u8; 4]) -> Result<usize, Errno> {
    loop {
        match read(reader, &mut buffer[..]) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

fn above_standard(descriptor: OwnedFd) -> Result<OwnedFd, Errno> {
    if descriptor.as_raw_fd() > 2 {
        return Ok(descriptor);
    }
    rustix::io::fcntl_dupfd_cloexec(&descriptor, 3)
}

/// A copy above 2, so that putting one standard descriptor in its place does not overwrite another.
fn moved_up(descriptor: Option<BorrowedFd<'_>>) -> Result<Option<OwnedFd>, Errno> {
    descriptor.map(|descriptor| rustix::io::fcntl_dupfd_cloexec(descriptor, 3)).transpose()
}

fn become_program(plan: &Spawn<'_>, program: &CString, standard: &[Option<OwnedFd>; 3]) -> Errno {
    match arrange(plan, standard) {
        Ok(()) => exec(program, plan.arguments, plan.environment),
        Err(error) => error,
    }
}

fn arrange(plan: &Spawn<'_>, standard: &[Option<OwnedFd>; 3]) -> Result<(), Errno> {
    rustix::process::setsid()?;
    for (number, descriptor) in (0..).zip(standard) {
        // Whatever this process has there is not for the program.
        let target = crate::take_inherited(number);
        match (descriptor, target) {
            (Some(descriptor), Some(mut target)) => {
                dup3(descriptor, &mut target, DupFlags::empty())?;
                core::mem::forget(target);
            }
            (Some(descriptor), None) => {
                core::mem::forget(rustix::io::dup(descriptor)?);
            }
            (None, target) => drop(target),
        }
    }
    if let Some(inherited) = plan.inherited {
        rustix::io::fcntl_setfd(inherited, rustix::io::FdFlags::empty())?;
    }
    if let Some(directory) = plan.directory {
        rustix::process::fchdir(directory)?;
    }
    for signal in
        [Signal::PIPE, Signal::INT, Signal::QUIT, Signal::HUP, Signal::TERM, Signal::CHILD]
    {
        reset_action(signal);
    }
    restore_mask(SignalSet::of(&[]));
    Ok(())
}
