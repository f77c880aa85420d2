//! `cargo xtask test`: everything that the tests need, then all of them.

use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::debian::{self, Purpose};
use crate::fetch::{self, Program};
use crate::{layout, paths, windows};

/// What the end-to-end tests call besides Wine.
const TOOLS: &[&str] = &["tmux", "zsh", "strace", "util-linux", "python3"];

/// Gets everything ready that the tests need.
///
/// # Errors
/// If something is missing, does not build or cannot be fetched.
pub(crate) fn prepare() -> Result<()> {
    debian::ensure_all(&[Purpose::Run, Purpose::Test(TOOLS)])?;
    let layout = layout::build()?;
    let programs = windows::build()?;
    layout::add_helper(&layout, &programs)?;
    for program in Program::ALL {
        fetch::program(program)?;
    }
    Ok(())
}

/// The test runner's command, without a filter: nextest where it is installed.
pub(crate) fn runner() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if has_nextest() {
        command.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        command.args(["test", "--no-fail-fast"]);
    }
    command.args(["--release", "--locked", "--workspace"]);
    command.current_dir(paths::root()).stdin(Stdio::null());
    command
}

fn has_nextest() -> bool {
    let asked = Command::new("cargo-nextest").arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}

/// Runs all tests, or those that `filters` name; the exit status is the runner's.
///
/// # Errors
/// If the preparation fails, or the runner cannot be started.
pub(crate) fn run(filters: &[OsString]) -> Result<ExitCode> {
    prepare()?;
    let status = runner().args(filters).status().context("the test runner cannot be started")?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
