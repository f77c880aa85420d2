//! The terminal, where the three standard descriptors are one and the caller is in its foreground.

use rustix::fd::BorrowedFd;
use rustix::fs::fstat;
use rustix::process::getpgrp;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr};

/// Rows and columns of a terminal, both above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// The terminal that a program is to be interactive on, as it was before.
#[derive(Debug)]
pub struct Terminal {
    descriptor: BorrowedFd<'static>,
    before: Termios,
    size: Size,
}

impl Terminal {
    /// Looks at the standard descriptors; `None` unless all three are one terminal with a size and
    /// the caller is in its foreground group.
    ///
    /// The device numbers of the terminals are compared: all pseudo-terminals live on one file
    /// system, so that its device says nothing.
    #[must_use]
    pub fn of(standard: [Option<BorrowedFd<'static>>; 3]) -> Option<Self> {
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
        // The interpreter gives 0 and 1 up for a hosted program and keeps 2 for its own words.
        Some(Self { descriptor: error, before, size })
    }

    /// The size that the terminal had when it was looked at.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// The size that it has now.
    #[must_use]
    pub fn current_size(&self) -> Option<Size> {
        size_of(self.descriptor)
    }

    /// Puts the terminal's modes back as they were, where this process may: not from the background.
    pub fn restore(&self) {
        if self.is_foreground() {
            // A terminal that is gone needs no modes.
            let _ = tcsetattr(self.descriptor, OptionalActions::Now, &self.before);
        }
    }

    /// Notes the modes that the program has set, for after a stop.
    #[must_use]
    pub fn modes(&self) -> Option<Termios> {
        tcgetattr(self.descriptor).ok()
    }

    /// Gives the terminal the modes that the program had before it was stopped.
    pub fn resume(&self, modes: &Termios) {
        if self.is_foreground() {
            let _ = tcsetattr(self.descriptor, OptionalActions::Now, modes);
        }
    }

    fn is_foreground(&self) -> bool {
        tcgetpgrp(self.descriptor).is_ok_and(|group| group == getpgrp())
    }
}

fn size_of(descriptor: BorrowedFd<'_>) -> Option<Size> {
    let size = tcgetwinsize(descriptor).ok()?;
    (size.ws_row != 0 && size.ws_col != 0)
        .then_some(Size { rows: size.ws_row, columns: size.ws_col })
}
