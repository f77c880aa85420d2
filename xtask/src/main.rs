//! The project's own commands: `cargo xtask COMMAND`.

mod debian;
mod fetch;
mod paths;
mod progress;
mod windows;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the programs for Windows into target/windows.
    Windows,
    /// Fetch real Windows programs into the cache and print their paths.
    Fetch {
        /// Which ones; all if none is named.
        programs: Vec<fetch::Program>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Task::Windows => {
            let programs = windows::build()?;
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
    Ok(())
}
