//! What a check is, and what it finds.

use crate::context::Context;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;
use winterop_translate::shell;
use winterop_words::{Words, visible};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Good,
    /// Worth knowing, and nothing is wrong.
    Note,
    /// In the way of launches.
    Wrong,
    /// It could not be looked at, or there is nothing to look at.
    Skipped,
}

impl State {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Wrong => "wrong",
            Self::Skipped => "skipped",
        }
    }
}

/// A command as a person can paste it: names may hold what means something to a shell, and others may have
/// chosen them.
pub(crate) fn command<const N: usize>(words: [&OsStr; N]) -> String {
    let line = shell::line(&words.map(OsStr::as_bytes));
    visible::line(&String::from_utf8_lossy(&line)).to_string()
}

/// The command that removes a file.
pub(crate) fn remove(path: &Path) -> String {
    command(["rm".as_ref(), path.as_ref()])
}

/// The command that gives a file other rights.
pub(crate) fn allow(rights: &str, path: &Path) -> String {
    command(["chmod".as_ref(), rights.as_ref(), path.as_ref()])
}

/// Why something could not be done or looked at.
pub(crate) type Mishap = Box<dyn std::error::Error + Send + Sync>;

/// Something that can be done safely: nothing of the user's is lost by it.
type Act = Box<dyn FnOnce(&Context) -> Result<(), Mishap> + Send>;

/// What a check has found.
pub struct Finding {
    /// How it is.
    pub state: State,
    /// In one line.
    pub says: String,
    /// Lines below it.
    pub details: Vec<String>,
    /// The command that mends it.
    pub mend: Option<String>,
    /// What `--fix` does, in words and as an act.
    pub fix: Option<(String, Act)>,
    /// The identifier of the error, where it is one of `winterop explain`.
    pub error: Option<String>,
}

impl Finding {
    fn of(state: State, says: impl Into<String>) -> Self {
        let (says, details) = (says.into(), Vec::new());
        Self { state, says, details, mend: None, fix: None, error: None }
    }

    pub fn good(says: impl Into<String>) -> Self {
        Self::of(State::Good, says)
    }

    pub fn note(says: impl Into<String>) -> Self {
        Self::of(State::Note, says)
    }

    pub fn wrong(says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..Self::of(State::Wrong, says) }
    }

    pub fn skipped(says: impl Into<String>) -> Self {
        Self::of(State::Skipped, says)
    }

    /// An error that people know from launches.
    pub fn error(words: &Words) -> Self {
        let says = format!("{} {}: {}", words.tried, words.on, words.error);
        let error = Some(words.id.to_owned());
        let details = words.more.lines().map(|line| line.trim().to_owned());
        let details = details.filter(|line| !line.is_empty()).collect();
        Self { error, details, ..Self::wrong(says, words.advice.clone()) }
    }

    /// Wrong where launches by name are to work here, and else a note.
    pub fn wrong_if(is_wrong: bool, says: impl Into<String>, mend: impl Into<String>) -> Self {
        let state = if is_wrong { State::Wrong } else { State::Note };
        Self { mend: Some(mend.into()), ..Self::of(state, says) }
    }

    pub fn with_details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    pub fn with_mend(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }

    pub fn with_fix(
        self,
        does: impl Into<String>,
        act: impl FnOnce(&Context) -> Result<(), Mishap> + Send + 'static,
    ) -> Self {
        Self { fix: Some((does.into(), Box::new(act))), ..self }
    }
}

/// One check: a row of the table in `checks.rs`.
pub struct Check {
    /// Its name in JSON; it stays the same.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// After this it counts as hanging.
    pub patience: Duration,
    /// Looks, and changes nothing.
    pub look: fn(&Context) -> Finding,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_mend_is_one_word_of_a_shell() {
        assert_eq!(remove(Path::new("/run/WSL/7_interop")), "rm /run/WSL/7_interop");
        assert_eq!(allow("+x", Path::new("./a;reboot.exe")), "chmod +x './a;reboot.exe'");
    }
}
