//! What the checks have found, for people and for scripts.

use super::context::Context;
use super::finding::{Check, Finding, State};
use anyhow::Result;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};
use winterop_words::visible;

/// What came of a check.
pub struct Outcome {
    pub check: &'static Check,
    pub finding: Finding,
    /// What `--fix` has done.
    pub fixed: Option<String>,
    pub milliseconds: u128,
}

/// How it is shown.
enum Style {
    Json(Vec<Value>),
    People { marks: Marks, colours: bool },
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

/// Shows each outcome as it comes, and sums up.
pub struct Report {
    style: Style,
    wrong: usize,
}

impl Report {
    pub fn new(json: bool) -> Self {
        let style = if json {
            Style::Json(Vec::new())
        } else {
            let marks = if speaks_utf8(variable) { UNICODE } else { ASCII };
            let colours = has_colours(variable, std::io::stdout().is_terminal());
            Style::People { marks, colours }
        };
        Self { style, wrong: 0 }
    }

    pub fn add(&mut self, outcome: Outcome) -> Result<()> {
        self.wrong += usize::from(outcome.finding.state == State::Wrong);
        match &mut self.style {
            Style::Json(checks) => checks.push(as_json(&outcome)),
            Style::People { marks, colours } => {
                let text = as_text(&outcome, *marks, *colours);
                let mut output = std::io::stdout().lock();
                output.write_all(text.as_bytes())?;
                output.flush()?;
            }
        }
        Ok(())
    }

    /// Sums up; says whether all is well.
    pub fn end(self, context: &Context) -> Result<bool> {
        let is_well = self.wrong == 0;
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
                println!("{}", serde_json::to_string_pretty(&report)?);
            }
            Style::People { .. } if is_well => println!("\nAll is well."),
            Style::People { .. } => println!("\nWrong: {}.", self.wrong),
        }
        Ok(is_well)
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

fn as_text(outcome: &Outcome, marks: Marks, colours: bool) -> String {
    let Outcome { check, finding, fixed, .. } = outcome;
    let (mark, colour) = match finding.state {
        State::Good => (marks.good, "32"),
        State::Wrong => (marks.wrong, "31"),
        State::Note | State::Skipped => (marks.note, "33"),
    };
    let mark = if colours { format!("\u{1b}[{colour}m{mark}\u{1b}[0m") } else { mark.to_owned() };
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

fn has_colours(variable: impl Fn(&str) -> Option<String>, is_terminal: bool) -> bool {
    is_terminal && variable("NO_COLOR").is_none() && variable("TERM").is_some_and(|it| it != "dumb")
}

#[cfg(test)]
mod tests {
    use super::super::checks::CHECKS;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn colours_only_on_a_terminal_that_wants_them() {
        let with = |set: &'static [(&str, &str)]| {
            move |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        };
        assert!(has_colours(with(&[("TERM", "xterm")]), true));
        assert!(!has_colours(with(&[("TERM", "xterm")]), false));
        assert!(!has_colours(with(&[("TERM", "xterm"), ("NO_COLOR", "1")]), true));
        assert!(!has_colours(with(&[("TERM", "dumb")]), true));
        assert!(speaks_utf8(with(&[("LANG", "de_DE.UTF-8")])));
        assert!(!speaks_utf8(with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")])));
        assert!(!speaks_utf8(with(&[])));
    }

    #[test]
    fn a_cross_names_what_mends_it() {
        let finding = Finding::wrong("it is broken", "mend it").with_details(["why".to_owned()]);
        let outcome = Outcome { check: &CHECKS[0], finding, fixed: None, milliseconds: 1 };
        let text = as_text(&outcome, ASCII, false);
        assert_eq!(text, "!! kernel                it is broken\n      why\n    -> mend it\n");
        assert!(as_text(&outcome, UNICODE, true).starts_with("\u{1b}[31m✗\u{1b}[0m kernel"));
        let value = as_json(&outcome);
        assert_eq!((&value["state"], &value["mend"]), (&json!("wrong"), &json!("mend it")));
    }

    #[test]
    fn each_check_has_a_name_of_its_own() {
        let ids: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), CHECKS.len());
    }
}
