//! What an entry says of one distribution.

use crate::name::DistributionName;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a distribution runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Version {
    /// On the machine's own kernel.
    #[default]
    SharedKernel,
    /// In a virtual machine.
    VirtualMachine,
}

/// A number that is no version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no version {0}: 1 is this kernel, 2 a virtual machine")]
pub struct NoVersion(pub u8);

impl TryFrom<u8> for Version {
    type Error = NoVersion;

    fn try_from(number: u8) -> Result<Self, NoVersion> {
        match number {
            1 => Ok(Self::SharedKernel),
            2 => Ok(Self::VirtualMachine),
            _ => Err(NoVersion(number)),
        }
    }
}

impl From<Version> for u8 {
    fn from(version: Version) -> Self {
        match version {
            Version::SharedKernel => 1,
            Version::VirtualMachine => 2,
        }
    }
}

/// A user id inside a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub u32);

/// What a distribution is set to, as WSL's `WSL_DISTRIBUTION_FLAGS` have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(u32);

impl Flags {
    /// Windows programs can be started.
    pub const INTEROP: Self = Self(1);
    /// `PATH` ends with the directories of Windows programs.
    pub const APPEND_WINDOWS_PATH: Self = Self(2);
    /// Drives are mounted below `/mnt`.
    pub const DRIVE_MOUNTING: Self = Self(4);

    /// Whether everything in `other` is set here.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Default for Flags {
    /// All of them.
    fn default() -> Self {
        Self(Self::INTEROP.0 | Self::APPEND_WINDOWS_PATH.0 | Self::DRIVE_MOUNTING.0)
    }
}

/// How far a distribution has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its files are being written. Where nobody is at it any more they are leftovers.
    Installing,
    /// It is there as a whole.
    Installed,
    /// Its files are being removed. Where nobody is at it any more that is to be gone on with.
    Uninstalling,
}

impl State {
    /// What `wsl --list --verbose` calls it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Installing => "Installing",
            Self::Installed => "Stopped",
            Self::Uninstalling => "Uninstalling",
        }
    }
}

/// One distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Distribution {
    /// Its name.
    pub name: DistributionName,
    /// The directory that was named at its import, absolute; [`Self::root`] is in it.
    pub directory: PathBuf,
    /// Whether the import made that directory, so that it goes with the distribution.
    #[serde(default)]
    pub made_directory: bool,
    /// Whom it starts commands as, where nothing else is said.
    #[serde(default)]
    pub default_uid: Uid,
    /// How it runs.
    #[serde(default)]
    pub version: Version,
    /// What it is set to.
    #[serde(default)]
    pub flags: Flags,
    /// How far it has come.
    pub state: State,
}

/// The directory with the root file system, in the one that was named at the import.
pub const ROOT: &str = "rootfs";

impl Distribution {
    /// Where its root file system is.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.join(ROOT)
    }
}
