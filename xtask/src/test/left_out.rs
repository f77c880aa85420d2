//! What is left out of a run, and why: what this machine cannot run, and what belongs to another set.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::listing;
use super::selection::{Selection, any_of};
use super::set::Set;
use crate::paths;

/// Tests that have something in common, as nextest's filters, and what that is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    why: String,
    tests: Vec<String>,
}

/// What kind of reason it is to leave a test out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The machine has not what it needs: it ought to run, and is skipped.
    Machine,
    /// It belongs to another set of tests: nobody has asked for it.
    Set,
}

/// Tests that do not run.
#[derive(Debug)]
pub(crate) struct LeftOut {
    pub(crate) reason: Reason,
    why: String,
    /// nextest's filter.
    filter: String,
    /// Which ones, of those that were asked for.
    pub(crate) names: BTreeSet<String>,
}

/// What is left out of a selection in this set on this machine, of the tests that every one of `filters`
/// takes. Only nextest can leave something out.
///
/// # Errors
/// If a file about it cannot be read, names what nobody knows how to look for, or the tests cannot be
/// listed.
pub(crate) fn of(selection: &Selection, filters: &[String], set: Set) -> Result<Vec<LeftOut>> {
    let mut left_out = groups(set)?;
    for group in &mut left_out {
        let filters = [filters, std::slice::from_ref(&group.filter)].concat();
        group.names = listing::names(selection, &filters)?;
    }
    // What is in another set is not missed here.
    let elsewhere: BTreeSet<String> = left_out
        .iter()
        .filter(|it| it.reason == Reason::Set)
        .flat_map(|it| it.names.iter().cloned())
        .collect();
    for group in left_out.iter_mut().filter(|it| it.reason == Reason::Machine) {
        group.names.retain(|name| !elsewhere.contains(name));
    }
    left_out.retain(|it| !it.names.is_empty());
    Ok(left_out)
}

/// Every group that does not run here.
fn groups(set: Set) -> Result<Vec<LeftOut>> {
    let mut groups = Vec::new();
    for (name, group) in read("needs.toml")? {
        if !is_there(&name)? {
            groups.push(LeftOut::new(Reason::Machine, group));
        }
    }
    for (name, group) in read("sets.toml")? {
        if !set.has(&name)? {
            groups.push(LeftOut::new(Reason::Set, group));
        }
    }
    Ok(groups)
}

fn read(file: &str) -> Result<BTreeMap<String, Group>> {
    let path = paths::root().join(".config").join(file);
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

impl LeftOut {
    fn new(reason: Reason, group: Group) -> Self {
        let (why, filter) = (group.why, any_of(&group.tests));
        Self { reason, why, filter, names: BTreeSet::new() }
    }

    /// The filter that leaves it out.
    pub(crate) fn not(&self) -> String {
        format!("not ({})", self.filter)
    }

    /// How many there are, and why.
    pub(crate) fn words(&self) -> String {
        let (count, why) = (self.names.len(), &self.why);
        match (self.reason, count) {
            (Reason::Machine, 1) => format!("1 test cannot run here: {why}"),
            (Reason::Machine, _) => format!("{count} tests cannot run here: {why}"),
            (Reason::Set, 1) => format!("1 test is not in this set: {why}"),
            (Reason::Set, _) => format!("{count} tests are not in this set: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_need_of_the_machine_can_be_looked_for() {
        for (name, group) in read("needs.toml").unwrap() {
            is_there(&name).unwrap();
            assert!(!group.why.is_empty() && !group.tests.is_empty(), "{name}");
        }
        assert!(is_there("luck").is_err());
    }

    #[test]
    fn every_set_is_one_that_can_be_asked_for() {
        let sets = read("sets.toml").unwrap();
        assert!(!sets.is_empty());
        for (name, group) in sets {
            assert!(!Set::Usual.has(&name).unwrap() && Set::Long.has(&name).unwrap(), "{name}");
            assert!(!group.why.is_empty() && !group.tests.is_empty(), "{name}");
        }
    }

    #[test]
    fn both_kinds_are_left_out_and_told_apart() {
        let group = |why: &str| Group { why: why.to_owned(), tests: vec!["a".into(), "b".into()] };
        let mut machine = LeftOut::new(Reason::Machine, group("no root"));
        let mut set = LeftOut::new(Reason::Set, group("large counts"));
        assert_eq!(machine.not(), "not ((a) | (b))");
        machine.names = BTreeSet::from(["p::one".to_owned()]);
        set.names = BTreeSet::from(["p::one".to_owned(), "p::two".to_owned()]);
        assert_eq!(machine.words(), "1 test cannot run here: no root");
        assert_eq!(set.words(), "2 tests are not in this set: large counts");
    }
}
