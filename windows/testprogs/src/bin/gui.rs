//! `gui FILE [--wait]`: a program of the graphical subsystem, which needs no console and gets none.
//!
//! Creates FILE, writes its process id into it, and ends; with `--wait` it waits until somebody
//! ends it. It opens no window.
#![forbid(unsafe_code)]
#![windows_subsystem = "windows"]

use std::fs;
use std::process::ExitCode;

use winterop_testprogs::wait_for_ever;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(file) = arguments.next() else { return ExitCode::from(64) };
    if fs::write(file, std::process::id().to_string()).is_err() {
        return ExitCode::from(74);
    }
    if arguments.next().is_some_and(|option| option == "--wait") {
        wait_for_ever();
    }
    ExitCode::SUCCESS
}
