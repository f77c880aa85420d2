//! `cargo xtask run`: from a fresh clone to a Windows program that runs.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::debian::{self, Purpose};
use crate::fetch::{self, Program};
use crate::layout::{self, Layout};
use crate::progress::{self, Step};

/// Builds what is needed and runs `command` in an instance; without one, shows the job.
///
/// # Errors
/// If something is missing, does not build, or cannot be started.
pub(crate) fn run(command: &[OsString]) -> Result<ExitCode> {
    let mut purposes = vec![Purpose::Run];
    if command.is_empty() {
        purposes.extend(fetch::purposes(&SHOWN));
    }
    debian::ensure_all(&purposes)?;
    let layout = layout::build()?;
    prepare(&layout)?;
    if command.is_empty() {
        return demonstrate(&layout);
    }
    let error = Command::new(layout.winterop()).arg("shell").arg("--").args(command).exec();
    Err(error).with_context(|| layout.winterop().display().to_string())
}

/// The programs that the demonstration runs.
const SHOWN: [Program; 2] = [Program::Ninja, Program::Ruff];

/// Has the user's host start, which gets Wine ready while the instance is made. The very first time
/// that takes seconds: then it is waited for, and shown.
fn prepare(layout: &Layout) -> Result<()> {
    host(layout, &["host", "start"]).context("the host does not start")?;
    let Some(data) = data() else { return Ok(()) };
    if data.join("prefix").exists() {
        return Ok(());
    }
    let step = Step::start("Preparing a Wine prefix (once)");
    if !becomes_ready(&data) {
        drop(step);
        bail!(
            "the host made no Wine prefix in {}; its log says why: \
             $XDG_RUNTIME_DIR/winterop/host.log, /run/user/UID/winterop/host.log or \
             /tmp/winterop-UID/host.log",
            data.display()
        );
    }
    step.done();
    Ok(())
}

/// Waits until the host has prepared a prefix in `data`; false if it gave up, or takes minutes.
fn becomes_ready(data: &Path) -> bool {
    /// Longer than it takes on a slow machine.
    const PATIENCE: Duration = Duration::from_secs(180);
    /// The host, just started, has locked the folder long before.
    const STARTING: Duration = Duration::from_secs(3);
    let begin = Instant::now();
    let mut worked = begin;
    while begin.elapsed() < PATIENCE && worked.elapsed() < STARTING {
        let preparing = is_locked(&data.join("prefix.lock"));
        if data.join("prefix").exists() && !preparing {
            return true;
        }
        if preparing {
            worked = Instant::now();
        }
        // It is the host's, not ours: there is no event of it to wait for.
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Whether somebody holds the lock on this file.
fn is_locked(file: &Path) -> bool {
    use rustix::fs::{FlockOperation, flock};
    let Ok(file) = fs::File::open(file) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

fn host(layout: &Layout, arguments: &[&str]) -> Result<()> {
    progress::output(Command::new(layout.winterop()).args(arguments)).map(|_| ())
}

/// Where the host keeps its data.
fn data() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))?;
    Some(data.join("winterop"))
}

/// Runs a real Windows program through the kernel's exec and says what happened.
fn demonstrate(layout: &Layout) -> Result<ExitCode> {
    let folder = tempfile::tempdir().context("a folder for the demonstration")?;
    for program in SHOWN {
        let file = folder.path().join(program.file_name());
        fs::copy(fetch::program(program)?, &file)
            .with_context(|| format!("copy to {}", file.display()))?;
    }
    for (name, content) in [("build.ninja", BUILD), ("in.txt", "one\ntwo\nthree\n")] {
        let file = folder.path().join(name);
        fs::write(&file, content).with_context(|| format!("write {}", file.display()))?;
    }
    let mut failed = false;
    for (title, lines) in SCENES {
        println!("{title}\n");
        for line in *lines {
            let begin = Instant::now();
            let output = shell(layout, folder.path(), line)?;
            let took = begin.elapsed().as_millis();
            println!("$ {line}");
            print!("{}{}", text(&output.stdout), text(&output.stderr));
            println!("  [exit {}, {took} ms]\n", shown_status(&output));
            failed |= output.status.success() == line.contains("no-such");
        }
    }
    println!("{WHAT_HAPPENED}");
    Ok(ExitCode::from(u8::from(failed)))
}

/// What is shown: a title, and the lines that the shell gets one by one.
const SCENES: &[(&str, &[&str])] = &[
    (
        "What the kernel was told to do with files that begin with MZ:",
        &["grep -E 'enabled|interpreter|flags|magic' /proc/sys/fs/binfmt_misc/WSLInterop"],
    ),
    (
        "ninja.exe from PyPI, started by the kernel's own exec, and a build with it:",
        &["./ninja.exe --version", "./ninja.exe -v && cat out.txt", "./ninja.exe no-such-target"],
    ),
    (
        "Linux and Windows programs in one pipeline; ruff.exe formats what it reads:",
        &[
            "./ninja.exe -t targets all | sort",
            "printf 'x = {  \"a\":37 }' | ./ruff.exe format - | sed 's/^/  /'",
        ],
    ),
];

/// A real build: ninja.exe starts Wine's cmd.exe, which copies a file.
const BUILD: &str = "rule copy\n  command = cmd /c copy $in $out\nbuild out.txt: copy in.txt\n";

const WHAT_HAPPENED: &str = "\
What happened: each line ran in an instance of its own, a user and mount namespace with a private
binfmt_misc table, and its time is that of the instance and all programs in it. The kernel found
`MZ` and started /init, which asked the interop server in /run/WSL; the server handed the request to
your host, and the host answered with what to run in the caller's place: Wine, on the caller's own
descriptors. `cargo xtask run -- bash` gives you a shell like that.";

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
