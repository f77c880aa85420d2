//! `winterop-helper`: runs a program on real Windows pipes where its own standard handles are unix
//! ones.
//!
//! Under Wine a program normally gets its caller's descriptors themselves, and nothing stands
//! between it and them. A few programs, Node.js above all, take only pipes that Windows made. For
//! those Wine starts this program instead, with the caller's descriptors: it makes Windows pipes,
//! starts the program on them, copies between the two, and ends as the program ends.
//!
//! ```text
//! winterop-helper [--relay LIST] [--application PATH] [--interrupts shared|pass] -- COMMANDLINE
//! ```
//!
//! - `--relay`: which standard handles get a pipe: a list of `stdin`, `stdout`, `stderr` and
//!   `stderr=stdout` (one pipe for both, which keeps the order of what is written to them), or
//!   `none`. Without it, each that is a pipe. The other handles are passed on as they are.
//! - `--application`: the program's file; without it the first word of COMMANDLINE names it.
//! - `--interrupts`: who gets a Ctrl-C. `shared`, which is what happens without it: whoever sends
//!   it sends it to the program too, as a terminal does to a whole process group, and this program
//!   only ignores it. `pass`: it comes to this program alone, which passes it on.
//! - COMMANDLINE: everything behind `-- `, exactly as it stands there, is the program's command
//!   line.
//!
//! What differs from a program on the caller's own descriptors:
//! - Up to [`relay::PIECE`] bytes of stdin are read before it is known whether the program wants
//!   them, and lost if it does not. More is read only once the program has taken those.
//! - The caller's side of stdin and stdout is closed when this program ends, not when the program
//!   closes its handles before it ends.
//! - What the program's own children write after it has ended is lost.
//!
//! Under the name `wsl.exe` it is another program: [`wsl`].
//!
//! It ends with the program's exit code, all 32 bits. If the program cannot be started it says why
//! on stderr and ends with 127 if it is not there, with 126 if it cannot run, and with 64 if its
//! own command line is wrong.

#[cfg(not(windows))]
compile_error!("this program is for Windows: build it with `cargo xtask windows`");

mod arguments;
mod interrupt;
mod pipe;
mod process;
mod relay;
mod standard;
mod wsl;

use std::fmt::Display;
use std::io;
use std::process::exit;
use std::thread;

use windows_sys::Win32::Foundation::{
    ERROR_BAD_PATHNAME, ERROR_DIRECTORY, ERROR_FILE_NOT_FOUND, ERROR_INVALID_NAME,
    ERROR_PATH_NOT_FOUND,
};

use arguments::Arguments;
use process::Process;
use standard::Connections;

/// Ends the process with a code of 32 bits.
fn end(code: u32) -> ! {
    exit(code.cast_signed())
}

fn fail(code: u32, error: impl Display) -> ! {
    eprintln!("winterop-helper: {error}");
    end(code)
}

fn main() {
    let line = arguments::command_line();
    let (name, rest) = arguments::word(&line);
    if wsl::is_wanted(&name) {
        wsl::run(rest);
    }
    let arguments = match Arguments::parse(&line) {
        Ok(arguments) => arguments,
        Err(error) => fail(64, error),
    };
    let connections = match Connections::make(arguments.relay) {
        Ok(connections) => connections,
        Err(error) => fail(126, format_args!("cannot make pipes for the program: {error}")),
    };
    // Before the program runs: a Ctrl-C that reached only us would leave it alone.
    if let Err(error) = interrupt::install(arguments.interrupts) {
        fail(126, format_args!("cannot take care of Ctrl-C: {error}"));
    }
    let process = match Process::start(&arguments, &connections) {
        Ok(process) => process,
        Err(error) => {
            let name = String::from_utf16_lossy(arguments.program());
            fail(status_for(&error), format_args!("cannot start {name}: {error}"))
        }
    };
    interrupt::pass_to(&process);
    match run(&process, connections) {
        Ok(code) => end(code),
        Err(error) => fail(126, format_args!("cannot wait for the program: {error}")),
    }
}

/// Copies until the program has ended and what it wrote is delivered; returns its exit code.
fn run(process: &Process, connections: Connections) -> io::Result<u32> {
    // Our copies of the program's ends would keep its pipes open for ever.
    let relays = connections.into_relays();
    if let Some(stdin) = relays.input {
        // Never joined: it may wait for input that nobody will ever send.
        thread::spawn(|| stdin.run());
    }
    thread::scope(|scope| {
        for output in relays.outputs {
            scope.spawn(move || output.run(process));
        }
        process.wait()
    })
}

/// The status that shells use for a program that cannot be started.
fn status_for(error: &io::Error) -> u32 {
    const ABSENT: [u32; 5] = [
        ERROR_FILE_NOT_FOUND,
        ERROR_PATH_NOT_FOUND,
        ERROR_BAD_PATHNAME,
        ERROR_INVALID_NAME,
        ERROR_DIRECTORY,
    ];
    let code = error.raw_os_error().map(i32::cast_unsigned);
    if code.is_some_and(|code| ABSENT.contains(&code)) { 127 } else { 126 }
}
