//! `winterop enable`, `disable` and `status`: Winterop on this machine, for all its users.

use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use winterop_machine::installation::status::{Line, Status};
use winterop_machine::installation::{disable_this, enable_this};

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    sudo winterop enable       Windows programs run by name, for every user of this machine\n  \
    winterop status            what of it is there, and works\n  \
    sudo winterop disable      takes away what enable has put there")]
pub(crate) struct ChangeArguments {
    /// Say nothing of what was done.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    winterop status\n  \
    winterop status --json | jq .enabled\n\n\
    It exits 0 where Winterop is enabled and in order, 1 where something is wrong, 3 where it is not \
    enabled.")]
pub(crate) struct StatusArguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn enable(arguments: &ChangeArguments) -> Result<ExitCode> {
    tell(arguments, &enable_this()?, "Winterop was enabled already");
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn disable(arguments: &ChangeArguments) -> Result<ExitCode> {
    tell(arguments, &disable_this()?, "Winterop was not enabled");
    Ok(ExitCode::SUCCESS)
}

fn tell(arguments: &ChangeArguments, done: &[String], nothing: &str) {
    if arguments.quiet {
        return;
    }
    for line in done {
        println!("{line}");
    }
    if done.is_empty() {
        println!("{nothing}");
    }
}

pub(crate) fn status(arguments: &StatusArguments) -> Result<ExitCode> {
    let status = Status::look().map_err(|error| error.words())?;
    if arguments.json {
        let of =
            |line: &Line| (line.name.to_owned(), json!({ "ok": line.is_right, "says": line.says }));
        let lines: serde_json::Map<_, _> = status.lines.iter().map(of).collect();
        let (enabled, ok) = (status.is_enabled, status.is_right());
        println!("{}", json!({ "enabled": enabled, "ok": ok, "parts": lines }));
    } else {
        for line in &status.lines {
            println!("{:<13} {}", format!("{}:", line.name), line.says);
        }
    }
    Ok(match (status.is_enabled, status.is_right()) {
        (false, _) => ExitCode::from(3),
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::FAILURE,
    })
}
