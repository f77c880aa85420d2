//! `winterop run` and `winterop runner`: a launch without a registration.

use crate::{bytes, host};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::IsTerminal as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use winterop_interpreter::{Auxiliary, Environment, Invocation, Start, Wishes, end, launch};

/// Variables that mean something else on the Windows side, or nothing.
const LINUX_ONLY: [&str; 12] = [
    "PATH", "HOME", "SHELL", "TMPDIR", "TEMP", "TMP", "PWD", "OLDPWD", "USER", "LOGNAME", "_",
    "WSLENV",
];

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

/// Every variable that can mean the same on the Windows side.
fn whole_environment() -> Vec<Vec<u8>> {
    let passed = |name: &OsStr| {
        !LINUX_ONLY.iter().any(|own| name == *own)
            && winterop_host::wine::command::may_be_passed(name.as_bytes())
    };
    std::env::vars_os()
        .filter(|(name, _)| passed(name))
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect()
}

/// Becomes the interpreter for `program`.
fn execute(program: &OsStr, words: &[Vec<u8>], wishes: &Wishes<'_>) -> Result<ExitCode> {
    let Some(file) = find(program) else {
        eprintln!(
            "winterop: {}: there is no such program here, on PATH or in Windows' directories",
            program.display()
        );
        return Ok(ExitCode::from(127));
    };
    let variables: Vec<Vec<u8>> = std::env::vars_os()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    let environment = Environment::new(variables.iter().map(Vec::as_slice));
    if environment.non_empty(b"WSL_INTEROP").is_none() {
        host::ensure().context("the host, which starts Windows programs")?;
    }
    let arguments = words.iter().map(Vec::as_slice).collect();
    let path = file.as_os_str().as_bytes();
    let invocation = Invocation { program: path, name: program.as_bytes(), arguments };
    let start = Start { arguments: Vec::new(), environment, auxiliary: Auxiliary::default() };
    // Rust's start-up code ignores it, and a program in place would inherit that.
    winterop_sys::reset_action(rustix::process::Signal::PIPE);
    end(launch(&start, &invocation, wishes))
}

/// The file that `program` names: a path as it is; a bare name in the working directory, on PATH,
/// then in Windows' own directories with Windows' extensions.
fn find(program: &OsStr) -> Option<PathBuf> {
    let given = Path::new(program);
    if program.as_bytes().contains(&b'/') || given.is_file() {
        return Some(given.to_owned());
    }
    let directories =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let on_path = directories.iter().map(|directory| directory.join(program));
    let exe = |file: &PathBuf| file.is_file() && is_windows_program(file);
    if let Some(file) = on_path.into_iter().find(exe) {
        return Some(file);
    }
    in_windows(program)
}

fn is_windows_program(file: &Path) -> bool {
    let mut magic = [0; 2];
    let read = std::fs::File::open(file)
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic));
    read.is_ok() && &magic == b"MZ"
}

/// Looks where Windows looks, in the user's prefix.
fn in_windows(program: &OsStr) -> Option<PathBuf> {
    use winterop_translate::pathext::{Places, SearchOrder};
    let drive = crate::places::data().ok()?.join("prefix/drive_c");
    let order = SearchOrder::new(&Places { windows: Some(b"C:\\windows"), ..Places::default() });
    let linux = |path: &winterop_translate::WindowsPath| -> Option<PathBuf> {
        let below = path.as_bytes().strip_prefix(b"C:\\")?;
        let below = below.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect();
        Some(drive.join(OsString::from_vec(below)))
    };
    let found =
        order.find(program.as_bytes(), |path| linux(path).is_some_and(|file| file.is_file()))?;
    linux(&found)
}
