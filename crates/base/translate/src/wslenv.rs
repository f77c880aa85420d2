//! The variables that `WSLENV` lists, translated for the other side.
//!
//! `WSLENV` is a list separated by colons. An entry is a variable's name and, behind a slash, flags:
//!
//! | entry | Linux to Windows | Windows to Linux |
//! |---|---|---|
//! | `A` | as it is | as it is |
//! | `A/p`, `A/l` | paths between `:` translated, joined with `;` | paths between `;`, joined with `:` |
//! | `A/w` | as it is | not sent |
//! | `A/u` | not sent | as it is |
//! | an unknown flag | not sent | not sent |
//!
//! A variable that is listed and not set is sent with an empty value, which removes it on the
//! other side. Where the flags ask for a translation and nothing of the value can be translated,
//! the variable is not sent. `WSLENV` itself always is, and first.

use alloc::vec::Vec;

use crate::paths::{Translator, WindowsPath, is_absolute};

/// Which way variables travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a Linux caller to a Windows program.
    ToWindows,
    /// From a Windows caller to a Linux program.
    ToLinux,
}

impl Direction {
    fn source_separator(self) -> u8 {
        match self {
            Self::ToWindows => b':',
            Self::ToLinux => b';',
        }
    }

    fn target_separator(self) -> u8 {
        match self {
            Self::ToWindows => b';',
            Self::ToLinux => b':',
        }
    }
}

/// One entry of `WSLENV` that has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The variable's name.
    pub name: &'a [u8],
    /// The value is a path or a list of paths.
    pub is_path: bool,
    only_windows: bool,
    only_linux: bool,
}

impl Listed<'_> {
    /// Tells whether the entry is for this direction.
    pub fn travels(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToWindows => !self.only_linux,
            Direction::ToLinux => !self.only_windows,
        }
    }
}

/// Reads `WSLENV`, without what has an unknown flag or a name that no variable can have.
pub fn entries(wslenv: &[u8]) -> impl Iterator<Item = Listed<'_>> {
    // `isspace` in the C locale, which also knows the vertical tab.
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0B;
    let end = wslenv.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
    wslenv.get(..end).unwrap_or_default().split(|&byte| byte == b':').filter_map(parse_entry)
}

fn parse_entry(entry: &[u8]) -> Option<Listed<'_>> {
    let slash = entry.iter().position(|&byte| byte == b'/').unwrap_or(entry.len());
    let (name, flags) = entry.split_at_checked(slash)?;
    if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
        return None;
    }
    let mut listed = Listed { name, is_path: false, only_windows: false, only_linux: false };
    for flag in flags.iter().skip(1) {
        match flag {
            b'p' | b'l' => listed.is_path = true,
            b'u' => listed.only_linux = true,
            b'w' => listed.only_windows = true,
            _ => return None,
        }
    }
    Some(listed)
}

/// Builds the environment entries that `WSLENV` asks for, each `NAME=value` without a NUL.
///
/// `wslenv` is its value, or `None` where it is not set; `lookup` gives a variable's value;
/// `translate_path` gives one path's name on the other side (Linux to Windows a relative path too,
/// as `wslpath` would), or `None`.
///
/// ```
/// use winterop_translate::wslenv::{self, Direction};
///
/// let entries = wslenv::translate(
///     Some(b"A:LIST/l:GONE"),
///     Direction::ToWindows,
///     |name| match name {
///         b"A" => Some(b"1".as_slice()),
///         b"LIST" => Some(b"/x:/y".as_slice()),
///         _ => None,
///     },
///     |path| Some([b"Z:", path].concat()),
/// );
/// let expected: [&[u8]; 4] = [b"WSLENV=A:LIST/l:GONE", b"A=1", b"LIST=Z:/x;Z:/y", b"GONE="];
/// assert_eq!(entries, expected);
/// ```
pub fn translate<'e>(
    wslenv: Option<&[u8]>,
    direction: Direction,
    lookup: impl Fn(&[u8]) -> Option<&'e [u8]>,
    translate_path: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Vec<Vec<u8>> {
    let wslenv = wslenv.unwrap_or_default();
    let mut output = Vec::with_capacity(8);
    output.push([b"WSLENV=", wslenv].concat());
    for listed in entries(wslenv).filter(|listed| listed.travels(direction)) {
        let value = lookup(listed.name);
        let mut entry = Vec::with_capacity(listed.name.len() + 1 + value.map_or(0, <[u8]>::len));
        entry.extend_from_slice(listed.name);
        entry.push(b'=');
        let sent = match value {
            Some(list) if listed.is_path => {
                translate_list(&mut entry, list, direction, &translate_path)
            }
            value => {
                entry.extend_from_slice(value.unwrap_or_default());
                true
            }
        };
        if sent {
            output.push(entry);
        }
    }
    output
}

/// One path of a variable's value as Windows hears it. A relative one stays relative: its slashes are
/// turned, as WSL does it.
pub fn windows_value(translator: &Translator, path: &[u8]) -> Option<Vec<u8>> {
    if path.starts_with(b"/") {
        return translator.to_windows(path.into()).ok().map(WindowsPath::into_bytes);
    }
    Some(path.iter().map(|byte| if *byte == b'/' { b'\\' } else { *byte }).collect())
}

/// Appends the translated list; false where nothing of it could be translated.
fn translate_list(
    out: &mut Vec<u8>,
    list: &[u8],
    direction: Direction,
    translate_path: &impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> bool {
    let mut any = false;
    for path in list.split(|&byte| byte == direction.source_separator()) {
        // A relative Windows path means nothing on the other side: there is no directory yet.
        if path.is_empty() || (direction == Direction::ToLinux && !is_absolute(path)) {
            continue;
        }
        let Some(translated) = translate_path(path).filter(|path| !path.is_empty()) else {
            continue;
        };
        if any {
            out.push(direction.target_separator());
        }
        out.extend_from_slice(&translated);
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn run(wslenv: &str, direction: Direction, variables: &[(&str, &str)]) -> Vec<String> {
        let entries = translate(
            Some(wslenv.as_bytes()),
            direction,
            |name| {
                let found = variables.iter().find(|(key, _)| key.as_bytes() == name);
                found.map(|(_, value)| value.as_bytes())
            },
            |path| match path {
                b"bad" | b"E:\\bad" => None,
                _ => Some([b"<", path, b">"].concat()),
            },
        );
        entries.into_iter().skip(1).map(|entry| String::from_utf8(entry).unwrap()).collect()
    }

    #[test]
    fn to_windows_as_the_table_says() {
        let variables = [
            ("A", "a"),
            ("P", "/x:/y"),
            ("U", "u"),
            ("W", "w"),
            ("E", ""),
            ("B", "bad"),
            ("M", "/x:bad::/y"),
        ];
        for (wslenv, expected) in [
            ("A", &["A=a"][..]),
            ("P/p", &["P=</x>;</y>"]),
            ("P/l", &["P=</x>;</y>"]),
            ("P/lp", &["P=</x>;</y>"]),
            ("W/w", &["W=w"]),
            ("U/u", &[]),
            ("P/pu:P/pw", &["P=</x>;</y>"]),
            ("A/uw", &[]),
            ("A/z:A/pz:A/P", &[]),
            ("NOPE:NOPE/p", &["NOPE=", "NOPE="]),
            ("E", &["E="]),
            ("E/p:B/p", &[]),
            ("M/l", &["M=</x>;</y>"]),
            ("A/:A", &["A=a", "A=a"]),
            ("::/p:=:A=B:A \t\n\r\x0b\x0c", &["A=a"]),
            ("", &[]),
        ] {
            assert_eq!(run(wslenv, Direction::ToWindows, &variables), expected, "{wslenv:?}");
        }
    }

    #[test]
    fn to_linux_with_the_roles_swapped() {
        let variables = [("A", "a"), ("P", "C:\\x;rel;\\\\s\\t;E:\\bad"), ("R", "x\\y;C:")];
        for (wslenv, expected) in [
            ("A", &["A=a"][..]),
            ("A/u", &["A=a"]),
            ("A/w", &[]),
            ("P/p", &["P=<C:\\x>:<\\\\s\\t>"]),
            ("R/l", &[]),
            ("NOPE/pu", &["NOPE="]),
        ] {
            assert_eq!(run(wslenv, Direction::ToLinux, &variables), expected, "{wslenv:?}");
        }
    }

    #[test]
    fn wslenv_itself_always_travels_as_it_is() {
        let none = |_: &[u8]| None;
        let nowhere = |_: &[u8]| None;
        assert_eq!(translate(None, Direction::ToWindows, none, nowhere), [b"WSLENV="]);
        assert_eq!(
            translate(Some(b"/u \n"), Direction::ToWindows, none, nowhere),
            [b"WSLENV=/u \n"]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(wslenv in proptest::collection::vec(any::<u8>(), 0..100)) {
            for direction in [Direction::ToWindows, Direction::ToLinux] {
                let entries = translate(Some(&wslenv), direction, |_| Some(&b""[..]), |_| None);
                prop_assert!(entries.iter().skip(1).all(|entry| entry.first() != Some(&b'=')));
            }
        }
    }
}
