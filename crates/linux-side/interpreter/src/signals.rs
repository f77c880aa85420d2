//! Signals that arrive at the interpreter while the program runs.
//!
//! They are blocked and read from a descriptor, so that no handler ever runs. What was ignored when
//! the interpreter started stays ignored: such signals are left alone.

use crate::terminal::{LOOK_AGAIN, Terminal};
use core::cell::Cell;
use rustix::event::Timespec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use winterop_sys::{SignalSet, block, is_ignored, reset_action, restore_mask, signal_descriptor};

/// What a shell user or a terminal sends, and the death of a child.
const WATCHED: [Signal; 10] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::TSTP,
    Signal::CONT,
    Signal::CHILD,
];

/// Size of the kernel's `struct signalfd_siginfo`.
const RECORD: usize = 128;

/// `si_code` of a signal that the kernel itself sent: a key typed on the terminal.
const SI_KERNEL: i32 = 0x80;

/// One signal as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Which.
    pub signal: Signal,
    /// The kernel sent it to the whole foreground group, so the program has it already where it is
    /// in that group.
    pub from_terminal: bool,
}

/// The watch on signals; ends with [`Watch::release`] in a child, or with the process.
#[derive(Debug)]
pub(crate) struct Watch {
    descriptor: OwnedFd,
    before: SignalSet,
    child_was_ignored: bool,
    demand: Cell<Option<Demand>>,
}

/// That the program was asked to end.
#[derive(Clone, Copy, Debug)]
struct Demand {
    /// With what, the last time.
    signal: Signal,
    /// Since when its time runs, on the monotonic clock in milliseconds; Ctrl-C sets no time.
    since: Option<i64>,
}

impl Watch {
    /// Blocks the signals and opens the descriptor that reports them.
    ///
    /// # Errors
    /// The system's: no descriptors left.
    pub(crate) fn start() -> Result<Self, Errno> {
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
        Ok(Self {
            descriptor: signal_descriptor(set)?,
            before,
            child_was_ignored,
            demand: Cell::new(None),
        })
    }

    /// In a child: gives it the signal mask and actions with which the interpreter was started.
    pub(crate) fn release(&self) {
        if self.child_was_ignored {
            winterop_sys::ignore(Signal::CHILD);
        }
        restore_mask(self.before);
    }

    /// Takes the next signal that has arrived, if any.
    #[must_use]
    pub(crate) fn next(&self) -> Option<Arrival> {
        let mut record = [0_u8; RECORD];
        match rustix::io::read(&self.descriptor, &mut record) {
            Ok(RECORD) => parse(&record).inspect(|arrival| self.note(arrival.signal)),
            _ => None,
        }
    }
}

impl Watch {
    fn note(&self, signal: Signal) {
        let since = self.demand.get().and_then(|demand| demand.since);
        let since = match signal {
            Signal::INT | Signal::QUIT => since,
            Signal::TERM | Signal::HUP => since.or_else(|| Some(now())),
            _ => return,
        };
        self.demand.set(Some(Demand { signal, since }));
    }

    /// The signal that asked the program to end, the last one if there were several.
    #[must_use]
    pub(crate) fn demanded(&self) -> Option<Signal> {
        self.demand.get().map(|demand| demand.signal)
    }

    /// How long the program may go on if it has `grace` milliseconds to end in; `None` without a
    /// limit, because it was not asked to end.
    #[must_use]
    pub(crate) fn time_left(&self, grace: u32) -> Option<Timespec> {
        let since = self.demand.get()?.since?;
        let left = (since + i64::from(grace) - now()).max(0);
        Some(Timespec { tv_sec: left / 1000, tv_nsec: left % 1000 * 1_000_000 })
    }

    /// How long to wait for the next signal: until the program's time is over, or until the terminal
    /// is to be looked at again.
    #[must_use]
    pub(crate) fn patience(&self, grace: u32, terminal: Option<&Terminal>) -> Option<Timespec> {
        let left = self.time_left(grace);
        let look = terminal.filter(|terminal| terminal.is_away()).map(|_| LOOK_AGAIN);
        match (left, look) {
            (Some(left), Some(look)) => Some(if left < look { left } else { look }),
            (left, look) => left.or(look),
        }
    }

    /// Whether the program's time is over.
    #[must_use]
    pub(crate) fn is_over(&self, grace: u32) -> bool {
        self.time_left(grace).is_some_and(|left| left.tv_sec == 0 && left.tv_nsec == 0)
    }

    /// Begins the time anew after the program was ended by force, so that nothing waits in circles.
    pub(crate) fn forget_time(&self) {
        if let Some(demand) = self.demand.get() {
            self.demand.set(Some(Demand { since: None, ..demand }));
        }
    }
}

/// The monotonic clock in milliseconds.
fn now() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
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
