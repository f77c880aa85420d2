//! What is prepared before tests run, and which tests need it: `.config/prepared.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::listing;
use super::selection::{Selection, any_of};
use crate::debian::{self, Purpose};
use crate::fetch::{self, Program};
use crate::{bootstrap, deb, layout, paths, windows};

/// Something that is built, made or fetched for tests.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
enum Step {
    /// `target/winterop`, and Wine.
    Winterop,
    /// The programs for Windows, `target/windows`.
    Windows,
    /// The Debian package of Winterop.
    Package,
    /// A small Debian as an archive.
    Debian,
    /// Real Windows programs from PyPI and npm.
    Programs,
    /// npm itself, any.
    Npm,
}

/// Tests that need the same, as nextest's filters, and what that is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(default)]
    steps: Vec<Step>,
    /// Debian's packages.
    #[serde(default)]
    packages: Vec<String>,
    tests: Vec<String>,
}

impl Group {
    fn filter(&self) -> String {
        any_of(&self.tests)
    }
}

/// What has to be there before tests run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Preparation {
    steps: BTreeSet<Step>,
    packages: BTreeSet<String>,
}

impl Preparation {
    /// What all tests need together.
    ///
    /// # Errors
    /// If the file about it cannot be read.
    pub(crate) fn of_everything() -> Result<Self> {
        Ok(Self::of_groups(read()?.values()))
    }

    /// What those tests of a selection need that every one of `filters` takes.
    ///
    /// # Errors
    /// If the file about it cannot be read, or the tests cannot be listed.
    pub(crate) fn of(selection: &Selection, filters: &[String]) -> Result<Self> {
        let groups = read()?;
        let are_some = |filter: String| -> Result<bool> {
            let filters = [filters, &[filter]].concat();
            Ok(!listing::names(selection, &filters)?.is_empty())
        };
        // Asked for all groups at once first: a crate's own tests are in none of them.
        if !are_some(any_of(groups.values().map(Group::filter)))? {
            return Ok(Self::default());
        }
        let mut needed = Vec::new();
        for group in groups.values() {
            if are_some(group.filter())? {
                needed.push(group);
            }
        }
        Ok(Self::of_groups(needed))
    }

    fn of_groups<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Self {
        let mut preparation = Self::default();
        for group in groups {
            preparation.steps.extend(&group.steps);
            preparation.packages.extend(group.packages.iter().cloned());
        }
        preparation
    }

    fn has(&self, step: Step) -> bool {
        self.steps.contains(&step)
    }

    /// Installs, builds, makes and fetches it.
    ///
    /// # Errors
    /// If something is missing, does not build or cannot be fetched.
    pub(crate) fn make(&self) -> Result<()> {
        self.install()?;
        let layout = self.has(Step::Winterop).then(layout::build).transpose()?;
        let programs = self.has(Step::Windows).then(windows::build).transpose()?;
        if let Some(layout) = &layout {
            if let Some(programs) = &programs {
                layout::add_helper(layout, programs)?;
            }
            if self.has(Step::Package) {
                deb::build(layout)?;
            }
        }
        if self.has(Step::Debian)
            && let Err(error) = bootstrap::ensure()
        {
            // Its test fails, and says so.
            eprintln!("without a Debian for the tests: {error:#}");
        }
        if self.has(Step::Programs) {
            for program in Program::ALL {
                fetch::program(program)?;
            }
        }
        Ok(())
    }

    /// Installs Debian's packages, all at once.
    fn install(&self) -> Result<()> {
        let packages: Vec<_> = self.packages.iter().cloned().collect();
        let mut purposes = Vec::new();
        if self.has(Step::Winterop) {
            purposes.push(Purpose::Run);
        }
        if self.has(Step::Windows) {
            purposes.push(windows::purpose());
        }
        if self.has(Step::Programs) {
            purposes.extend(fetch::purposes(&Program::ALL));
        }
        if self.has(Step::Npm) {
            purposes.extend(fetch::npm());
        }
        if !packages.is_empty() {
            purposes.push(Purpose::Test(&packages));
        }
        // Where nothing is wanted there need not even be somebody to ask.
        if purposes.is_empty() { Ok(()) } else { debian::ensure_all(&purposes) }
    }
}

/// The filter of tests for which nothing is prepared.
///
/// # Errors
/// If the file about it cannot be read.
pub(crate) fn unprepared() -> Result<String> {
    Ok(format!("not ({})", any_of(read()?.values().map(Group::filter))))
}

fn read() -> Result<BTreeMap<String, Group>> {
    let path = paths::root().join(".config/prepared.toml");
    let read = || -> Result<_> { Ok(toml::from_str(&fs::read_to_string(&path)?)?) };
    read().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_needs_something_and_a_package_needs_what_is_in_it() {
        let groups = read().unwrap();
        for (name, group) in &groups {
            assert!(!group.tests.is_empty(), "{name}");
            assert!(!group.steps.is_empty() || !group.packages.is_empty(), "{name}");
            if group.steps.contains(&Step::Package) {
                assert!(group.steps.contains(&Step::Winterop), "{name}");
                assert!(group.steps.contains(&Step::Windows), "{name}");
            }
        }
        let all = Preparation::of_everything().unwrap();
        assert_eq!(all, Preparation::of_groups(groups.values()));
        assert!(all.has(Step::Package) && all.packages.contains("podman"), "{all:?}");
    }
}
