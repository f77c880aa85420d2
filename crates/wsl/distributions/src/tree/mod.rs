//! Trees of files: written from an archive, read into one, removed. Everything is reached from the
//! open directory of the root, so that no name and no link leads out of it.

pub mod extract;
pub mod pack;
pub mod remove;
mod walk;

use std::collections::BTreeMap;

/// A name of a tree for a person: it may hold anything, and be longer than anybody reads.
fn shown(name: &[u8]) -> String {
    const MOST: usize = 200;
    let end = name.get(name.len().saturating_sub(MOST)..).unwrap_or_default();
    let cut = if end.len() < name.len() { "…" } else { "" };
    format!("{cut}{}", String::from_utf8_lossy(end).escape_debug())
}

/// What could not be kept, by kind: how many, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes(BTreeMap<Lost, (u64, String)>);

/// What may get lost on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// Owner or group.
    Owner,
    /// A device that a plain user cannot make.
    Device,
    /// An extended attribute that cannot be set here.
    Attribute,
    /// A socket: they belong to a running program.
    Socket,
    /// What was in a file when it became shorter while it was read.
    Changed,
    /// Flags as `chattr` sets them.
    Flag,
}

impl Lost {
    fn words(self) -> &'static str {
        match self {
            Self::Owner => "owners could not be kept: they belong to you instead",
            Self::Device => "devices were left out: only root can make them",
            Self::Attribute => "extended attributes could not be kept",
            Self::Socket => "sockets were left out: nobody would listen on them",
            Self::Flag => "flags such as `chattr` sets could not be kept",
            Self::Changed => "files became shorter while they were read, and end in zeros",
        }
    }
}

impl Notes {
    /// Counts one more of a kind.
    pub fn add(&mut self, lost: Lost, name: &[u8]) {
        let first = || (0, shown(name));
        self.0.entry(lost).or_insert_with(first).0 += 1;
    }

    /// Counts what others have counted.
    pub fn extend(&mut self, others: Self) {
        for (lost, (count, first)) in others.0 {
            self.0.entry(lost).or_insert((0, first)).0 += count;
        }
    }

    /// One line for each kind.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(lost, (count, first))| {
            format!("{count} {} (the first is \"{first}\")", lost.words())
        })
    }
}
