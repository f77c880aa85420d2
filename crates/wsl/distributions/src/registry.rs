//! What is known of each distribution, and what may be done with it next. No I/O.

mod types;

use crate::name::DistributionName;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
pub use types::{Distribution, Flags, NoVersion, ROOT, State, Uid, Version};
use winterop_words::{Failure, Words};

/// The layout of the file; another one is refused rather than guessed at.
pub const FORMAT: u32 = 1;

/// Why something cannot be done with the distributions there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub enum RegistryError {
    /// There is none of this name.
    Unknown(String),
    /// The name is taken.
    Taken(DistributionName),
    /// The directory is another distribution's.
    DirectoryTaken(PathBuf, DistributionName),
    /// It is not in the state for that.
    Busy(DistributionName, &'static str),
}

impl RegistryError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Unknown(name) => Failure::NoDistribution { name }.words(),
            Self::Taken(name) => Failure::DistributionThere { name }.words(),
            Self::DirectoryTaken(path, name) => {
                Failure::DirectoryTaken { path: &path.display(), name }.words()
            }
            Self::Busy(name, state) => Failure::DistributionBusy { name, state }.words(),
        }
    }
}

impl From<RegistryError> for Words {
    fn from(error: RegistryError) -> Self {
        error.words()
    }
}

/// Why what is known of distributions cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum UnclearRegistry {
    /// It is not the text of one, or cannot be said in one.
    #[error(transparent)]
    Text(#[from] serde_json::Error),
    /// It has another layout.
    #[error(
        "it has the format {0}, and this program knows {FORMAT}: it was written by another version"
    )]
    Format(u32),
    /// Two have one name.
    #[error("it has two distributions {0}")]
    Twice(DistributionName),
    /// A directory is no certain one.
    #[error("the directory of {0} is not absolute")]
    Relative(DistributionName),
    /// It is larger than any.
    #[error("it is larger than 1 MiB")]
    TooLarge,
}

/// All distributions of a user but the machine itself, which needs no entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Registry {
    format: u32,
    /// The one that is meant where none is named; the machine itself where this is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<DistributionName>,
    #[serde(default)]
    distributions: Vec<Distribution>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { format: FORMAT, default: None, distributions: Vec::new() }
    }
}

impl Registry {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// An [`UnclearRegistry`]: it is not as [`Registry::to_text`] writes it, or says two things at once.
    pub fn parse(text: &str) -> Result<Self, UnclearRegistry> {
        let registry: Self = serde_json::from_str(text)?;
        if registry.format != FORMAT {
            return Err(UnclearRegistry::Format(registry.format));
        }
        for (at, one) in registry.distributions.iter().enumerate() {
            if registry.distributions.iter().skip(at + 1).any(|other| other.name == one.name) {
                return Err(UnclearRegistry::Twice(one.name.clone()));
            }
            if !one.directory.is_absolute() {
                return Err(UnclearRegistry::Relative(one.name.clone()));
            }
        }
        Ok(registry)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// A directory whose name is not UTF-8.
    pub fn to_text(&self) -> Result<String, UnclearRegistry> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// All of them, in the order in which they came.
    #[must_use]
    pub fn distributions(&self) -> &[Distribution] {
        &self.distributions
    }

    /// The one of this name; case does not count.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`].
    pub fn find(&self, name: &str) -> Result<&Distribution, RegistryError> {
        let found = self.distributions.iter().find(|one| one.name.is(name));
        found.ok_or_else(|| RegistryError::Unknown(name.to_owned()))
    }

    fn find_mut(&mut self, name: &str) -> Result<&mut Distribution, RegistryError> {
        let found = self.distributions.iter_mut().find(|one| one.name.is(name));
        found.ok_or_else(|| RegistryError::Unknown(name.to_owned()))
    }

    /// The one of this name, where it is whole.
    ///
    /// # Errors
    /// A [`RegistryError`].
    pub fn installed(&self, name: &str) -> Result<&Distribution, RegistryError> {
        let found = self.find(name)?;
        match found.state {
            State::Installed => Ok(found),
            State::Installing => Err(RegistryError::Busy(found.name.clone(), "being imported")),
            State::Uninstalling => Err(RegistryError::Busy(found.name.clone(), "being removed")),
        }
    }

    /// The default; `None` is the machine itself.
    #[must_use]
    pub fn default_distribution(&self) -> Option<&Distribution> {
        self.default.as_ref().and_then(|name| self.find(name.as_str()).ok())
    }

    /// Adds one that is about to be written.
    ///
    /// # Errors
    /// A [`RegistryError`]: its name or its directory is taken.
    pub fn begin(&mut self, distribution: Distribution) -> Result<(), RegistryError> {
        if let Ok(other) = self.find(distribution.name.as_str()) {
            return match other.state {
                State::Installed => Err(RegistryError::Taken(other.name.clone())),
                _ => self.installed(distribution.name.as_str()).map(|_| ()),
            };
        }
        let directory = &distribution.directory;
        let overlaps = |other: &Path| other.starts_with(directory) || directory.starts_with(other);
        if let Some(other) = self.distributions.iter().find(|one| overlaps(&one.directory)) {
            return Err(RegistryError::DirectoryTaken(directory.clone(), other.name.clone()));
        }
        self.distributions.push(Distribution { state: State::Installing, ..distribution });
        Ok(())
    }

    /// Changes how far one has come.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`].
    pub fn set_state(
        &mut self,
        name: &DistributionName,
        state: State,
    ) -> Result<(), RegistryError> {
        self.find_mut(name.as_str())?.state = state;
        Ok(())
    }

    /// Changes whom one starts commands as.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`].
    pub fn set_default_uid(
        &mut self,
        name: &DistributionName,
        uid: Uid,
    ) -> Result<(), RegistryError> {
        self.find_mut(name.as_str())?.default_uid = uid;
        Ok(())
    }

    /// Makes one the default; `None` is the machine itself.
    ///
    /// # Errors
    /// A [`RegistryError`], where it is not there as a whole.
    pub fn set_default(&mut self, name: Option<&str>) -> Result<(), RegistryError> {
        self.default = match name {
            Some(name) => Some(self.installed(name)?.name.clone()),
            None => None,
        };
        Ok(())
    }

    /// Takes one out, whatever its state; the machine itself is the default where it was.
    pub fn remove(&mut self, name: &DistributionName) {
        self.distributions.retain(|one| one.name != *name);
        if self.default.as_ref() == Some(name) {
            self.default = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(name: &str, directory: &str) -> Distribution {
        Distribution {
            name: name.parse().unwrap(),
            directory: directory.into(),
            made_directory: true,
            default_uid: Uid(1000),
            version: Version::VirtualMachine,
            flags: Flags::default(),
            state: State::Installed,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut registry = Registry::default();
        registry.begin(distribution("One", "/srv/one")).unwrap();
        registry.begin(distribution("two", "/srv/two")).unwrap();
        registry.set_state(&"one".parse().unwrap(), State::Installed).unwrap();
        registry.set_default(Some("ONE")).unwrap();
        let again = Registry::parse(&registry.to_text().unwrap()).unwrap();
        assert_eq!(again, registry);
        assert_eq!(again.default_distribution().unwrap().name.as_str(), "One");
        assert_eq!(again.find("TWO").unwrap().state, State::Installing);
        assert_eq!(again.find("two").unwrap().version, Version::VirtualMachine);
    }

    #[test]
    fn what_is_not_whole_is_not_used() {
        let mut registry = Registry::default();
        registry.begin(distribution("one", "/srv/one")).unwrap();
        let words = registry.installed("one").unwrap_err().to_string();
        assert!(words.contains("being imported"), "{words}");
        assert!(registry.set_default(Some("one")).is_err());
        assert!(matches!(registry.find("two"), Err(RegistryError::Unknown(_))));
    }

    #[test]
    fn a_name_and_a_directory_have_one_owner() {
        let mut registry = Registry::default();
        registry.begin(distribution("one", "/srv/one")).unwrap();
        registry.set_state(&"one".parse().unwrap(), State::Installed).unwrap();
        let taken = registry.begin(distribution("ONE", "/srv/two"));
        assert!(matches!(taken, Err(RegistryError::Taken(_))), "{taken:?}");
        for directory in ["/srv/one", "/srv", "/srv/one/below"] {
            let taken = registry.begin(distribution("two", directory));
            assert!(matches!(taken, Err(RegistryError::DirectoryTaken(..))), "{directory}");
        }
        registry.begin(distribution("two", "/srv/one-more")).unwrap();
    }

    #[test]
    fn the_machine_itself_is_the_default_again_when_the_default_goes() {
        let mut registry = Registry::default();
        registry.begin(distribution("one", "/srv/one")).unwrap();
        registry.set_state(&"one".parse().unwrap(), State::Installed).unwrap();
        registry.set_default(Some("one")).unwrap();
        registry.remove(&"ONE".parse().unwrap());
        assert_eq!(registry, Registry::default());
    }

    #[test]
    fn files_that_say_nothing_clear_are_refused() {
        let entry = |name: &str, directory: &str| {
            format!(r#"{{"name":"{name}","directory":"{directory}","state":"installed"}}"#)
        };
        let file = |format: u32, entries: &[String]| {
            format!(r#"{{"format":{format},"distributions":[{}]}}"#, entries.join(","))
        };
        assert!(Registry::parse(&file(1, &[entry("a", "/a")])).is_ok());
        for text in [
            String::new(),
            "{}".to_owned(),
            file(2, &[]),
            file(1, &[entry("a", "/a"), entry("A", "/b")]),
            file(1, &[entry("a/b", "/a")]),
            file(1, &[entry("a", "relative")]),
            file(1, &[entry("a", "/a").replace("installed", "odd")]),
        ] {
            assert!(Registry::parse(&text).is_err(), "{text}");
        }
    }
}
