//! cmd.exe called as a program: `cmd.exe /c …`.
//!
//! What stands behind `/c` is a line in cmd's language. If its first character is a quote, cmd
//! takes the first and the last quote away, except from a line of exactly two quotes that enclose
//! a program's name and nothing special. From that and from how people call cmd out of a Unix shell
//! (one argument that is the whole line, or the words of the line one by one) follows:
//!
//! - one argument behind `/c` is the line: it goes in quotes as it is, which cmd takes off again;
//! - several are words: those with spaces go in quotes and so arrive with them, as WSL has it
//!   (`echo "hello world"` prints the quotes); a word that has put all its spaces into quotes of
//!   its own is left alone;
//! - if the first word is a program's path with spaces, the line goes in quotes once more, or cmd
//!   would take the wrong ones off.

use alloc::vec::Vec;

use super::c_runtime::{push_argument, push_program, push_quoted};
use super::kind::ProgramKind;
use super::line::{
    CMD, COMMAND_PROCESSOR_LIMIT, CommandLine, CommandLineError, name_longest, refuse_nul,
};

/// Writes a command line for cmd.exe from the arguments it was called with.
///
/// Argument 0 is cmd's own name. The line is a program in cmd's language: what the arguments say is
/// what cmd does, as with `sh -c`.
///
/// # Errors
/// If there is no argument 0, it has a quote, any argument has a NUL, or the line is over
/// [`COMMAND_PROCESSOR_LIMIT`].
///
/// ```
/// use winterop_translate::command_line::command_processor;
///
/// let line = command_processor(&["cmd.exe", "/c", "echo", "hello world"])?;
/// assert_eq!(line.as_bytes(), br#"cmd.exe /c echo "hello world""#);
/// let line = command_processor(&["cmd.exe", "/c", "cd x && build"])?;
/// assert_eq!(line.as_bytes(), br#"cmd.exe /c "cd x && build""#);
/// # Ok::<(), winterop_translate::command_line::CommandLineError>(())
/// ```
pub fn command_processor<A: AsRef<[u8]>>(arguments: &[A]) -> Result<CommandLine, CommandLineError> {
    let (program, others) = arguments.split_first().ok_or(CommandLineError::NoArguments)?;
    refuse_nul(arguments)?;
    let bytes: usize = arguments.iter().map(|argument| argument.as_ref().len() + 3).sum();
    let mut line = Vec::with_capacity(bytes);
    push_program(&mut line, program.as_ref())?;
    let mut others = others.iter().map(AsRef::as_ref);
    while let Some(argument) = others.next() {
        line.push(b' ');
        let Some(joined) = behind_run_switch(argument) else {
            push_argument(&mut line, argument);
            continue;
        };
        let switch = argument.len() - joined.len();
        line.extend_from_slice(argument.get(..switch).unwrap_or_default());
        let first = (!joined.is_empty()).then_some(joined);
        let words: Vec<&[u8]> = first.into_iter().chain(others).collect();
        push_words(&mut line, &words, joined.is_empty());
        break;
    }
    CommandLine::checked(line, COMMAND_PROCESSOR_LIMIT, CMD)
        .map_err(|error| name_longest(error, arguments))
}

/// What stands in the same argument behind `/c`, `/k` or `/r`, if it begins with one of them.
fn behind_run_switch(argument: &[u8]) -> Option<&[u8]> {
    match argument {
        [b'/', b'c' | b'C' | b'k' | b'K' | b'r' | b'R', rest @ ..] => Some(rest),
        _ => None,
    }
}

fn push_words(line: &mut Vec<u8>, words: &[&[u8]], separate: bool) {
    if separate && !words.is_empty() {
        line.push(b' ');
    }
    if let [whole] = words {
        push_whole(line, whole);
        return;
    }
    let quotes = words.first().is_some_and(|first| is_program_with_spaces(first));
    if quotes {
        line.push(b'"');
    }
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            line.push(b' ');
        }
        push_word(line, word);
    }
    if quotes {
        line.push(b'"');
    }
}

/// Appends an argument that is a whole line.
fn push_whole(line: &mut Vec<u8>, whole: &[u8]) {
    let quotes = whole.is_empty() || whole.iter().any(|&byte| byte <= b' ' || byte == b'"');
    if quotes {
        line.push(b'"');
    }
    line.extend_from_slice(whole);
    if quotes {
        line.push(b'"');
    }
}

/// Appends one word of several.
fn push_word(line: &mut Vec<u8>, word: &[u8]) {
    let special = word.iter().any(|&byte| byte <= b' ' || byte == b'"');
    if word.is_empty() || (special && !has_quoted_itself(word)) {
        push_quoted(line, word);
    } else {
        line.extend_from_slice(word);
    }
}

/// Tells whether a word has spaces, and all of them between quotes of its own.
fn has_quoted_itself(word: &[u8]) -> bool {
    let mut inside = false;
    let mut spaces = false;
    for &byte in word {
        match byte {
            b'"' => inside = !inside,
            0..=b' ' if !inside => return false,
            0..=b' ' => spaces = true,
            _ => {}
        }
    }
    spaces && !inside
}

/// Tells whether the first of several words is the path of a program and not a line of cmd's
/// language: with a space, an extension that can be run, and a drive or a directory before the
/// first space.
fn is_program_with_spaces(word: &[u8]) -> bool {
    let word = match word {
        [b'"', inner @ .., b'"'] => inner,
        _ => word,
    };
    let Some(space) = word.iter().position(|byte| matches!(byte, b' ' | b'\t')) else {
        return false;
    };
    let start = word.get(..space).unwrap_or_default();
    let extension = word.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    let runs = ProgramKind::of(word) == ProgramKind::Batch
        || extension.eq_ignore_ascii_case(b"exe")
        || extension.eq_ignore_ascii_case(b"com");
    runs && start.iter().any(|byte| matches!(byte, b'\\' | b':'))
        && !word.iter().any(|byte| matches!(byte, b'&' | b'|' | b'<' | b'>' | b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn lines_and_words() {
        for (arguments, expected) in [
            (&["cmd.exe"][..], "cmd.exe"),
            (&["cmd.exe", "/c"], "cmd.exe /c"),
            (&["cmd.exe", "/c", "ver"], "cmd.exe /c ver"),
            // Conformance row L1: the quotes arrive.
            (&["cmd.exe", "/c", "echo", "hello world"], "cmd.exe /c echo \"hello world\""),
            // Conformance row L4: cmd takes them off.
            (&["cmd.exe", "/c", "exit 0"], "cmd.exe /c \"exit 0\""),
            (&["cmd.exe", "/C", "cd x && build"], "cmd.exe /C \"cd x && build\""),
            (&["cmd.exe", "/c", "dir \"a b\""], "cmd.exe /c \"dir \"a b\"\""),
            (&["cmd.exe", "/c", "\"a b.exe\" \"c d\""], "cmd.exe /c \"\"a b.exe\" \"c d\"\""),
            (&["cmd.exe", "/c", "dir C:\\x\\ "], "cmd.exe /c \"dir C:\\x\\ \""),
            (&["cmd.exe", "/d", "/s", "/c", "ver"], "cmd.exe /d /s /c ver"),
            (&["cmd.exe", "/cexit 1"], "cmd.exe /c\"exit 1\""),
            (&["cmd.exe", "/cecho", "a b"], "cmd.exe /cecho \"a b\""),
            (&["cmd.exe", "/c", "dir", "C:\\a b\\"], "cmd.exe /c dir \"C:\\a b\\\\\""),
            (&["cmd.exe", "/c", "echo", ""], "cmd.exe /c echo \"\""),
            (&["cmd.exe", "/c", "node", "-e", "f(\"x\")"], "cmd.exe /c node -e \"f(\\\"x\\\")\""),
            (
                &["cmd.exe", "/c", "for", "%A", "in", "(\"C:\\a b\")", "do", "@echo", "%~sA"],
                "cmd.exe /c for %A in (\"C:\\a b\") do @echo %~sA",
            ),
            (
                &["cmd.exe", "/c", "C:\\Program Files (x86)\\t.exe", "a b", "c"],
                "cmd.exe /c \"\"C:\\Program Files (x86)\\t.exe\" \"a b\" c\"",
            ),
            (&["cmd.exe", "/c", "call a.bat", "b c"], "cmd.exe /c \"call a.bat\" \"b c\""),
            (&["cmd.exe", "/c", "cd x && y.cmd"], "cmd.exe /c \"cd x && y.cmd\""),
            (&["cmd.exe", "/c", "echo", "a", "&", "ver"], "cmd.exe /c echo a & ver"),
            (&["C:\\my cmd\\cmd.exe", "/k", "x"], "\"C:\\my cmd\\cmd.exe\" /k x"),
        ] {
            let line = command_processor(arguments).unwrap();
            assert_eq!(line.to_string(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn an_argument_of_4095_characters_fits_and_8192_do_not() {
        assert!(command_processor(&["cmd.exe", "/c", "echo", &"x".repeat(4095)]).is_ok());
        let error = command_processor(&["cmd.exe", "/c", "echo", &"x".repeat(8192)]).unwrap_err();
        assert_eq!(error.errno(), 7);
        assert!(error.to_string().ends_with("that cmd.exe takes"), "{error}");
    }
}
