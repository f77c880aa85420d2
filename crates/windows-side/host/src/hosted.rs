//! A hosted program: started on the caller's descriptors, waited for, signalled.

use crate::execution::Execution;
use crate::kept_terminal::KeptTerminal;
use crate::launcher::{Act, Ended, RunningProgram, Work};
use crate::mark::Mark;
use crate::request::LaunchRequest;
use crate::tree;
use crate::unix::{Endpoints, ExitReport};
use crate::variables::entry;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, pidfd_open, pidfd_send_signal,
    waitpid,
};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;
use winterop_serve::starter::{self, OpenFiles, ProgramStart, Starter};

/// Stack of the thread that waits for a program; it makes two calls.
const WAITER_STACK: usize = 64 * 1024;

/// A program that runs below the host.
#[derive(Debug)]
pub struct HostedProgram {
    // By its pid it cannot be signalled: as soon as it was waited for, that may be another's.
    process: Arc<OwnedFd>,
    mark: Mark,
    end: oneshot::Receiver<u32>,
    report: Option<ExitReport>,
    terminal: Option<Arc<KeptTerminal>>,
    /// What its names lead through, open for as long as it runs.
    _files: Option<Endpoints>,
}

impl HostedProgram {
    /// Starts what a request has become on its endpoints. `terminal` is put back where it is ended.
    ///
    /// # Errors
    /// The system's.
    pub fn start(
        execution: &Execution,
        request: LaunchRequest,
        mark: Mark,
        terminal: Option<KeptTerminal>,
        starter: Option<&Starter>,
    ) -> Result<Self, Errno> {
        let pipe = match execution.report {
            Some(_) => Some(pipe_with(PipeFlags::CLOEXEC)?),
            None => None,
        };
        let pid =
            start_process(execution, &request, pipe.as_ref().map(|(_, writer)| writer), starter)?;
        // Nobody has waited for it yet, so the pid is its own.
        let process = pidfd_open(pid, PidfdFlags::empty()).inspect_err(|_| give_up(pid))?;
        let reader = pipe.map(|(reader, _)| reader);
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
        Ok(Self {
            process: Arc::new(process),
            mark,
            end,
            report: report.map(ExitReport::new),
            terminal: terminal.map(Arc::new),
            _files: execution.keeps_descriptors.then(|| request.endpoints.without_standard()),
        })
    }
}

impl RunningProgram for HostedProgram {
    fn ended(&mut self) -> Ended<'_> {
        // The waiter always sends; a thread that died anyway must not look like success.
        Box::pin(async { (&mut self.end).await.unwrap_or(1) })
    }

    fn act(&self, act: Act) -> Work {
        let mark = self.mark.clone();
        match act {
            Act::End => {
                let terminal = self.terminal.clone();
                Box::new(move || {
                    tree::end(&mark);
                    if let Some(terminal) = terminal {
                        terminal.put_back();
                    }
                })
            }
            // The program asks the terminal itself: its size may have changed again.
            Act::Resize => self.signalling(Signal::WINCH),
            Act::Signal(number) => match Signal::from_named_raw(number) {
                Some(signal) => self.signalling(signal),
                None => Box::new(|| ()),
            },
        }
    }

    fn take_report(&mut self) -> Option<ExitReport> {
        self.report.take()
    }
}

impl HostedProgram {
    /// What does to the program what `signal` does to a Linux one. It looks at every process.
    fn signalling(&self, signal: Signal) -> Work {
        let (mark, process) = (self.mark.clone(), Arc::clone(&self.process));
        Box::new(move || match signal {
            Signal::TSTP | Signal::STOP => {
                tree::signal(&mark, Signal::STOP);
            }
            Signal::CONT => {
                tree::signal(&mark, Signal::CONT);
            }
            // The whole console hears of these two, as a terminal's whole foreground group does.
            Signal::INT | Signal::QUIT => {
                tree::signal(&mark, signal);
            }
            Signal::KILL => {
                tree::end(&mark);
            }
            // One that has ended needs no signal.
            other => {
                let _ = pidfd_send_signal(&*process, other);
            }
        })
    }
}

/// Ends a program that was just started and that nobody would wait for.
fn give_up(pid: Pid) {
    // Before it is waited for nobody else can have its pid.
    let _ = kill_process(pid, Signal::KILL);
    let _ = waitpid(Some(pid), WaitOptions::empty());
}

fn start_process(
    execution: &Execution,
    request: &LaunchRequest,
    report: Option<&OwnedFd>,
    starter: Option<&Starter>,
) -> Result<Pid, Errno> {
    let directory = open_directory(&execution.directory);
    let plan = ProgramStart {
        program: execution.program.as_os_str().as_bytes(),
        arguments: execution.arguments.iter().map(|it| it.as_bytes().to_vec()).collect(),
        environment: execution.environment.iter().map(|(name, it)| entry(name, it)).collect(),
        standard: request.endpoints.borrowed_standard(),
        report: execution.report.zip(report.map(AsFd::as_fd)),
        directory: directory.as_ref().map(AsFd::as_fd),
        caller: request.peer.pid,
        open_files: OpenFiles::Usual,
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
    winterop_sys::status_of(status).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::successor::{Successor, has_own_pids};

    fn started(script: &str) -> HostedProgram {
        let execution = Execution {
            program: "/bin/sh".into(),
            arguments: ["sh", "-c", script].map(Into::into).into(),
            directory: "/".into(),
            ..Execution::default()
        };
        HostedProgram::start(&execution, LaunchRequest::default(), Mark::new(1), None, None)
            .unwrap()
    }

    fn code(program: &mut HostedProgram) -> u32 {
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
        program.act(Act::Signal(Signal::TERM.as_raw()))();
        assert!(other.was_spared());
    }

    #[test]
    fn a_program_that_runs_gets_its_signals() {
        let mut program = started("exec sleep 1000");
        program.act(Act::Signal(Signal::TERM.as_raw()))();
        assert_eq!(code(&mut program), 128 + Signal::TERM.as_raw().cast_unsigned());
    }
}
