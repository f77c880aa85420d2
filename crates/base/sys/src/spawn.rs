//! Starts a program on descriptors that were handed over, closed ones left closed; as another user
//! and on a terminal of its own, where that is wanted.

use crate::{CStrings, Fork, SignalSet, c_string, exec, exit, fork, reset_action, restore_mask};
use alloc::ffi::CString;
use core::ffi::CStr;
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::Mode;
use rustix::io::DupFlags;
use rustix::io::{Errno, dup3, read, write};
use rustix::process::{Gid, Pid, Signal, Uid};

/// A program to be started below this process, in a session of its own.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The path to execute.
    pub program: &'a [u8],
    /// Its argv.
    pub arguments: &'a CStrings,
    /// Its whole environment.
    pub environment: &'a CStrings,
    /// Its descriptors 0, 1 and 2; `None` where its caller has it closed.
    pub standard: [Option<BorrowedFd<'a>>; 3],
    /// What it finds at those that are closed.
    pub closed: Closed,
    /// One more descriptor that it inherits under the same number. There is no other.
    pub inherited: Option<BorrowedFd<'a>>,
    /// The directory to start in.
    pub directory: Option<Directory<'a>>,
    /// As whom it runs; `None` for this process's own user.
    pub login: Option<Login<'a>>,
}

/// What a program finds at the standard descriptors that its caller has closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Closed {
    /// Nothing: they are closed in it, too.
    #[default]
    Stays,
    /// What fails like a closed one, so that no file of its own gets the number: see
    /// [`occupy_closed_standard`](crate::occupy_closed_standard).
    Occupied,
}

/// The directory in which a program starts.
#[derive(Clone, Copy, Debug)]
pub enum Directory<'a> {
    /// One that is open.
    Open(BorrowedFd<'a>),
    /// One that is looked up as the program's own user.
    Named(&'a CStr),
}

/// What makes a process a login's: its user, its terminal.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The user.
    pub user: Uid,
    /// The user's own group.
    pub group: Gid,
    /// The supplementary groups; `None` where the system lets nobody change them.
    pub groups: Option<&'a [Gid]>,
    /// The terminal that controls the new session.
    pub terminal: Option<BorrowedFd<'a>>,
    /// The mode bits that new files do not have.
    pub umask: Mode,
    /// The signal that the process gets when the thread that started it ends.
    pub orphaned: Option<Signal>,
}

/// A step on the way to a running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making the process, its descriptors and its session.
    Process = 1,
    /// Becoming the user.
    User = 2,
    /// Going to the directory.
    Directory = 3,
    /// Executing the program.
    Execution = 4,
}

/// Why a program does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpawnError {
    /// Which step failed.
    pub step: Step,
    /// The system's reason.
    pub error: Errno,
}

impl SpawnError {
    fn to_bytes(self) -> [u8; 8] {
        let [a, b, c, d] = (self.step as u32).to_ne_bytes();
        let [e, f, g, h] = self.error.raw_os_error().to_ne_bytes();
        [a, b, c, d, e, f, g, h]
    }

    fn from_bytes([a, b, c, d, e, f, g, h]: [u8; 8]) -> Self {
        let step = match u32::from_ne_bytes([a, b, c, d]) {
            2 => Step::User,
            3 => Step::Directory,
            4 => Step::Execution,
            _ => Step::Process,
        };
        let error = Errno::from_raw_os_error(i32::from_ne_bytes([e, f, g, h]));
        Self { step, error }
    }
}

impl From<Errno> for SpawnError {
    fn from(error: Errno) -> Self {
        Self { step: Step::Process, error }
    }
}

impl From<SpawnError> for Errno {
    fn from(error: SpawnError) -> Self {
        error.error
    }
}

/// Starts the program and returns once it runs.
///
/// The child makes nothing but system calls until it is the program, so that it does not matter
/// which threads this process has. Signals are as a shell would have them.
///
/// # Errors
/// The system's, with the step that failed.
pub fn spawn(plan: &Spawn<'_>) -> Result<Pid, SpawnError> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let writer = above_standard(writer)?;
    let standard =
        [moved_up(plan.standard[0])?, moved_up(plan.standard[1])?, moved_up(plan.standard[2])?];
    let program = c_string(plan.program);
    let child = match fork()? {
        Fork::Child => {
            let error = arrange_and_execute(plan, &program, &standard);
            // The parent reads it, or is gone.
            let _ = write(&writer, &error.to_bytes());
            exit(127)
        }
        Fork::Parent(child) => child,
    };
    drop(writer);
    let mut error = [0; 8];
    match read_fully(&reader, &mut error) {
        // The pipe closed without a word: exec has happened.
        Ok(0) => Ok(child),
        Ok(_) => {
            let _ = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
            Err(SpawnError::from_bytes(error))
        }
        Err(error) => Err(error.into()),
    }
}

fn read_fully(reader: &OwnedFd, buffer: &mut [u8; 8]) -> Result<usize, Errno> {
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

/// Makes this process the program; returns only if that failed. The process must have one thread.
pub fn become_program(plan: &Spawn<'_>) -> SpawnError {
    let copies = || -> Result<_, Errno> {
        Ok([moved_up(plan.standard[0])?, moved_up(plan.standard[1])?, moved_up(plan.standard[2])?])
    };
    match copies() {
        Ok(standard) => arrange_and_execute(plan, &c_string(plan.program), &standard),
        Err(error) => error.into(),
    }
}

fn arrange_and_execute(
    plan: &Spawn<'_>,
    program: &CString,
    standard: &[Option<OwnedFd>; 3],
) -> SpawnError {
    match arrange(plan, standard) {
        Ok(()) => SpawnError {
            step: Step::Execution,
            error: exec(program, plan.arguments, plan.environment),
        },
        Err(error) => error,
    }
}

fn arrange(plan: &Spawn<'_>, standard: &[Option<OwnedFd>; 3]) -> Result<(), SpawnError> {
    rustix::process::setsid()?;
    if let Some(terminal) = plan.login.and_then(|login| login.terminal) {
        rustix::process::ioctl_tiocsctty(terminal)?;
    }
    arrange_descriptors(standard)?;
    if plan.closed == Closed::Occupied {
        crate::occupy_closed_standard();
    }
    // Whoever has opened what else there is, and how, it is not the program's.
    crate::keep_to_self()?;
    if let Some(inherited) = plan.inherited {
        rustix::io::fcntl_setfd(inherited, rustix::io::FdFlags::empty())?;
    }
    let failed = |step| move |error| SpawnError { step, error };
    if let Some(login) = &plan.login {
        log_in(login).map_err(failed(Step::User))?;
    }
    match plan.directory {
        Some(Directory::Open(directory)) => rustix::process::fchdir(directory),
        Some(Directory::Named(path)) => rustix::process::chdir(path),
        None => Ok(()),
    }
    .map_err(failed(Step::Directory))?;
    for signal in
        [Signal::PIPE, Signal::INT, Signal::QUIT, Signal::HUP, Signal::TERM, Signal::CHILD]
    {
        reset_action(signal);
    }
    restore_mask(SignalSet::of(&[]));
    Ok(())
}

fn arrange_descriptors(standard: &[Option<OwnedFd>; 3]) -> Result<(), Errno> {
    for (number, descriptor) in (0..).zip(standard) {
        // Whatever this process has there is not for the program.
        let target = crate::take_inherited(number);
        match (descriptor, target) {
            (Some(descriptor), Some(mut target)) => {
                dup3(descriptor, &mut target, DupFlags::empty())?;
                core::mem::forget(target);
            }
            (Some(descriptor), None) => put_at(number, descriptor)?,
            (None, target) => drop(target),
        }
    }
    Ok(())
}

/// Has the program inherit `descriptor` at a number that is free, whatever lower ones are.
fn put_at(number: RawFd, descriptor: &OwnedFd) -> Result<(), Errno> {
    let placed = rustix::io::fcntl_dupfd_cloexec(descriptor, number)?;
    rustix::io::fcntl_setfd(&placed, rustix::io::FdFlags::empty())?;
    core::mem::forget(placed);
    Ok(())
}

/// Becomes the user for good: first the groups, which only root may choose.
fn log_in(login: &Login<'_>) -> Result<(), Errno> {
    rustix::process::umask(login.umask);
    if let Some(groups) = login.groups {
        rustix::thread::set_thread_groups(groups)?;
    }
    rustix::thread::set_thread_res_gid(login.group, login.group, login.group)?;
    rustix::thread::set_thread_res_uid(login.user, login.user, login.user)?;
    // A change of the user takes this back, so it comes last.
    rustix::process::set_parent_process_death_signal(login.orphaned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd as _;
    use rustix::fs::{OFlags, open};

    /// How a shell's script ends with this input and these other descriptors.
    fn status_of(
        script: &str,
        standard: [Option<BorrowedFd<'_>>; 3],
        closed: Closed,
        inherited: Option<BorrowedFd<'_>>,
    ) -> Option<i32> {
        let child = spawn(&Spawn {
            program: b"/bin/sh",
            arguments: &CStrings::new([&b"sh"[..], b"-c", script.as_bytes()]),
            environment: &CStrings::new([]),
            standard,
            closed,
            inherited,
            directory: None,
            login: None,
        })
        .unwrap();
        let options = rustix::process::WaitOptions::empty();
        let (_, status) = rustix::process::waitpid(Some(child), options).unwrap().unwrap();
        status.exit_status()
    }

    #[test]
    fn a_program_has_the_descriptors_that_it_was_given_and_no_other() {
        // Whatever in this process has opened it so, it is not for the program.
        let others = open(c"/dev/null", OFlags::RDWR, Mode::empty()).unwrap();
        let (given, _writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let look = alloc::format!(
            "test -e /proc/self/fd/{} && exit 1; test -e /proc/self/fd/{} || exit 2; exit 3",
            others.as_raw_fd(),
            given.as_raw_fd()
        );
        let standard = [Some(others.as_fd()); 3];
        assert_eq!(status_of(&look, standard, Closed::Stays, Some(given.as_fd())), Some(3));
    }

    #[test]
    fn a_closed_standard_descriptor_stays_closed_or_fails_like_one() {
        let (reader, _writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        for number in 0..3 {
            let mut standard = [Some(reader.as_fd()); 3];
            standard[number] = None;
            let pipes = (0..3).filter(|it| *it != number);
            let pipes: alloc::string::String = pipes
                .map(|it| alloc::format!("test -p /proc/self/fd/{it} || exit 2{it}; "))
                .collect();
            let gone = alloc::format!("{pipes} test -e /proc/self/fd/{number} && exit 3; exit 7");
            assert_eq!(status_of(&gone, standard, Closed::Stays, None), Some(7), "{number}");
            let there = alloc::format!(
                "{pipes} test \"$(readlink /proc/$$/fd/{number})\" = /dev/null || exit 3; exit 7"
            );
            assert_eq!(status_of(&there, standard, Closed::Occupied, None), Some(7), "{number}");
        }
        let use_them = "cat && exit 1; env echo x && exit 2; env echo x >&2 && exit 3; exit 7";
        assert_eq!(status_of(use_them, [None; 3], Closed::Occupied, None), Some(7));
    }
}
