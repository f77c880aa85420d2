//! One rule: whom and what it covers.

use globset::GlobSet;
use serde::Deserialize;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// A file's SHA-256.
pub type Digest = [u8; 32];

/// Who wants to run what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The caller's uid.
    pub uid: u32,
    /// Its gids.
    pub groups: Vec<u32>,
    /// Whether it lives in another user, pid or mount namespace than the host.
    pub elsewhere: bool,
    /// Whether it is not certain which process it is, and so whether it lives elsewhere: then only a
    /// rule that names its uid lets it in.
    pub doubtful: bool,
    /// Where the program is on the machine, as the host has found out, without links; none for one
    /// that has no name there.
    pub program: Option<PathBuf>,
    /// Whether only root and the host's user can change what is there. It matters for a caller who
    /// lives elsewhere.
    pub settled: bool,
    /// Where the caller has it in its own root directory, as the host has found out.
    pub inside: Option<PathBuf>,
    /// Everything that it is called, by whomever.
    pub names: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    Allow,
    Refuse,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Namespace {
    Own,
    Other,
    #[default]
    Any,
}

#[derive(Debug)]
pub(super) struct Rule {
    /// As refusals quote it.
    pub(super) quoted: String,
    pub(super) action: Action,
    pub(super) users: Vec<u32>,
    pub(super) groups: Vec<u32>,
    pub(super) namespace: Namespace,
    pub(super) programs: Option<GlobSet>,
    pub(super) digests: Vec<Digest>,
    pub(super) host: Option<(u32, String)>,
    pub(super) variables: Vec<String>,
}

impl Rule {
    /// Whether everything but the program's content matches.
    pub(super) fn covers(&self, asked: &Asked) -> bool {
        self.covers_caller(asked)
            && self.programs.as_ref().is_none_or(|programs| match self.action {
                Action::Allow => self.allows_path(programs, asked),
                Action::Refuse => is_called(programs, asked),
            })
    }

    /// Whether the path is one that the rule allows. What only the caller says of it never counts,
    /// and what is in the root of one who lives elsewhere only together with what is in the file.
    fn allows_path(&self, programs: &GlobSet, asked: &Asked) -> bool {
        let is_it = |path: &Option<PathBuf>| path.as_ref().is_some_and(|it| programs.is_match(it));
        if !self.digests.is_empty() {
            return is_it(&asked.program) || is_it(&asked.inside);
        }
        (!asked.elsewhere || asked.settled) && is_it(&asked.program)
    }

    /// Whether the rule would allow it if its path counted.
    pub(super) fn would_cover(&self, asked: &Asked) -> bool {
        let mut paths = [&asked.program, &asked.inside].into_iter().flatten();
        self.action == Action::Allow
            && self.digests.is_empty()
            && self.covers_caller(asked)
            && self.programs.as_ref().is_some_and(|it| paths.any(|path| it.is_match(path)))
    }

    pub(super) fn covers_caller(&self, asked: &Asked) -> bool {
        let is_namespace = match self.namespace {
            Namespace::Any => true,
            Namespace::Own => !asked.elsewhere,
            Namespace::Other => asked.elsewhere,
        };
        let is_certain =
            !asked.doubtful || self.action == Action::Refuse || self.users.contains(&asked.uid);
        is_namespace
            && is_certain
            && (self.users.is_empty() || self.users.contains(&asked.uid))
            && (self.groups.is_empty() || asked.groups.iter().any(|it| self.groups.contains(it)))
    }
}

/// Whether a program has one of these names, written in any way. Some file systems take names for the
/// same that differ in case, or in dots and blanks at their end, and so does Windows.
fn is_called(programs: &GlobSet, asked: &Asked) -> bool {
    let names = || asked.names.iter().chain(&asked.program).chain(&asked.inside);
    names().any(|name| programs.is_match(name) || programs.is_match(plain(name)))
}

/// A path without `.`, `..`, doubled slashes, and what Windows passes over at the ends of names.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(name) => plain.push(OsStr::from_bytes(trimmed(name.as_bytes()))),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => plain.push(component),
        }
    }
    plain
}

fn trimmed(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(0, |at| at + 1);
    name.get(..end).unwrap_or_default()
}
