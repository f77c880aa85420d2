//! Names of distributions.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use winterop_words::{Failure, Words};

/// The most characters of a name.
pub const LONGEST: usize = 64;

/// A distribution's name: 1 to 64 letters, digits, `.`, `_` and `-` of ASCII.
///
/// That is what WSL allows (`^[a-zA-Z0-9._-]{1,64}$`), without the names that Windows cannot have as
/// a directory, because `\\wsl.localhost\NAME` is one, and without a leading `-`, which `wsl` would
/// take for an option. Two names that differ only in case are the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DistributionName(String);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("it cannot be empty")]
    Empty,
    /// It is too long.
    #[error("the name has {0} characters, and at most {LONGEST} are allowed")]
    TooLong(usize),
    /// It has a character that a name cannot have.
    #[error("{0:?} has the character {1:?}")]
    Character(String, char),
    /// Windows or `wsl` would take it for something else.
    #[error("{0:?} cannot be one: {1}")]
    Reserved(String, &'static str),
}

impl From<NameError> for Words {
    fn from(error: NameError) -> Self {
        Failure::DistributionName { why: &error }.words()
    }
}

/// What Windows takes for a device, with any extension.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

impl DistributionName {
    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` names the same distribution: case does not count.
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl FromStr for DistributionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let length = text.chars().count();
        if length > LONGEST {
            return Err(NameError::TooLong(length));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if let Some(wrong) = text.chars().find(|c| !allowed(*c)) {
            return Err(NameError::Character(text.to_owned(), wrong));
        }
        match reserved(text) {
            Some(reason) => Err(NameError::Reserved(text.to_owned(), reason)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

fn reserved(text: &str) -> Option<&'static str> {
    let stem = text.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered = |name: &str| {
        stem.strip_prefix(name).is_some_and(|rest| matches!(rest.as_bytes(), [b'1'..=b'9']))
    };
    if text.starts_with('-') {
        Some("it would be taken for an option")
    } else if text.ends_with('.') {
        // `.` and `..` among them.
        Some("Windows has no names that end with a dot")
    } else if DEVICES.contains(&stem.as_str()) || numbered("com") || numbered("lpt") {
        Some("Windows has a device of this name")
    } else {
        None
    }
}

impl TryFrom<String> for DistributionName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<DistributionName> for String {
    fn from(name: DistributionName) -> Self {
        name.0
    }
}

impl fmt::Display for DistributionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for DistributionName {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for DistributionName {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DistributionName, NameError> {
        text.parse()
    }

    #[test]
    fn names_that_people_use() {
        for name in ["Debian", "Ubuntu-24.04", "a", "my_own", "0", ".hidden", "console", "com0x"] {
            assert_eq!(parse(name).unwrap().as_str(), name);
        }
        assert_eq!(parse("a".repeat(64).as_str()).unwrap().as_str().len(), 64);
    }

    #[test]
    fn names_that_nobody_can_have() {
        let long = "a".repeat(300);
        for name in [
            "", ".", "..", "a/b", "/", "a\\b", "a b", "a\nb", "a\0", "ä", "-d", "a.", "con", "NUL",
            "nul.txt", "Com1", "lpt9.x", "a:b", "~", "*", &long,
        ] {
            assert!(parse(name).is_err(), "{name:?}");
        }
        assert_eq!(parse(&long).unwrap_err(), NameError::TooLong(300));
        let words = parse("a/b").unwrap_err().to_string();
        assert!(words.contains("\"a/b\"") && words.contains("'/'"), "{words}");
    }

    #[test]
    fn case_does_not_count() {
        assert_eq!(parse("Debian").unwrap(), parse("dEBIAN").unwrap());
        assert_ne!(parse("Debian").unwrap(), parse("Debian2").unwrap());
    }

    #[test]
    fn a_file_cannot_bring_in_what_a_person_could_not_type() {
        assert!(serde_json::from_str::<DistributionName>("\"../x\"").is_err());
        let name: DistributionName = serde_json::from_str("\"x\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"x\"");
    }
}
