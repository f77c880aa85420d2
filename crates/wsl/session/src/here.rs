//! A command on the machine itself, which is a distribution as well.

use crate::from_windows::TYPED;
use crate::run::{Shell, Wanted};
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use winterop_accounts::release::Release;
use winterop_places::program;
use winterop_shell::session::{self, enter_and_execute};
use winterop_wine::session_path;
use winterop_words::{Failure, Words};

/// Runs what is wanted here; see [`enter_and_execute`] for what it returns, and for `tell`.
///
/// # Errors
/// In words.
pub fn run(wanted: &Wanted, tell: &dyn Fn(&dyn Display)) -> Result<u8, Words> {
    if let Some(user) = &wanted.user {
        return become_user(user, wanted).map(|never| match never {});
    }
    if let Some(directory) = &wanted.directory {
        go_to(directory)?;
    }
    let command = words(wanted);
    let windows_path = session_path::of_session;
    enter_and_execute(&session::ShellSession { command: &command, windows_path, tell })
}

/// The program and its arguments.
fn words(wanted: &Wanted) -> Vec<OsString> {
    let Some(line) = wanted.line() else { return wanted.command.clone() };
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let login = Some("-l".into()).filter(|_| wanted.shell == Shell::Login);
    std::iter::once(shell).chain(login).chain(["-c".into(), line]).collect()
}

fn go_to(directory: &OsStr) -> Result<(), Words> {
    let failed = |path: &Path, error: io::Error| {
        Failure::DirectoryNotEntered { path: &path.display(), error: &error }.words()
    };
    let directory = match directory == "~" {
        true => std::env::var_os("HOME")
            .ok_or_else(|| failed(Path::new("~"), io::Error::other("HOME is not set")))?,
        false => directory.to_owned(),
    };
    let directory = PathBuf::from(directory);
    std::env::set_current_dir(&directory).map_err(|error| failed(&directory, error))
}

/// The same as another user of this machine. Only root becomes one without being asked anything.
fn become_user(user: &str, wanted: &Wanted) -> Result<Infallible, Words> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::OnlyRootBecomes { user: &user }.words());
    }
    let wsl = program::directory()?.join("wsl");
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--"]).arg(wsl).args(["-d", &Release::distribution_of_machine()]);
    if let Some(directory) = &wanted.directory {
        command.arg("--cd").arg(directory);
    }
    match wanted.shell {
        Shell::None => drop(command.arg("--exec")),
        Shell::Login => drop(command.args(["--shell-type", "login"])),
        Shell::Standard => {}
    }
    if let Some(line) = &wanted.line {
        command.arg(TYPED).arg(line);
    }
    // Root's runtime directory is not the user's.
    command.arg("--").args(&wanted.command).env_remove("XDG_RUNTIME_DIR");
    let error = command.exec();
    Err(Failure::CommandNotStarted { command: &"runuser", error: &error }.words())
}
