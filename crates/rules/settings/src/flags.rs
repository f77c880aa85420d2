//! `DistributionFlags`: the switch for all users, in registry files.
//!
//! The machine's is in `/etc/winterop/system.reg`, which holds nothing else. A user's Wine prefix has
//! a registry of its own, `system.reg`, megabytes that Wine's server writes anew when they change; of
//! it only the one key is read. What a registry file says is a DWORD, read as
//! [`FlagsMeaning`](crate::machine::FlagsMeaning) has it.

use crate::file::{self, FileError, Limits};
use regashii::{Format, Key, KeyName, Registry, Value, ValueName};
use std::path::Path;

/// The key of the value, as Windows names it.
pub const KEY: &str = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\LxssManager";

/// The value's name.
pub const VALUE: &str = "DistributionFlags";

/// The key in a file of Wine's, which leaves the root out, and has the sets by their numbers.
const WINE_KEYS: [&str; 2] = [
    r"System\CurrentControlSet\Services\LxssManager",
    r"System\ControlSet001\Services\LxssManager",
];

/// The most bytes of the machine's file: 1 MiB.
pub(crate) const LARGEST: u64 = 1 << 20;

/// The most bytes of a prefix's registry: 256 MiB.
pub(crate) const LARGEST_OF_WINE: u64 = 256 << 20;

/// What a registry file says, or why it says nothing.
pub(crate) type Said = Result<Option<u32>, NoFlags>;

/// Why a registry file does not say which flags there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFlags {
    /// It was there and is not any more.
    #[error("it has no {VALUE} in {KEY}")]
    Lost,
    /// Its last line has no end.
    #[error("it ends in the middle of a line, and may be cut off")]
    CutOff,
    /// Another kind of file.
    #[error("it does not begin as Wine's registry does")]
    NotWines,
    /// What every registry of Wine's ends with is not there.
    #[error("its end is missing: it has no key System")]
    NoEnd,
    /// The bytes are no text.
    #[error("it is {0}")]
    NoText(&'static str),
    /// A line is not understood.
    #[error("line {0} is neither a key nor a value")]
    Line(usize),
    /// The whole is not understood.
    #[error("{0}")]
    NotUnderstood(String),
    /// The value has another type.
    #[error("{VALUE} is no DWORD: {0}")]
    OtherType(String),
}

/// What the text of the machine's file says, and what that of a Wine prefix's registry, or why it says nothing.
pub fn examine_text(text: &[u8]) -> [Result<Option<u32>, NoFlags>; 2] {
    let path = Path::new("system.reg");
    [of_machine(Some(text), path), of_prefix(Some(text), path)]
}

/// Reads the machine's file. One that is there and lacks the value has lost it.
pub(crate) fn of_machine(bytes: Option<&[u8]>, _: &Path) -> Said {
    let Some(bytes) = bytes else { return Ok(None) };
    let text = text_of(bytes)?;
    complete(&text)?;
    let value = value_in(&text)?;
    value.map(Some).ok_or(NoFlags::Lost)
}

/// Reads a prefix's registry: of some megabytes the few lines of the one key.
pub(crate) fn of_prefix(bytes: Option<&[u8]>, _: &Path) -> Said {
    let Some(bytes) = bytes else { return Ok(None) };
    if !bytes.ends_with(b"\n") {
        return Err(NoFlags::CutOff);
    }
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    if !first.starts_with(Format::WINE_2.as_bytes()) {
        return Err(NoFlags::NotWines);
    }
    // Keys are in their order, and everything of the machine's is in the last ones.
    let (mut wanted, mut is_whole) = (false, false);
    let mut section = first.to_vec();
    for line in lines {
        if line.first() == Some(&b'[') {
            is_whole |= begins_with(line, br"[system\\");
            wanted = is_key(line);
        }
        if wanted {
            section.extend_from_slice(line);
        }
    }
    if !is_whole {
        return Err(NoFlags::NoEnd);
    }
    value_in(&String::from_utf8_lossy(&section))
}

fn begins_with(line: &[u8], start: &[u8]) -> bool {
    line.get(..start.len()).is_some_and(|line| line.eq_ignore_ascii_case(start))
}

fn is_key(line: &[u8]) -> bool {
    WINE_KEYS.iter().any(|key| {
        let header = format!("[{}]", key.replace('\\', "\\\\"));
        begins_with(line, header.as_bytes())
    })
}

/// Text in UTF-8 or, as Windows exports it, UTF-16.
fn text_of(bytes: &[u8]) -> Result<String, NoFlags> {
    if let Some(rest) = bytes.strip_prefix(b"\xFF\xFE") {
        let units = rest.chunks_exact(2).filter_map(|pair| pair.try_into().ok());
        let units: Vec<u16> = units.map(u16::from_le_bytes).collect();
        return String::from_utf16(&units).map_err(|_| NoFlags::NoText("no UTF-16"));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    String::from_utf8(bytes.to_vec()).map_err(|_| NoFlags::NoText("neither UTF-8 nor UTF-16"))
}

/// The crate reads registry files as Windows does and passes over what it does not understand; a
/// file that was cut off must not pass for one that says little.
fn complete(text: &str) -> Result<(), NoFlags> {
    if !text.ends_with('\n') {
        return Err(NoFlags::CutOff);
    }
    let mut lines = text.lines().enumerate().skip(1);
    let understood = |line: &str| {
        let line = line.trim();
        let is_key = line.starts_with('[') && line.contains(']');
        let is_value = (line.starts_with('"') || line.starts_with('@')) && line.contains('=');
        line.is_empty() || line.starts_with([';', '#']) || is_key || is_value
    };
    match lines.find(|(_, line)| !understood(line)) {
        None => Ok(()),
        Some((index, _)) => Err(NoFlags::Line(index + 1)),
    }
}

/// The value in the first of its keys that has one.
fn value_in(text: &str) -> Said {
    let registry = Registry::deserialize(text);
    let registry = registry.map_err(|error| NoFlags::NotUnderstood(error.to_string()))?;
    let keys = WINE_KEYS.iter().copied().chain([KEY]);
    let values = keys.filter_map(|key| {
        let name = registry.key_name(&KeyName::new(key));
        let key = registry.keys().get(&name)?;
        let name = ValueName::named(VALUE);
        key.values().get(&key.value_name(&name)).cloned()
    });
    let mut found = None;
    for value in values {
        match value {
            Value::Dword(flags) => found = Some(found.unwrap_or(0) | flags),
            other => return Err(NoFlags::OtherType(format!("{other:?}"))),
        }
    }
    Ok(found)
}

/// Writes the machine's file anew, with what else it holds; the old one is replaced whole or not at
/// all.
///
/// # Errors
/// A [`FileError`] for a file that cannot be read or written.
pub fn write(path: &Path, flags: u32) -> Result<(), FileError> {
    let content = file::read(path, Limits::up_to(LARGEST).of_root())?;
    let text = content.and_then(|content| text_of(&content.bytes).ok());
    let registry = text.and_then(|text| Registry::deserialize(&text).ok());
    let mut registry = registry.unwrap_or_else(|| Registry::new(Format::Regedit4));
    let name = registry.key_name(&KeyName::new(KEY));
    let mut key = registry.keys().get(&name).cloned().unwrap_or_else(Key::new);
    key.insert(ValueName::named(VALUE), Value::Dword(flags));
    registry.insert(name, key);
    // In UTF-8, so that people can read and edit it with what they have.
    let text = registry.serialize().replacen(Format::REGEDIT_5, Format::REGEDIT_4, 1);
    let replaced = file::replace(path, text.as_bytes(), 0o644);
    replaced.map_err(|error| FileError::System { path: path.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(text: &str) -> Said {
        of_machine(Some(text.as_bytes()), Path::new("x"))
    }

    #[test]
    fn s1_the_value_in_the_formats_of_windows_and_of_wine() {
        let wine = "WINE REGISTRY Version 2\n;; All keys relative to \\\\Machine\n\n#arch=win64\n\n\
                    [Software\\\\A] 1\n#time=1\n\"b\"=\"c\"\n\n\
                    [System\\\\ControlSet001\\\\Services\\\\LxssManager] 17\n#time=1d\n\
                    \"DistributionFlags\"=dword:00000005\n\n[System\\\\Z]\n";
        assert_eq!(of_prefix(Some(wine.as_bytes()), Path::new("x")), Ok(Some(5)));
        assert_eq!(machine(wine), Ok(Some(5)));
        for format in [Format::REGEDIT_4, Format::REGEDIT_5] {
            let text = format!(
                "{format}\r\n\r\n[hkey_local_machine\\system\\CurrentControlSet\\Services\\LxssManager]\r\n\
                 \"distributionflags\"=dword:00000001\r\n"
            );
            assert_eq!(machine(&text), Ok(Some(1)));
            let units = text.encode_utf16().flat_map(u16::to_le_bytes);
            let bytes: Vec<u8> = [0xFF, 0xFE].into_iter().chain(units).collect();
            assert_eq!(of_machine(Some(&bytes), Path::new("x")), Ok(Some(1)));
        }
    }

    #[test]
    fn s1_a_file_that_was_cut_off_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("winterop/system.reg");
        if rustix::process::geteuid().is_root() {
            for flags in [1, 0, 7] {
                write(&path, flags).unwrap();
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(machine(&text), Ok(Some(flags)), "{text}");
                for length in 0..text.len() {
                    let cut = machine(text.get(..length).unwrap());
                    assert!(cut.is_err(), "{:?} {cut:?}", text.get(..length));
                }
            }
            let names = std::fs::read_dir(path.parent().unwrap()).unwrap();
            assert_eq!(names.count(), 1);
        }
        let wine = "WINE REGISTRY Version 2\n\n[Software\\\\A]\n\"b\"=\"c\"\n";
        for cut in [wine, wine.get(..wine.len() - 3).unwrap(), ""] {
            assert!(of_prefix(Some(cut.as_bytes()), Path::new("x")).is_err(), "{cut}");
        }
        assert_eq!(of_prefix(None, Path::new("x")), Ok(None));
    }
}
