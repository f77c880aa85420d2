//! `winterop`, for people; `wsl` and `wslhost`, by the name it is called by.
#![forbid(unsafe_code)]

/// Everything that this program prints goes through these two: it may name files, and nothing in a
/// name is for a terminal to obey.
macro_rules! println {
    ($($part:tt)*) => {
        std::println!("{}", winterop_words::visible::lines(&format!($($part)*)))
    };
}
/// The same for standard error.
macro_rules! eprintln {
    ($($part:tt)*) => {
        std::eprintln!("{}", winterop_words::visible::lines(&format!($($part)*)))
    };
}

mod config;
mod doctor;
mod explain;
mod guest;
mod host;
mod machine;
mod progress;
mod run;
mod say;
mod shell;
mod wsl;

use crate::say::say;
use anyhow::Result;
use clap::{CommandFactory as _, Parser, Subcommand};
use std::ffi::OsStr;
use std::process::ExitCode;
use winterop_serve::starter;
use winterop_session::from_windows::run_for_caller;
use winterop_shell::inherited;
use winterop_words::{Failure, Kind, Words};

/// Runs Windows programs on Linux as if they were Linux programs.
#[derive(Parser)]
#[command(
    name = "winterop",
    version,
    after_help = "Examples:\n  \
        winterop shell                     a shell in which ./tool.exe runs like a Linux program\n  \
        winterop shell make -j8            one command in such a shell\n  \
        winterop run ./tool.exe a b        one program, without any registration\n  \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=\"winterop runner\" cargo test --target …"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a shell, or COMMAND, in an instance of its own where Windows programs run by name.
    Shell(shell::Arguments),
    /// Run one Windows program, without a registration.
    Run(run::Arguments),
    /// Run a Windows program for a build tool: the whole environment goes with it.
    Runner(run::RunnerArguments),
    /// Start, stop or look at this user's host, which starts Windows programs.
    Host(host::Arguments),
    /// Install Winterop for all users of this machine, and start it; as root.
    Enable(machine::ChangeArguments),
    /// Take away what `enable` has put there; as root.
    Disable(machine::ChangeArguments),
    /// Say whether Winterop is enabled on this machine, and whether all of it works.
    Status(machine::StatusArguments),
    /// Make a directory with a socket for a container, list them, or take one away.
    Guest(guest::Arguments),
    /// Check the settings, and set those of the machine.
    Config(config::Arguments),
    /// Check everything on the way from exec to Windows, and say what mends what is wrong.
    Doctor(doctor::Arguments),
    /// Say what an error's identifier means: the word in brackets at the end of a message.
    Explain(explain::Arguments),
    /// Print the manual page, in troff.
    Man,
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match dispatch() {
        Ok(status) => status,
        Err(error) => {
            say(&format_args!("{error:#}"));
            // As shells have it; a launch that broke off has its own status, and did not come from here.
            let is_missing = |words: &Words| words.kind == Kind::NotFound;
            ExitCode::from(if error.downcast_ref().is_some_and(is_missing) { 127 } else { 126 })
        }
    }
}

fn dispatch() -> Result<ExitCode> {
    let part = part(&std::env::args_os().next().unwrap_or_default());
    let kept = |error| Failure::InheritedKept { error: &error }.words();
    if ["wslhost", starter::NAME].contains(&&*part) {
        // It outlives whoever started it, whose pipes and locks it would keep.
        winterop_sys::close_inherited().map_err(kept)?;
    } else {
        inherited::withhold().map_err(kept)?;
    }
    match part.as_str() {
        "wslhost" => Ok(winterop_wslhost::serve_in_background().map(|()| ExitCode::SUCCESS)?),
        starter::NAME => Ok(starter::run()),
        "wsl" => match run_for_caller(&|line| eprintln!("wsl: {line}"))? {
            Some(status) => Ok(ExitCode::from(status)),
            None => wsl::run(wsl::Arguments::of_process()?),
        },
        _ => command(Arguments::parse().command),
    }
}

/// The name this program is called by, without directories and `.exe`: Wine calls it by a Windows
/// path where a Windows program starts it.
fn part(name: &OsStr) -> String {
    let name = name.to_string_lossy().to_lowercase();
    let file = name.rsplit(['/', '\\']).next().unwrap_or_default();
    file.strip_suffix(".exe").unwrap_or(file).to_owned()
}

fn command(command: Command) -> Result<ExitCode> {
    match command {
        Command::Shell(arguments) => shell::run(&arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Runner(arguments) => run::run_for_build(arguments),
        Command::Host(arguments) => host::run(&arguments),
        Command::Enable(arguments) => machine::enable(&arguments),
        Command::Disable(arguments) => machine::disable(&arguments),
        Command::Status(arguments) => machine::status(&arguments),
        Command::Guest(arguments) => guest::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Man => {
            clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "winterop",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_is_known_by_names_of_both_sides() {
        for name in ["wsl", "/usr/bin/wsl", "wsl.exe", "Z:\\usr\\bin\\WSL.EXE", "../wsl"] {
            assert_eq!(part(OsStr::new(name)), "wsl", "{name}");
        }
        assert_eq!(part(OsStr::new("/opt/wsl.d/winterop")), "winterop");
        assert_eq!(part(OsStr::new("")), "");
    }
}
