//! What Windows, or Wine, takes for the name of a file, and how other names go.

use alloc::vec::Vec;

/// Tells whether Wine opens a name, or names with slashes between them, below a drive letter, and
/// not only as `\\?\unix\…`.
pub fn opens_in_wine(rest: &[u8]) -> bool {
    rest.split(|&byte| byte == b'/').all(|name| {
        !name.iter().any(|byte| matches!(byte, 0..=31 | b'*' | b'?' | b'"' | b'<' | b'>' | b'|'))
            && !matches!(name.last(), Some(b'.' | b' '))
    })
}

/// Tells whether Windows takes the name of a file for a device: `con`, `NUL.txt`, `com1 .log`.
pub fn is_device(name: &[u8]) -> bool {
    let stem = name.split(|byte| matches!(byte, b'.' | b':')).next().unwrap_or_default();
    let stem = stem.trim_ascii_end();
    let named = |device: &&[u8]| stem.eq_ignore_ascii_case(device);
    let numbered =
        |device: &[u8]| device.eq_ignore_ascii_case(b"com") || device.eq_ignore_ascii_case(b"lpt");
    [&b"con"[..], b"prn", b"aux", b"nul", b"conin$", b"conout$"].iter().any(named)
        || matches!(stem, [device @ .., b'1'..=b'9'] if numbered(device))
}

/// Tells whether a character of a Linux name has to go as a private-use character.
///
/// Tab is legal to WSL.
fn needs_escape(byte: u8) -> bool {
    matches!(byte, 1..=8 | 10..=31 | b'"' | b'*' | b':' | b'<' | b'>' | b'?' | b'\\' | b'|')
}

pub(super) fn push_private_use(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[0xEF, 0x80 | (byte >> 6), 0x80 | (byte & 0x3F)]);
}

/// Appends part of a Linux path as part of a Windows path: slashes become backslashes, and what
/// Windows cannot have in a name becomes private-use characters.
pub(crate) fn escape_into(out: &mut Vec<u8>, path: &[u8]) {
    for &byte in path {
        match byte {
            b'/' => out.push(b'\\'),
            _ if needs_escape(byte) => push_private_use(out, byte),
            _ => out.push(byte),
        }
    }
}

/// Appends part of a Windows path as part of a Linux path; the inverse of [`escape_into`].
pub(super) fn unescape_into(out: &mut Vec<u8>, path: &[u8]) {
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = match rest {
            [0xEF, high @ 0x80..=0x81, low @ 0x80..=0xBF, tail @ ..]
                if needs_escape(((high & 1) << 6) | (low & 0x3F)) =>
            {
                out.push(((high & 1) << 6) | (low & 0x3F));
                tail
            }
            _ => {
                out.push(if *first == b'\\' { b'/' } else { *first });
                tail
            }
        };
    }
}
