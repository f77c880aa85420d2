//! `winterop run` and `winterop runner`: a launch without a registration.

use crate::{host, inherited};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use winterop_host::variables::may_be_passed;
use winterop_interpreter::{Auxiliary, Environment, Invocation, Start, Wishes, end, launch};
use winterop_translate::wslenv;

/// Variables that mean something else on the Windows side, or nothing.
const LINUX_ONLY: [&str; 12] = [
    "PATH", "HOME", "SHELL", "TMPDIR", "TEMP", "TMP", "PWD", "OLDPWD", "USER", "LOGNAME", "_",
    "WSLENV",
];

/// The extensions of programs that a host can start, in the order in which Windows tries them.
const EXTENSIONS: [&str; 4] = [".com", ".exe", ".bat", ".cmd"];

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    winterop run ./tool.exe --version\n  \
    winterop run --env KEY=value --unset OTHER ./tool.exe\n  \
    winterop run cmd /c ver\n  \
    winterop run --detach ./server.exe > server.log 2>&1")]
pub struct Arguments {
    /// Set a variable for the program; `NAME=` sets it to nothing.
    #[arg(long = "env", value_name = "NAME=VALUE")]
    set: Vec<OsString>,
    /// Remove a variable from the program's environment.
    #[arg(long, value_name = "NAME")]
    unset: Vec<OsString>,
    /// Pass the whole environment on.
    #[arg(long)]
    keep_env: bool,
    /// Start in the working directory or not at all, where it is gone or has no Windows name.
    #[arg(long)]
    strict_cwd: bool,
    /// Run below the host, even where the program could run in place.
    #[arg(long)]
    hosted: bool,
    /// Pass the arguments, joined by blanks, as the raw Windows command line.
    #[arg(long)]
    verbatim: bool,
    /// Return once the program runs; it outlives this terminal, and does not read from it.
    #[arg(long)]
    detach: bool,
    /// The Windows program: a path, or a name as Windows finds it.
    program: OsString,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=\"winterop runner\"\n  \
    cmake -DCMAKE_CROSSCOMPILING_EMULATOR=\"winterop;runner\" …\n  \
    Meson: exe_wrapper = ['winterop', 'runner']")]
pub struct RunnerArguments {
    /// The Windows program.
    program: OsString,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    check_names(arguments)?;
    let mut set = if arguments.keep_env { whole_environment() } else { Vec::new() };
    set.extend(bytes(&arguments.set));
    if arguments.detach {
        leave_terminal_input()?;
    }
    let unset = bytes(&arguments.unset);
    let words = bytes(&arguments.arguments);
    let verbatim = arguments.verbatim.then(|| words.join(&b' '));
    let wishes = Wishes {
        hosted: arguments.hosted || is_hosted_wanted(),
        set: views(&set),
        unset: views(&unset),
        verbatim: verbatim.as_deref(),
        detach: arguments.detach,
        strict_directory: arguments.strict_cwd,
        search: false,
    };
    execute(&arguments.program, &words, &wishes)
}

/// Refuses what cannot be a variable, before anything is started.
fn check_names(arguments: &Arguments) -> Result<()> {
    for assignment in &arguments.set {
        match assignment.as_bytes().iter().position(|byte| *byte == b'=') {
            Some(0) => bail!("--env {}: there is no name before the =", assignment.display()),
            Some(_) => {}
            None => bail!("--env {}: this is no NAME=VALUE", assignment.display()),
        }
    }
    for name in &arguments.unset {
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            bail!("--unset {}: this is no variable's name", name.display());
        }
    }
    Ok(())
}

/// A program in the background must not take what is typed for the shell.
fn leave_terminal_input() -> Result<()> {
    if std::io::stdin().is_terminal() {
        let nothing = File::open("/dev/null").context("cannot open /dev/null")?;
        rustix::stdio::dup2_stdin(&nothing).context("cannot replace standard input")?;
    }
    Ok(())
}

pub fn run_for_build(arguments: &RunnerArguments) -> Result<ExitCode> {
    let set = whole_environment();
    let wishes = Wishes { hosted: is_hosted_wanted(), set: views(&set), ..Wishes::default() };
    execute(&arguments.program, &bytes(&arguments.arguments), &wishes)
}

fn is_hosted_wanted() -> bool {
    std::env::var_os("WINTEROP_PLACEMENT").is_some_and(|value| value == "hosted")
}

fn views(list: &[Vec<u8>]) -> Vec<&[u8]> {
    list.iter().map(Vec::as_slice).collect()
}

/// Every variable that can mean the same on the Windows side. What WSLENV lists goes as that says.
fn whole_environment() -> Vec<Vec<u8>> {
    let listed = std::env::var_os("WSLENV").unwrap_or_default();
    let listed: Vec<&[u8]> = wslenv::entries(listed.as_bytes()).map(|listed| listed.name).collect();
    let passed = |name: &OsStr| {
        !LINUX_ONLY.iter().any(|own| name == *own)
            && !listed.contains(&name.as_bytes())
            && may_be_passed(name.as_bytes())
    };
    std::env::vars_os()
        .filter(|(name, _)| passed(name))
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect()
}

/// Becomes the interpreter for `program`.
fn execute(program: &OsStr, words: &[Vec<u8>], wishes: &Wishes<'_>) -> Result<ExitCode> {
    let found = find(program);
    // What is not here the host may know, with the drives and the registry of its Windows side.
    let wishes = Wishes { search: found.is_none(), ..wishes.clone() };
    let variables: Vec<Vec<u8>> = std::env::vars_os()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    let environment = Environment::new(variables.iter().map(Vec::as_slice));
    if environment.non_empty(b"WSL_INTEROP").is_none() {
        host::ensure()?;
    }
    let arguments = words.iter().map(Vec::as_slice).collect();
    let path = found.as_ref().map_or(program.as_bytes(), |file| file.as_os_str().as_bytes());
    let invocation = Invocation { program: path, name: program.as_bytes(), arguments };
    let start = Start { arguments: Vec::new(), environment, auxiliary: Auxiliary::default() };
    // Rust's start-up code ignores it, and a program in place would inherit that.
    winterop_sys::reset_action(rustix::process::Signal::PIPE);
    inherited::give_back();
    end(launch(&start, &invocation, &wishes))
}

/// The file that `program` names, as far as Linux knows it: a path as it is; a bare name in the
/// working directory, then on PATH, each time as it is and with the extensions of Windows programs.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let here = std::iter::once(PathBuf::new());
    here.chain(std::env::split_paths(&path)).find_map(|folder| find_in(&folder, program))
}

fn find_in(folder: &Path, program: &OsStr) -> Option<PathBuf> {
    let named = |extension: &str| {
        let mut name = program.to_owned();
        name.push(extension);
        folder.join(name)
    };
    let upper = EXTENSIONS.map(str::to_ascii_uppercase);
    let spellings = EXTENSIONS.iter().copied().zip(upper.iter().map(String::as_str));
    let extended = spellings.flat_map(|(lower, upper)| [named(lower), named(upper)]);
    std::iter::once(named("")).chain(extended).find(|file| is_windows_program(file))
}

/// Whether a file is one that the host can start: by its extension, or by how it begins.
fn is_windows_program(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().as_bytes();
    let has_extension = EXTENSIONS.iter().any(|extension| {
        let end = name.len().checked_sub(extension.len()).and_then(|start| name.get(start..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(extension.as_bytes()))
    });
    file.is_file() && (has_extension || begins_as_one(file))
}

fn begins_as_one(file: &Path) -> bool {
    let mut magic = [0; 2];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && &magic == b"MZ"
}

/// Turns what a program is called with into owned bytes.
fn bytes(words: &[OsString]) -> Vec<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_the_extensions_of_windows_programs() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("a", "MZ"),
            ("b", "#!/bin/sh"),
            ("b.EXE", ""),
            ("c.exe", "MZ"),
            ("c.com", "MZ"),
            ("d.txt", "MZ"),
            ("e", "text"),
            ("f.Cmd", "text"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::create_dir(folder.path().join("g.exe")).unwrap();
        let found = |name: &str| {
            let file = find_in(folder.path(), OsStr::new(name))?;
            Some(file.file_name().unwrap().to_str().unwrap().to_owned())
        };
        for (name, expected) in [
            ("a", Some("a")),
            ("b", Some("b.EXE")),
            ("c", Some("c.com")),
            ("d.txt", Some("d.txt")),
            ("e", None),
            ("f.Cmd", Some("f.Cmd")),
            ("f", None),
            ("g", None),
            ("h", None),
        ] {
            assert_eq!(found(name).as_deref(), expected, "{name}");
        }
    }
}
