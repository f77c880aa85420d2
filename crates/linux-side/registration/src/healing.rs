//! Keeping the registration: what is done about what is seen. No I/O.

use crate::entries::Entry;

/// What the kernel's table shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// binfmt_misc is not mounted.
    NoTable,
    /// There is no entry of our name.
    Missing,
    /// There is one.
    Present {
        /// The entry.
        entry: Entry,
        /// The entries that take such files before ours: the kernel asks the newest first.
        before: Vec<String>,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Everything is as it should be, or as somebody wants it.
    Nothing,
    /// Mount binfmt_misc.
    Mount,
    /// Register again.
    Register,
    /// Say this, once.
    Tell(Trouble),
}

/// What is told and not fought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody has switched our entry off: a person's wish.
    SwitchedOff,
    /// The entry of our name starts something else.
    OtherInterpreter(String),
    /// Other entries take Windows programs first.
    TakenFirst(Vec<String>),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SwitchedOff => f.write_str(
                "somebody has switched the entry off; `echo 1` into it, or `winterop enable`, \
                 switches it on",
            ),
            Self::OtherInterpreter(interpreter) => write!(
                f,
                "the entry of our name starts {interpreter}; it is left alone: `echo -1` into it \
                 removes it"
            ),
            Self::TakenFirst(entries) => write!(
                f,
                "Windows programs go to {} first; remove what has registered it, or `echo -1` into it",
                entries.join(", ")
            ),
        }
    }
}

/// Decides what to do about the registration of `interpreter`.
#[derive(Clone, Debug)]
pub struct Healer {
    interpreter: String,
    told: Option<Trouble>,
}

impl Healer {
    /// Looks after an entry that starts `interpreter`.
    #[must_use]
    pub fn new(interpreter: impl Into<String>) -> Self {
        Self { interpreter: interpreter.into(), told: None }
    }

    /// What to do about what is seen now.
    pub fn look(&mut self, seen: &Seen) -> Action {
        match seen {
            Seen::NoTable => Action::Mount,
            Seen::Missing => {
                self.told = None;
                Action::Register
            }
            Seen::Present { entry, before } => match self.trouble(entry, before) {
                None => {
                    self.told = None;
                    Action::Nothing
                }
                Some(trouble) if self.told.as_ref() == Some(&trouble) => Action::Nothing,
                Some(trouble) => {
                    self.told = Some(trouble.clone());
                    Action::Tell(trouble)
                }
            },
        }
    }

    fn trouble(&self, entry: &Entry, before: &[String]) -> Option<Trouble> {
        if entry.interpreter != self.interpreter {
            return Some(Trouble::OtherInterpreter(entry.interpreter.clone()));
        }
        if !entry.enabled {
            return Some(Trouble::SwitchedOff);
        }
        (!before.is_empty()).then(|| Trouble::TakenFirst(before.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(enabled: bool, interpreter: &str) -> Entry {
        Entry {
            enabled,
            interpreter: interpreter.to_owned(),
            flags: "POF".to_owned(),
            magic: "4d5a".to_owned(),
        }
    }

    fn present(entry: Entry) -> Seen {
        Seen::Present { entry, before: Vec::new() }
    }

    #[test]
    fn what_is_missing_comes_back_each_time() {
        let mut healer = Healer::new("/init");
        assert_eq!(healer.look(&present(entry(true, "/init"))), Action::Nothing);
        for _ in 0..3 {
            assert_eq!(healer.look(&Seen::Missing), Action::Register);
        }
        assert_eq!(healer.look(&Seen::NoTable), Action::Mount);
    }

    #[test]
    fn a_persons_wish_and_other_handlers_are_told_once_and_left_alone() {
        let mut healer = Healer::new("/init");
        let taken = Seen::Present { entry: entry(true, "/init"), before: vec!["wine".to_owned()] };
        for (seen, trouble) in [
            (present(entry(false, "/init")), Trouble::SwitchedOff),
            (present(entry(true, "/other")), Trouble::OtherInterpreter("/other".to_owned())),
            (taken, Trouble::TakenFirst(vec!["wine".to_owned()])),
        ] {
            assert!(!trouble.to_string().is_empty());
            assert_eq!(healer.look(&seen), Action::Tell(trouble.clone()));
            assert_eq!(healer.look(&seen), Action::Nothing);
            // Mended, and broken again: it is told again.
            assert_eq!(healer.look(&present(entry(true, "/init"))), Action::Nothing);
            assert_eq!(healer.look(&seen), Action::Tell(trouble));
        }
        // Removed after it was switched off: the wish went with the entry.
        assert_eq!(healer.look(&Seen::Missing), Action::Register);
    }
}
