//! Runs the program in the caller's place: as a child of the interpreter, with its descriptors.
//!
//! The kernel gives it the caller's process group, terminal, limits and namespaces. The interpreter
//! stays as its parent, to pass on what only it was sent, to follow a stop, and to turn the full exit
//! code into a status.

use crate::ending::{Ending, ExitCode};
use crate::response::InPlacePlan;
use crate::signals::{Arrival, Watch};
use crate::terminal::{Back, Terminal};
use crate::words::{FailedLaunch, Why, shown, system_error};
use alloc::format;
use alloc::vec::Vec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, waitpid};
use winterop_sys::{CStrings, c_string, exec, exit, fork_sharing};

/// What the program's end looks like from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It ended with a code.
    Code(ExitCode),
    /// A signal ended its process.
    Signal(Signal),
    /// It was ended by force, because it did not end within its time after this signal.
    Overdue(Signal),
}

impl Ended {
    /// How the interpreter ends for it.
    #[must_use]
    pub(crate) fn ending(self) -> Ending {
        match self {
            Self::Code(code) => code.ending(),
            Self::Signal(signal) | Self::Overdue(signal) => Ending::Signal(signal),
        }
    }
}

/// Runs what the host has planned and waits for its end.
///
/// # Errors
/// A [`FailedLaunch`] where the program could not be started.
pub(crate) fn run(
    plan: &InPlacePlan,
    watch: &Watch,
    terminal: Option<&Terminal>,
    errors: impl AsFd,
) -> Result<Ended, FailedLaunch> {
    let report = match &plan.report {
        Some(_) => Some(pipe_with(PipeFlags::CLOEXEC).map_err(|error| cannot_start(plan, error))?),
        None => None,
    };
    let prepared = PreparedExec::new(plan, report.as_ref().map(|(_, writer)| writer), terminal);
    let writer = report.as_ref().map(|(_, writer)| writer);
    let child = fork_sharing(|| prepared.become_program(watch, writer))
        .map_err(|error| cannot_start(plan, error))?;
    let reader = report.map(|(reader, _)| reader);
    let _ = errors;
    let attended = attend(child, watch, terminal, plan.grace);
    if let Some(terminal) = terminal {
        terminal.take_back();
    }
    let (status, overdue) = attended?;
    if let Some(signal) = overdue {
        return Ok(Ended::Overdue(signal));
    }
    ended(status, reader.as_ref(), plan)
}

/// Everything that exec needs, made before the fork.
struct PreparedExec {
    program: alloc::ffi::CString,
    arguments: CStrings,
    environment: CStrings,
    directory: Option<alloc::ffi::CString>,
}

/// The status with which a child ends that could not become the program, and how it says why.
const EXEC_FAILED: u8 = 126;

impl PreparedExec {
    fn new(plan: &InPlacePlan, writer: Option<&OwnedFd>, terminal: Option<&Terminal>) -> Self {
        let report = plan.report.as_ref().zip(writer).map(|(name, writer)| {
            [&**name, b"=", format!("{}", writer.as_raw_fd()).as_bytes()].concat()
        });
        let shared = terminal.and_then(Terminal::shared);
        let console = plan.console.as_ref().zip(shared).map(|(name, file)| {
            let path = format!("=/proc/{}/fd/{}", getpid().as_raw_nonzero(), file.as_raw_fd());
            [&**name, path.as_bytes()].concat()
        });
        let added = report.iter().chain(&console);
        let environment = plan.environment.iter().chain(added).map(Vec::as_slice);
        Self {
            program: c_string(&plan.program),
            arguments: CStrings::new(plan.arguments.iter().map(Vec::as_slice)),
            environment: CStrings::new(environment),
            directory: plan.directory.as_deref().map(c_string),
        }
    }

    fn become_program(&self, watch: &Watch, writer: Option<&OwnedFd>) -> ! {
        if let Some(directory) = &self.directory {
            // The host looked at it through the caller's descriptor; where it vanished since then
            // the program starts where the caller is.
            let _ = rustix::process::chdir(&**directory);
        }
        if let Some(writer) = writer {
            let _ = rustix::io::fcntl_setfd(writer, rustix::io::FdFlags::empty());
        }
        watch.release();
        let error = exec(&self.program, &self.arguments, &self.environment);
        if let Some(writer) = writer {
            let mut record = [0_u8; 8];
            for (slot, byte) in record.iter_mut().skip(4).zip(error.raw_os_error().to_le_bytes()) {
                *slot = byte;
            }
            let _ = rustix::io::write(writer, &record);
        }
        exit(EXEC_FAILED)
    }
}

fn cannot_start(plan: &InPlacePlan, error: Errno) -> FailedLaunch {
    if error == Errno::TOOBIG {
        return too_big(plan);
    }
    Why::LoaderNotStarted { program: &shown(&plan.program), error: &system_error(error) }.into()
}

/// Names what does not fit into what Linux gives a program at its start.
fn too_big(plan: &InPlacePlan) -> FailedLaunch {
    let bytes = |list: &[Vec<u8>]| list.iter().map(|entry| entry.len() + 1).sum::<usize>();
    let longest = plan.environment.iter().max_by_key(|entry| entry.len());
    let name = longest.and_then(|entry| entry.split(|byte| *byte == b'=').next());
    let why = Why::ArgumentsTooLong {
        program: &shown(&plan.program),
        arguments: &bytes(&plan.arguments),
        count: &plan.environment.len(),
        variables: &bytes(&plan.environment),
        longest: &shown(name.unwrap_or_default()),
    };
    why.into()
}

/// Waits for the child's end; passes signals on and follows it into a stop. Ends the child when it
/// was asked to end and its time is over, and says so with the signal.
fn attend(
    child: Pid,
    watch: &Watch,
    terminal: Option<&Terminal>,
    grace: u32,
) -> Result<(WaitStatus, Option<Signal>), FailedLaunch> {
    let mut overdue = None;
    loop {
        wait_for_signal(watch, grace, terminal);
        if terminal.is_some_and(Terminal::is_away) {
            give(child, terminal);
        }
        if watch.is_over(grace) {
            watch.forget_time();
            overdue = watch.demanded();
            let _ = kill_process(child, Signal::KILL);
        }
        while let Some(arrival) = watch.next() {
            match arrival.signal {
                Signal::CHILD => {
                    if let Some(status) = reap(child, terminal)? {
                        return Ok((status, overdue));
                    }
                }
                Signal::CONT => go_on(child, terminal),
                _ => pass_on(child, arrival),
            }
        }
    }
}

/// Blocks until a signal is there or the program's time is over. The wait is for the program's end:
/// it has a deadline only once the program was asked to end.
fn wait_for_signal(watch: &Watch, grace: u32, terminal: Option<&Terminal>) {
    let mut interest = [PollFd::new(watch, PollFlags::IN)];
    // EINTR and every other result lead to a look at what has arrived.
    let _ = poll(&mut interest, watch.patience(grace, terminal).as_ref());
}

/// Sends the child what only the interpreter was sent. A key on the terminal reached both.
fn pass_on(child: Pid, arrival: Arrival) {
    if !arrival.from_terminal {
        let _ = kill_process(child, arrival.signal);
    }
}

/// Looks whether the child has ended; where it was stopped instead, stops with it.
fn reap(child: Pid, terminal: Option<&Terminal>) -> Result<Option<WaitStatus>, FailedLaunch> {
    loop {
        match waitpid(Some(child), WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(None) => return Ok(None),
            Ok(Some((_, status))) if status.stopped() => {
                if is_of_the_job(status) {
                    stop_with(child, terminal);
                }
            }
            Ok(Some((_, status))) => return Ok(Some(status)),
            Err(Errno::INTR) => {}
            Err(error) => {
                let error = system_error(error);
                return Err(Why::EndLost { program: &"the program", error: &error }.into());
            }
        }
    }
}

/// Whether a stop is the whole job's. A shell that stops a job outright stops this process too, by the
/// same signal; who stops the program alone goes on with the program alone, and this process would stay
/// stopped.
fn is_of_the_job(status: WaitStatus) -> bool {
    status.stopping_signal() != Some(Signal::STOP.as_raw())
}

/// Stops like the child has, so that the shell sees a stopped job with a sane terminal, and goes on
/// with it when continued.
fn stop_with(child: Pid, terminal: Option<&Terminal>) {
    if let Some(terminal) = terminal {
        terminal.take_back();
    }
    let _ = kill_process(getpid(), Signal::STOP);
    go_on(child, terminal);
}

/// After a stop.
fn go_on(child: Pid, terminal: Option<&Terminal>) {
    give(child, terminal);
    let _ = kill_process(child, Signal::CONT);
}

fn give(child: Pid, terminal: Option<&Terminal>) {
    if terminal.map(Terminal::give) == Some(Back::Resized) {
        // The kernel tells those in the foreground only.
        let _ = kill_process(child, Signal::WINCH);
    }
}

/// The program's end: the full code from the report, else what the kernel kept of it.
fn ended(
    status: WaitStatus,
    report: Option<&OwnedFd>,
    plan: &InPlacePlan,
) -> Result<Ended, FailedLaunch> {
    let record = report.map(read_report).unwrap_or_default();
    match record {
        Report::Code(code) => return Ok(Ended::Code(ExitCode(code))),
        Report::ExecFailed(error) => return Err(cannot_start(plan, error)),
        Report::Nothing => {}
    }
    if let Some(signal) = status.terminating_signal().and_then(Signal::from_named_raw) {
        return Ok(Ended::Signal(signal));
    }
    let code = status.exit_status().and_then(|code| u32::try_from(code).ok()).unwrap_or(1);
    Ok(Ended::Code(ExitCode(code)))
}

/// What stands in the report pipe when the child is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Report {
    /// The child did not get to report.
    #[default]
    Nothing,
    /// Four bytes: the exit code.
    Code(u32),
    /// Eight bytes: zeros, then the error with which exec failed.
    ExecFailed(Errno),
}

fn read_report(reader: &OwnedFd) -> Report {
    // A grandchild may hold the pipe open; what the child wrote is there by now.
    if rustix::io::ioctl_fionbio(reader, true).is_err() {
        return Report::Nothing;
    }
    let mut record = [0_u8; 8];
    match (rustix::io::read(reader, &mut record), record) {
        (Ok(4), [a, b, c, d, ..]) => Report::Code(u32::from_le_bytes([a, b, c, d])),
        (Ok(8), [_, _, _, _, a, b, c, d]) => {
            Report::ExecFailed(Errno::from_raw_os_error(i32::from_le_bytes([a, b, c, d])))
        }
        _ => Report::Nothing,
    }
}
