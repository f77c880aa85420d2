//! The terminal, where the three standard descriptors are one and the caller is in its foreground.
//!
//! While the program has it, Wine's console host notes in a file what it changes there. The program
//! gives it up when it stops, is sent to the background or ends: the file says so first, so that
//! nothing reads from it any more, then everything that was changed is undone.

use core::cell::RefCell;
use rustix::event::Timespec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, fstat, memfd_create};
use rustix::io::Errno;
use rustix::process::{getpgrp, getpid};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr};
use winterop_console::screen::Screen;
use winterop_console::shared::{Owner, SHOWN, SIZE, Shown, TURN, Turn};

/// How long to wait until it is looked again whether the program is in the foreground.
pub(crate) const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Rows and columns of a terminal, both above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// The terminal that a program is to be interactive on.
#[derive(Debug)]
pub(crate) struct Terminal {
    descriptor: BorrowedFd<'static>,
    size: Size,
    shared: Option<OwnedFd>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    /// The modes that it had before the program.
    before: Termios,
    /// What the program left behind when it gave the terminal up.
    left: Option<Left>,
}

/// How a program had the terminal.
#[derive(Debug)]
struct Left {
    modes: Option<Termios>,
    screen: Screen,
    size: Option<Size>,
}

/// What the program finds when it has the terminal again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    /// It is as it was.
    Unchanged,
    /// It has another size.
    Resized,
    /// Nothing: it is not in the foreground, or never gave the terminal up.
    No,
}

impl Terminal {
    /// Looks at the standard descriptors; `None` unless all three are one terminal with a size and
    /// the caller is in its foreground group.
    ///
    /// The device numbers of the terminals are compared: all pseudo-terminals live on one file
    /// system, so that its device says nothing.
    #[must_use]
    pub(crate) fn of(standard: [Option<BorrowedFd<'static>>; 3]) -> Option<Self> {
        let [Some(input), Some(output), Some(error)] = standard else { return None };
        let before = tcgetattr(input).ok()?;
        let device = |fd| fstat(fd).ok().map(|status| status.st_rdev);
        let terminal = device(input)?;
        if device(output)? != terminal || device(error)? != terminal {
            return None;
        }
        // Both must be terminals themselves: a device number of a plain file is 0.
        tcgetattr(output).ok()?;
        if tcgetpgrp(input).ok()? != getpgrp() {
            return None;
        }
        let size = size_of(input)?;
        let state = RefCell::new(State { before, left: None });
        // Without the file only the modes are put back, and nothing else is lost. The interpreter
        // gives 0 and 1 up for a hosted program and keeps 2 for its own words.
        Some(Self { descriptor: error, size, shared: shared_file().ok(), state })
    }

    /// The size that the terminal had when it was looked at.
    #[must_use]
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// The size that it has now.
    #[must_use]
    pub(crate) fn current_size(&self) -> Option<Size> {
        size_of(self.descriptor)
    }

    /// The file that is shared with the console host.
    #[must_use]
    pub(crate) fn shared(&self) -> Option<BorrowedFd<'_>> {
        self.shared.as_ref().map(AsFd::as_fd)
    }

    /// Takes the terminal from the program and puts it back as it was, where this process may: not
    /// from the background.
    pub(crate) fn take_back(&self) {
        self.say(Turn::Shell);
        let mut state = self.state.borrow_mut();
        if state.left.is_some() || !self.is_foreground() {
            return;
        }
        let screen = self.screen();
        let modes = tcgetattr(self.descriptor).ok();
        state.left = Some(Left { modes, screen, size: self.current_size() });
        screen.undo(|part| self.write(part));
        // A terminal that is gone needs no modes.
        let _ = tcsetattr(self.descriptor, OptionalActions::Now, &state.before);
    }

    /// Whether the program has given the terminal up and goes on without.
    ///
    /// A shell that brings a running job to the foreground sends it no signal: whoever waits for the
    /// program looks again after [`LOOK_AGAIN`] then.
    #[must_use]
    pub(crate) fn is_away(&self) -> bool {
        self.state.borrow().left.is_some()
    }

    /// Gives it to the program again as the program had it, once that is in the foreground.
    pub(crate) fn give(&self) -> Back {
        let mut state = self.state.borrow_mut();
        if !self.is_foreground() {
            return Back::No;
        }
        let Some(left) = state.left.take() else { return Back::No };
        // Whoever had it meanwhile may have chosen other modes, and gets those back.
        if let Ok(before) = tcgetattr(self.descriptor) {
            state.before = before;
        }
        if let Some(modes) = &left.modes {
            let _ = tcsetattr(self.descriptor, OptionalActions::Now, modes);
        }
        left.screen.redo(|part| self.write(part));
        self.say(Turn::Program);
        if self.current_size() == left.size { Back::Unchanged } else { Back::Resized }
    }

    fn say(&self, turn: Turn) {
        if let Some(shared) = &self.shared {
            let _ = rustix::io::pwrite(shared, &(turn as u32).to_le_bytes(), TURN as u64);
        }
    }

    /// What the console host has made of the terminal.
    fn screen(&self) -> Screen {
        let mut bytes = [0; Shown::SIZE];
        let read =
            self.shared.as_ref().map(|file| rustix::io::pread(file, &mut bytes, SHOWN as u64));
        match read {
            Some(Ok(Shown::SIZE)) => Shown::from_bytes(&bytes).screen,
            _ => Screen::PLAIN,
        }
    }

    fn write(&self, part: &[u8]) {
        let _ = rustix::io::retry_on_intr(|| rustix::io::write(self.descriptor, part));
    }

    fn is_foreground(&self) -> bool {
        tcgetpgrp(self.descriptor).is_ok_and(|group| group == getpgrp())
    }
}

fn shared_file() -> Result<OwnedFd, Errno> {
    let file = memfd_create("winterop-console", MemfdFlags::CLOEXEC)?;
    let process = getpid().as_raw_nonzero().get().unsigned_abs();
    let owner = Owner { turn: Turn::Program, process };
    rustix::fs::ftruncate(&file, SIZE as u64)?;
    rustix::io::pwrite(&file, &owner.to_bytes(), 0)?;
    Ok(file)
}

fn size_of(descriptor: BorrowedFd<'_>) -> Option<Size> {
    let size = tcgetwinsize(descriptor).ok()?;
    (size.ws_row != 0 && size.ws_col != 0)
        .then_some(Size { rows: size.ws_row, columns: size.ws_col })
}
