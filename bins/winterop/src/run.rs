//! `winterop run` and `winterop runner`: a launch without a registration.

use anyhow::Result;
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;
use winterop_host::variables::may_be_passed;
use winterop_shell::launch::{Attendance, CommandLine, Launch, Passed, Placed, WorkingDirectory};

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    winterop run ./tool.exe --version\n  \
    winterop run --env KEY=value --unset OTHER ./tool.exe\n  \
    winterop run cmd /c ver\n  \
    winterop run --detach ./server.exe > server.log 2>&1")]
pub(crate) struct Arguments {
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
pub(crate) struct RunnerArguments {
    /// The Windows program.
    program: OsString,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let launch = Launch {
        passed: if arguments.keep_env { Passed::All(may_be_passed) } else { Passed::Listed },
        set: arguments.set,
        unset: arguments.unset,
        placed: if arguments.hosted { Placed::BelowHost } else { Placed::ByHost },
        command_line: if arguments.verbatim { CommandLine::Verbatim } else { CommandLine::Quoted },
        attendance: if arguments.detach { Attendance::Detached } else { Attendance::Awaited },
        directory: match arguments.strict_cwd {
            true => WorkingDirectory::Required,
            false => WorkingDirectory::WherePossible,
        },
        program: arguments.program,
        arguments: arguments.arguments,
    };
    match launch.run()? {}
}

pub(crate) fn run_for_build(arguments: RunnerArguments) -> Result<ExitCode> {
    let RunnerArguments { program, arguments } = arguments;
    let passed = Passed::All(may_be_passed);
    match (Launch { program, arguments, passed, ..Launch::default() }).run()? {}
}
