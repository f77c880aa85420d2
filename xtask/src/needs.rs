//! What some tests need of the machine itself: which of them cannot run here, and why.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::paths;
use crate::runner::Runner;

/// Something that no package brings, and the tests that need it, as nextest's filters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Need {
    why: String,
    tests: Vec<String>,
}

/// Why some tests cannot run here.
#[derive(Debug)]
pub(crate) struct Missing {
    why: String,
    filter: String,
}

/// What is missing here.
///
/// # Errors
/// If the file about it cannot be read, or names what nobody knows how to look for.
pub(crate) fn missing() -> Result<Vec<Missing>> {
    let mut missing = Vec::new();
    for (name, need) in read()? {
        if !is_there(&name)? {
            let tests: Vec<_> = need.tests.iter().map(|it| format!("({it})")).collect();
            missing.push(Missing { why: need.why, filter: tests.join(" | ") });
        }
    }
    Ok(missing)
}

fn read() -> Result<BTreeMap<String, Need>> {
    let path = paths::root().join(".config/needs.toml");
    let read = || -> Result<_> { Ok(toml::from_str(&fs::read_to_string(&path)?)?) };
    read().with_context(|| path.display().to_string())
}

/// Whether this machine has it.
fn is_there(name: &str) -> Result<bool> {
    Ok(match name {
        "root" => rustix::process::geteuid().is_root(),
        "cgroups" => fs::read_to_string("/proc/self/mounts")?
            .lines()
            .any(|line| line.split(' ').nth(2) == Some("cgroup2")),
        "processors" => available_parallelism()?.get() > 1,
        _ => bail!("nobody knows how to look for {name}, which .config/needs.toml names"),
    })
}

impl Missing {
    /// The runner's arguments that leave out what cannot run. Cargo's own runner can leave out
    /// nothing; there such tests fail, and say why.
    pub(crate) fn arguments(missing: &[Self], runner: Runner) -> Vec<String> {
        if missing.is_empty() || runner == Runner::Cargo {
            return Vec::new();
        }
        let none: Vec<_> = missing.iter().map(|it| format!("not ({})", it.filter)).collect();
        vec!["-E".to_owned(), none.join(" & ")]
    }

    /// How many of the tests that `filters` name it concerns.
    fn count(&self, filters: &[OsString]) -> Result<usize> {
        let mut list = Runner::list();
        list.args(["--message-format", "json", "-E", &self.filter]).args(filters);
        let output = list.output().context("the test runner cannot be started")?;
        let listed: Listed = serde_json::from_slice(&output.stdout).context("the list of tests")?;
        let cases = listed.suites.into_values().flat_map(|suite| suite.cases.into_values());
        Ok(cases.filter(|case| case.filter.status == "matches").count())
    }

    /// Says of each how many tests it leaves out.
    ///
    /// # Errors
    /// If the tests cannot be counted.
    pub(crate) fn say(missing: &[Self], runner: Runner, filters: &[OsString]) -> Result<()> {
        for one in missing {
            match runner {
                Runner::Cargo => println!("tests that cannot run here fail: {}", one.why),
                Runner::Nextest => match one.count(filters)? {
                    0 => {}
                    1 => println!("1 test cannot run here: {}", one.why),
                    count => println!("{count} tests cannot run here: {}", one.why),
                },
            }
        }
        Ok(())
    }
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
    fn what_tests_need_of_the_machine_can_be_looked_for() {
        for (name, need) in read().unwrap() {
            is_there(&name).unwrap();
            assert!(!need.why.is_empty() && !need.tests.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_cannot_run_is_left_out_by_nextest_alone() {
        let one = |filter: &str| Missing { why: "why".to_owned(), filter: filter.to_owned() };
        let missing = [one("(a) | (b)"), one("(c)")];
        let arguments = Missing::arguments(&missing, Runner::Nextest);
        assert_eq!(arguments, ["-E", "not ((a) | (b)) & not ((c))"]);
        assert!(Missing::arguments(&missing, Runner::Cargo).is_empty());
        assert!(Missing::arguments(&[], Runner::Nextest).is_empty());
    }
}
