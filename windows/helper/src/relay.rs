//! Copying between the caller's descriptors and the program's pipes.
//!
//! Each direction has a thread of its own: none ever waits for another, so a program that reads and
//! writes at the same time cannot get stuck.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::windows::io::{AsHandle as _, BorrowedHandle};

use crate::pipe::Reader;
use crate::process::Process;

/// The most that one read takes, in bytes: what a unix pipe holds.
pub(crate) const PIECE: usize = 64 * 1024;

/// All that there is to copy.
#[derive(Default)]
pub(crate) struct Relays {
    pub(crate) input: Option<Input>,
    pub(crate) outputs: Vec<Output>,
}

/// From the caller to the program.
pub(crate) struct Input {
    from: File,
    to: File,
}

impl Input {
    /// `from` is our own stdin, `to` our end of the program's.
    pub(crate) fn new(from: BorrowedHandle<'_>, to: File) -> io::Result<Self> {
        Ok(Self { from: from.try_clone_to_owned()?.into(), to })
    }

    /// Copies until the caller's input ends, which ends the program's too, or until the program
    /// takes no more.
    pub(crate) fn run(mut self) {
        let mut buffer = vec![0; PIECE];
        while let Ok(length) = self.from.read(&mut buffer) {
            let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else {
                return;
            };
            if self.to.write_all(piece).is_err() {
                return;
            }
        }
    }
}

/// From the program to the caller.
pub(crate) struct Output {
    from: Reader,
    to: File,
}

impl Output {
    /// `from` is our end of the program's stdout or stderr, `to` our own.
    pub(crate) fn new(from: Reader, to: BorrowedHandle<'_>) -> io::Result<Self> {
        Ok(Self { from, to: to.try_clone_to_owned()?.into() })
    }

    /// Copies until the program can write no more or has ended, or until the caller takes no more,
    /// which the program then finds out by a broken pipe.
    pub(crate) fn run(mut self, program: &Process) {
        let mut buffer = vec![0; 4 * PIECE];
        while let Ok(length) = self.from.read(&mut buffer, program.as_handle()) {
            let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else {
                return;
            };
            if self.to.write_all(piece).is_err() {
                return;
            }
        }
    }
}
