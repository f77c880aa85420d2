//! The kernel's table of executables, binfmt_misc, as it decides: which entry takes a file, and why.
//!
//! The kernel asks the entries before its own formats, the one registered last first, and takes the
//! first that is enabled and matches (`fs/binfmt_misc.c`, `search_binfmt_handler`). A magic is compared
//! below its mask with the first 256 bytes of the file; an extension with what follows the last dot of
//! the path that was executed. The entries' folder lists in the same order: each is put at its head.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// How many bytes of a file the kernel looks at.
pub const LOOKED_AT: usize = 256;

/// What an entry matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Bytes at an offset.
    Magic {
        /// Where they are.
        offset: usize,
        /// The bytes.
        magic: Vec<u8>,
        /// Which of their bits count; all, where there is none.
        mask: Option<Vec<u8>>,
    },
    /// What follows the last dot of the path.
    Extension(Vec<u8>),
}

/// An entry of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// Its name.
    pub name: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What it starts.
    pub interpreter: String,
    /// Its flags, such as `POF`.
    pub flags: String,
    /// What it matches.
    pub rule: Rule,
}

/// The whole table, in the order in which the kernel asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Whether it is switched on as a whole.
    pub enabled: bool,
    /// The entries, the one that is asked first in front.
    pub entries: Vec<TableEntry>,
}

impl Table {
    /// Reads the table that is mounted at `folder`.
    ///
    /// # Errors
    /// The system's; `ENOENT` where no table is mounted there.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let status = fs::read_to_string(folder.join("status"))?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name == "register" || name == "status" {
                continue;
            }
            // One that is removed meanwhile is not there.
            let Ok(text) = fs::read_to_string(folder.join(&name)) else { continue };
            entries.extend(TableEntry::parse(name, &text));
        }
        Ok(Self { enabled: status.trim_end() == "enabled", entries })
    }

    /// The entry that takes a file with this beginning, executed by this path.
    #[must_use]
    pub fn taker<'a>(&'a self, path: &'a Path, head: &'a [u8]) -> Option<&'a TableEntry> {
        self.matching(path, head).find(|entry| self.enabled && entry.enabled)
    }

    /// Every entry that matches, enabled or not, in the kernel's order.
    pub fn matching<'a>(
        &'a self,
        path: &'a Path,
        head: &'a [u8],
    ) -> impl Iterator<Item = &'a TableEntry> {
        self.entries.iter().filter(move |entry| entry.rule.matches(path, head))
    }
}

impl TableEntry {
    /// Reads the text of an entry's file; lines of other kernels are skipped. `None` where it says
    /// nothing to match.
    #[must_use]
    pub fn parse(name: String, text: &str) -> Option<Self> {
        let field = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
        let rule = match field("extension .") {
            Some(extension) => Rule::Extension(extension.as_bytes().to_vec()),
            None => Rule::Magic {
                offset: field("offset ").and_then(|offset| offset.parse().ok()).unwrap_or(0),
                magic: bytes(field("magic ")?)?,
                mask: field("mask ").and_then(bytes),
            },
        };
        Some(Self {
            name,
            enabled: text.lines().next() == Some("enabled"),
            interpreter: field("interpreter ").unwrap_or_default().to_owned(),
            flags: field("flags: ").unwrap_or_default().to_owned(),
            rule,
        })
    }
}

impl Rule {
    /// Whether a file that begins so, executed by this path, is matched. What lies behind the file's
    /// end counts as zeros, as in the kernel.
    #[must_use]
    pub fn matches(&self, path: &Path, head: &[u8]) -> bool {
        match self {
            Self::Extension(extension) => {
                let path = path.as_os_str().as_bytes();
                let dot = path.iter().rposition(|byte| *byte == b'.');
                dot.and_then(|dot| path.get(dot + 1..)) == Some(&**extension)
            }
            Self::Magic { offset, magic, mask } => magic.iter().enumerate().all(|(index, byte)| {
                let place = offset.checked_add(index);
                let found = place.and_then(|place| head.get(place)).copied().unwrap_or(0);
                let mask = mask.as_ref().and_then(|mask| mask.get(index)).copied().unwrap_or(0xFF);
                (found ^ byte) & mask == 0
            }),
        }
    }

    /// What it matches, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match self {
            Self::Extension(extension) => {
                format!("the name's end .{}", String::from_utf8_lossy(extension))
            }
            Self::Magic { offset, magic, mask } => {
                let mask = mask.as_ref().map(|mask| format!(" below the mask {}", hex(mask)));
                format!("the bytes {} at {offset}{}", hex(magic), mask.unwrap_or_default())
            }
        }
    }
}

/// Reads pairs of hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.trim().as_bytes();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// The bytes of a file that the kernel looks at.
///
/// # Errors
/// The system's.
pub fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(LOOKED_AT);
    fs::File::open(path)?.take(LOOKED_AT as u64).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, text: &str) -> TableEntry {
        TableEntry::parse(name.to_owned(), text).unwrap()
    }

    fn takes(rule: &str, path: &str, head: &[u8]) -> bool {
        entry("x", &format!("enabled\ninterpreter /x\nflags: \n{rule}"))
            .rule
            .matches(Path::new(path), head)
    }

    #[test]
    fn entries_as_the_kernel_shows_them() {
        let magic = entry("a", "enabled\ninterpreter /init\nflags: POF\noffset 0\nmagic 4d5a\n");
        let rule = Rule::Magic { offset: 0, magic: b"MZ".to_vec(), mask: None };
        assert_eq!((magic.enabled, &*magic.flags, magic.rule), (true, "POF", rule));
        let masked =
            entry("a", "disabled\ninterpreter /q\nflags: OC\noffset 2\nmagic 7f45\nmask ff0f\n");
        assert!(!masked.enabled);
        assert_eq!(masked.rule.words(), "the bytes 7f45 at 2 below the mask ff0f");
        assert_eq!(TableEntry::parse("x".to_owned(), "enabled\n"), None);
        assert_eq!(TableEntry::parse("x".to_owned(), "enabled\nmagic 4g\n"), None);
    }

    #[test]
    fn magics_masks_and_extensions() {
        assert!(takes("offset 0\nmagic 4d5a\n", "x", b"MZ\x90"));
        assert!(!takes("offset 0\nmagic 4d5a\n", "x", b"M"));
        assert!(takes("offset 1\nmagic 5a\n", "x", b"MZ"));
        assert!(takes("offset 0\nmagic 4d00\n", "x", b"M"));
        assert!(takes("offset 0\nmagic 4d5a\nmask ff00\n", "x", b"MX"));
        assert!(!takes("offset 0\nmagic 4d5a\nmask ff0f\n", "x", b"MX"));
        assert!(takes("extension .bat\n", "a.b/x.bat", b""));
        assert!(!takes("extension .bat\n", "x.BAT", b""));
        assert!(!takes("extension .bat\n", "x.bat.txt", b""));
        assert!(!takes("extension .bat\n", "bat", b""));
    }

    #[test]
    fn the_first_that_is_enabled_and_matches_takes_the_file() {
        let first = entry("off", "disabled\ninterpreter /a\noffset 0\nmagic 4d5a\n");
        let second = entry("on", "enabled\ninterpreter /b\noffset 0\nmagic 4d\n");
        let table = Table { enabled: true, entries: vec![first, second] };
        let name =
            |table: &Table| table.taker(Path::new("x"), b"MZ").map(|entry| entry.name.clone());
        assert_eq!(name(&table).as_deref(), Some("on"));
        assert_eq!(table.matching(Path::new("x"), b"MZ").count(), 2);
        assert_eq!(name(&Table { enabled: false, ..table }), None);
    }
}
