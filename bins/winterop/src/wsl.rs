//! `wsl`: runs a command in a distribution. The machine itself is one.

use crate::{places, shell};
use anyhow::{Context as _, Result, bail};
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs a command in a Linux distribution, from which Windows programs can be started.
#[derive(Parser)]
#[command(
    name = "wsl",
    version,
    after_help = "Examples:\n  \
    wsl\n  \
    wsl --cd /srv ls -l\n  \
    wsl -e ./tool.exe a b"
)]
pub struct Arguments {
    /// The distribution; the machine's own if none is named.
    #[arg(short, long, value_name = "NAME")]
    distribution: Option<String>,
    /// The directory to start in; `~` is the home directory.
    #[arg(long, value_name = "DIRECTORY")]
    cd: Option<PathBuf>,
    /// Run the command without a shell.
    #[arg(short, long)]
    exec: bool,
    /// List the distributions.
    #[arg(short, long)]
    list: bool,
    /// The command; without it your shell.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let own = places::distribution();
    if arguments.list {
        println!("{own} (this machine)");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(wanted) = arguments.distribution.filter(|name| !name.eq_ignore_ascii_case(&own)) {
        bail!("there is no distribution {wanted}; the only one here is {own}, this machine");
    }
    if let Some(directory) = arguments.cd {
        let home = || std::env::var_os("HOME").map(PathBuf::from).context("HOME is not set");
        let directory = if directory.as_os_str() == "~" { home()? } else { directory };
        std::env::set_current_dir(&directory).with_context(|| directory.display().to_string())?;
    }
    if arguments.exec || arguments.command.is_empty() {
        return shell::enter_and_execute(&arguments.command);
    }
    // As WSL does it, the words are joined and given to the shell.
    let line = arguments.command.join(OsString::from(" ").as_os_str());
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    shell::enter_and_execute(&[shell, "-c".into(), line])
}
