//! Linux bytes to UTF-16 and back.
//!
//! The byte side is read as WTF-8 (<https://simonsapin.github.io/wtf-8/>): UTF-8, plus unpaired
//! surrogates in the three-byte form that plain UTF-8 forbids. So every UTF-16 string, well formed
//! or not, has exactly one byte form and survives the way there and back.
//!
//! A Linux name may also hold bytes that are neither. Windows has no place for them: each maximal
//! ill-formed piece becomes one U+FFFD, as `MultiByteToWideChar` and Wine do it. Such text does not
//! come back as it was; [`is_exact`] tells in advance.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

const REPLACEMENT: u16 = 0xFFFD;

/// One step of reading bytes as WTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// A run of well-formed UTF-8.
    Text(&'a str),
    /// An unpaired surrogate in its three-byte form.
    Surrogate(u16),
    /// A maximal piece that is neither.
    IllFormed,
}

/// Iterator over the [`Piece`]s of a byte string; together they cover all of it.
struct Pieces<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let chunk = self.rest.utf8_chunks().next()?;
        if !chunk.valid().is_empty() {
            self.rest = self.rest.get(chunk.valid().len()..).unwrap_or_default();
            return Some(Piece::Text(chunk.valid()));
        }
        if let [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, rest @ ..] = self.rest {
            self.rest = rest;
            let unit = 0xD000 | (u16::from(second & 0x3F) << 6) | u16::from(third & 0x3F);
            return Some(Piece::Surrogate(unit));
        }
        self.rest = self.rest.get(chunk.invalid().len().max(1)..).unwrap_or_default();
        Some(Piece::IllFormed)
    }
}

/// Converts bytes to UTF-16 units, without a terminating NUL.
///
/// UTF-8 becomes what it says, a surrogate in its three-byte form becomes that one unit, and every
/// maximal piece that is neither becomes U+FFFD. Two surrogates next to each other that form a pair
/// are one character from then on.
pub fn to_utf16(bytes: &[u8]) -> Vec<u16> {
    let mut units = Vec::with_capacity(bytes.len());
    for piece in (Pieces { rest: bytes }) {
        match piece {
            Piece::Text(text) if text.is_ascii() => units.extend(text.bytes().map(u16::from)),
            Piece::Text(text) => units.extend(text.encode_utf16()),
            Piece::Surrogate(unit) => units.push(unit),
            Piece::IllFormed => units.push(REPLACEMENT),
        }
    }
    units
}

/// Counts the UTF-16 units that [`to_utf16`] would give, without building them.
pub fn utf16_len(bytes: &[u8]) -> usize {
    if bytes.is_ascii() {
        return bytes.len();
    }
    let units = |piece| match piece {
        Piece::Text(text) => text.chars().map(char::len_utf16).sum(),
        Piece::Surrogate(_) | Piece::IllFormed => 1,
    };
    Pieces { rest: bytes }.map(units).sum()
}

/// Converts UTF-16 units to bytes: UTF-8, with unpaired surrogates in their three-byte form.
///
/// `to_utf16(&from_utf16(units)) == units` holds for every `units`.
pub fn from_utf16(units: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(units.len());
    for decoded in char::decode_utf16(units.iter().copied()) {
        match decoded {
            Ok(character) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Err(unpaired) => {
                let unit = unpaired.unpaired_surrogate();
                let [high, low] = unit.to_be_bytes();
                bytes.extend_from_slice(&[
                    0xE0 | (high >> 4),
                    0x80 | ((high & 0x0F) << 2) | (low >> 6),
                    0x80 | (low & 0x3F),
                ]);
            }
        }
    }
    bytes
}

/// Tells whether the bytes come back unchanged from UTF-16.
///
/// False where a piece is not WTF-8, and for a surrogate pair written as two three-byte forms.
pub fn is_exact(bytes: &[u8]) -> bool {
    let mut after_high = false;
    for piece in (Pieces { rest: bytes }) {
        match piece {
            Piece::IllFormed => return false,
            Piece::Surrogate(unit) if after_high && unit >= 0xDC00 => return false,
            Piece::Surrogate(unit) => after_high = unit < 0xDC00,
            Piece::Text(_) => after_high = false,
        }
    }
    true
}

/// Makes text for a message: what is not UTF-8 becomes U+FFFD, control characters are escaped.
///
/// A path in an error message must not be able to move the cursor or start a new line.
pub fn for_display(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

/// Tells whether two texts are the same to Windows, which ignores case in file names.
///
/// Compares upper-case forms of single characters, as NTFS does; characters whose upper case is
/// more than one character (`ß`) stand for themselves.
pub fn eq_ignore_case(left: &[u8], right: &[u8]) -> bool {
    strip_prefix_ignore_case(left, right).is_some_and(<[u8]>::is_empty)
}

/// Removes `prefix` from the start of `text`, ignoring case as [`eq_ignore_case`] does.
///
/// Returns what is left, or `None` where `text` does not begin with `prefix`.
pub fn strip_prefix_ignore_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let same = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b);
    let shared = text.iter().zip(prefix).take_while(|&pair| same(pair)).count();
    match (text.get(shared), prefix.get(shared)) {
        (_, None) => return text.get(shared..),
        (None, Some(_)) => return None,
        (Some(a), Some(b)) if a.is_ascii() && b.is_ascii() => return None,
        // Letters beyond ASCII may still be the same but for their case.
        (Some(_), Some(_)) => {}
    }
    let (mut text, mut prefix) = (text, prefix);
    while !prefix.is_empty() {
        let (wanted, prefix_rest) = next_folded(prefix)?;
        let (found, text_rest) = next_folded(text)?;
        if wanted != found {
            return None;
        }
        (text, prefix) = (text_rest, prefix_rest);
    }
    Some(text)
}

/// Orders texts so that those which [`eq_ignore_case`] takes for the same are equal.
pub fn cmp_ignore_case(left: &[u8], right: &[u8]) -> Ordering {
    let same = |(a, b): (&u8, &u8)| a.is_ascii() && a.eq_ignore_ascii_case(b);
    let shared = left.iter().zip(right).take_while(|&pair| same(pair)).count();
    let (mut left, mut right) =
        (left.get(shared..).unwrap_or_default(), right.get(shared..).unwrap_or_default());
    loop {
        match (next_folded(left), next_folded(right)) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some((a, left_rest)), Some((b, right_rest))) => {
                if a != b {
                    return a.cmp(&b);
                }
                (left, right) = (left_rest, right_rest);
            }
        }
    }
}

/// Takes the first character of `bytes` in its upper case; a byte that is not UTF-8 stands for
/// itself, above every character.
fn next_folded(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&first, tail) = bytes.split_first()?;
    if first.is_ascii() {
        return Some((u32::from(first.to_ascii_uppercase()), tail));
    }
    let window = bytes.get(..bytes.len().min(4)).unwrap_or_default();
    let valid = window.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    match valid.chars().next() {
        Some(character) => {
            let rest = bytes.get(character.len_utf8()..).unwrap_or_default();
            Some((u32::from(upper(character)), rest))
        }
        None => Some((0x11_0000 + u32::from(first), tail)),
    }
}

fn upper(character: char) -> char {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn unpaired_surrogates_have_a_three_byte_form() {
        let units = vec![0x61, 0xD800, 0x62, 0xDC00, 0xD83D, 0xDE00];
        let bytes = from_utf16(&units);
        assert_eq!(bytes, b"a\xED\xA0\x80b\xED\xB0\x80\xF0\x9F\x98\x80");
        assert_eq!(to_utf16(&bytes), units);
        assert!(is_exact(&bytes));
    }

    #[test]
    fn ill_formed_pieces_become_one_replacement_each() {
        assert_eq!(to_utf16(b"bad\xffbyte"), to_utf16("bad\u{FFFD}byte".as_bytes()));
        assert_eq!(to_utf16(b"\xF0\x9F\x98"), [REPLACEMENT]);
        assert_eq!(to_utf16(b"\xC0\x80"), [REPLACEMENT, REPLACEMENT]);
        assert!(!is_exact(b"\xff"));
    }

    #[test]
    fn a_pair_in_two_halves_becomes_one_character() {
        let halves = b"\xED\xA0\xBD\xED\xB8\x80";
        assert!(!is_exact(halves));
        assert_eq!(from_utf16(&to_utf16(halves)), "😀".as_bytes());
    }

    #[test]
    fn case_is_ignored_beyond_ascii() {
        assert!(eq_ignore_case("ÄÖÜ".as_bytes(), "äöü".as_bytes()));
        assert!(eq_ignore_case(b"Debian", b"DEBIAN"));
        assert!(!eq_ignore_case(b"Debian", b"Debian-2"));
        assert!(!eq_ignore_case(b"\xff", b"\xfe"));
        assert_eq!(cmp_ignore_case("aÄ".as_bytes(), "Aä".as_bytes()), Ordering::Equal);
        assert_eq!(cmp_ignore_case(b"C:\\a", b"c:\\A\\b"), Ordering::Less);
        assert_eq!(cmp_ignore_case(b"D:", b"c:"), Ordering::Greater);
        let rest = strip_prefix_ignore_case("GRÜN\\x".as_bytes(), "grün".as_bytes());
        assert_eq!(rest, Some(&b"\\x"[..]));
    }

    #[test]
    fn messages_hold_no_control_characters() {
        assert_eq!(for_display(b"a\x1b[2Jb\n\xff"), "a\\u{1b}[2Jb\\n\u{FFFD}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn every_utf16_string_survives(units in proptest::collection::vec(any::<u16>(), 0..40)) {
            let bytes = from_utf16(&units);
            prop_assert!(is_exact(&bytes));
            prop_assert_eq!(utf16_len(&bytes), units.len());
            prop_assert_eq!(to_utf16(&bytes), units);
        }

        #[test]
        fn the_order_knows_what_is_the_same(
            left in "[aAbBäÄſsS\u{1}]{0,4}",
            right in "[aAbBäÄſsS\u{1}]{0,4}",
        ) {
            let (left, right) = (left.as_bytes(), right.as_bytes());
            let order = cmp_ignore_case(left, right);
            prop_assert_eq!(order == Ordering::Equal, eq_ignore_case(left, right));
            prop_assert_eq!(order.reverse(), cmp_ignore_case(right, left));
        }

        #[test]
        fn exactness_is_foretold(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let units = to_utf16(&bytes);
            prop_assert_eq!(units.len(), utf16_len(&bytes));
            prop_assert_eq!(from_utf16(&units) == bytes, is_exact(&bytes));
        }
    }
}
