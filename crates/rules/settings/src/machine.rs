//! `/etc/winterop/config.toml`: what root sets for all users of the machine.

use crate::file::{FileError, Limits};
use crate::{SettingsError, from_toml};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::path::Path;

/// The directory of root's settings.
pub const DIRECTORY: &str = "/etc/winterop";

/// Where the machine's init makes a directory for each guest, a container for example, that has a
/// socket of its own.
pub const GUESTS: &str = "/run/winterop/guests";

/// The machine's settings, with their defaults.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineSettings {
    /// How the registry's `DistributionFlags` is read.
    #[serde(alias = "distribution_flags")]
    pub distribution_flags: FlagsMeaning,
    /// Where launches and refusals are written down.
    pub audit: AuditSetting,
    /// Whether the machine's init registers again what has vanished from the kernel's table.
    pub heal: bool,
    /// The name of the entry in the kernel's table.
    pub entry: EntryName,
}

impl Default for MachineSettings {
    fn default() -> Self {
        Self {
            distribution_flags: FlagsMeaning::default(),
            audit: AuditSetting::default(),
            heal: true,
            entry: EntryName::default(),
        }
    }
}

/// The name of our entry in the kernel's table, unless root wants another. Other programs look for it.
pub const ENTRY: &str = "WSLInterop";

/// The name of an entry in the kernel's table of executables; [`ENTRY`] unless root wants another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryName(String);

impl EntryName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for EntryName {
    fn default() -> Self {
        Self(ENTRY.to_owned())
    }
}

impl Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<EntryName> for String {
    fn from(name: EntryName) -> Self {
        name.0
    }
}

/// What cannot be an entry's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be an entry's name: 1 to 64 letters, digits, '-', '_' and '.', not \"register\" or \
     \"status\""
)]
pub struct BadEntryName(String);

impl TryFrom<String> for EntryName {
    type Error = BadEntryName;

    fn try_from(name: String) -> Result<Self, BadEntryName> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_reserved = matches!(&*name, "register" | "status") || name.starts_with('.');
        if name.is_empty() || name.len() > 64 || is_reserved || !name.chars().all(is_plain) {
            return Err(BadEntryName(name));
        }
        Ok(Self(name))
    }
}

/// How the registry's `DistributionFlags` is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlagsMeaning {
    /// As the documentation says: the lowest bit set switches interop off.
    #[default]
    Documented,
    /// As the service that ships with Windows reads it: a mask of what is enabled, the lowest bit
    /// being interop.
    Service,
}

impl FlagsMeaning {
    /// Whether `flags` let Windows programs run.
    #[must_use]
    pub fn is_on(self, flags: u32) -> bool {
        let lowest = flags & 1 != 0;
        match self {
            Self::Documented => !lowest,
            Self::Service => lowest,
        }
    }
}

/// Where launches and refusals are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditSetting {
    /// Nowhere.
    #[default]
    Off,
    /// In the system's journal.
    Journal,
    /// In a file of each user's.
    File,
}

/// The most bytes of a settings file of root's: 1 MiB.
pub(crate) const LARGEST: u64 = 1 << 20;

impl MachineSettings {
    /// Reads root's settings below `directory`; where there are none, the defaults hold.
    ///
    /// # Errors
    /// A [`SettingsError`]: not root's, unreadable, or wrong.
    pub fn read(directory: &Path) -> Result<Self, SettingsError> {
        let path = directory.join("config.toml");
        let content = crate::file::read(&path, Limits::up_to(LARGEST).of_root())?;
        Self::parse(content.as_ref().map(|content| &*content.bytes), &path)
    }

    /// What is wrong with the text of such a file.
    ///
    /// # Errors
    /// A [`SettingsError`].
    pub fn examine_text(text: &[u8]) -> Result<Self, SettingsError> {
        Self::parse(Some(text), Path::new("config.toml"))
    }

    pub(crate) fn parse(bytes: Option<&[u8]>, path: &Path) -> Result<Self, SettingsError> {
        bytes.map_or_else(|| Ok(Self::default()), |bytes| from_toml(bytes, path))
    }
}

impl From<SettingsError> for String {
    fn from(error: SettingsError) -> Self {
        error.to_string()
    }
}

impl From<FileError> for String {
    fn from(error: FileError) -> Self {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_what_is_wrong_in_them() {
        let path = Path::new("/etc/winterop/config.toml");
        let parse = |text: &str| MachineSettings::parse(Some(text.as_bytes()), path);
        let settings = parse("heal = false\nentry = \"DOSWin\"\naudit = \"file\"\n").unwrap();
        assert!(!settings.heal && settings.audit == AuditSetting::File);
        assert_eq!(settings.entry.as_str(), "DOSWin");
        assert_eq!(parse("").unwrap(), MachineSettings::default());
        assert!(MachineSettings::default().heal);
        for wrong in
            ["entry = \"a/b\"", "entry = \"\"", "entry = \"status\"", "entry = \"a:b\"", "heal = 1"]
        {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains("config.toml"), "{error}");
        }
    }
}
