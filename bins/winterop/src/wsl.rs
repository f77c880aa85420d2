//! `wsl`: runs a command in a distribution. The machine itself is one.

use crate::distribution::{self, Wanted};
use crate::{places, shell};
use anyhow::{Context as _, Result, bail};
use clap::Parser;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs a command in a Linux distribution, from which Windows programs can be started.
#[derive(Parser)]
#[command(
    name = "wsl",
    version,
    after_help = "Examples:\n  \
    wsl\n  \
    wsl --cd /srv ls -l\n  \
    wsl -e ./tool.exe a b\n  \
    wsl --root ./debian -d debian -u me make"
)]
pub struct Arguments {
    /// The distribution; the machine's own if none is named.
    #[arg(short, long, value_name = "NAME")]
    distribution: Option<String>,
    /// Run a distribution from this directory, which has its files, under the name that `-d` gives.
    #[arg(long, value_name = "DIRECTORY", requires = "distribution")]
    root: Option<PathBuf>,
    /// With `--root`: the user; the distribution's default user if none is named.
    #[arg(short, long, value_name = "USER", requires = "root")]
    user: Option<String>,
    /// With `--root`: end the distribution, with everything that runs in it.
    #[arg(short, long, requires = "root")]
    terminate: bool,
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
    if let (Some(root), Some(name)) = (&arguments.root, &arguments.distribution) {
        return run_from(root, name, &arguments);
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

/// Runs a distribution that nobody has imported.
fn run_from(root: &Path, name: &str, arguments: &Arguments) -> Result<ExitCode> {
    let is_right =
        !name.is_empty() && name.len() <= 64 && !name.contains('/') && !name.starts_with('.');
    if !is_right {
        bail!("{name:?} cannot be a distribution's name: at most 64 bytes, no slash, no dot first");
    }
    if arguments.terminate {
        let Some(instance) = distribution::running(name)? else { return Ok(ExitCode::SUCCESS) };
        instance.terminate(true)?;
        if !instance.wait_for_end(distribution::PATIENCE)? {
            bail!("{name} does not end");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let session = distribution::session(name, root)?;
    let wanted = Wanted {
        user: arguments.user.clone(),
        directory: arguments.cd.clone().map(PathBuf::into_os_string),
        command: arguments.command.clone(),
        exec: arguments.exec,
        login: false,
    };
    let root = root.canonicalize().with_context(|| root.display().to_string())?;
    distribution::run(session, &root, &wanted)
}
