//! A command line within the limits, and why there is none.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::bytes::{for_display, to_utf16, utf16_len};

/// The most UTF-16 units that CreateProcess takes for a command line, without the NUL behind it.
pub const COMMAND_LINE_LIMIT: usize = 32_766;

/// The most UTF-16 units that cmd.exe takes. Windows' says so and stops; Wine 8's drops what is
/// longer without a word, or crashes.
pub const COMMAND_PROCESSOR_LIMIT: usize = 8_191;

/// A complete Windows command line, within the limits and without NUL.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandLine(Vec<u8>);

impl CommandLine {
    /// The line as bytes that are read as WTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The line as bytes that are read as WTF-8.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The line as UTF-16 units without a NUL; bytes that are not WTF-8 become U+FFFD.
    pub fn to_utf16(&self) -> Vec<u16> {
        to_utf16(&self.0)
    }

    pub(super) fn checked(
        line: Vec<u8>,
        limit: usize,
        reader: &'static str,
    ) -> Result<Self, CommandLineError> {
        // No unit takes less than a byte: most lines need not be counted.
        if line.len() > limit {
            let units = utf16_len(&line);
            if units > limit {
                return Err(
                    TooLong { what: "the command line".to_string(), units, limit, reader }.into()
                );
            }
        }
        Ok(Self(line))
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&for_display(&self.0))
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

/// What is over one of Windows' limits, and by how much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} is too long: {units} UTF-16 units, {} more than the {limit} that {reader} takes",
    .units.saturating_sub(*.limit)
)]
pub struct TooLong {
    /// What it is, with the longest argument or the variable's name.
    pub what: String,
    /// How long it is, in UTF-16 units.
    pub units: usize,
    /// How long it may be, in UTF-16 units.
    pub limit: usize,
    /// Whose limit that is.
    pub reader: &'static str,
}

/// Why there is no command line that says what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// A limit of Windows is exceeded.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// A character would not arrive as it is, or would do something else.
    #[error("argument {index} ({argument}) contains {character}, {reason}")]
    Character {
        /// Position in the argument list, where 0 is the program's own name.
        index: usize,
        /// The argument, made fit for a message and shortened.
        argument: String,
        /// The character, by name.
        character: &'static str,
        /// Why it cannot be passed, and what to do.
        reason: &'static str,
    },
    /// There is no argument at all, not even the program's name.
    #[error("the argument list is empty: a Windows program needs its own name as argument 0")]
    NoArguments,
    /// A raw command line for a batch file.
    #[error(
        "a batch file has no command line of its own that could be passed as it is, since cmd.exe \
         runs it; give the line to cmd.exe, as in \
         `winterop run --verbatim cmd '/d /s /c \"\"C:\\dir\\file.cmd\" a b\"'`"
    )]
    VerbatimBatch,
}

impl CommandLineError {
    /// The errno that says the same: `E2BIG` (7) or `EINVAL` (22).
    pub fn errno(&self) -> i32 {
        match self {
            Self::TooLong(_) => 7,
            Self::Character { .. } | Self::NoArguments | Self::VerbatimBatch => 22,
        }
    }

    pub(super) fn character(
        index: usize,
        argument: &[u8],
        character: &'static str,
        reason: &'static str,
    ) -> Self {
        Self::Character { index, argument: shortened(argument), character, reason }
    }
}

/// Makes a few words of an argument for a message.
pub(super) fn shortened(argument: &[u8]) -> String {
    let text = for_display(argument);
    match text.char_indices().nth(40) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_string() + "…",
        None => text,
    }
}

pub(super) const WINDOWS: &str = "Windows";
pub(super) const CMD: &str = "cmd.exe";

pub(super) fn refuse_nul<A: AsRef<[u8]>>(arguments: &[A]) -> Result<(), CommandLineError> {
    for (index, argument) in arguments.iter().map(AsRef::as_ref).enumerate() {
        if argument.contains(&0) {
            let reason = "which would end the command line there";
            return Err(CommandLineError::character(index, argument, "a NUL", reason));
        }
    }
    Ok(())
}

/// Names the longest argument in an error about the length of the line.
pub(super) fn name_longest<A: AsRef<[u8]>>(
    error: CommandLineError,
    arguments: &[A],
) -> CommandLineError {
    let CommandLineError::TooLong(mut too_long) = error else { return error };
    let longest = arguments
        .iter()
        .map(|argument| utf16_len(argument.as_ref()))
        .enumerate()
        .max_by_key(|&(_, units)| units);
    if let Some((index, units)) = longest {
        let count = arguments.len().saturating_sub(1);
        let words = if count == 1 { "argument" } else { "arguments" };
        too_long.what = alloc::format!(
            "the command line ({count} {words}, the longest is argument {index} with {units} units)"
        );
    }
    too_long.into()
}
