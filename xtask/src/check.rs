//! `cargo xtask check`: formatting, lints, documentation and its examples, who may use whom, what has to
//! build for Windows, and what dependencies are held to.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::progress::words;
use crate::runner::cargo;
use crate::{fuzz, house, paths, windows};

/// What both sides have, and so has to build for Windows too; of `channel` that is its state machine.
const ON_WINDOWS_TOO: [&str; 5] = [
    "winterop-words",
    "winterop-wire",
    "winterop-translate",
    "winterop-console",
    "winterop-channel",
];

/// A command that fails where something is wrong.
struct Check {
    command: Command,
    shown: String,
}

impl Check {
    /// One of cargo's, in the main workspace.
    fn cargo(arguments: &str) -> Self {
        Self::of(Command::new(cargo()), paths::root(), arguments)
    }

    fn of(mut command: Command, folder: &Path, arguments: &str) -> Self {
        command.args(arguments.split(' ')).current_dir(folder).stdin(Stdio::null());
        let place = folder.strip_prefix(paths::root()).unwrap_or(folder).display().to_string();
        let place = if place.is_empty() { place } else { format!(", in {place}") };
        Self { command, shown: format!("cargo {arguments}{place}") }
    }

    fn with(mut self, variable: &str, value: &str) -> Self {
        self.command.env(variable, value);
        self.shown = format!("{variable}='{value}' {}", self.shown);
        self
    }

    /// Says how it went.
    fn passes(mut self) -> Result<Result<(), String>> {
        let begin = Instant::now();
        let status = self.command.status();
        let status = status.with_context(|| format!("start `{}`", words(&self.command)))?;
        if !status.success() {
            return Ok(Err(self.shown));
        }
        eprintln!("✓ {} ({} s)", self.shown, begin.elapsed().as_secs());
        Ok(Ok(()))
    }
}

/// What has to pass. The profile is the tests', so that one build serves both.
fn checks() -> Result<Vec<Check>> {
    let mut checks = vec![Check::cargo("fmt --all --check")];
    let fuzzed = fuzz::folders()?;
    for folder in fuzzed.iter().chain([&paths::root().join("windows")]) {
        checks.push(Check::of(Command::new(cargo()), folder, "fmt --all --check"));
    }
    // The second lint knows the version of Rust that `Cargo.toml` states.
    let lints = "clippy --release --locked --workspace --all-targets -- -D warnings \
                 -D clippy::incompatible_msrv";
    checks.push(Check::cargo(lints));
    match windows::clippy() {
        Ok((folder, parts)) => {
            let parts = parts.into_iter();
            checks.extend(parts.map(|(command, lints)| Check::of(command, &folder, &lints)));
        }
        Err(error) => eprintln!("the lints of the programs for Windows are not checked: {error:#}"),
    }
    match windows::checker()? {
        Some(command) => {
            let packages: Vec<_> =
                ON_WINDOWS_TOO.iter().map(|name| format!("--package {name}")).collect();
            let arguments = format!("check --locked {}", packages.join(" "));
            let mut check = Check::of(command, paths::root(), &arguments);
            check.shown = format!("for Windows: {}", check.shown);
            checks.push(check);
        }
        None => eprintln!(
            "there is no Rust for Windows (`cargo xtask windows` gets one): whether {} build there is \
             not checked",
            ON_WINDOWS_TOO.join(" ")
        ),
    }
    // For whoever works on the code: what is private is a part of it, and may be referred to.
    checks.push(
        Check::cargo("doc --release --locked --workspace --no-deps --document-private-items")
            .with("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"),
    );
    checks.push(Check::cargo("test --doc --release --locked --workspace"));
    // That the fuzz targets build; running them needs a nightly compiler.
    for folder in &fuzzed {
        let mut check = Check::of(Command::new(cargo()), folder, "check");
        check.command.env("CARGO_TARGET_DIR", fuzz::checked());
        checks.push(check);
    }
    if is_installed("cargo-deny") {
        // Advisories need the network.
        checks.push(Check::cargo("deny --workspace check bans licenses sources"));
    } else {
        eprintln!("cargo-deny is not installed: what dependencies are held to is not checked");
    }
    Ok(checks)
}

/// Runs every check, says which failed, and fails if one did.
///
/// # Errors
/// If cargo cannot be started.
pub(crate) fn run() -> Result<ExitCode> {
    let mut failed = house::check()?;
    if failed.is_empty() {
        eprintln!("✓ who may use whom");
    }
    for check in checks()? {
        failed.extend(check.passes()?.err());
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
