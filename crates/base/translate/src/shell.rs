//! Words for a shell of Linux': a line by which it has the same words again.

use alloc::vec::Vec;

/// One line that any POSIX shell reads as exactly these words.
///
/// What means nothing to a shell stands as it is, so that a line of plain words reads as it was typed, and
/// `NAME=value` in front of a command is an assignment; everything else is quoted.
///
/// ```
/// let line = winterop_translate::shell::line(&["bash", "-c", "cd sub && rm *.txt"]);
/// assert_eq!(line, b"bash -c 'cd sub && rm *.txt'");
/// ```
#[must_use]
pub fn line<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut line = Vec::new();
    for (number, word) in words.iter().enumerate() {
        if number > 0 {
            line.push(b' ');
        }
        push(&mut line, word.as_ref());
    }
    line
}

fn push(line: &mut Vec<u8>, word: &[u8]) {
    if !word.is_empty() && word.iter().all(|byte| means_nothing(*byte)) {
        line.extend_from_slice(word);
        return;
    }
    line.push(b'\'');
    for byte in word {
        match byte {
            // A quote cannot stand between quotes: they end, it is escaped, they begin again.
            b'\'' => line.extend_from_slice(b"'\\''"),
            byte => line.push(*byte),
        }
    }
    line.push(b'\'');
}

fn means_nothing(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte)
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_stay_what_they_are() {
        let cases: [(&[&str], &str); 6] = [
            (&["ls", "-l", "/a/b.c"], "ls -l /a/b.c"),
            (&["A=1", "printenv"], "A=1 printenv"),
            (&["echo", ""], "echo ''"),
            (&["echo", "it's"], r"echo 'it'\''s'"),
            (&["echo", "$HOME;", "~", "a\tb", "é"], "echo '$HOME;' '~' 'a\tb' 'é'"),
            (&[], ""),
        ];
        for (words, line) in cases {
            assert_eq!(super::line(words), line.as_bytes());
        }
    }
}
