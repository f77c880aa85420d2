//! What of Winterop is on a machine, and whether it works.

use super::InstallError;
use super::files::{FileState, Manifest};
use super::server::{self, InitState};
use std::path::Path;
use winterop_places::names::INIT;
use winterop_registration as registration;
use winterop_settings::{Policy, SwitchPlaces, Switches, machine};

/// One thing that is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub name: &'static str,
    /// How that is.
    pub says: String,
    /// Whether that is in order.
    pub is_right: bool,
}

/// How Winterop is on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it is enabled for all users.
    pub is_enabled: bool,
    /// What is said of its parts.
    pub lines: Vec<Line>,
}

impl Status {
    /// Looks at everything that `enable` puts there, and at what is set.
    ///
    /// # Errors
    /// An [`InstallError`], where what was put there cannot be read.
    pub fn look() -> Result<Self, InstallError> {
        let manifest = Manifest::read(Path::new("/"))?;
        let is_enabled = !manifest.is_empty();
        let mut lines = vec![files(&manifest)?];
        if is_enabled {
            lines.push(registered(&manifest));
            lines.push(served());
        }
        lines.push(switches());
        lines.push(policy());
        Ok(Self { is_enabled, lines })
    }

    /// Whether everything is in order.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.lines.iter().all(|line| line.is_right)
    }
}

fn files(manifest: &Manifest) -> Result<Line, InstallError> {
    let states = manifest.states(Path::new("/"))?;
    let wrong: Vec<String> = states
        .iter()
        .filter_map(|(path, state)| match state {
            FileState::Ours => None,
            FileState::Changed => Some(format!("{} was changed", path.display())),
            FileState::Gone => Some(format!("{} is gone", path.display())),
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
    let (says, is_right) = match server::init_state() {
        InitState::Answers(pid) => (format!("process {pid} answers on {socket}"), true),
        InitState::Silent(pid) => {
            (format!("process {pid} has {socket} and does not answer"), false)
        }
        InitState::Gone => (format!("nobody serves {socket}; `winterop enable` starts it"), false),
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
