//! Where in a stream of bytes from a terminal a key ends.
//!
//! A key is a character in UTF-8, a control character, or an escape sequence as ECMA-48 and xterm
//! have them. A console host has to be given one as a whole: of half a sequence it makes an Escape
//! key and some letters.

/// Whether a key is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is.
    Whole,
    /// It is, unless more of it is there already: Escape alone is a key.
    MayGoOn,
    /// Its other bytes come.
    GoesOn,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Begin,
    /// This many bytes of a character are to come.
    Character(u8),
    Escape,
    /// Behind `ESC [`; whether anything stands there.
    Control {
        is_empty: bool,
    },
    /// `ESC O`, or anything else with exactly this many bytes to come.
    Fixed(u8),
    /// A text up to BEL or `ESC \`.
    Text,
    TextEscape,
}

/// A key that is being read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Key {
    state: State,
}

impl Key {
    /// No byte yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Begin }
    }

    /// Takes the next byte of the key.
    pub fn take(&mut self, byte: u8) -> Progress {
        let (state, progress) = self.state.after(byte);
        self.state = state;
        progress
    }
}

impl State {
    fn after(self, byte: u8) -> (Self, Progress) {
        use Progress::{GoesOn, MayGoOn, Whole};
        match (self, byte) {
            (Self::Begin, 0x1b) => (Self::Escape, MayGoOn),
            (Self::Begin, lead) => match following(lead) {
                0 => (Self::Begin, Whole),
                count => (Self::Character(count), GoesOn),
            },
            (Self::Character(count), 0x80..=0xbf) if count > 1 => {
                (Self::Character(count.saturating_sub(1)), GoesOn)
            }
            (Self::Escape, b'[') => (Self::Control { is_empty: true }, MayGoOn),
            (Self::Escape, b'O') => (Self::Fixed(1), MayGoOn),
            (Self::Escape, b']' | b'P' | b'_' | b'^' | b'X') => (Self::Text, MayGoOn),
            // Alt with a key that is a sequence itself.
            (Self::Escape, 0x1b) => (Self::Escape, MayGoOn),
            (Self::Escape, lead) if following(lead) > 0 => {
                (Self::Character(following(lead)), GoesOn)
            }
            // A click in the oldest form: three bytes of any value.
            (Self::Control { is_empty: true }, b'M') => (Self::Fixed(3), GoesOn),
            // The Linux console's F1 to F5.
            (Self::Control { is_empty: true }, b'[') => (Self::Fixed(1), MayGoOn),
            (Self::Control { .. }, 0x20..=0x3f) => (Self::Control { is_empty: false }, MayGoOn),
            (Self::Fixed(count), _) if count > 1 => (Self::Fixed(count.saturating_sub(1)), GoesOn),
            (Self::Text, 0x1b) => (Self::TextEscape, MayGoOn),
            (Self::Text | Self::TextEscape, byte) if byte != 0x07 && !self.ends_with(byte) => {
                (Self::Text, MayGoOn)
            }
            _ => (Self::Begin, Whole),
        }
    }

    fn ends_with(self, byte: u8) -> bool {
        self == Self::TextEscape && byte == b'\\'
    }
}

/// How many bytes of a character follow its first one.
fn following(lead: u8) -> u8 {
    match lead {
        0xc2..=0xdf => 1,
        0xe0..=0xef => 2,
        0xf0..=0xf4 => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Splits a stream in which everything is there at once.
    fn split(bytes: &[u8]) -> Vec<&[u8]> {
        let (mut keys, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let mut key = Key::new();
            let whole = rest.iter().position(|byte| key.take(*byte) == Progress::Whole);
            let (first, others) = rest.split_at(whole.map_or(rest.len(), |at| at + 1));
            keys.push(first);
            rest = others;
        }
        keys
    }

    #[test]
    fn keys_are_told_apart() {
        let keys: [&[u8]; 16] = [
            b"a",
            b"\r",
            b"\x7f",
            "é".as_bytes(),
            "漢".as_bytes(),
            "😀".as_bytes(),
            b"\x1b[A",
            b"\x1b[1;5C",
            b"\x1bOP",
            b"\x1b[[A",
            b"\x1b[M !!",
            b"\x1b[<0;10;20M",
            b"\x1bx",
            b"\x1b\x1b[A",
            b"\x1b]10;rgb:0/0/0\x1b\\",
            b"\x1b]11;rgb:0/0/0\x07",
        ];
        let stream = keys.concat();
        assert_eq!(split(&stream), keys);
    }

    #[test]
    fn escape_alone_is_a_key_and_half_a_character_is_none() {
        assert_eq!(Key::new().take(0x1b), Progress::MayGoOn);
        assert_eq!(Key::new().take(0xe6), Progress::GoesOn);
        // What is no UTF-8 is passed on as it is.
        assert_eq!(Key::new().take(0xff), Progress::Whole);
        let mut cut = Key::new();
        cut.take(0xe6);
        assert_eq!(cut.take(b'a'), Progress::Whole);
    }

    proptest! {
        #[test]
        fn every_byte_is_part_of_a_key(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(split(&bytes).concat(), bytes);
        }
    }
}
