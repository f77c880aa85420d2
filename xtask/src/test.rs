//! `cargo xtask test`: everything that the tests need, then all of them.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::debian::{self, Purpose};
use crate::fetch::{self, Program};
use crate::needs::{self, Missing};
use crate::runner::Runner;
use crate::{bootstrap, deb, fuzz, layout, windows};

/// What the end-to-end tests call besides Wine.
const TOOLS: &[&str] = &[
    "tmux",
    "zsh",
    "strace",
    "util-linux",
    "procps",
    "python3",
    "busybox-static",
    "uidmap",
    "openssh-client",
    "openssh-server",
    "bubblewrap",
    "cron",
    "sudo",
    "fuse3",
    "systemd",
    "e2fsprogs",
    "qemu-utils",
    "mmdebstrap",
    "podman",
    "crun",
    "nodejs",
];

/// Gets everything ready that the tests need: packages, Winterop, programs for Windows.
///
/// # Errors
/// If something is missing, does not build or cannot be fetched.
pub(crate) fn prepare() -> Result<()> {
    let mut purposes = vec![Purpose::Run, Purpose::Test(TOOLS), windows::purpose()];
    purposes.extend(fetch::purposes(&Program::ALL));
    debian::ensure_all(&purposes)?;
    let layout = layout::build()?;
    let programs = windows::build()?;
    layout::add_helper(&layout, &programs)?;
    deb::build(&layout)?;
    fuzz::build()?;
    if let Err(error) = bootstrap::ensure() {
        // Its test fails, and says so.
        eprintln!("without a Debian for the tests: {error:#}");
    }
    for program in Program::ALL {
        fetch::program(program)?;
    }
    Ok(())
}

/// Runs all tests, or those that `filters` name; the exit status is the runner's.
///
/// # Errors
/// If the preparation fails, or the runner cannot be started.
pub(crate) fn run(filters: &[OsString]) -> Result<ExitCode> {
    prepare()?;
    let runner = Runner::find();
    let mut command = runner.command();
    if runner == Runner::Cargo && !filters.is_empty() {
        // cargo itself takes one name only; the test programs take several.
        command.arg("--");
    }
    let missing = needs::missing()?;
    command.args(Missing::arguments(&missing, runner)).args(filters);
    let status = command.status().context("the test runner cannot be started")?;
    // The last that is said: what was left out has not passed.
    Missing::say(&missing, runner, filters)?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
