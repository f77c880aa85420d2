//! A command on the machine itself, which is a distribution as well.

use crate::from_windows::TYPED;
use crate::run::{Shell, Wanted};
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::DirEntry;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use winterop_accounts::release::Release;
use winterop_places::program;
use winterop_shell::session::{self, enter_and_execute};
use winterop_translate::WindowsPath;
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
    let (windows_path, is_known) = (session_path::of_session, session_path::is_known);
    enter_and_execute(&session::ShellSession { command: &command, windows_path, is_known, tell })
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
    let named = Path::new(directory);
    let directory = meant(directory).map_err(|error| failed(named, error))?;
    std::env::set_current_dir(&directory).map_err(|error| failed(&directory, error))
}

/// The directory that a text names: one of Linux's, the home directory `~` or one below it, or one of
/// Windows'.
fn meant(directory: &OsStr) -> io::Result<PathBuf> {
    match directory.as_bytes() {
        b"~" => home(),
        [b'~', b'/', below @ ..] => {
            let below = below.iter().position(|byte| *byte != b'/').map(|at| &below[at..]);
            Ok(home()?.join(OsStr::from_bytes(below.unwrap_or_default())))
        }
        text => match WindowsPath::from_bytes(text) {
            windows if is_windows(&windows) => on_drive(&windows),
            _ => Ok(directory.into()),
        },
    }
}

fn home() -> io::Result<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).ok_or_else(|| io::Error::other("HOME is not set"))
}

/// Whether a path is one of Windows' and of no file of Linux's: `C:\\x`, `C:/x`, `\\\\server\\share`.
fn is_windows(path: &WindowsPath) -> bool {
    path.has_drive_letter() || path.as_bytes().starts_with(b"\\\\")
}

/// Where a directory of Windows' is here.
fn on_drive(path: &WindowsPath) -> io::Result<PathBuf> {
    let linux = winterop_wslpath::translator().to_linux(path).map_err(io::Error::other)?;
    Ok(as_on_disk(PathBuf::from(OsString::from_vec(linux))))
}

/// A name with its letters as they are on the disk: to Windows large and small ones are the same.
fn as_on_disk(path: PathBuf) -> PathBuf {
    if path.exists() {
        return path;
    }
    path.components().fold(PathBuf::new(), |folder, part| {
        let exact = folder.join(part);
        if exact.exists() { exact } else { other_case(&folder, part.as_os_str()).unwrap_or(exact) }
    })
}

fn other_case(folder: &Path, name: &OsStr) -> Option<PathBuf> {
    let lower = |name: &OsStr| name.to_str().map(str::to_lowercase);
    let wanted = lower(name)?;
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let is_wanted = |entry: &DirEntry| lower(&entry.file_name()).as_ref() == Some(&wanted);
    entries.filter(is_wanted).map(|entry| entry.path()).min()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_directories_are_told_from_linuxs() {
        for (path, expected) in [
            ("C:\\windows", true),
            ("z:/home", true),
            ("\\\\wsl.localhost\\Debian\\srv", true),
            ("/srv", false),
            ("//srv", false),
            ("c:", false),
            ("c:odd", false),
            ("a\\b", false),
        ] {
            assert_eq!(is_windows(&WindowsPath::from_bytes(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_name_in_other_letters_is_found_and_an_exact_one_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["Users/Me", "users/me", "Other"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let found = |name: &str| as_on_disk(folder.path().join(name));
        assert_eq!(found("users/me"), folder.path().join("users/me"));
        assert_eq!(found("Users/ME"), folder.path().join("Users/Me"));
        assert_eq!(found("OTHER/none"), folder.path().join("Other/none"));
    }
}
