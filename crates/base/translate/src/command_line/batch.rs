//! A batch file started as a program.
//!
//! Windows starts cmd.exe for a batch file, and cmd reads the whole line again: in what looks like
//! an argument, a quote can end the quoting, and behind it `&` or `|` start another command
//! (CVE-2024-24576 and its relatives, "BatBadBut"). So the line is written out here, for a cmd whose
//! switches are known:
//!
//! ```text
//! C:\windows\system32\cmd.exe /d /e:on /v:off /s /c ""C:\dir\file.cmd" "first argument" second"
//! ```
//!
//! `/s` makes cmd take off the outermost quotes and no others, `/v:off` leaves `!` alone, `/d` keeps
//! `AutoRun` out. Between quotes `& | < > ( ) ^ !` and separators are plain characters, so
//! everything but the harmless goes in quotes. Three things have no place between them:
//! - a quote: `""` would keep cmd's count right, but what reads the arguments behind cmd does not
//!   agree on what that means, and some begin a new argument there;
//! - the end of a line, NUL and the character 0x1A, which end the command;
//! - `%`, which is expanded between quotes too. Windows' cmd can be made to leave it alone: an empty
//!   substring of a variable between the percent signs separates them. Wine's cmd expands the
//!   arguments once more inside the batch file, so there nothing helps.
//!
//! A batch file that takes quotes off an argument (`%~1`) and uses it outside quotes is open to
//! whatever the argument says; no caller can prevent that.

use alloc::vec::Vec;

use super::c_runtime::push_program;
use super::line::{
    CMD, COMMAND_PROCESSOR_LIMIT, CommandLine, CommandLineError, name_longest, refuse_nul,
};
use crate::paths::WindowsPath;

/// Whose cmd.exe reads the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Windows' own.
    Windows,
    /// Wine's.
    Wine,
}

/// The cmd.exe that runs batch files.
#[derive(Clone, Copy, Debug)]
pub struct BatchHost<'a> {
    /// Its full path, which is also the program to start.
    pub processor: &'a WindowsPath,
    /// How it reads a line.
    pub dialect: Dialect,
}

/// Writes a command line for `host.processor` that runs a batch file with these arguments.
///
/// `arguments` has the name the file was called by as argument 0, which is not used: a batch file's
/// `%0` is always its path.
///
/// # Errors
/// If an argument or the path has a character that cannot be passed safely, or the line is over
/// [`COMMAND_PROCESSOR_LIMIT`].
pub fn batch<A: AsRef<[u8]>>(
    host: &BatchHost,
    script: &WindowsPath,
    arguments: &[A],
) -> Result<CommandLine, CommandLineError> {
    let others = arguments.get(1..).ok_or(CommandLineError::NoArguments)?;
    refuse_nul(&[host.processor.as_bytes(), script.as_bytes()])?;
    let bytes: usize = others.iter().map(|argument| argument.as_ref().len() + 3).sum();
    let mut line =
        Vec::with_capacity(host.processor.as_bytes().len() + script.as_bytes().len() + bytes + 48);
    push_program(&mut line, host.processor.as_bytes())?;
    line.extend_from_slice(b" /d /e:on /v:off /s /c \"");
    push_quoted(&mut line, 0, script.as_bytes(), host.dialect)?;
    for (index, argument) in others.iter().map(AsRef::as_ref).enumerate() {
        line.push(b' ');
        if argument.is_empty()
            || !argument.iter().copied().all(is_harmless)
            || argument.ends_with(b"\\")
        {
            push_quoted(&mut line, index + 1, argument, host.dialect)?;
        } else {
            line.extend_from_slice(argument);
        }
    }
    line.push(b'"');
    CommandLine::checked(line, COMMAND_PROCESSOR_LIMIT, CMD)
        .map_err(|error| name_longest(error, arguments))
}

/// Tells whether a character means nothing to cmd outside quotes either.
fn is_harmless(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'/' | b'\\' | b':' | b'@' | b'+' | b'#')
}

fn push_quoted(
    line: &mut Vec<u8>,
    index: usize,
    argument: &[u8],
    dialect: Dialect,
) -> Result<(), CommandLineError> {
    line.push(b'"');
    for &byte in argument {
        if let Some((character, reason)) = refusal(byte, dialect) {
            return Err(CommandLineError::character(index, argument, character, reason));
        }
        if byte == b'%' {
            line.extend_from_slice(b"%%cd:~,");
        }
        line.push(byte);
    }
    // What the batch file passes on is likely to be split as the C runtime does.
    let backslashes = argument.iter().rev().take_while(|&&byte| byte == b'\\').count();
    line.extend(core::iter::repeat_n(b'\\', backslashes));
    line.push(b'"');
    Ok(())
}

/// Why a character cannot be passed to a batch file, if it cannot.
fn refusal(byte: u8, dialect: Dialect) -> Option<(&'static str, &'static str)> {
    let ends = "which ends a command of a batch file; pass it in a file or a variable instead";
    match byte {
        0 => Some(("a NUL", ends)),
        b'\n' => Some(("a line feed", ends)),
        b'\r' => Some(("a carriage return", ends)),
        0x1A => Some(("the character 0x1A", ends)),
        b'"' => Some((
            "a quotation mark",
            "which would end the quoting in a batch file; pass it in a file or a variable instead, \
             or give cmd.exe the whole line with --verbatim",
        )),
        b'%' if dialect == Dialect::Wine => Some((
            "a percent sign",
            "which Wine's cmd.exe expands in the arguments of a batch file; pass it in a file or a \
             variable instead, or give cmd.exe the whole line with --verbatim",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    fn run(dialect: Dialect, script: &str, arguments: &[&str]) -> Result<String, String> {
        let processor = WindowsPath::from_bytes("C:\\w\\cmd.exe");
        let host = BatchHost { processor: &processor, dialect };
        let all = [&["name"], arguments].concat();
        match batch(&host, &WindowsPath::from_bytes(script), &all) {
            Ok(line) => {
                let line = String::from_utf8(line.into_bytes()).unwrap();
                let rest = line.strip_prefix("C:\\w\\cmd.exe /d /e:on /v:off /s /c \"").unwrap();
                Ok(rest.strip_suffix('"').unwrap().to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn everything_but_the_harmless_is_quoted() {
        for (argument, expected) in [
            ("plain-1_2.3/4\\5:6@7+8#9", "plain-1_2.3/4\\5:6@7+8#9"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a&b", "\"a&b\""),
            ("^|<>()!", "\"^|<>()!\""),
            ("a,b;c=d", "\"a,b;c=d\""),
            ("ü", "\"ü\""),
            ("C:\\dir\\", "\"C:\\dir\\\\\""),
            ("\t", "\"\t\""),
        ] {
            let line = run(Dialect::Wine, "Z:\\s p&.cmd", &[argument]).unwrap();
            assert_eq!(line, ["\"Z:\\s p&.cmd\" ", expected].concat());
        }
    }

    #[test]
    fn percent_signs_are_separated_for_windows_and_refused_for_wine() {
        let line = run(Dialect::Windows, "C:\\x.bat", &["%PATH%"]).unwrap();
        assert_eq!(line, "\"C:\\x.bat\" \"%%cd:~,%PATH%%cd:~,%\"");
        let error = run(Dialect::Wine, "C:\\x.bat", &["a", "100%"]).unwrap_err();
        assert!(error.starts_with("argument 2 (100%) contains a percent sign"), "{error}");
    }

    #[test]
    fn what_would_start_another_command_is_refused_with_words() {
        for (argument, character) in [
            ("\"&calc.exe", "a quotation mark"),
            ("a\nb", "a line feed"),
            ("a\rb", "a carriage return"),
            ("a\0b", "a NUL"),
            ("a\u{1a}b", "the character 0x1A"),
        ] {
            for dialect in [Dialect::Windows, Dialect::Wine] {
                let error = run(dialect, "C:\\x.bat", &["a", argument]).unwrap_err();
                assert!(error.starts_with("argument 2 ("), "{error}");
                assert!(error.contains(character), "{error}");
            }
        }
        assert!(run(Dialect::Windows, "C:\\a\"&b.bat", &[]).unwrap_err().contains("argument 0"));
    }

    #[test]
    fn too_much_is_refused() {
        let error = run(Dialect::Windows, "C:\\x.bat", &[&"x".repeat(9000)]).unwrap_err();
        assert!(error.contains("the longest is argument 1 with 9000 units"), "{error}");
    }
}
