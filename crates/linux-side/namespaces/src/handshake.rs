//! How a process that enters a new namespace of users has the maps of ids written there, which only one
//! outside may do: it says that it has entered, and goes on when it is told.
//!
//! Where either ends the other sees the end of a pipe, so that nobody waits for ever.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};

const WORD: &[u8] = b".";

/// The side of whoever enters.
#[derive(Debug)]
pub struct Entering {
    tell: PipeWriter,
    told: PipeReader,
}

/// The side of whoever writes the maps.
#[derive(Debug)]
pub struct Mapping {
    tell: PipeWriter,
    told: PipeReader,
}

/// Both sides. Each process drops the other's.
///
/// # Errors
/// The system's.
pub fn pair() -> io::Result<(Entering, Mapping)> {
    let (entered, tell_entered) = io::pipe()?;
    let (mapped, tell_mapped) = io::pipe()?;
    let entering = Entering { tell: tell_entered, told: mapped };
    Ok((entering, Mapping { tell: tell_mapped, told: entered }))
}

impl Entering {
    /// Says that this process is in the namespace, and waits until its maps are written.
    ///
    /// # Errors
    /// The system's; the end of the other side.
    pub fn have_mapped(&mut self) -> io::Result<()> {
        self.tell.write_all(WORD)?;
        self.told.read_exact(&mut [0])
    }
}

impl Mapping {
    /// Waits until the other process is in the namespace.
    ///
    /// # Errors
    /// The system's; the end of the other side.
    pub fn wait_for_entry(&mut self) -> io::Result<()> {
        self.told.read_exact(&mut [0])
    }

    /// Says that the maps are written.
    ///
    /// # Errors
    /// The system's; the end of the other side.
    pub fn say_mapped(mut self) -> io::Result<()> {
        self.tell.write_all(WORD)
    }
}
