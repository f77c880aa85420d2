//! The file in which those who have a terminal tell each other of it.
//!
//! It has no name: the interpreter makes it, the host has it from the interpreter's request, and
//! Wine's console host opens it through `/proc`. Little-endian; each part has one writer.
//!
//! | offset | writer | what |
//! |---|---|---|
//! | 0 | interpreter | u32: [`MAGIC`] |
//! | 4 | interpreter | u32: [`Turn`] |
//! | 8 | interpreter, host | u32: the interpreter's process, as the console host sees it |
//! | 12 | any program | u32: the process of the launch that began last |
//! | 16 | console host | the terminal's input, local and output modes as the program has them, u32 each; all 0 before it reads |
//! | 28 | console host | [`Screen`] |

use crate::screen::Screen;

/// `WNTC`.
pub const MAGIC: u32 = 0x4354_4e57;

/// The file's size.
pub const SIZE: usize = SHOWN + Shown::SIZE;

/// Where [`Turn`] stands.
pub const TURN: usize = 4;
/// Where the interpreter's process stands.
pub const PROCESS: usize = 8;
/// Where the process that began last stands.
pub const BEGUN: usize = 12;
/// Where [`Shown`] stands.
pub const SHOWN: usize = 16;

/// Whose turn it is to use the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Turn {
    /// The program's.
    Program = 0,
    /// Somebody else's: the program is stopped, in the background, or has ended.
    Shell = 1,
}

/// What the interpreter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Whose turn it is.
    pub turn: Turn,
    /// The interpreter's process.
    pub process: u32,
}

impl Owner {
    /// The size of [`Self::to_bytes`].
    pub const SIZE: usize = 12;

    /// The first part of the file.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let [a, b, c, d] = MAGIC.to_le_bytes();
        let [e, f, g, h] = (self.turn as u32).to_le_bytes();
        let [i, j, k, l] = self.process.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// Reads it; `None` if it is something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        if u32::from_le_bytes([a, b, c, d]) != MAGIC {
            return None;
        }
        let is_programs = u32::from_le_bytes([e, f, g, h]) == Turn::Program as u32;
        let turn = if is_programs { Turn::Program } else { Turn::Shell };
        Some(Self { turn, process: u32::from_le_bytes([i, j, k, l]) })
    }
}

/// The modes of a terminal (`termios`) that tell one from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalModes {
    /// `c_iflag`.
    pub input: u32,
    /// `c_lflag`.
    pub local: u32,
    /// `c_oflag`.
    pub output: u32,
}

/// What the console host says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The modes that it has set.
    pub modes: TerminalModes,
    /// What it has written.
    pub screen: Screen,
}

impl Shown {
    /// The size of [`Self::to_bytes`].
    pub const SIZE: usize = 12 + Screen::SIZE;

    /// The second part of the file.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let TerminalModes { input, local, output } = self.modes;
        let (modes, screen) = bytes.split_at_mut(12);
        for (place, mode) in modes.chunks_exact_mut(4).zip([input, local, output]) {
            place.copy_from_slice(&mode.to_le_bytes());
        }
        screen.copy_from_slice(&self.screen.to_bytes());
        bytes
    }

    /// Reads it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let number = |at: usize| {
            let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let modes = TerminalModes { input: number(0), local: number(4), output: number(8) };
        let screen = bytes.last_chunk().map_or(Screen::PLAIN, Screen::from_bytes);
        Self { modes, screen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Follower;

    #[test]
    fn both_parts_are_read_as_they_were_written() {
        let owner = Owner { turn: Turn::Shell, process: 77 };
        assert_eq!(Owner::from_bytes(&owner.to_bytes()), Some(owner));
        assert_eq!(Owner::from_bytes(&[0; Owner::SIZE]), None);
        assert_eq!(owner.to_bytes()[TURN..PROCESS], 1_u32.to_le_bytes());
        let mut follower = Follower::new();
        follower.follow(b"\x1b[?1049h\x1b[1m");
        let modes = TerminalModes { input: 1, local: 2, output: 3 };
        let shown = Shown { modes, screen: *follower.screen() };
        assert_eq!(Shown::from_bytes(&shown.to_bytes()), shown);
        assert_eq!(Shown::from_bytes(&[0; Shown::SIZE]), Shown::default());
    }
}
