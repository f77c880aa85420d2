//! The words of a Windows command line, as the C runtime reads them, and where each of them begins.

use alloc::vec::Vec;

/// One word of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// What the program gets.
    pub value: Vec<u8>,
    /// Where the word begins in the line, with its quotes, in bytes.
    pub begin: usize,
}

/// The words of what stands behind a program's name on its command line.
///
/// Blanks and tabs part them. Quotes keep them together, and two quotes between quotes are one. Backslashes
/// are themselves unless a quote follows: two are one then, and one that is left makes the quote a plain one.
/// (Microsoft, "Parsing C++ command-line arguments".)
///
/// ```
/// let words = winterop_translate::command_line::words(br#"bash -c "cd sub && ls""#);
/// assert_eq!(words[2].value, b"cd sub && ls");
/// assert_eq!(words[2].begin, 8);
/// ```
#[must_use]
pub fn words(line: &[u8]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut at = skip_blanks(line, 0);
    while at < line.len() {
        let (value, end) = word(line, at);
        words.push(Word { value, begin: at });
        at = skip_blanks(line, end);
    }
    words
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn skip_blanks(line: &[u8], from: usize) -> usize {
    let rest = line.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| is_blank(**byte)).count()
}

/// The word that begins at `at`, and where it ends.
fn word(line: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let (mut value, mut is_quoted) = (Vec::new(), false);
    while let Some(byte) = line.get(at).copied() {
        let rest = line.get(at..).unwrap_or_default();
        match byte {
            blank if is_blank(blank) && !is_quoted => break,
            b'\\' => {
                let count = rest.iter().take_while(|byte| **byte == b'\\').count();
                at += count;
                if line.get(at) != Some(&b'"') {
                    value.resize(value.len() + count, b'\\');
                    continue;
                }
                value.resize(value.len() + count / 2, b'\\');
                if count % 2 == 1 {
                    value.push(b'"');
                    at += 1;
                }
            }
            b'"' if is_quoted && rest.starts_with(b"\"\"") => {
                value.push(b'"');
                at += 2;
            }
            b'"' => {
                is_quoted = !is_quoted;
                at += 1;
            }
            other => {
                value.push(other);
                at += 1;
            }
        }
    }
    (value, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_the_c_runtime_reads_them() {
        // The table of Microsoft's page, and what it says in words.
        let cases: [(&str, &[&str]); 10] = [
            (r#""a b c" d e"#, &["a b c", "d", "e"]),
            (r#""ab\"c" "\\" d"#, &["ab\"c", "\\", "d"]),
            (r#"a\\\b d"e f"g h"#, &[r"a\\\b", "de fg", "h"]),
            (r#"a\\\"b c d"#, &[r#"a\"b"#, "c", "d"]),
            (r#"a\\\\"b c" d e"#, &[r"a\\b c", "d", "e"]),
            (r#"a"b"" c d"#, &[r#"ab" c d"#]),
            (r#""" x"#, &["", "x"]),
            ("  x\ty  ", &["x", "y"]),
            (r#""not closed"#, &["not closed"]),
            ("", &[]),
        ];
        for (line, expected) in cases {
            let found = words(line.as_bytes());
            let values: Vec<_> =
                found.iter().map(|word| core::str::from_utf8(&word.value).unwrap()).collect();
            assert_eq!(values, expected, "{line}");
            for word in found {
                assert!(!is_blank(line.as_bytes()[word.begin]));
            }
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let arguments = ["tool.exe", "a b", "", r#"c\"d"#, r"e\\", r#"f g\"#, "h\ti"];
        let line = crate::command_line::c_runtime(&arguments).unwrap();
        let read = words(line.as_bytes()).into_iter().map(|word| word.value);
        assert!(read.eq(arguments.iter().map(|it| it.as_bytes().to_vec())), "{line:?}");
    }
}
