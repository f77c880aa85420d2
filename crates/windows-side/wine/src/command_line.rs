//! Which arguments make Wine build a wanted command line.
//!
//! Wine makes it from the arguments: the image's Windows path always in quotes, then each argument,
//! in quotes where it is empty or has a space or tab, `"` as `\"`, and backslashes doubled where
//! they stand before a quote. So a wanted command line comes out exactly if it is what these rules
//! make of its own parts; any other one (`a  b`, `"ab"`, a bare program name, an unpaired
//! surrogate) needs the preloaded library, which puts it into the process before the program's
//! first instruction.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// The arguments that make Wine build a command line, behind the program's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passing {
    /// The arguments.
    pub arguments: Vec<OsString>,
    /// Whether the command line comes out exactly; if not, it means the same arguments, except
    /// that unpaired surrogates are replaced.
    pub exact: bool,
}

/// Finds the arguments that make Wine build the command line `line` for the program `image`.
pub(crate) fn arguments_for(line: &[u16], image: &[u16]) -> Passing {
    let parts = split(line);
    let rest = parts.get(1..).unwrap_or_default();
    let text: Vec<Option<OsString>> =
        rest.iter().map(|part| String::from_utf16(part).ok().map(OsString::from)).collect();
    let exact = text.iter().all(Option::is_some) && join(image, rest) == line;
    let arguments = text
        .into_iter()
        .zip(rest)
        .map(|(text, part)| text.unwrap_or_else(|| OsString::from(String::from_utf16_lossy(part))));
    Passing { arguments: arguments.collect(), exact }
}

const SPACE: u16 = b' ' as u16;
const TAB: u16 = b'\t' as u16;
const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;

/// The command line that Wine builds from an image and arguments.
fn join(image: &[u16], arguments: &[Vec<u16>]) -> Vec<u16> {
    let mut line = Vec::new();
    push_argument(&mut line, image, true);
    for argument in arguments {
        line.push(SPACE);
        push_argument(&mut line, argument, false);
    }
    line
}

fn push_argument(line: &mut Vec<u16>, argument: &[u16], always_quoted: bool) {
    let quoted =
        always_quoted || argument.is_empty() || argument.iter().any(|c| [SPACE, TAB].contains(c));
    if quoted {
        line.push(QUOTE);
    }
    let mut backslashes = 0;
    for &character in argument {
        if character == QUOTE {
            line.extend(std::iter::repeat_n(BACKSLASH, backslashes + 1));
        }
        backslashes = if character == BACKSLASH { backslashes + 1 } else { 0 };
        line.push(character);
    }
    if quoted {
        line.extend(std::iter::repeat_n(BACKSLASH, backslashes));
        line.push(QUOTE);
    }
}

/// Splits a command line as Microsoft's C library does: the first part ends at a space outside of
/// quotes, without escapes; in the others backslashes escape before a quote, and `""` inside
/// quotes is one quote.
fn split(line: &[u16]) -> Vec<Vec<u16>> {
    let mut parts = Vec::new();
    let mut rest = line.iter().copied().peekable();
    let mut program = Vec::new();
    let mut quoted = false;
    while let Some(character) = rest.next_if(|&c| quoted || (c != SPACE && c != TAB)) {
        if character == QUOTE {
            quoted = !quoted;
        } else {
            program.push(character);
        }
    }
    parts.push(program);
    loop {
        while rest.next_if(|&c| c == SPACE || c == TAB).is_some() {}
        if rest.peek().is_none() {
            return parts;
        }
        parts.push(split_one(&mut rest));
    }
}

fn split_one(rest: &mut std::iter::Peekable<impl Iterator<Item = u16>>) -> Vec<u16> {
    let mut part = Vec::new();
    let mut quoted = false;
    let mut backslashes = 0;
    while let Some(character) = rest.next_if(|&c| quoted || (c != SPACE && c != TAB)) {
        match character {
            BACKSLASH => {
                backslashes += 1;
                continue;
            }
            QUOTE => {
                part.extend(std::iter::repeat_n(BACKSLASH, backslashes / 2));
                let escaped = backslashes % 2 == 1;
                if escaped || quoted && rest.next_if_eq(&QUOTE).is_some() {
                    part.push(QUOTE);
                } else {
                    quoted = !quoted;
                }
            }
            other => {
                part.extend(std::iter::repeat_n(BACKSLASH, backslashes));
                part.push(other);
            }
        }
        backslashes = 0;
    }
    part.extend(std::iter::repeat_n(BACKSLASH, backslashes));
    part
}

/// UTF-16 as UTF-8, unpaired surrogates as three bytes each (WTF-8's encoding).
pub(crate) fn to_generalized_utf8(units: &[u16]) -> OsString {
    let mut bytes = Vec::with_capacity(units.len() * 3);
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(character) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Err(error) => {
                let surrogate = error.unpaired_surrogate();
                let low = |shift: u32| 0x80 | ((surrogate >> shift) & 0x3f) as u8;
                bytes.extend_from_slice(&[0xe0 | (surrogate >> 12) as u8, low(6), low(0)]);
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn what_wine_would_write_itself_is_exact() {
        let image = wide("Z:\\t\\x.exe");
        for (line, arguments) in [
            (r#""Z:\t\x.exe""#, vec![]),
            (r#""Z:\t\x.exe" a b"#, vec!["a", "b"]),
            (r#""Z:\t\x.exe" "a b" "" \"c\" "d \\" e\"#, vec!["a b", "", "\"c\"", "d \\", "e\\"]),
            ("\"Z:\\t\\x.exe\" a\u{e4}\u{1f600} x\ny", vec!["a\u{e4}\u{1f600}", "x\ny"]),
        ] {
            let passing = arguments_for(&wide(line), &image);
            assert!(passing.exact, "{line}");
            assert_eq!(passing.arguments, arguments, "{line}");
        }
    }

    #[test]
    fn other_lines_are_only_equivalent() {
        let image = wide("Z:\\t\\x.exe");
        for (line, arguments) in [
            (r"Z:\t\x.exe a", vec!["a"]),
            (r"x.exe", vec![]),
            (r#""Z:\t\x.exe" a  b"#, vec!["a", "b"]),
            (r#""Z:\t\x.exe" "ab" c"#, vec!["ab", "c"]),
            (r#""Z:\t\x.exe" "a""b""#, vec!["a\"b"]),
            (r#""Z:\t\x.exe" a "#, vec!["a"]),
        ] {
            let passing = arguments_for(&wide(line), &image);
            assert!(!passing.exact, "{line}");
            assert_eq!(passing.arguments, arguments, "{line}");
        }
        let mut surrogate = wide(r#""Z:\t\x.exe" a"#);
        surrogate.push(0xd800);
        assert!(!arguments_for(&surrogate, &image).exact);
    }

    proptest! {
        #[test]
        fn splitting_undoes_joining(
            arguments in proptest::collection::vec("[a\\\\\" \t\u{e4}]{0,8}", 0..5)
        ) {
            let arguments: Vec<Vec<u16>> = arguments.iter().map(|text| wide(text)).collect();
            let line = join(&wide("C:\\a b\\x.exe"), &arguments);
            prop_assert_eq!(&split(&line)[1..], &arguments[..]);
            let image = wide("C:\\a b\\x.exe");
            prop_assert!(arguments_for(&line, &image).exact);
        }

        #[test]
        fn any_line_keeps_its_arguments(line in proptest::collection::vec(any::<u16>(), 0..40)) {
            let image = wide("C:\\x.exe");
            let passing = arguments_for(&line, &image);
            let again: Vec<Vec<u16>> = passing
                .arguments
                .iter()
                .map(|argument| wide(argument.to_str().unwrap()))
                .collect();
            let lossy = |parts: &[Vec<u16>]| -> Vec<String> {
                parts.iter().map(|part| String::from_utf16_lossy(part)).collect()
            };
            let rebuilt = split(&join(&image, &again));
            prop_assert_eq!(lossy(&rebuilt[1..]), lossy(split(&line).get(1..).unwrap()));
        }
    }
}
