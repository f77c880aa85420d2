//! `spawn-tree DEPTH [--leave CODE] [--clear]`: a tree of processes that wait until they are ended.
//!
//! Each process above depth 0 starts three children: an ordinary one, one with `DETACHED_PROCESS`
//! and one with `CREATE_NEW_PROCESS_GROUP`. Prints "ready N" when all N processes below it run.
//! With `--leave` the first process then ends with CODE and leaves the others. With `--clear`
//! children get an environment of their own with nothing in it but SystemRoot.
#![forbid(unsafe_code)]

use std::io::{self, BufRead as _, BufReader};
use std::os::windows::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};

use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, DETACHED_PROCESS};
use winterop_testprogs::{number_argument, say, wait_for_ever};

fn main() -> io::Result<ExitCode> {
    let depth = number_argument(1, 1)?;
    let options: Vec<_> = std::env::args().skip(2).collect();
    let clear = options.iter().any(|option| option == "--clear");
    let mut running = 0;
    // Kept so that their pipes stay open: nobody in the tree is to end because of a closed pipe.
    let mut children = Vec::new();
    if depth > 0 {
        for flags in [0, DETACHED_PROCESS, CREATE_NEW_PROCESS_GROUP] {
            let (child, below) = start(depth - 1, clear, flags)?;
            children.push(child);
            running += 1 + below;
        }
    }
    say(&format!("ready {running}"))?;
    match options.iter().skip_while(|option| *option != "--leave").nth(1) {
        Some(code) => Ok(ExitCode::from(code.parse().unwrap_or(1))),
        None => wait_for_ever(),
    }
}

/// Starts a child, waits until its tree runs, and returns how many processes are below it.
fn start(depth: u64, clear: bool, flags: u32) -> io::Result<(Child, u64)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(depth.to_string()).creation_flags(flags);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if clear {
        command.arg("--clear").env_clear();
        command
            .envs(std::env::vars_os().filter(|(name, _)| name.eq_ignore_ascii_case("SystemRoot")));
    }
    let mut child = command.spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.as_mut() {
        BufReader::new(out).read_line(&mut line)?;
    }
    let below = line.trim_end().strip_prefix("ready ").and_then(|count| count.parse().ok());
    let below = below.ok_or_else(|| io::Error::other(format!("a child said {line:?}")))?;
    Ok((child, below))
}
