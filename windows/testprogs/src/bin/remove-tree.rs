//! Removes each directory that its arguments name, with everything in it, as Rust's standard library does:
//! by handles alone. Ends with 1 where one of them cannot be removed.

use std::fs;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut is_whole = true;
    for folder in std::env::args_os().skip(1) {
        if let Err(error) = fs::remove_dir_all(&folder) {
            println!("{}: {error}", folder.display());
            is_whole = false;
        }
    }
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
