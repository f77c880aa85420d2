//! Quoting for programs that split as the C runtime and `CommandLineToArgvW` do.
//!
//! The rules, as Microsoft documents them: arguments are separated by spaces and tabs outside
//! quotes; `\"` is a quote, 2n backslashes before a quote are n backslashes, other backslashes are
//! themselves. The program's own name, argument 0, is split by a simpler rule: quotes switch
//! quoting on and off and vanish, backslashes mean nothing.

use alloc::vec::Vec;

use super::line::{
    COMMAND_LINE_LIMIT, CommandLine, CommandLineError, WINDOWS, name_longest, refuse_nul,
};

/// Writes a command line that the C runtime splits into exactly these arguments.
///
/// Argument 0 is the program's own name.
///
/// # Errors
/// If there is no argument 0, it has a quote (nothing can express that), any argument has a NUL, or
/// the line is over [`COMMAND_LINE_LIMIT`].
///
/// ```
/// let line = winterop_translate::command_line::c_runtime(&["tool.exe", "a b", "", "c\\\"d"])?;
/// assert_eq!(line.as_bytes(), br#"tool.exe "a b" "" "c\\\"d""#);
/// # Ok::<(), winterop_translate::command_line::CommandLineError>(())
/// ```
pub fn c_runtime<A: AsRef<[u8]>>(arguments: &[A]) -> Result<CommandLine, CommandLineError> {
    let (program, others) = arguments.split_first().ok_or(CommandLineError::NoArguments)?;
    refuse_nul(arguments)?;
    let bytes: usize = arguments.iter().map(|argument| argument.as_ref().len() + 3).sum();
    let mut line = Vec::with_capacity(bytes);
    push_program(&mut line, program.as_ref())?;
    for argument in others {
        line.push(b' ');
        push_argument(&mut line, argument.as_ref());
    }
    CommandLine::checked(line, COMMAND_LINE_LIMIT, WINDOWS)
        .map_err(|error| name_longest(error, arguments))
}

/// Appends the program's own name.
pub(super) fn push_program(line: &mut Vec<u8>, program: &[u8]) -> Result<(), CommandLineError> {
    if program.contains(&b'"') {
        let reason = "which the name of a program cannot have on Windows; start it by another name";
        return Err(CommandLineError::character(0, program, "a quotation mark", reason));
    }
    // CommandLineToArgvW ends an unquoted name at any control character.
    if program.is_empty() || program.iter().any(|&byte| byte <= b' ') {
        line.push(b'"');
        line.extend_from_slice(program);
        line.push(b'"');
    } else {
        line.extend_from_slice(program);
    }
    Ok(())
}

/// Appends one argument behind the first, quoted if it has to be.
pub(super) fn push_argument(line: &mut Vec<u8>, argument: &[u8]) {
    if argument.is_empty() || argument.iter().copied().any(wants_quotes) {
        push_quoted(line, argument);
    } else {
        line.extend_from_slice(argument);
    }
}

/// Tells whether an argument with this byte goes in quotes.
///
/// Space, tab and quote have to. Wildcards, braces and apostrophes do because the start code of
/// MinGW and Cygwin programs expands them outside quotes.
fn wants_quotes(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'"' | b'*' | b'?' | b'\'' | b'[' | b'{')
}

/// Appends one argument in quotes.
pub(super) fn push_quoted(line: &mut Vec<u8>, argument: &[u8]) {
    line.push(b'"');
    let mut backslashes = 0;
    for &byte in argument {
        if byte == b'"' {
            // Those before a quote count double, and one more makes the quote a plain character.
            line.extend(core::iter::repeat_n(b'\\', backslashes + 1));
        }
        backslashes = if byte == b'\\' { backslashes + 1 } else { 0 };
        line.push(byte);
    }
    line.extend(core::iter::repeat_n(b'\\', backslashes));
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn arguments_are_quoted_where_they_have_to_be() {
        for (argument, expected) in [
            ("plain", "plain"),
            ("C:\\dir\\", "C:\\dir\\"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a\tb", "\"a\tb\""),
            ("a b\\", "\"a b\\\\\""),
            ("\"", "\"\\\"\""),
            ("a\\\"b", "\"a\\\\\\\"b\""),
            ("\\\\server\\x y", "\"\\\\server\\x y\""),
            ("*.txt", "\"*.txt\""),
            ("%PATH%&|<>^", "%PATH%&|<>^"),
        ] {
            let line = c_runtime(&["p", argument]).unwrap();
            assert_eq!(line.to_string(), ["p ", expected].concat().replace('\t', "\\t"));
        }
    }

    #[test]
    fn the_name_of_the_program_has_rules_of_its_own() {
        assert_eq!(c_runtime(&["a b\\"]).unwrap().as_bytes(), b"\"a b\\\"");
        assert_eq!(c_runtime(&[""]).unwrap().as_bytes(), b"\"\"");
        let error = c_runtime(&["a\"b"]).unwrap_err();
        assert!(error.to_string().starts_with("argument 0 (a\"b) contains a quotation mark"));
        assert_eq!(c_runtime::<&str>(&[]), Err(CommandLineError::NoArguments));
    }
}
