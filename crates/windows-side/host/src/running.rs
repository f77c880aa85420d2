//! A hosted program: started on the caller's descriptors, waited for, signalled.

use crate::launcher::{Mark, Prepared};
use crate::request::LaunchRequest;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, pidfd_open, pidfd_send_signal,
    waitpid,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;
use winterop_serve::starter::{self, Plan, Starter};

/// Stack of the thread that waits for a program; it makes two calls.
const WAITER_STACK: usize = 64 * 1024;

/// A program that runs below the host.
#[derive(Debug)]
pub struct RunningProgram {
    // By its pid it cannot be signalled: as soon as it was waited for, that may be another's.
    process: Arc<OwnedFd>,
    mark: Mark,
    end: oneshot::Receiver<u32>,
    report: Option<OwnedFd>,
}

impl RunningProgram {
    /// Starts what was prepared on the request's descriptors.
    ///
    /// # Errors
    /// The system's.
    pub fn start(
        prepared: &Prepared,
        request: &LaunchRequest,
        mark: Mark,
        starter: Option<&Starter>,
    ) -> Result<Self, Errno> {
        let report = match prepared.report {
            Some(_) => Some(pipe_with(PipeFlags::CLOEXEC)?),
            None => None,
        };
        let pid =
            start_process(prepared, request, report.as_ref().map(|(_, writer)| writer), starter)?;
        // Nobody has waited for it yet, so the pid is its own.
        let process = pidfd_open(pid, PidfdFlags::empty()).inspect_err(|_| give_up(pid))?;
        let reader = report.map(|(reader, _)| reader);
        // Without it the program's end is lost with this host, and nothing else.
        let report = reader.as_ref().and_then(|reader| reader.try_clone().ok());
        let (sender, end) = oneshot::channel();
        let waiter = move || {
            let code = wait(pid, reader.as_ref());
            // A launch that was given up does not need its code.
            let _ = sender.send(code);
        };
        std::thread::Builder::new()
            .name("waiter".to_owned())
            .stack_size(WAITER_STACK)
            .spawn(waiter)
            .inspect_err(|_| give_up(pid))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        Ok(Self { process: Arc::new(process), mark, end, report })
    }

    /// Waits for the program's full exit code. Cancel-safe.
    pub async fn ended(&mut self) -> u32 {
        // The waiter always sends; a thread that died anyway must not look like success.
        (&mut self.end).await.unwrap_or(1)
    }

    /// What does to the program what `signal` does to a Linux one. It blocks: it may look at every process.
    pub fn signalling(&self, signal: Signal) -> impl FnOnce() + Send + 'static {
        let (mark, process) = (self.mark.clone(), Arc::clone(&self.process));
        move || match signal {
            Signal::TSTP | Signal::STOP => {
                crate::tree::signal(&mark, Signal::STOP);
            }
            Signal::CONT => {
                crate::tree::signal(&mark, Signal::CONT);
            }
            // The whole console hears of these two, as a terminal's whole foreground group does.
            Signal::INT | Signal::QUIT => {
                crate::tree::signal(&mark, signal);
            }
            Signal::KILL => {
                crate::tree::end(&mark);
            }
            // One that has ended needs no signal.
            other => {
                let _ = pidfd_send_signal(&*process, other);
            }
        }
    }

    /// Where the program's full exit code arrives, for its caller: it outlives this host. Only once.
    pub fn take_report(&mut self) -> Option<OwnedFd> {
        self.report.take()
    }

    /// The launch's mark.
    #[must_use]
    pub fn mark(&self) -> &Mark {
        &self.mark
    }
}

/// Ends a program that was just started and that nobody would wait for.
fn give_up(pid: Pid) {
    // Before it is waited for nobody else can have its pid.
    let _ = kill_process(pid, Signal::KILL);
    let _ = waitpid(Some(pid), WaitOptions::empty());
}

fn start_process(
    prepared: &Prepared,
    request: &LaunchRequest,
    report: Option<&OwnedFd>,
    starter: Option<&Starter>,
) -> Result<Pid, Errno> {
    let assignment =
        |name: &OsStr, value: &OsStr| [name.as_bytes(), b"=", value.as_bytes()].concat();
    let directory = open_directory(&prepared.directory);
    let plan = Plan {
        program: prepared.program.as_os_str().as_bytes(),
        arguments: prepared.arguments.iter().map(|it| it.as_bytes().to_vec()).collect(),
        environment: prepared.environment.iter().map(|(name, it)| assignment(name, it)).collect(),
        standard: request.descriptors.borrowed_standard(),
        report: prepared.report.zip(report.map(AsFd::as_fd)),
        directory: directory.as_ref().map(AsFd::as_fd),
        caller: request.peer.pid,
        runs_as: None,
        // It may lie on a disk that is slow, and only its own caller waits.
        patience: None,
    };
    starter::start(starter, &plan)
}

/// Opens the directory to start in by the name that the program will say, too. One that has vanished
/// since it was looked at leaves the program where the host is.
fn open_directory(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// Waits for the process's end and reads its full code.
fn wait(pid: Pid, report: Option<&OwnedFd>) -> u32 {
    let status = loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => break Some(status),
            Err(Errno::INTR) | Ok(None) => {}
            Err(_) => break None,
        }
    };
    report.and_then(reported).unwrap_or_else(|| status.map_or(1, code_of))
}

fn reported(report: &OwnedFd) -> Option<u32> {
    rustix::io::ioctl_fionbio(report, true).ok()?;
    let mut code = [0; 4];
    (rustix::io::read(report, &mut code) == Ok(4)).then(|| u32::from_le_bytes(code))
}

/// The exit code of a process that did not report one: as a shell would show it.
fn code_of(status: WaitStatus) -> u32 {
    let exit = status.exit_status().map(i32::cast_unsigned);
    let signal = status.terminating_signal().map(|signal| 128 + signal.cast_unsigned());
    exit.or(signal).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::successor::{Successor, has_own_pids};

    fn started(script: &str) -> RunningProgram {
        let prepared = Prepared {
            program: "/bin/sh".into(),
            arguments: ["sh", "-c", script].map(Into::into).into(),
            directory: "/".into(),
            ..Prepared::default()
        };
        RunningProgram::start(&prepared, &LaunchRequest::default(), Mark::new(1), None).unwrap()
    }

    fn code(program: &mut RunningProgram) -> u32 {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(program.ended())
    }

    #[test]
    fn whoever_has_the_pid_of_a_program_that_has_ended_gets_none_of_its_signals() {
        if !has_own_pids() {
            return;
        }
        // It says its pid by its exit code; those are small here.
        let mut program = started("exit $$");
        let pid = code(&mut program);
        let other = Successor::of(pid);
        program.signalling(Signal::TERM)();
        assert!(other.was_spared());
    }

    #[test]
    fn a_program_that_runs_gets_its_signals() {
        let mut program = started("exec sleep 1000");
        program.signalling(Signal::TERM)();
        assert_eq!(code(&mut program), 128 + Signal::TERM.as_raw().cast_unsigned());
    }
}
