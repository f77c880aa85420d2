//! `/etc/winterop/config.toml`: what root sets for all users of the machine.

use crate::file::{FileError, Limits};
use crate::{SettingsError, from_toml};
use serde::Deserialize;
use std::path::Path;

/// The directory of root's settings.
pub const DIRECTORY: &str = "/etc/winterop";

/// The machine's settings, with their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineSettings {
    /// How the registry's `DistributionFlags` is read.
    #[serde(alias = "distribution_flags")]
    pub distribution_flags: FlagsMeaning,
    /// Where launches and refusals are written down.
    pub audit: AuditSetting,
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
