//! Reads values of a registry file that Wine's server wrote, and sets them while no server runs.
//!
//! The server keeps the registry as text: a first line, then sections of one key each,
//! `[Software\\Wine] TIME`, lines that begin with `#`, and values `"name"="text"` or
//! `"name"=dword:0000000a`; a line that ends in a backslash goes on in the next. Setting five
//! values here takes a millisecond; through `reg.exe` each costs a start of Wine. Everything that
//! is not set stays as it was, byte for byte.

/// A value to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// A string (`REG_SZ`), ASCII without quotes and backslashes.
    Text(&'static str),
    /// A number (`REG_DWORD`).
    Number(u32),
}

/// Values to set in one key. The key's path is relative to the file's root, with single
/// backslashes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) path: &'static str,
    pub(crate) values: &'static [(&'static str, Value)],
}

/// The registry file with the values set; keys that are missing are added at the end.
pub(crate) fn set(file: &str, keys: &[Key]) -> String {
    keys.iter().fold(file.to_owned(), |file, key| set_key(&file, key))
}

/// Whether the registry file has all these values.
pub(crate) fn has(file: &[u8], keys: &[Key]) -> bool {
    keys.iter().all(|key| {
        key.values.iter().all(|(name, value)| match value {
            Value::Text(wanted) => {
                text(file, key.path, name).is_some_and(|found| found == wanted.as_bytes())
            }
            Value::Number(wanted) => {
                raw(file, key.path, name) == Some(format!("dword:{wanted:08x}").as_bytes())
            }
        })
    })
}

fn set_key(file: &str, key: &Key) -> String {
    let header = format!("[{}]", key.path.replace('\\', "\\\\"));
    let lines: Vec<&str> = file.lines().collect();
    let Some(start) = lines.iter().position(|line| is_header(line, &header)) else {
        return format!("{}\n\n{header}\n{}", file.trim_end(), values(key));
    };
    let rest = lines.get(start + 1..).unwrap_or_default();
    let length = rest.iter().position(|line| line.starts_with('[')).unwrap_or(rest.len());
    let (section, after) = rest.split_at(length);
    let mut output = String::with_capacity(file.len() + 256);
    for line in lines.iter().take(start + 1) {
        push(&mut output, line);
    }
    push_section(&mut output, section, key);
    for line in after {
        push(&mut output, line);
    }
    output
}

fn is_header(line: &str, header: &str) -> bool {
    line.get(..header.len()).is_some_and(|start| start.eq_ignore_ascii_case(header))
}

/// Writes a section's lines without the values that are set, and those behind its `#` lines.
fn push_section(output: &mut String, section: &[&str], key: &Key) {
    let comments = section.iter().take_while(|line| line.starts_with('#')).count();
    let (comments, old) = section.split_at(comments);
    for line in comments {
        push(output, line);
    }
    output.push_str(&values(key));
    let mut lines = old.iter();
    while let Some(line) = lines.next() {
        if key.values.iter().any(|(name, _)| names(line, name)) {
            let mut last = Some(line);
            while last.is_some_and(|line| line.ends_with('\\')) {
                last = lines.next();
            }
        } else {
            push(output, line);
        }
    }
}

fn names(line: &str, name: &str) -> bool {
    let text = line.strip_prefix('"').and_then(|rest| rest.split_once("\"="));
    text.is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
}

fn values(key: &Key) -> String {
    let value = |(name, value): &(&str, Value)| match value {
        Value::Text(text) => format!("\"{name}\"=\"{text}\"\n"),
        Value::Number(number) => format!("\"{name}\"=dword:{number:08x}\n"),
    };
    key.values.iter().map(value).collect()
}

fn push(output: &mut String, line: &str) {
    output.push_str(line);
    output.push('\n');
}

/// The text of a value: a string (`REG_SZ`) or one with variables in it (`REG_EXPAND_SZ`), as bytes
/// that are read as WTF-8. `None` where it is not there, or is something else.
///
/// `key` is relative to the file's root, with single backslashes. The file may hold anything.
pub(crate) fn text(file: &[u8], key: &str, name: &str) -> Option<Vec<u8>> {
    let value = raw(file, key, name)?;
    let quoted = value.strip_prefix(b"str(2):").unwrap_or(value);
    Some(winterop_translate::bytes::from_utf16(&unescape(quoted.strip_prefix(b"\"")?)))
}

/// What stands behind a value's name, on its first line.
fn raw<'a>(file: &'a [u8], key: &str, name: &str) -> Option<&'a [u8]> {
    let header = format!("[{}]", key.replace('\\', "\\\\"));
    let mut lines = file.split(|byte| *byte == b'\n');
    lines.find(|line| starts_ignoring_case(line, header.as_bytes()))?;
    let start = format!("\"{name}\"=");
    let line = lines
        .take_while(|line| line.first() != Some(&b'['))
        .find(|line| starts_ignoring_case(line, start.as_bytes()))?;
    line.get(start.len()..)
}

fn starts_ignoring_case(line: &[u8], start: &[u8]) -> bool {
    line.get(..start.len()).is_some_and(|line| line.eq_ignore_ascii_case(start))
}

/// The UTF-16 units up to the closing quote. The server writes what is not ASCII as `\x` and up to
/// four digits, and control characters as C does.
fn unescape(quoted: &[u8]) -> Vec<u16> {
    let mut units = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let unit = match (byte, tail) {
            (b'"', _) => break,
            (b'\\', [b'x', digits @ ..]) => number(digits, 16, 4, &mut rest),
            (b'\\', [b'0'..=b'7', ..]) => number(tail, 8, 3, &mut rest),
            (b'\\', [escape, behind @ ..]) => {
                rest = behind;
                u16::from(control(*escape))
            }
            _ => u16::from(*byte),
        };
        units.push(unit);
    }
    units
}

/// Reads up to `most` digits and leaves what is behind them in `rest`.
fn number<'a>(digits: &'a [u8], base: u32, most: usize, rest: &mut &'a [u8]) -> u16 {
    let value = |byte: &u8| char::from(*byte).to_digit(base).and_then(|d| u16::try_from(d).ok());
    let values: Vec<u16> = digits.iter().take(most).map_while(value).collect();
    *rest = digits.get(values.len()..).unwrap_or_default();
    let base = u16::try_from(base).unwrap_or(16);
    values.iter().fold(0, |sum: u16, digit| sum.wrapping_mul(base).wrapping_add(*digit))
}

fn control(escape: u8) -> u8 {
    match escape {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        b'e' => 27,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "WINE REGISTRY Version 2\n\
        ;; All keys relative to \\\\Machine\n\n\
        #arch=win64\n\n\
        [Software\\\\A] 1\n#time=1d\n\"Auto\"=\"1\"\n\"Big\"=hex:00,\\\n  01,02\n\"Keep\"=\"\\\\x\"\n\n\
        [Software\\\\B] 2\n\"Auto\"=\"1\"\n";

    #[test]
    fn values_are_replaced_in_their_own_key_only() {
        let values = &[("auto", Value::Text("0")), ("Big", Value::Number(10))];
        let file = set(FILE, &[Key { path: "software\\A", values }]);
        let expected = FILE.replace(
            "\"Auto\"=\"1\"\n\"Big\"=hex:00,\\\n  01,02\n",
            "\"auto\"=\"0\"\n\"Big\"=dword:0000000a\n",
        );
        assert_eq!(file, expected);
    }

    #[test]
    fn texts_are_read_as_the_server_writes_them() {
        let file = "[A] 1\n\"P\"=\"wrong\"\n[A\\\\B C] 2\n#time=1\n\"X\"=dword:00000001\n\
                    \"P\"=str(2):\"%S%\\\\a;\\\"\\xe4\\x263a\\xd83d\\xde00\\x41g\\t\\0332\\\"\"\n\
                    \"Q\"=\"open\n[C] 3\n\"R\"=\"r\"\n";
        let read = |key, name| {
            text(file.as_bytes(), key, name).map(|text| String::from_utf8(text).unwrap())
        };
        assert_eq!(read("a\\b c", "p").unwrap(), "%S%\\a;\"ä☺😀Ag\t\u{1b}2\"");
        assert_eq!(read("A\\B C", "Q").unwrap(), "open");
        assert_eq!(read("A", "P").unwrap(), "wrong");
        for (key, name) in [("A\\B C", "X"), ("A\\B C", "R"), ("A\\B", "P"), ("", "")] {
            assert_eq!(read(key, name), None, "{key} {name}");
        }
    }

    proptest! {
        #[test]
        fn any_file_can_be_read(value in "[\\PC\"\\\\x0-9a-f\n]{0,60}", end in any::<Vec<u8>>()) {
            let file = [b"[K] 1\n\"V\"=\"", value.as_bytes(), &end].concat();
            prop_assert!(text(&file, "K", "V").is_some());
            text(&end, "K", "V");
        }
    }

    #[test]
    fn a_missing_key_is_added() {
        let values = &[("Auto", Value::Text(""))];
        let file = set(FILE, &[Key { path: "Software\\C D", values }]);
        assert_eq!(file, format!("{FILE}\n[Software\\\\C D]\n\"Auto\"=\"\"\n"));
    }
}
