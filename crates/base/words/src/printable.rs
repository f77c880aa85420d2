//! Text of others for people's eyes: a name must not be able to move a cursor, start a line, or show
//! itself as another.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt::Write as _;

/// Text in which nothing steers whatever shows it: control characters (C0, DEL and C1), line and
/// paragraph separators, and what changes the direction of text stand as `\u{9b}`; bytes that are no
/// UTF-8 as `\x9b`. It is borrowed where there is nothing of that.
#[must_use]
pub fn printable(bytes: &[u8]) -> Cow<'_, str> {
    match core::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(steers) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(bytes)),
    }
}

/// Whether a character does something to the text around it, instead of being shown.
#[must_use]
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match steers(character) {
                true => text.extend(character.escape_unicode()),
                false => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_and_the_rest_is_as_it_was() {
        for plain in ["", "/opt/ü ñ 漢/x.exe", "a\\b"] {
            assert!(matches!(printable(plain.as_bytes()), Cow::Borrowed(text) if text == plain));
        }
        for (bytes, shown) in [
            (&b"a\x1b[2Jb"[..], "a\\u{1b}[2Jb"),
            (b"\x07\n\r\0\x7f", "\\u{7}\\u{a}\\u{d}\\u{0}\\u{7f}"),
            // CSI as one character of UTF-8, and as a byte of none.
            ("\u{9b}2J".as_bytes(), "\\u{9b}2J"),
            (b"\x9b2J", "\\x9b2J"),
            ("a\u{202e}exe.b\u{2066}\u{200f}".as_bytes(), "a\\u{202e}exe.b\\u{2066}\\u{200f}"),
            (b"\xc3", "\\xc3"),
            (b"ok\xff\xfe\xf0\x9f\x98", "ok\\xff\\xfe\\xf0\\x9f\\x98"),
        ] {
            assert_eq!(printable(bytes), shown);
        }
    }
}
