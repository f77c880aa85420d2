//! Sets values in a registry file that Wine's server wrote, while no server runs.
//!
//! The server keeps the registry as text: a first line, then sections of one key each,
//! `[Software\\Wine] TIME`, lines that begin with `#`, and values `"name"="text"` or
//! `"name"=dword:0000000a`; a line that ends in a backslash goes on in the next. Setting five
//! values here takes a millisecond; through `reg.exe` each costs a start of Wine. Everything that
//! is not set stays as it was, byte for byte.

/// A value to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A string (`REG_SZ`), ASCII without quotes and backslashes.
    Text(&'static str),
    /// A number (`REG_DWORD`).
    Number(u32),
}

/// Values to set in one key. The key's path is relative to the file's root, with single
/// backslashes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) path: &'static str,
    pub(super) values: &'static [(&'static str, Value)],
}

/// The registry file with the values set; keys that are missing are added at the end.
pub(super) fn set(file: &str, keys: &[Key]) -> String {
    keys.iter().fold(file.to_owned(), |file, key| set_key(&file, key))
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

#[cfg(test)]
mod tests {
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
    fn a_missing_key_is_added() {
        let values = &[("Auto", Value::Text(""))];
        let file = set(FILE, &[Key { path: "Software\\C D", values }]);
        assert_eq!(file, format!("{FILE}\n[Software\\\\C D]\n\"Auto\"=\"\"\n"));
    }
}
