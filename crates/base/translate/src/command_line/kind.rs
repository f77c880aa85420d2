//! Who splits a command line.

use crate::paths::is_separator;

/// Who splits a program's command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// cmd.exe itself.
    CommandProcessor,
    /// A batch file, for which Windows starts cmd.exe.
    Batch,
    /// A program that splits as the C runtime does.
    Other,
}

impl ProgramKind {
    /// Tells the kind from a file name or path, with slashes of either kind.
    ///
    /// Dots and spaces at the end are not part of a name to Windows, so `x.bat.` is a batch file.
    pub fn of(file: &[u8]) -> Self {
        let name = file.rsplit(|&byte| is_separator(byte)).next().unwrap_or_default();
        let end =
            name.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(0, |last| last + 1);
        let name = name.get(..end).unwrap_or_default();
        let has_extension = |extension: &[u8]| {
            name.len()
                .checked_sub(extension.len())
                .and_then(|start| name.get(start..))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(extension))
        };
        if name.eq_ignore_ascii_case(b"cmd.exe") || name.eq_ignore_ascii_case(b"cmd") {
            Self::CommandProcessor
        } else if has_extension(b".bat") || has_extension(b".cmd") {
            Self::Batch
        } else {
            Self::Other
        }
    }
}
