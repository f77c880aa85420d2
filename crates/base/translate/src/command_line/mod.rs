//! One Windows command line from a list of arguments.
//!
//! A Windows program gets a single string and splits it itself, so how to write an argument depends
//! on who reads it. [`ProgramKind::of`] tells that from the program's file name:
//!
//! | program | who splits | function |
//! |---|---|---|
//! | `cmd.exe` | cmd, by the rules of its own language | [`command_processor`] |
//! | `*.bat`, `*.cmd` | cmd, which Windows starts for such a file | [`batch()`] |
//! | everything else | the C runtime, or something that follows its rules | [`c_runtime()`] |
//! | any, on request | the caller knows best | [`verbatim`] |
//!
//! [`build`] chooses by the name. Whatever cannot be said in a way that arrives unharmed is an error that names the argument and
//! the character; nothing is dropped or bent in silence. The line is bytes read as WTF-8 (see
//! [`crate::bytes`]); lengths are counted in UTF-16 units, as Windows counts.

mod batch;
mod c_runtime;
mod kind;
mod line;
mod processor;
mod words;

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::bytes::utf16_len;
use crate::paths::WindowsPath;
use line::{CMD, WINDOWS, refuse_nul, shortened};

pub use batch::{BatchHost, Dialect, batch};
pub use c_runtime::c_runtime;
pub use kind::ProgramKind;
pub use line::{
    COMMAND_LINE_LIMIT, COMMAND_PROCESSOR_LIMIT, CommandLine, CommandLineError, TooLong,
};
pub use processor::command_processor;
pub use words::{Word, words};

/// The most UTF-16 units that one variable may have: name, `=` and value, without the NUL.
pub const VARIABLE_LIMIT: usize = 32_766;

/// What to start, and the command line for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramLine {
    /// The program to start: the one asked for, or cmd.exe for a batch file.
    pub program: WindowsPath,
    /// Its command line.
    pub line: CommandLine,
}

/// Writes the command line that the program's file name calls for.
///
/// `arguments` has the name the program was called by as argument 0. `host` is the cmd.exe that
/// runs batch files.
///
/// # Errors
/// Those of [`c_runtime()`], [`command_processor`] and [`batch()`].
pub fn build<A: AsRef<[u8]>>(
    program: &WindowsPath,
    arguments: &[A],
    host: &BatchHost,
) -> Result<ProgramLine, CommandLineError> {
    let (program, line) = match ProgramKind::of(program.as_bytes()) {
        ProgramKind::Batch => (host.processor, batch(host, program, arguments)?),
        ProgramKind::CommandProcessor => (program, command_processor(arguments)?),
        ProgramKind::Other => (program, c_runtime(arguments)?),
    };
    Ok(ProgramLine { program: program.clone(), line })
}

/// Writes a line of the program's name and text that is passed on as it is.
///
/// # Errors
/// If the name has a quote, either has a NUL, the line is over the limit of who reads it, or the
/// program is a batch file: Windows gives it to cmd.exe, which reads the whole line by rules of its
/// own, and what it would start then nobody has checked.
pub fn verbatim(
    kind: ProgramKind,
    program: &[u8],
    line: &[u8],
) -> Result<CommandLine, CommandLineError> {
    let (limit, reader) = match kind {
        ProgramKind::Batch => return Err(CommandLineError::VerbatimBatch),
        ProgramKind::CommandProcessor => (COMMAND_PROCESSOR_LIMIT, CMD),
        ProgramKind::Other => (COMMAND_LINE_LIMIT, WINDOWS),
    };
    refuse_nul(&[program, line])?;
    let mut whole = Vec::with_capacity(program.len() + line.len() + 3);
    c_runtime::push_program(&mut whole, program)?;
    if !line.is_empty() {
        whole.push(b' ');
        whole.extend_from_slice(line);
    }
    CommandLine::checked(whole, limit, reader)
}

/// Checks that every environment entry (`NAME=value`) is within [`VARIABLE_LIMIT`].
///
/// # Errors
/// Names the first variable that is too long.
pub fn check_environment<A: AsRef<[u8]>>(entries: &[A]) -> Result<(), TooLong> {
    for entry in entries.iter().map(AsRef::as_ref) {
        if entry.len() <= VARIABLE_LIMIT {
            continue;
        }
        let units = utf16_len(entry);
        if units > VARIABLE_LIMIT {
            let name = entry.split(|&byte| byte == b'=').next().unwrap_or_default();
            let what = "the environment variable ".to_string() + &shortened(name);
            return Err(TooLong { what, units, limit: VARIABLE_LIMIT, reader: WINDOWS });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_programs() {
        for (file, kind) in [
            ("C:\\windows\\system32\\CMD.EXE", ProgramKind::CommandProcessor),
            ("cmd", ProgramKind::CommandProcessor),
            ("/mnt/c/x/cmd.exe", ProgramKind::CommandProcessor),
            ("mycmd.exe", ProgramKind::Other),
            ("a.bat", ProgramKind::Batch),
            ("C:\\x.y\\npm.Cmd", ProgramKind::Batch),
            ("x.bat. .", ProgramKind::Batch),
            (".cmd", ProgramKind::Batch),
            ("cmd.exe.txt", ProgramKind::Other),
            ("bat", ProgramKind::Other),
            ("", ProgramKind::Other),
        ] {
            assert_eq!(ProgramKind::of(file.as_bytes()), kind, "{file}");
        }
    }

    #[test]
    fn the_file_name_decides() {
        let processor = WindowsPath::from_bytes("C:\\w\\cmd.exe");
        let host = BatchHost { processor: &processor, dialect: Dialect::Windows };
        let arguments = ["called", "/c", "a b \\"];
        for (program, started, line) in [
            ("C:\\t.exe", "C:\\t.exe", "called /c \"a b \\\\\""),
            ("C:\\CMD.exe", "C:\\CMD.exe", "called /c \"a b \\\""),
            (
                "C:\\t.bat",
                "C:\\w\\cmd.exe",
                "C:\\w\\cmd.exe /d /e:on /v:off /s /c \"\"C:\\t.bat\" /c \"a b \\\\\"\"",
            ),
        ] {
            let start = build(&WindowsPath::from_bytes(program), &arguments, &host).unwrap();
            assert_eq!(start.program.as_bytes(), started.as_bytes());
            assert_eq!(start.line.to_string(), line);
        }
    }

    #[test]
    fn verbatim_is_verbatim() {
        let other = ProgramKind::Other;
        let line = verbatim(other, b"C:\\a b.exe", b"/x \"y & %z%").unwrap();
        assert_eq!(line.as_bytes(), b"\"C:\\a b.exe\" /x \"y & %z%");
        assert_eq!(verbatim(other, b"a.exe", b"").unwrap().as_bytes(), b"a.exe");
        assert_eq!(verbatim(other, b"a.exe", b"x\0y").unwrap_err().errno(), 22);
    }

    #[test]
    fn verbatim_lines_have_the_limit_of_who_reads_them() {
        let line = "x".repeat(COMMAND_PROCESSOR_LIMIT);
        assert!(verbatim(ProgramKind::Other, b"a.exe", line.as_bytes()).is_ok());
        let error = verbatim(ProgramKind::CommandProcessor, b"cmd", line.as_bytes()).unwrap_err();
        assert_eq!(error.errno(), 7);
        assert!(error.to_string().ends_with("more than the 8191 that cmd.exe takes"), "{error}");
    }

    #[test]
    fn a_batch_file_takes_no_verbatim_line() {
        let error = verbatim(ProgramKind::Batch, b"x.cmd", b"a & calc").unwrap_err();
        assert_eq!((error.errno(), &error), (22, &CommandLineError::VerbatimBatch));
        assert!(error.to_string().contains("--verbatim cmd '/d /s /c "), "{error}");
    }

    #[test]
    fn what_is_too_long_is_named_with_how_much() {
        let argument = "é".repeat(COMMAND_LINE_LIMIT - 6);
        assert!(c_runtime(&["a.exe", &argument]).is_ok());
        let longer = argument + "é";
        let error = c_runtime(&["a.exe", "x", &longer]).unwrap_err();
        assert_eq!(error.errno(), 7);
        assert_eq!(
            error.to_string(),
            "the command line (2 arguments, the longest is argument 2 with 32761 units) is too \
             long: 32769 UTF-16 units, 3 more than the 32766 that Windows takes"
        );
    }

    #[test]
    fn variables_have_a_limit() {
        let fits = "PATH=".to_string() + &"x".repeat(VARIABLE_LIMIT - 5);
        assert_eq!(check_environment(&["A=b", &fits]), Ok(()));
        let error = check_environment(&[fits + "x"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable PATH is too long: 32767 UTF-16 units, 1 more than the 32766 \
             that Windows takes"
        );
    }
}
