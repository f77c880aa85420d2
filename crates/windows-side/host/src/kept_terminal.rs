//! The terminal of an interactive launch, kept for the case that its interpreter is killed.
//!
//! It is the interpreter that puts a terminal back. Whoever kills it leaves that to the host, which
//! learns of it by the end of the connection.

use crate::request::LaunchRequest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{Mode, OFlags, fcntl_get_seals};
use rustix::io::{pread, pwrite};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use winterop_console::shared::{Owner, PROCESS, SHOWN, Shown, TerminalModes, Turn};

/// How long a terminal that was stopped with `^S` is waited for.
const WRITABLE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A terminal, as it was before its program.
#[derive(Debug)]
pub struct KeptTerminal {
    terminal: OwnedFd,
    before: Termios,
    shared: OwnedFd,
}

impl KeptTerminal {
    /// Takes what is needed out of a request; `None` where its program is not to be interactive.
    ///
    /// May block on what is no terminal.
    #[must_use]
    pub fn of(request: &mut LaunchRequest) -> Option<Self> {
        request.terminal?;
        let shared = request.endpoints.console.take()?;
        // Only a file in memory has seals, and reading one never waits for anybody.
        fcntl_get_seals(&shared).ok()?;
        let terminal = request.endpoints.standard[2].as_ref()?;
        let before = tcgetattr(terminal).ok()?;
        // One of its own: writing must not wait, and nobody else's descriptor may change for that.
        let path = format!("/proc/self/fd/{}", terminal.as_raw_fd());
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let own = rustix::fs::open(path, flags, Mode::empty());
        let terminal = own.ok().or_else(|| terminal.try_clone().ok())?;
        Some(Self { terminal, before, shared })
    }

    /// The file's path, for a program that runs below this host. The interpreter is named as it is
    /// seen from here.
    #[must_use]
    pub fn path_for_hosted(&self, interpreter: i32) -> String {
        let process = interpreter.unsigned_abs().to_le_bytes();
        // Without it the console host does not notice that the interpreter is gone, and no more.
        let _ = pwrite(&self.shared, &process, PROCESS as u64);
        format!("/proc/{}/fd/{}", std::process::id(), self.shared.as_raw_fd())
    }

    /// Puts the terminal back, if it is still as the program had it. May block for a second.
    pub fn put_back(&self) {
        let mut owner = [0; Owner::SIZE];
        let owner = match pread(&self.shared, &mut owner, 0) {
            Ok(Owner::SIZE) => Owner::from_bytes(&owner),
            _ => None,
        };
        if owner.is_none_or(|owner| owner.turn != Turn::Program) {
            return;
        }
        let mut shown = [0; Shown::SIZE];
        if pread(&self.shared, &mut shown, SHOWN as u64) != Ok(Shown::SIZE) {
            return;
        }
        let shown = Shown::from_bytes(&shown);
        if self.has_modes(shown.modes) {
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        }
        shown.screen.undo(|part| self.write(part));
    }

    /// A shell that has the terminal already has set modes of its own, or soon will.
    fn has_modes(&self, modes: TerminalModes) -> bool {
        tcgetattr(&self.terminal).is_ok_and(|now| {
            let now = TerminalModes {
                input: now.input_modes.bits(),
                local: now.local_modes.bits(),
                output: now.output_modes.bits(),
            };
            now == modes
        })
    }

    fn write(&self, part: &[u8]) {
        let mut interest = [PollFd::new(&self.terminal, PollFlags::OUT)];
        if poll(&mut interest, Some(&WRITABLE)).is_ok_and(|count| count > 0) {
            let _ = rustix::io::write(&self.terminal, part);
        }
    }
}
