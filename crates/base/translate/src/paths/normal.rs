//! Paths with one way to write them.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::bytes::strip_prefix_ignore_case;

/// Makes an absolute Linux path lexically normal: single slashes, no `.`, no `..`.
///
/// A slash at the end stays (also one that only a `.` or `..` leaves there), the root's parent is
/// the root, and what is normal already is not copied.
pub fn normalize(path: &[u8]) -> Cow<'_, [u8]> {
    let dotted = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
    if !path.windows(2).any(dotted) {
        return Cow::Borrowed(path);
    }
    let mut normal = Vec::with_capacity(path.len());
    collapse(&mut normal, path, b'/');
    if normal.is_empty() {
        normal.push(b'/');
    }
    Cow::Owned(normal)
}

/// Appends the components of `path` to `out`, each with a separator before it; tells how often
/// `..` asked for more than there was.
fn collapse(out: &mut Vec<u8>, path: &[u8], separator: u8) -> usize {
    let start = out.len();
    let mut above = 0;
    let mut open = false;
    for name in path.split(|&byte| byte == separator) {
        open = matches!(name, b"" | b"." | b"..");
        match name {
            b"" | b"." => {}
            b".." if out.len() > start => {
                let from = out.iter().rposition(|&byte| byte == separator).unwrap_or(start);
                out.truncate(from.max(start));
            }
            b".." => above += 1,
            _ => {
                out.push(separator);
                out.extend_from_slice(name);
            }
        }
    }
    if open {
        out.push(separator);
    }
    above
}

/// A Windows path with one way to write it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Canonical {
    /// `X:` or `\\server\share`, then nothing or a backslash and names between single backslashes.
    Windows(Vec<u8>),
    /// `\\?\unix\…`, as Wine writes it: the Linux path.
    Linux(Vec<u8>),
}

pub(crate) fn canonical(path: &[u8]) -> Option<Canonical> {
    let mut path: Vec<u8> =
        path.iter().map(|&byte| if byte == b'/' { b'\\' } else { byte }).collect();
    for prefix in [&b"\\\\?\\"[..], b"\\\\.\\", b"\\??\\"] {
        let Some(inside) = path.strip_prefix(prefix) else { continue };
        if let Some(share) = strip_prefix_ignore_case(inside, b"UNC\\") {
            path = [b"\\\\", share].concat();
        } else if let Some(linux) = strip_prefix_ignore_case(inside, b"unix\\") {
            let linux = linux.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte });
            let linux: Vec<u8> = core::iter::once(b'/').chain(linux).collect();
            return Some(Canonical::Linux(normalize(&linux).into_owned()));
        } else {
            path = inside.to_vec();
        }
        break;
    }
    let (root, rest) = split_root(&path)?;
    let mut canonical = root.to_vec();
    if !rest.is_empty() {
        collapse(&mut canonical, rest.get(1..).unwrap_or_default(), b'\\');
    }
    Some(Canonical::Windows(canonical))
}

/// Splits a path with single kinds of separators behind its drive or share.
fn split_root(path: &[u8]) -> Option<(&[u8], &[u8])> {
    match path {
        [letter, b':', rest @ ..] if letter.is_ascii_alphabetic() => {
            let absolute = matches!(rest.first(), None | Some(b'\\'));
            absolute.then(|| path.split_at_checked(2)).flatten()
        }
        [b'\\', b'\\', names @ ..] => {
            let mut ends = names.iter().enumerate().filter(|(_, byte)| **byte == b'\\');
            let server_end = ends.next().map_or(names.len(), |(index, _)| index);
            let share_end = ends.next().map_or(names.len(), |(index, _)| index);
            if server_end == 0 || server_end + 1 == share_end {
                return None;
            }
            path.split_at_checked(share_end + 2)
        }
        _ => None,
    }
}
