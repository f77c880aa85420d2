//! `winterop enable`, `disable` and `status`: Winterop on this machine, for all its users.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use winterop_machine::installation::status::{Line, Status};
use winterop_machine::installation::{Plan, disable as take_away, enable as put_there};
use winterop_places::program;
use winterop_settings::machine::EntryName;
use winterop_settings::{MachineSettings, machine};
use winterop_words::Failure;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    sudo winterop enable       Windows programs run by name, for every user of this machine\n  \
    winterop status            what of it is there, and works\n  \
    sudo winterop disable      takes away what enable has put there")]
pub struct ChangeArguments {
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
pub struct StatusArguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn enable(arguments: &ChangeArguments) -> Result<ExitCode> {
    require_root("enable Winterop for all users")?;
    let plan = Plan {
        root: "/".into(),
        init: program::init()?,
        program: program::own()?,
        entry: entry()?,
    };
    let done = put_there(&plan).map_err(|error| error.words())?;
    tell(arguments, &done, "Winterop was enabled already");
    Ok(ExitCode::SUCCESS)
}

pub fn disable(arguments: &ChangeArguments) -> Result<ExitCode> {
    require_root("disable Winterop for all users")?;
    let done = take_away(Path::new("/"), &entry()?).map_err(|error| error.words())?;
    tell(arguments, &done, "Winterop was not enabled");
    Ok(ExitCode::SUCCESS)
}

pub fn require_root(what: &str) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(Failure::NotRoot { what: &what }.words());
    }
    Ok(())
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

fn entry() -> Result<EntryName> {
    let settings = MachineSettings::read(Path::new(machine::DIRECTORY));
    Ok(settings.map_err(|error| error.words())?.entry)
}

pub fn status(arguments: &StatusArguments) -> Result<ExitCode> {
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
