//! `winterop config`: the settings' files, checked and written.

use anyhow::Result;
use clap::{Args, Subcommand};
use std::num::ParseIntError;
use std::path::Path;
use std::process::ExitCode;
use winterop_doctor::problems;
use winterop_machine::installation::require_root;
use winterop_settings::{flags, machine};
use winterop_words::Failure;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Read every settings file, and say what is wrong in them; exits 1 if something is.
    Check,
    /// Write DistributionFlags for all users of this machine, as root; 1 switches interop off.
    #[command(after_help = "Examples:\n  \
        winterop config set-flags 1     Windows programs off, for all users\n  \
        winterop config set-flags 0     and on again\n\n\
        With distribution_flags = \"service\" in /etc/winterop/config.toml it is the other way round.")]
    SetFlags {
        /// The value: decimal, or hexadecimal after 0x.
        #[arg(value_parser = parse_flags)]
        flags: u32,
    },
}

fn parse_flags(text: &str) -> Result<u32, ParseIntError> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match arguments.action {
        Action::Check => Ok(check()),
        Action::SetFlags { flags } => set_flags(flags).map(|()| ExitCode::SUCCESS),
    }
}

fn set_flags(flags: u32) -> Result<()> {
    require_root("set flags for all users")?;
    let path = Path::new(machine::DIRECTORY).join("system.reg");
    let refused = |error| Failure::FlagsNotWritten { path: &path.display(), error: &error }.words();
    Ok(flags::write(&path, flags).map_err(refused)?)
}

/// Reads everything that is set; each problem is a line on standard output.
fn check() -> ExitCode {
    let (problems, off) = problems();
    for problem in &problems {
        println!("{problem}");
    }
    if let Some(off) = &off {
        println!("{off}");
    } else if problems.is_empty() {
        println!("all settings are in order; Windows programs are switched on");
    }
    ExitCode::from(u8::from(!problems.is_empty()))
}
