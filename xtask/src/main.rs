//! The project's own commands: `cargo xtask COMMAND`.

mod bench;
mod bootstrap;
mod check;
mod conformance;
mod deb;
mod debian;
mod fetch;
mod fuzz;
mod house;
mod layout;
mod paths;
mod progress;
mod run;
mod runner;
mod sources;
mod test;
mod windows;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "The project's own commands",
    after_help = "Examples:\n  cargo xtask run        see a Windows program run\n  \
                  cargo xtask test       run all tests"
)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build Winterop and run COMMAND where Windows programs run by name; without COMMAND, show it.
    #[command(after_help = "Examples:\n  cargo xtask run\n  cargo xtask run -- bash\n  \
                            cargo xtask run -- ./tool.exe --version")]
    Run {
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Install and build what tests need, and run them: all that every change has to pass, or those that
    /// are named.
    Test(test::Options),
    /// Print the checklist of how WSL behaves: passed, failed or not covered by the tests.
    Conformance(conformance::Options),
    /// Check the formatting, the lints, who may use whom, and the dependencies where cargo-deny is installed.
    #[command(after_help = "Examples:\n  cargo xtask check\n  cargo fmt && cargo xtask check")]
    Check,
    /// Fuzz every parser that reads what others send, one after another, and say how much was tried.
    Fuzz(fuzz::Options),
    /// Measure what launches cost, beside what they cost without us.
    Bench(bench::Options),
    /// The part of `bench` that runs inside an instance.
    #[command(hide = true)]
    BenchInside(bench::Inside),
    /// Build a Debian package of Winterop, which enables it for all users of a machine.
    #[command(
        after_help = "Examples:\n  cargo xtask deb\n  sudo apt install ./target/deb/winterop_*.deb"
    )]
    Deb,
    /// Build the programs for Windows into target/windows.
    #[command(after_help = "Examples:\n  cargo xtask windows\n  \
                            cargo xtask run -- target/windows/hello.exe")]
    Windows,
    /// Fetch real Windows programs into the cache and print their paths.
    #[command(after_help = "Examples:\n  cargo xtask fetch\n  cargo xtask fetch ninja ruff")]
    Fetch {
        /// Which ones; all if none is named.
        programs: Vec<fetch::Program>,
    },
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    match task {
        Task::Run { command } => return run::run(&command),
        Task::Test(options) => return test::run(&options),
        Task::Conformance(options) => return conformance::run(&options),
        Task::Check => return check::run(),
        Task::Fuzz(options) => return fuzz::run(&options),
        Task::Bench(options) => bench::run(&options)?,
        Task::BenchInside(plan) => bench::measure_inside(&plan)?,
        Task::Deb => {
            // With the Windows program that node and its like need, where it was built.
            let layout = layout::build()?;
            println!("{}", deb::build(&layout)?.display());
        }
        Task::Windows => {
            let programs = windows::build()?;
            layout::add_helper_if_built(&programs)?;
            println!("{}", programs.display());
            eprintln!("cargo for Windows: {}", windows::cargo_script().display());
        }
        Task::Fetch { programs } => {
            let all = if programs.is_empty() { &fetch::Program::ALL[..] } else { &programs };
            for program in all {
                println!("{}", fetch::program(*program)?.display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
