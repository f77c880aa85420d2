//! Which tests somebody wants, in the runner's own words.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;

use anyhow::{Context as _, Result, bail};

/// What stands on the command line behind `cargo xtask test`.
///
/// The runner joins several expressions by *or*, so what narrows the choice has to become a part of what
/// was asked for.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// nextest's filter expressions.
    expressions: Vec<String>,
    /// Parts of names, and the runner's other options.
    others: Vec<OsString>,
}

/// nextest's names for the option that takes an expression.
const OPTIONS: [&str; 3] = ["-E", "--filterset", "--filter-expr"];

impl Selection {
    /// Takes the expressions out of the runner's arguments.
    ///
    /// # Errors
    /// If one is missing or no text.
    pub(crate) fn parse(arguments: &[OsString]) -> Result<Self> {
        let mut selection = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                selection.others.push(argument.clone());
                selection.others.extend(arguments.by_ref().cloned());
            } else if OPTIONS.iter().any(|option| argument == option) {
                let value = arguments.next();
                let Some(value) = value else { bail!("{} has no expression", argument.display()) };
                selection.expressions.push(text(value)?);
            } else if let Some(value) = joined(argument) {
                selection.expressions.push(value);
            } else {
                selection.others.push(argument.clone());
            }
        }
        Ok(selection)
    }

    /// One expression more, beside those that were asked for.
    pub(crate) fn of(expression: &str) -> Self {
        Self { expressions: vec![expression.to_owned()], others: Vec::new() }
    }

    /// Whether it is everything.
    pub(crate) fn is_all(&self) -> bool {
        self.expressions.is_empty() && self.others.is_empty()
    }

    /// The runner's arguments for those of them that every one of `filters` takes.
    pub(crate) fn arguments(&self, filters: &[String]) -> Vec<OsString> {
        let asked = (!self.expressions.is_empty()).then(|| any_of(&self.expressions));
        let parts: Vec<_> = asked.iter().chain(filters).map(|it| format!("({it})")).collect();
        let mut arguments = Vec::new();
        if !parts.is_empty() {
            arguments.extend(["-E".into(), parts.join(" & ").into()]);
        }
        arguments.extend(self.others.iter().cloned());
        arguments
    }

    /// The arguments for cargo's own runner, which knows no expressions.
    pub(crate) fn for_cargo(&self) -> Result<Vec<OsString>> {
        if let Some(expression) = self.expressions.first() {
            bail!("cargo-nextest is not installed, and only it knows what {expression} means");
        }
        // cargo itself takes one name only; the test programs take several.
        let separator = (!self.others.is_empty()).then(|| "--".into());
        Ok(separator.into_iter().chain(self.others.iter().cloned()).collect())
    }
}

/// The expression in `-Eexpression` or `--filterset=expression`.
fn joined(argument: &OsStr) -> Option<String> {
    let argument = argument.to_str()?;
    OPTIONS.iter().find_map(|option| {
        let rest = argument.strip_prefix(option)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if option.starts_with("--") => None,
            None => Some(rest.to_owned()),
        }
    })
}

fn text(argument: &OsStr) -> Result<String> {
    Ok(argument.to_str().context("an expression that is no UTF-8")?.to_owned())
}

/// The filter that takes what any of `filters` takes.
pub(crate) fn any_of(filters: impl IntoIterator<Item: Display>) -> String {
    let filters: Vec<_> = filters.into_iter().map(|it| format!("({it})")).collect();
    filters.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(words: &[&str]) -> Selection {
        Selection::parse(&words.iter().map(OsString::from).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_narrows_holds_for_every_expression_that_was_asked_for() {
        let filters = ["not (a)".to_owned(), "not (b)".to_owned()];
        assert!(selection(&[]).is_all() && selection(&[]).arguments(&[]).is_empty());
        assert_eq!(selection(&[]).arguments(&filters), ["-E", "(not (a)) & (not (b))"]);
        let all =
            ["-E", "x | y", "l8_", "-Ez", "--filterset=u", "--filterset", "v", "--no-capture"];
        let expected = "((x | y) | (z) | (u) | (v)) & (not (a)) & (not (b))";
        assert_eq!(selection(&all).arguments(&filters), ["-E", expected, "l8_", "--no-capture"]);
        assert_eq!(selection(&["l8_"]).arguments(&[]), ["l8_"]);
        // What stands behind the separator is the test program's.
        assert_eq!(selection(&["--", "-E", "x"]).arguments(&[]), ["--", "-E", "x"]);
    }

    #[test]
    fn an_expression_that_is_missing_or_that_nobody_would_understand_is_an_error() {
        assert!(Selection::parse(&["-E".into()]).is_err());
        assert!(selection(&["-E", "x"]).for_cargo().is_err());
        assert_eq!(selection(&["a", "b"]).for_cargo().unwrap(), ["--", "a", "b"]);
        assert!(selection(&[]).for_cargo().unwrap().is_empty());
    }
}
