//! Text that may hold anything, as a terminal may get it.
//!
//! Names of files and what other programs say can have control characters in them. A terminal obeys
//! those: it could be made to show another line than was said, or to type one. So whatever is shown
//! to a person has them in letters.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Whether a terminal might obey it: the controls of ASCII, and those of C1 (U+0080 to U+009F).
fn is_obeyed(c: char) -> bool {
    c.is_control() && c != '\t'
}

fn replaced(text: &str, is_replaced: impl Fn(char) -> bool) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        match is_replaced(c) {
            // As JSON has it, so that a text of JSON stays one.
            true => result.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => result.push(c),
        }
    }
    result
}

/// Text of one or more lines.
#[must_use]
pub fn lines(text: &str) -> String {
    replaced(text, |c| is_obeyed(c) && c != '\n')
}

/// Text that is to stay in one line.
#[must_use]
pub fn line(text: &str) -> String {
    replaced(text, is_obeyed)
}

/// Bytes of one or more lines; what is no UTF-8 is a control character in some terminals.
#[must_use]
pub fn bytes(text: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    for part in text.utf8_chunks() {
        result.extend_from_slice(lines(part.valid()).as_bytes());
        for byte in part.invalid() {
            match byte {
                0x80..=0x9F => result.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                _ => result.push(*byte),
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_that_it_would_obey() {
        let evil = "a\u{1b}]0;x\u{7}b\u{9b}2Jc\u{7f}\r\n\tü…";
        assert_eq!(lines(evil), "a\\u001b]0;x\\u0007b\\u009b2Jc\\u007f\\u000d\n\tü…");
        assert_eq!(line("a\nb"), "a\\u000ab");
        assert_eq!(bytes(b"a\x9b2J\xc2\x9b\xff\x1b\n"), b"a\\x9b2J\\u009b\xff\\u001b\n");
        assert_eq!(line("plain text, \"quoted\" \\ and ü"), "plain text, \"quoted\" \\ and ü");
    }
}
