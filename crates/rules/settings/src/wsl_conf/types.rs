//! What a distribution says of itself, and what can be wrong with how it does.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What a distribution says of itself, with WSL's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WslConf {
    /// How Windows drives are mounted.
    pub automount: Automount,
    /// Files that processes make.
    pub filesystem: Filesystem,
    /// Windows programs.
    pub interop: Interop,
    /// Files that describe the network.
    pub network: Network,
    /// Who is logged in.
    pub user: User,
    /// What is started.
    pub boot: Boot,
    /// The graphics card.
    pub gpu: Gpu,
    /// The clock.
    pub time: Time,
    /// The server that shows the distribution's files to Windows.
    pub file_server: FileServer,
    /// Whether graphical Linux programs are shown.
    pub general: General,
    /// The line of each key that was set, by its name `section.key` in lower case.
    pub(super) lines: BTreeMap<String, u32>,
}

/// `[automount]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Automount {
    /// Whether Windows drives are mounted.
    pub enabled: bool,
    /// The directory below which they are, with a slash at its end.
    pub root: String,
    /// Options of these mounts.
    pub options: Option<String>,
    /// Whether `/etc/fstab` is obeyed.
    pub mount_fs_tab: bool,
    /// Whether the host's libraries are linked.
    pub ldconfig: bool,
    /// The version of control groups.
    pub cgroups: Cgroups,
}

impl Default for Automount {
    fn default() -> Self {
        Self {
            enabled: true,
            root: "/mnt/".to_owned(),
            options: None,
            mount_fs_tab: true,
            ldconfig: true,
            cgroups: Cgroups::V2,
        }
    }
}

/// The version of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// `v1`.
    V1,
    /// `v2`.
    V2,
}

/// `[filesystem]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// The mode bits that new files do not have.
    pub umask: i32,
}

impl Default for Filesystem {
    fn default() -> Self {
        Self { umask: 0o022 }
    }
}

/// `[interop]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interop {
    /// Whether Windows programs run.
    pub enabled: bool,
    /// Whether a session's PATH ends with where Windows programs are.
    pub append_windows_path: bool,
}

impl Default for Interop {
    fn default() -> Self {
        Self { enabled: true, append_windows_path: true }
    }
}

/// `[network]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Whether `/etc/hosts` is written.
    pub generate_hosts: bool,
    /// Whether `/etc/resolv.conf` is written.
    pub generate_resolv_conf: bool,
    /// The distribution's host name.
    pub hostname: Option<String>,
}

impl Default for Network {
    fn default() -> Self {
        Self { generate_hosts: true, generate_resolv_conf: true, hostname: None }
    }
}

/// `[user]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The user of a session that asks for none.
    pub default: Option<String>,
}

/// `[boot]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Whether systemd runs.
    pub systemd: bool,
    /// A command of root's at the start.
    pub command: Option<String>,
    /// How long the init of `systemd` may take, in milliseconds.
    pub init_timeout: i32,
    /// Whether the registration is kept from systemd.
    pub protect_binfmt: bool,
}

impl Default for Boot {
    fn default() -> Self {
        Self { systemd: false, command: None, init_timeout: 10_000, protect_binfmt: true }
    }
}

/// `[gpu]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Whether the graphics card is there.
    pub enabled: bool,
    /// Whether its libraries are found.
    pub append_lib_path: bool,
}

impl Default for Gpu {
    fn default() -> Self {
        Self { enabled: true, append_lib_path: true }
    }
}

/// `[time]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Whether the time zone is the one of Windows.
    pub use_windows_timezone: bool,
}

impl Default for Time {
    fn default() -> Self {
        Self { use_windows_timezone: true }
    }
}

/// `[fileServer]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileServer {
    /// Whether it runs.
    pub enabled: bool,
    /// Where it logs.
    pub log_file: Option<String>,
    /// How much.
    pub log_level: i32,
    /// Whether it begins a new log.
    pub log_truncate: bool,
}

impl Default for FileServer {
    fn default() -> Self {
        Self { enabled: true, log_file: None, log_level: 4, log_truncate: true }
    }
}

/// `[general]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct General {
    /// Whether graphical Linux programs are shown.
    pub gui_applications: bool,
}

/// What is wrong with a line, in WSL's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No section has such a key.
    #[error("Unknown key '{0}'")]
    UnknownKey(String),
    /// A backslash before something that cannot be escaped.
    #[error("Invalid escaped character: '{0}'")]
    InvalidEscape(String),
    /// A section's name does not begin with a letter.
    #[error("Invalid section name")]
    InvalidSection,
    /// A key does not begin with a letter.
    #[error("Invalid key name")]
    InvalidKey,
    /// A character is missing.
    #[error("Expected {0}")]
    Expected(&'static str),
    /// The value is no boolean.
    #[error("Invalid boolean value '{value}' for key '{key}'")]
    InvalidBoolean {
        /// The value.
        value: String,
        /// The key.
        key: String,
    },
    /// The value is no integer, or too large.
    #[error("Invalid integer value '{value}' for key '{key}'")]
    InvalidInteger {
        /// The value.
        value: String,
        /// The key.
        key: String,
    },
    /// The value is none of those that the key can have.
    #[error("Invalid value '{value}' for key '{key}', expected one of: {expected}")]
    InvalidChoice {
        /// The value.
        value: String,
        /// The key.
        key: String,
        /// What it can be.
        expected: &'static str,
    },
    /// The key was there before; the first line counts.
    #[error("Duplicated config key '{key}' (the one in line {first} counts)")]
    Duplicate {
        /// The key.
        key: String,
        /// The line that counts.
        first: u32,
    },
}

/// One line that was passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub path: PathBuf,
    /// The line, the first is 1.
    pub line: u32,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in {}:{}", self.problem, self.path.display(), self.line)
    }
}
