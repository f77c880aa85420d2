//! What runs the tests, and the cargo that runs this program.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::paths;

/// What runs the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// cargo-nextest: each test in a process of its own.
    Nextest,
    /// cargo's own.
    Cargo,
}

impl Runner {
    /// nextest where it is installed.
    pub(crate) fn find() -> Self {
        let asked = Command::new("cargo-nextest").args(["nextest", "--version"]).output();
        if asked.is_ok_and(|output| output.status.success()) { Self::Nextest } else { Self::Cargo }
    }

    /// The command with which nextest lists the workspace's tests.
    pub(crate) fn list() -> Command {
        let mut command = Command::new(cargo());
        command.args(["nextest", "list", "--release", "--locked", "--workspace"]);
        command.current_dir(paths::root()).stdin(Stdio::null());
        command
    }

    /// The command that runs the workspace's tests, to the end even if one fails.
    pub(crate) fn command(self) -> Command {
        let mut command = Command::new(cargo());
        command.args(match self {
            Self::Nextest => &["nextest", "run"][..],
            Self::Cargo => &["test"],
        });
        command.args(["--release", "--locked", "--workspace", "--no-fail-fast"]);
        command.current_dir(paths::root()).stdin(Stdio::null());
        command
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
