//! `winterop enable`, `disable` and `status`: Winterop on this machine, for all its users.

use crate::places;
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use winterop_machine::installation::files::{Manifest, State};
use winterop_machine::installation::server::{self, Running};
use winterop_machine::installation::{Plan, disable as take_away, enable as put_there};
use winterop_places::names::INIT;
use winterop_registration as registration;
use winterop_settings::machine::EntryName;
use winterop_settings::{MachineSettings, Policy, SwitchPlaces, Switches, machine};
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
        init: places::libraries()?.join("init"),
        program: places::own_program()?,
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

/// One thing that `status` says.
struct Line {
    name: &'static str,
    says: String,
    is_right: bool,
}

pub fn status(arguments: &StatusArguments) -> Result<ExitCode> {
    let manifest = Manifest::read(Path::new("/")).map_err(|error| error.words())?;
    let is_enabled = !manifest.is_empty();
    let mut lines = vec![files(&manifest)?];
    if is_enabled {
        lines.push(registered(&manifest));
        lines.push(served());
    }
    lines.push(switches());
    lines.push(policy());
    let is_right = lines.iter().all(|line| line.is_right);
    if arguments.json {
        let of =
            |line: &Line| (line.name.to_owned(), json!({ "ok": line.is_right, "says": line.says }));
        let lines: serde_json::Map<_, _> = lines.iter().map(of).collect();
        println!("{}", json!({ "enabled": is_enabled, "ok": is_right, "parts": lines }));
    } else {
        for line in &lines {
            println!("{:<13} {}", format!("{}:", line.name), line.says);
        }
    }
    Ok(match (is_enabled, is_right) {
        (false, _) => ExitCode::from(3),
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::FAILURE,
    })
}

fn files(manifest: &Manifest) -> Result<Line> {
    let states = manifest.states(Path::new("/")).map_err(|error| error.words())?;
    let wrong: Vec<String> = states
        .iter()
        .filter_map(|(path, state)| match state {
            State::Ours => None,
            State::Changed => Some(format!("{} was changed", path.display())),
            State::Gone => Some(format!("{} is gone", path.display())),
        })
        .collect();
    let says = match (states.is_empty(), wrong.is_empty()) {
        (true, _) => "not enabled; `winterop enable` as root enables it for all users".to_owned(),
        (false, true) => format!("enabled; {} files are as they were written", states.len()),
        (false, false) => {
            format!("{}; `winterop enable` as root writes what is gone", wrong.join(", "))
        }
    };
    Ok(Line { name: "files", says, is_right: wrong.is_empty() })
}

fn registered(manifest: &Manifest) -> Line {
    let name = manifest.entry.clone().unwrap_or_default();
    let (says, is_right) = match registration::read(name.as_str()) {
        None => (format!("{name} is gone; `winterop enable` registers it"), false),
        Some(entry) if entry.interpreter != INIT => {
            (format!("{name} starts {}, which is not ours", entry.interpreter), false)
        }
        Some(entry) if !entry.enabled => {
            (format!("{name} was switched off by somebody; `echo 1` into it switches it on"), false)
        }
        Some(entry) => (format!("{name} starts {} ({})", entry.interpreter, entry.flags), true),
    };
    Line { name: "registration", says, is_right }
}

fn served() -> Line {
    let socket = server::socket().display().to_string();
    let (says, is_right) = match server::running() {
        Running::Yes(pid) => (format!("process {pid} answers on {socket}"), true),
        Running::Silent(pid) => (format!("process {pid} has {socket} and does not answer"), false),
        Running::No => (format!("nobody serves {socket}; `winterop enable` starts it"), false),
    };
    Line { name: "server", says, is_right }
}

fn switches() -> Line {
    let switches = Switches::new(SwitchPlaces::default());
    match switches.check() {
        Ok(()) => Line { name: "switches", says: "on".to_owned(), is_right: true },
        Err(off) => Line { name: "switches", says: off.to_string(), is_right: false },
    }
}

fn policy() -> Line {
    let directory = Path::new(machine::DIRECTORY);
    let (says, is_right) = match Policy::examine(directory) {
        Err(error) => (format!("nothing runs: {error}"), false),
        Ok(()) if Policy::new(directory).rules().say_anything() => {
            (format!("{} has rules", directory.join("policy.toml").display()), true)
        }
        Ok(()) => ("there is none: every user runs their own programs".to_owned(), true),
    };
    Line { name: "policy", says, is_right }
}
