//! How the interpreter ends: what a Windows exit code means to a shell.
//!
//! A shell sees 8 bits. The low 8 bits of the code are passed on, but a code that is not 0 never
//! becomes 0 (it becomes 255), and codes that Windows uses for a crash become death by the signal
//! that a Linux program would have died of. `docs/exit-codes.md` has the table.

use rustix::process::Signal;
use winterop_words::windows;

/// A Windows process's exit code, all 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode(pub u32);

impl ExitCode {
    /// `STATUS_CONTROL_C_EXIT`: a console event ended the program, and it had no handler.
    pub const CONSOLE_EVENT: Self = Self(0xC000_013A);
}

/// How the interpreter ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By exiting with this status.
    Status(u8),
    /// By this signal, without a core file.
    Signal(Signal),
}

/// A crash that Windows reports as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The code.
    pub code: ExitCode,
    /// The signal that stands for it.
    pub signal: Signal,
    /// The exception's name, for people.
    pub name: &'static str,
}

impl Crash {
    /// Whether this is the word of Windows' loader: a DLL is missing, damaged, or another one.
    #[must_use]
    pub fn is_of_loader(&self) -> bool {
        matches!(self.code.0, 0xC000_007B | 0xC000_0135 | 0xC000_0138 | 0xC000_0139 | 0xC000_0142)
    }
}

const fn crash(code: u32, signal: Signal) -> Crash {
    let name = match windows::ntstatus(code) {
        Some(name) => name,
        None => "an exception",
    };
    Crash { code: ExitCode(code), signal, name }
}

/// Every code that stands for a crash.
///
/// Source: the NTSTATUS values of the Windows SDK's `ntstatus.h`.
pub const CRASHES: &[Crash] = &[
    crash(0x4000_0015, Signal::ABORT),
    crash(0x8000_0003, Signal::TRAP),
    crash(0x8000_0004, Signal::TRAP),
    crash(0xC000_0005, Signal::SEGV),
    crash(0xC000_0006, Signal::BUS),
    crash(0xC000_001D, Signal::ILL),
    crash(0xC000_0025, Signal::ABORT),
    crash(0xC000_007B, Signal::ABORT),
    crash(0xC000_008C, Signal::SEGV),
    crash(0xC000_008D, Signal::FPE),
    crash(0xC000_008E, Signal::FPE),
    crash(0xC000_008F, Signal::FPE),
    crash(0xC000_0090, Signal::FPE),
    crash(0xC000_0091, Signal::FPE),
    crash(0xC000_0092, Signal::FPE),
    crash(0xC000_0093, Signal::FPE),
    crash(0xC000_0094, Signal::FPE),
    crash(0xC000_0095, Signal::FPE),
    crash(0xC000_0096, Signal::ILL),
    crash(0xC000_00FD, Signal::SEGV),
    crash(0xC000_0135, Signal::ABORT),
    crash(0xC000_0138, Signal::ABORT),
    crash(0xC000_0139, Signal::ABORT),
    crash(0xC000_013A, Signal::INT),
    crash(0xC000_0142, Signal::ABORT),
    crash(0xC000_0374, Signal::ABORT),
    crash(0xC000_0409, Signal::ABORT),
    crash(0xC000_0420, Signal::ABORT),
    crash(0xC000_0602, Signal::ABORT),
    crash(0xE06D_7363, Signal::ABORT),
];

impl ExitCode {
    /// The crash that this code stands for, if it does.
    #[must_use]
    pub fn crash(self) -> Option<&'static Crash> {
        CRASHES.iter().find(|crash| crash.code == self)
    }

    /// How a shell is told.
    #[must_use]
    pub fn ending(self) -> Ending {
        if let Some(crash) = self.crash() {
            return Ending::Signal(crash.signal);
        }
        match self.0.to_le_bytes() {
            [0, 0, 0, 0] => Ending::Status(0),
            [0, ..] => Ending::Status(u8::MAX),
            [low, ..] => Ending::Status(low),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_bits_pass_and_nothing_but_zero_becomes_zero() {
        for (code, status) in [
            (0, 0),
            (1, 1),
            (255, 255),
            (256, 255),
            (259, 3),
            (300, 44),
            (0xFFFF_FFFF, 255),
            (0x1_0000, 255),
        ] {
            assert_eq!(ExitCode(code).ending(), Ending::Status(status), "{code:#x}");
        }
    }

    #[test]
    fn crashes_are_signals() {
        for (code, signal) in [
            (0xC000_0005, Signal::SEGV),
            (0xC000_0094, Signal::FPE),
            (0xC000_013A, Signal::INT),
            (0xC000_0409, Signal::ABORT),
            (0x8000_0003, Signal::TRAP),
        ] {
            assert_eq!(ExitCode(code).ending(), Ending::Signal(signal), "{code:#x}");
        }
    }

    #[test]
    fn every_code_stands_once_in_the_table() {
        for (index, crash) in CRASHES.iter().enumerate() {
            assert!(!CRASHES[..index].iter().any(|other| other.code == crash.code), "{crash:?}");
            assert_ne!(crash.name, "an exception", "{crash:?}");
        }
    }
}
