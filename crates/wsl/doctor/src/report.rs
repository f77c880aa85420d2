//! What the checks have found, for people and for scripts.

use crate::context::Context;
use crate::finding::{Check, Finding, State};
use serde_json::{Value, json};
use winterop_words::visible;

/// What came of a check.
pub struct Outcome {
    /// The check.
    pub check: &'static Check,
    /// What it has found.
    pub finding: Finding,
    /// What `--fix` has done.
    pub fixed: Option<String>,
    /// How long it took.
    pub milliseconds: u128,
}

/// For whom it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A script.
    Script,
    /// Whoever looks at standard output: at a terminal, or at what was written.
    Person(Output),
}

/// What standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A terminal.
    Terminal,
    /// Anything else.
    Other,
}

/// How it is shown.
enum Style {
    Json(Vec<Value>),
    People { marks: Marks, colours: Colours },
}

/// Whether marks are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colours {
    Shown,
    None,
}

/// The marks before each line.
#[derive(Clone, Copy)]
struct Marks {
    good: &'static str,
    note: &'static str,
    wrong: &'static str,
    arrow: &'static str,
}

const UNICODE: Marks = Marks { good: "✓", note: "–", wrong: "✗", arrow: "→" };
const ASCII: Marks = Marks { good: "ok", note: "--", wrong: "!!", arrow: "->" };

/// Makes text of each outcome as it comes, and sums up.
pub struct Report {
    style: Style,
    wrong: usize,
}

impl Report {
    /// One for this reader.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        let style = match reader {
            Reader::Script => Style::Json(Vec::new()),
            Reader::Person(output) => Style::People {
                marks: if speaks_utf8(variable) { UNICODE } else { ASCII },
                colours: colours(variable, output),
            },
        };
        Self { style, wrong: 0 }
    }

    /// What is to be printed at once of an outcome.
    pub fn add(&mut self, outcome: &Outcome) -> String {
        self.wrong += usize::from(outcome.finding.state == State::Wrong);
        match &mut self.style {
            Style::Json(checks) => {
                checks.push(as_json(outcome));
                String::new()
            }
            Style::People { marks, colours } => as_text(outcome, *marks, *colours),
        }
    }

    /// Whether nothing that was added is wrong.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.wrong == 0
    }

    /// What is to be printed at the end.
    #[must_use]
    pub fn end(self, context: &Context) -> String {
        let is_well = self.is_well();
        match self.style {
            Style::Json(checks) => {
                let report = json!({
                    "format": 1,
                    "version": env!("CARGO_PKG_VERSION"),
                    "well": is_well,
                    "enabled": context.is_enabled(),
                    "session": context.is_in_session(),
                    "program": context.program,
                    "checks": checks,
                });
                format!("{report:#}")
            }
            Style::People { .. } if is_well => "\nAll is well.".to_owned(),
            Style::People { .. } => format!("\nWrong: {}.", self.wrong),
        }
    }
}

fn as_json(outcome: &Outcome) -> Value {
    let Outcome { check, finding, fixed, milliseconds } = outcome;
    json!({
        "id": check.id,
        "title": check.title,
        "state": finding.state.word(),
        "says": finding.says,
        "details": finding.details,
        "mend": finding.mend,
        "fixable": finding.fix.is_some(),
        "fixed": fixed,
        "error": finding.error,
        "milliseconds": u64::try_from(*milliseconds).unwrap_or(u64::MAX),
    })
}

fn as_text(outcome: &Outcome, marks: Marks, colours: Colours) -> String {
    let Outcome { check, finding, fixed, .. } = outcome;
    let (mark, colour) = match finding.state {
        State::Good => (marks.good, "32"),
        State::Wrong => (marks.wrong, "31"),
        State::Note | State::Skipped => (marks.note, "33"),
    };
    let mark = match colours {
        Colours::Shown => format!("\u{1b}[{colour}m{mark}\u{1b}[0m"),
        Colours::None => mark.to_owned(),
    };
    let mut text = format!("{mark} {:<21} {}\n", check.title, visible::lines(&finding.says));
    for detail in &finding.details {
        text.push_str(&format!("      {}\n", visible::lines(detail)));
    }
    if let Some(mend) = &finding.mend {
        text.push_str(&format!("    {} {}\n", marks.arrow, visible::lines(mend)));
    }
    if finding.fix.is_some() && finding.state == State::Wrong {
        text.push_str("      (`winterop doctor --fix` does it)\n");
    }
    if let Some(fixed) = fixed {
        text.push_str(&format!("    {} done: {}\n", marks.arrow, visible::lines(fixed)));
    }
    text
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the locale is one of UTF-8: the first of its variables that is set decides.
fn speaks_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
    set.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

fn colours(variable: impl Fn(&str) -> Option<String>, output: Output) -> Colours {
    let are_wanted = variable("NO_COLOR").is_none();
    let are_had = variable("TERM").is_some_and(|it| it != "dumb");
    match output {
        Output::Terminal if are_wanted && are_had => Colours::Shown,
        _ => Colours::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::CHECKS;
    use std::collections::BTreeSet;

    #[test]
    fn colours_only_on_a_terminal_that_wants_them() {
        let with = |set: &'static [(&str, &str)]| {
            move |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        };
        assert_eq!(colours(with(&[("TERM", "xterm")]), Output::Terminal), Colours::Shown);
        assert_eq!(colours(with(&[("TERM", "xterm")]), Output::Other), Colours::None);
        assert_eq!(
            colours(with(&[("TERM", "xterm"), ("NO_COLOR", "1")]), Output::Terminal),
            Colours::None
        );
        assert_eq!(colours(with(&[("TERM", "dumb")]), Output::Terminal), Colours::None);
        assert!(speaks_utf8(with(&[("LANG", "de_DE.UTF-8")])));
        assert!(!speaks_utf8(with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")])));
        assert!(!speaks_utf8(with(&[])));
    }

    #[test]
    fn a_cross_names_what_mends_it() {
        let finding = Finding::wrong("it is broken", "mend it").with_details(["why".to_owned()]);
        let outcome = Outcome { check: &CHECKS[0], finding, fixed: None, milliseconds: 1 };
        let text = as_text(&outcome, ASCII, Colours::None);
        assert_eq!(text, "!! kernel                it is broken\n      why\n    -> mend it\n");
        assert!(
            as_text(&outcome, UNICODE, Colours::Shown).starts_with("\u{1b}[31m✗\u{1b}[0m kernel")
        );
        let value = as_json(&outcome);
        assert_eq!((&value["state"], &value["mend"]), (&json!("wrong"), &json!("mend it")));
    }

    #[test]
    fn each_check_has_a_name_of_its_own() {
        let ids: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), CHECKS.len());
    }
}
