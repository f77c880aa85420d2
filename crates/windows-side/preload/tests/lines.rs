//! What the command processor is given, line for line.
//!
//! The library itself is one for the dynamic linker alone: this takes in its file.

#[path = "../src/lines.rs"]
mod lines;

use lines::{blank_jumps, read_line};

/// What is read of `text` in rooms of this size.
fn read(text: &[u8], size: usize) -> Vec<String> {
    let mut bytes = text.iter().copied();
    let mut all = Vec::new();
    loop {
        let mut room = vec![0; size];
        let count = read_line(&mut room, || bytes.next());
        if count == 0 {
            return all;
        }
        all.push(String::from_utf8_lossy(&room[..count]).into_owned());
    }
}

#[test]
fn a_line_is_read_with_its_end_and_nothing_behind_it() {
    assert_eq!(read(b"a b\r\n\r\nc\nd", 100), ["a b\r\n", "\r\n", "c\n", "d"]);
    assert_eq!(read(b"", 100), [""; 0]);
}

#[test]
fn a_line_that_is_too_long_comes_in_parts() {
    assert_eq!(read(b"abcdef\ng\n", 3), ["abc", "def", "\n", "g\n"]);
    assert_eq!(read(b"abc", 0), [""; 0]);
}

fn blanked(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    blank_jumps(&mut bytes);
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_jump_to_nowhere_becomes_as_many_blanks() {
    let jump = "goto #_undefined_# 2>NUL || ";
    let blanks = " ".repeat(jump.len());
    let line = |middle: &str| format!("endLocal & {middle}title %COMSPEC% & \"%_prog%\" %*\r\n");
    assert_eq!(blanked(&line(jump)), line(&blanks));
    assert_eq!(blanked(&line(&jump.to_uppercase())), line(&blanks));
    assert_eq!(blanked(&format!("{jump}{jump}x{jump}")), format!("{blanks}{blanks}x{blanks}"));
}

#[test]
fn everything_else_stays() {
    for text in
        ["", "goto", "goto #_undefined_# 2>NUL ||", "goto end 2>NUL || x", "goto #_undefined_#\r\n"]
    {
        assert_eq!(blanked(text), text);
    }
}
