//! The words for everything that can go wrong on the way from exec to a Windows program.
//!
//! One [`Failure`] for each kind of failure, with what was tried, on what, the error and what to do,
//! an identifier that stays the same, and the status that a shell sees. [`Failure::words`] fills in
//! what a launch has, and [`Words`] is the line that a person reads:
//!
//! ```text
//! starting ./tool.exe: it is an empty file; was it copied or downloaded completely? [empty-file]
//! ```
//!
//! `docs/errors.md` is made of the same table. Beside it: what error numbers of Linux
//! ([`system`]) and of Windows ([`windows`]) mean.
//!
//! No dependencies and no std: the interpreter says these words too.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod catalogue;
mod printable;
pub mod system;
pub mod visible;
pub mod windows;

pub use catalogue::{CATALOGUE, Failure};
pub use printable::{printable, steers};

use alloc::format;
use alloc::string::String;
use core::fmt;

/// What a failure means to whoever started the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The program is there and cannot run.
    CannotRun,
    /// The program is not there.
    NotFound,
    /// What was asked for cannot be said to a Windows program.
    Invalid,
    /// It is over a limit of Windows or Linux.
    TooBig,
    /// The connection broke, or the other side broke the rules.
    Broken,
}

impl Kind {
    /// The exit status: as shells have it, 126 for what cannot run and 127 for what is not there; 1
    /// where a launch broke off.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::CannotRun | Self::Invalid | Self::TooBig => 126,
            Self::NotFound => 127,
            Self::Broken => 1,
        }
    }

    /// The error number of Linux that WSL's protocol has for it.
    #[must_use]
    pub const fn errno(self) -> i32 {
        match self {
            Self::NotFound => 2,
            Self::Broken => 5,
            Self::TooBig => 7,
            Self::CannotRun => 13,
            Self::Invalid => 22,
        }
    }
}

/// A kind of failure as the catalogue has it; `{names}` stand for what a launch fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The identifier: small letters and dashes. It stays the same.
    pub id: &'static str,
    /// What it means to whoever started the program.
    pub kind: Kind,
    /// What was tried.
    pub tried: &'static str,
    /// On what.
    pub on: &'static str,
    /// What went wrong.
    pub error: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// When it happens, in a sentence or two.
    pub about: &'static str,
}

impl Entry {
    /// The line that a person reads, with the fields' names in braces.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { id, tried, on, error, advice, .. } = self;
        format!("{tried} {on}: {error}; {advice} [{id}]")
    }
}

/// The entry with this identifier.
#[must_use]
pub fn find(id: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.id == id)
}

/// A failure in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The identifier.
    pub id: &'static str,
    /// What it means to whoever started the program.
    pub kind: Kind,
    /// What was tried.
    pub tried: &'static str,
    /// On what.
    pub on: String,
    /// What went wrong, with the system's or Windows' text.
    pub error: String,
    /// What to do.
    pub advice: String,
    /// Lines below the first, where one is not enough.
    pub more: String,
}

impl Words {
    /// What went wrong and what to do, for where somebody else says what was tried.
    #[must_use]
    pub fn fault(&self) -> String {
        format!("{}; {}{}", self.error, self.advice, self.more)
    }

    /// The line without its identifier, for within another line.
    #[must_use]
    pub fn plain(&self) -> String {
        format!("{} {}: {}", self.tried, self.on, self.fault())
    }

    /// The same failure, met while doing something to something else.
    #[must_use]
    pub fn on(self, on: impl fmt::Display) -> Self {
        Self { on: visible::line(&format!("{on}")), ..self }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, tried, on, error, advice, more, .. } = self;
        write!(f, "{tried} {on}: {error}; {advice} [{id}]{more}")
    }
}

impl core::error::Error for Words {}

/// The text of `docs/errors.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Every message of something that fails has one line: what was tried on what, the error, what \
         to do, and in\nbrackets an identifier that stays the same. `winterop explain ID` says what \
         stands here.\n`winterop doctor` looks for the causes. The status is the exit status: 126 \
         for what cannot run, 127 for\nwhat is not there, 1 where a launch broke off. Errors of the \
         system come with the system's text.\n\n\
         This page is made of the table in `crates/base/words/src/catalogue.rs`:\n\
         `cargo run --release -p winterop-words --example errors_page > docs/errors.md`.\n\n\
         | id | status | the line | when |\n|---|---|---|---|\n",
    );
    for entry in CATALOGUE {
        let about: alloc::vec::Vec<&str> = entry.about.split_whitespace().collect();
        let Entry { tried, on, error, advice, .. } = entry;
        let line = format!("{tried} {on}: {error}; {advice}");
        let cells = [entry.id, &line, &about.join(" ")].map(|cell| cell.replace('|', "\\|"));
        let [id, line, about] = cells;
        page.push_str(&format!("| `{id}` | {} | {line} | {about} |\n", entry.kind.status()));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_failure_says_what_was_tried_on_what_the_error_and_what_to_do() {
        let samples = catalogue::samples();
        assert_eq!(samples.len(), CATALOGUE.len());
        for (words, entry) in samples.iter().zip(CATALOGUE) {
            assert_eq!(words.id, entry.id);
            for part in [words.tried, &words.on, &words.error, &words.advice] {
                assert!(part.len() > 2 && part.trim() == part, "{}: {part:?}", words.id);
                assert!(!part.ends_with(['.', ';']), "{}: {part:?}", words.id);
                assert!(
                    !part.contains("  ") && !part.contains(['{', '}']),
                    "{}: {part:?}",
                    words.id
                );
            }
            let line = std::string::ToString::to_string(words);
            let first = line.strip_suffix(&*words.more).unwrap();
            assert_eq!(first.lines().count(), 1, "{line}");
            assert!(first.ends_with(&format!("[{}]", words.id)), "{line}");
            assert!(first.len() < 480, "{} has {} bytes", words.id, first.len());
            assert!(!entry.about.trim().is_empty());
        }
    }

    #[test]
    fn what_a_name_holds_makes_no_other_line_and_reaches_no_terminal() {
        let words = Failure::RuntimeNotPrivate { path: &"/a\u{1b}[2J\u{9b}K\nforged" }.words();
        let words = words.on("b\r\n\u{1b}");
        let line = std::string::ToString::to_string(&words);
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.contains("/a\\u001b[2J\\u009bK\\u000aforged") && line.contains("b\\u000d"));
    }

    #[test]
    fn identifiers_are_plain_and_each_stands_once() {
        let ids: BTreeSet<&str> = CATALOGUE.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), CATALOGUE.len());
        for id in ids {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(id.bytes().all(plain), "{id}");
            assert_eq!(find(id).map(|entry| entry.id), Some(id));
        }
        assert_eq!(find("not-there"), None);
    }

    #[test]
    fn no_failure_looks_like_success() {
        for entry in CATALOGUE {
            assert!(matches!(entry.kind.status(), 1 | 126 | 127), "{}", entry.id);
            assert!(entry.kind.errno() > 0, "{}", entry.id);
        }
    }

    #[test]
    fn the_page_is_made_of_the_table() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/errors.md");
        let written = std::fs::read_to_string(file).unwrap();
        assert!(written == page(), "docs/errors.md is old; its head says how it is made");
    }

    #[test]
    fn codes_have_texts_of_one_line() {
        for code in (0..=0xFFFF).chain(0x8000_0000..=0x8000_FFFF).chain(0xC000_0000..=0xC000_FFFF) {
            for text in [windows::ntstatus(code), windows::error(code)].into_iter().flatten() {
                assert!(!text.is_empty() && !text.contains('\n'), "{code:#x}");
            }
        }
        assert!((1..=40).filter_map(system::text).count() > 30);
        assert_eq!(system::text(0), None);
    }
}
