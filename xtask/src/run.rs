//! `cargo xtask run`: from a fresh clone to a Windows program that runs.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::debian::{self, Purpose};
use crate::fetch::{self, Program};
use crate::layout::{self, Layout};
use crate::progress::Step;

/// Builds what is needed and runs `command` in an instance; without one, shows the job.
///
/// # Errors
/// If something is missing, does not build, or cannot be started.
pub(crate) fn run(command: &[OsString]) -> Result<ExitCode> {
    debian::ensure(Purpose::Run)?;
    let layout = layout::build()?;
    prepare(&layout)?;
    if command.is_empty() {
        return demonstrate(&layout);
    }
    let error = Command::new(layout.winterop()).arg("shell").arg("--").args(command).exec();
    Err(error).with_context(|| layout.winterop().display().to_string())
}

/// Has the user's host start, and waits for Wine the first time, when that takes seconds.
fn prepare(layout: &Layout) -> Result<()> {
    let status = Command::new(layout.winterop())
        .args(["host", "start"])
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| layout.winterop().display().to_string())?;
    anyhow::ensure!(status.success(), "the host does not start");
    Ok(())
}

/// Runs a real Windows program through the kernel's exec and says what happened.
fn demonstrate(layout: &Layout) -> Result<ExitCode> {
    let ninja = fetch::program(Program::Ninja)?;
    let folder = tempfile::tempdir().context("a folder for the demonstration")?;
    fs::copy(&ninja, folder.path().join("ninja.exe"))?;
    fs::write(folder.path().join("build.ninja"), BUILD)?;
    fs::write(folder.path().join("in.txt"), "one\ntwo\nthree\n")?;
    let step = Step::start("Getting Wine ready");
    shell(layout, folder.path(), "./ninja.exe --version")?;
    step.done();

    println!("A real Windows program, ninja.exe from PyPI, started by the kernel's own exec:\n");
    let mut failed = false;
    for line in [
        "head -c 2 ninja.exe; echo '  <- a Windows executable'",
        "./ninja.exe --version",
        "./ninja.exe -v",
        "cat out.txt",
        "./ninja.exe -t targets all | sort | sed 's/^/  /'",
        "./ninja.exe no-such-target",
    ] {
        let begin = Instant::now();
        let output = shell(layout, folder.path(), line)?;
        let took = begin.elapsed().as_millis();
        println!("$ {line}");
        print!("{}{}", text(&output.stdout), text(&output.stderr));
        println!("  [exit {}, {took} ms]\n", shown_status(&output));
        failed |= output.status.success() == line.contains("no-such");
    }
    println!("{WHAT_HAPPENED}");
    Ok(ExitCode::from(u8::from(failed)))
}

/// A real build: ninja.exe starts Wine's cmd.exe, which copies a file.
const BUILD: &str = "rule copy\n  command = cmd /c copy $in $out\nbuild out.txt: copy in.txt\n";

const WHAT_HAPPENED: &str = "\
What happened: each line ran in an instance of its own, a user and mount namespace with a private
binfmt_misc table. The kernel found `MZ`, started /init, which asked the interop server in /run/WSL;
the server handed the request to your host, and the host answered with what to run in the caller's
place: Wine, on the caller's own descriptors. `cargo xtask run -- bash` gives you a shell like that.";

fn shell(layout: &Layout, folder: &Path, line: &str) -> Result<Output> {
    Command::new(layout.winterop())
        .args(["shell", "--", "sh", "-c", line])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| layout.winterop().display().to_string())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}

fn shown_status(output: &Output) -> String {
    output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string())
}
