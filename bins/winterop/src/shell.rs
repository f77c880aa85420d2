//! `winterop shell`: an instance of its own, with COMMAND in the caller's own process.

use crate::say::say;
use anyhow::Result;
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;
use winterop_shell::session::{ShellSession, enter_and_execute};
use winterop_wine::session_path;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    winterop shell\n  \
    winterop shell ./configure --host=x86_64-w64-mingw32\n  \
    winterop shell -- sh -c './tool.exe | sort'")]
pub(crate) struct Arguments {
    /// The command to run; without it your shell.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let status = enter_and_execute(&ShellSession {
        command: &arguments.command,
        windows_path: session_path::of_session,
        is_known: session_path::is_known,
        tell: &say,
    })?;
    Ok(ExitCode::from(status))
}
