//! Signals that arrive at the interpreter while the program runs.
//!
//! They are blocked and read from a descriptor, so that no handler ever runs. What was ignored when
//! the interpreter started stays ignored: such signals are left alone.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Signal;
use winterop_sys::{SignalSet, block, is_ignored, reset_action, restore_mask, signal_descriptor};

/// What a shell user or a terminal sends, and the death of a child.
const WATCHED: [Signal; 9] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::TSTP,
    Signal::CHILD,
];

/// Size of the kernel's `struct signalfd_siginfo`.
const RECORD: usize = 128;

/// `si_code` of a signal that the kernel itself sent: a key typed on the terminal.
const SI_KERNEL: i32 = 0x80;

/// One signal as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Which.
    pub signal: Signal,
    /// The kernel sent it to the whole foreground group, so the program has it already where it is
    /// in that group.
    pub from_terminal: bool,
}

/// The watch on signals; ends with [`Watch::release`] in a child, or with the process.
#[derive(Debug)]
pub struct Watch {
    descriptor: OwnedFd,
    before: SignalSet,
    child_was_ignored: bool,
}

impl Watch {
    /// Blocks the signals and opens the descriptor that reports them.
    ///
    /// # Errors
    /// The system's: no descriptors left.
    pub fn start() -> Result<Self, Errno> {
        let child_was_ignored = is_ignored(Signal::CHILD);
        if child_was_ignored {
            // With SIGCHLD ignored the kernel keeps no exit statuses.
            reset_action(Signal::CHILD);
        }
        let ignored = WATCHED.map(|signal| signal != Signal::CHILD && is_ignored(signal));
        let mut kept = [Signal::CHILD; WATCHED.len()];
        for (slot, (signal, ignored)) in kept.iter_mut().zip(WATCHED.iter().zip(ignored)) {
            if !ignored {
                *slot = *signal;
            }
        }
        let set = SignalSet::of(&kept);
        let before = block(set);
        Ok(Self { descriptor: signal_descriptor(set)?, before, child_was_ignored })
    }

    /// In a child: gives it the signal mask and actions with which the interpreter was started.
    pub fn release(&self) {
        if self.child_was_ignored {
            winterop_sys::ignore(Signal::CHILD);
        }
        restore_mask(self.before);
    }

    /// Takes the next signal that has arrived, if any.
    #[must_use]
    pub fn next(&self) -> Option<Arrival> {
        let mut record = [0_u8; RECORD];
        match rustix::io::read(&self.descriptor, &mut record) {
            Ok(RECORD) => parse(&record),
            _ => None,
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Reads `ssi_signo` (u32 at 0) and `ssi_code` (i32 at 8).
fn parse(record: &[u8; RECORD]) -> Option<Arrival> {
    let field = |at: usize| -> Option<[u8; 4]> { record.get(at..at + 4)?.try_into().ok() };
    let number = i32::from_ne_bytes(field(0)?);
    let code = i32::from_ne_bytes(field(8)?);
    let signal = Signal::from_named_raw(number)?;
    Some(Arrival { signal, from_terminal: code == SI_KERNEL })
}
