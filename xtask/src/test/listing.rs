//! The tests that there are, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::selection::Selection;
use crate::runner::Runner;

/// The tests of a selection that every one of `filters` takes, each as its program's name and its path.
///
/// # Errors
/// If they do not build, or nextest does not understand the expressions.
pub(crate) fn names(selection: &Selection, filters: &[String]) -> Result<BTreeSet<String>> {
    let mut list = Runner::list();
    list.args(["--message-format", "json"]).args(selection.arguments(filters));
    let output = list.stderr(Stdio::inherit()).output().context("start the test runner")?;
    if !output.status.success() {
        bail!("the tests cannot be listed");
    }
    read(&output.stdout)
}

fn read(json: &[u8]) -> Result<BTreeSet<String>> {
    let listed: Listed = serde_json::from_slice(json).context("read the list of tests")?;
    let names = listed.suites.into_iter().flat_map(|(program, suite)| {
        let matching = suite.cases.into_iter().filter(|(_, it)| it.filter.status == "matches");
        matching.map(move |(path, _)| format!("{program}::{path}"))
    });
    Ok(names.collect())
}

/// What nextest lists.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "rust-suites")]
    suites: BTreeMap<String, Suite>,
}

#[derive(Deserialize)]
struct Suite {
    #[serde(rename = "testcases")]
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(rename = "filter-match")]
    filter: FilterMatch,
}

#[derive(Deserialize)]
struct FilterMatch {
    status: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matches_is_named() {
        let json = r#"{"rust-suites": {"p::b": {"testcases": {
            "m::one": {"ignored": false, "filter-match": {"status": "matches"}},
            "two": {"ignored": false, "filter-match": {"status": "mismatch", "reason": "expression"}}}}}}"#;
        assert_eq!(read(json.as_bytes()).unwrap(), BTreeSet::from(["p::b::m::one".to_owned()]));
        assert!(read(b"{}").is_err());
    }
}
