//! Builds Winterop and lays it out as it would be installed: `target/winterop/bin` and
//! `target/winterop/lib/winterop`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::paths;

/// The target that `init` is built for: named, so that its flags do not reach build scripts.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";

/// `init` has to run in any root and to start fast: static, and at a fixed address.
const STATIC_FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// Programs that are other names of `winterop`.
const NAMES: [&str; 2] = ["wsl", "wslhost"];

/// A laid out Winterop.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    fn new() -> Self {
        Self { root: paths::target().join("winterop") }
    }

    /// The program `winterop`.
    pub(crate) fn winterop(&self) -> PathBuf {
        self.root.join("bin/winterop")
    }

    fn library(&self, name: &str) -> PathBuf {
        self.root.join("lib/winterop").join(name)
    }
}

/// Builds what is out of date and lays it out. Cargo's own progress goes to standard error.
///
/// # Errors
/// If something does not build or cannot be written.
pub(crate) fn build() -> Result<Layout> {
    let layout = Layout::new();
    let stamp = layout.root.join("stamp");
    let sources = newest_source()?;
    if fs::metadata(&stamp).and_then(|file| file.modified()).is_ok_and(|built| built > sources) {
        return Ok(layout);
    }
    cargo(&["build", "--release", "--locked", "-p", "winterop"], None)?;
    // Without std, for which the panic strategy has to be "abort": it loads 0.3 ms faster.
    let preload = ["rustc", "--release", "--locked", "-p", "winterop-preload"];
    cargo(&[&preload[..], &["--", "-C", "panic=abort"]].concat(), None)?;
    let target = ["--target", STATIC_TARGET];
    let init = ["build", "--release", "--locked", "-p", "winterop-init"];
    cargo(&[&init[..], &target].concat(), Some(STATIC_FLAGS))?;
    for directory in ["bin", "lib/winterop"] {
        fs::create_dir_all(layout.root.join(directory))?;
    }
    let built = paths::target();
    place(&built.join("release/winterop"), &layout.winterop())?;
    place(
        &built.join("release/libwinterop_preload.so"),
        &layout.library("libwinterop_preload.so"),
    )?;
    place(&built.join(STATIC_TARGET).join("release/init"), &layout.library("init"))?;
    for name in NAMES {
        link("winterop", &layout.root.join("bin").join(name))?;
    }
    link("../lib/winterop/init", &layout.root.join("bin/wslpath"))?;
    fs::write(&stamp, "")?;
    Ok(layout)
}

/// Adds the Windows program that makes real pipes, once it is built.
///
/// # Errors
/// If it cannot be copied.
pub(crate) fn add_helper(layout: &Layout, programs: &Path) -> Result<()> {
    let helper = programs.join("winterop-helper.exe");
    place(&helper, &layout.library("winterop-helper.exe"))
}

/// When the youngest source of the programs was changed.
fn newest_source() -> Result<std::time::SystemTime> {
    let mut newest = std::time::SystemTime::UNIX_EPOCH;
    let mut waiting: Vec<PathBuf> =
        ["Cargo.toml", "Cargo.lock", "crates", "bins"].map(|name| paths::root().join(name)).into();
    while let Some(path) = waiting.pop() {
        let status = fs::metadata(&path).with_context(|| path.display().to_string())?;
        newest = newest.max(status.modified()?);
        if status.is_dir() && path.file_name() != Some(OsStr::new("target")) {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        }
    }
    Ok(newest)
}

fn cargo(arguments: &[&str], flags: Option<&str>) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(paths::root()).stdin(Stdio::null());
    // Cargo writes its progress to standard error, and standard output is the caller's.
    command.stdout(std::io::stderr());
    if let Some(flags) = flags {
        command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", flags);
    }
    let status = command.status().context("cargo cannot be started")?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    Ok(())
}

/// Puts a copy in place in one step: the old file may be running.
fn place(from: &Path, to: &Path) -> Result<()> {
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh).with_context(|| format!("copying {}", from.display()))?;
    fs::rename(&fresh, to).with_context(|| format!("replacing {}", to.display()))
}

fn link(target: &str, at: &Path) -> Result<()> {
    if fs::read_link(at).is_ok_and(|current| current == Path::new(target)) {
        return Ok(());
    }
    let _ = fs::remove_file(at);
    symlink(target, at).with_context(|| at.display().to_string())
}
