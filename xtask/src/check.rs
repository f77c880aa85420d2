//! `cargo xtask check`: formatting, lints, who may use whom, what has to build for Windows, and what
//! dependencies are held to.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::house;
use crate::paths;
use crate::progress::words;
use crate::runner::cargo;
use crate::windows;

/// What both sides have, and so has to build for Windows too; of `channel` that is its state machine.
const ON_WINDOWS_TOO: [&str; 5] = [
    "winterop-words",
    "winterop-wire",
    "winterop-translate",
    "winterop-console",
    "winterop-channel",
];

/// Runs every check, says which failed, and fails if one did.
///
/// # Errors
/// If cargo cannot be started.
pub(crate) fn run() -> Result<ExitCode> {
    let mut checks = vec![
        &["fmt", "--all", "--check"][..],
        &[
            "clippy",
            "--release",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    ];
    if is_installed("cargo-deny") {
        checks.push(&["deny", "--workspace", "check"]);
    } else {
        eprintln!("cargo-deny is not installed: what dependencies are held to is not checked");
    }
    let mut failed = house::check()?;
    if failed.is_empty() {
        eprintln!("✓ who may use whom");
    }
    let mut commands: Vec<(String, Command)> = Vec::new();
    for check in checks {
        let mut command = Command::new(cargo());
        command.args(check);
        commands.push((format!("cargo {}", check.join(" ")), command));
    }
    match windows::checker()? {
        Some(mut command) => {
            command.args(["check", "--locked"]);
            command.args(ON_WINDOWS_TOO.iter().flat_map(|name| ["--package", name]));
            commands.push((format!("for Windows: {}", ON_WINDOWS_TOO.join(" ")), command));
        }
        None => eprintln!(
            "there is no Rust for Windows (`cargo xtask windows` gets one): whether {} build there is \
             not checked",
            ON_WINDOWS_TOO.join(" ")
        ),
    }
    for (shown, mut command) in commands {
        command.current_dir(paths::root()).stdin(Stdio::null());
        let status = command.status().with_context(|| format!("start `{}`", words(&command)))?;
        if status.success() {
            eprintln!("✓ {shown}");
        } else {
            failed.push(shown);
        }
    }
    for check in &failed {
        eprintln!("✗ {check}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_installed(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}
