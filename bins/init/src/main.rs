//! `/init`: takes its part from the base name of `argv[0]`; anything unknown is the interpreter.
//!
//! In the static build the kernel enters at `entry.rs` instead of libc's start-up code: the
//! interpreter runs at once, every other part goes on to libc and arrives here in `main`. Any other
//! build comes here for all of them.

// `entry.rs` defines string functions: their loops must not become calls to themselves.
#![cfg_attr(own_entry, no_builtins)]

#[cfg(own_entry)]
#[expect(unsafe_code, reason = "it runs before libc is initialised")]
mod entry;
mod part;
mod role;

use part::Part;
use role::Role;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use winterop_interpreter::{Auxiliary, CallerEnvironment, Start};

fn main() -> ExitCode {
    let arguments: Vec<Vec<u8>> = std::env::args_os().map(OsString::into_vec).collect();
    let auxiliary = auxiliary_vector();
    let views: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    let part = Part::of(&views, auxiliary.flags);
    let role = Role::of(&arguments);
    if let Err(error) = keep_inherited(part, role) {
        eprintln!("init: keeping inherited files to itself: {error}");
        return ExitCode::FAILURE;
    }
    match part {
        Part::Interpreter => interpret(views, auxiliary),
        Part::Init => {
            // The machine's init is a service: its log has what it does.
            log(if role == Role::Machine { "info" } else { "warn" });
            role.run(&arguments)
        }
        Part::SessionLeader => {
            log("warn");
            winterop_distribution::leader::run(&arguments)
        }
        Part::WslPath => winterop_wslpath::run(&arguments),
        Part::Starter => winterop_serve::starter::run(),
    }
}

/// Sees to it that no program which is started from here gets what this one has inherited. What the
/// interpreter has inherited is its program's.
fn keep_inherited(part: Part, role: Role) -> Result<(), rustix::io::Errno> {
    match part {
        Part::Interpreter | Part::WslPath => Ok(()),
        // Of systemd the one gets its socket, of an instance's init the other its directory.
        Part::Init if role == Role::Machine => winterop_sys::keep_to_self(),
        Part::SessionLeader | Part::Starter => winterop_sys::keep_to_self(),
        // It outlives whoever typed the command, whose pipes and locks it would keep.
        Part::Init => winterop_sys::close_inherited(),
    }
}

/// What services have to say goes to standard error, which is the log of whoever started them.
fn log(level: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WINTEROP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    log.with_writer(|| winterop_audit::Log).init();
}

fn interpret(arguments: Vec<&[u8]>, auxiliary: Auxiliary) -> ExitCode {
    let variables = winterop_shell::variables::own();
    let environment = CallerEnvironment::new(variables.iter().map(Vec::as_slice));
    let ending = winterop_interpreter::interpret(&Start { arguments, environment, auxiliary });
    winterop_interpreter::end(ending)
}

/// Reads what the interpreter wants of the auxiliary vector: AT_FLAGS (8), AT_EXECFD (2) and
/// AT_SECURE (23), pairs of words.
fn auxiliary_vector() -> Auxiliary {
    let bytes = std::fs::read("/proc/self/auxv").unwrap_or_default();
    let words = bytes.chunks_exact(size_of::<usize>()).filter_map(|word| word.try_into().ok());
    let words: Vec<usize> = words.map(usize::from_ne_bytes).collect();
    part::auxiliary(words.chunks_exact(2).map(|pair| (pair[0], pair[1])))
}
