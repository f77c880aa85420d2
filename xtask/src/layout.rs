//! Builds Winterop and lays it out as it would be installed: `target/winterop/bin` and
//! `target/winterop/lib/winterop`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::{paths, sources};

/// The target that `init` is built for: named, so that its flags do not reach build scripts.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";

/// `init` has to run in any root and to start fast: static, and at a fixed address.
const STATIC_FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// What is preloaded into Wine.
const PRELOAD: &str = "libwinterop_preload.so";

/// The Windows program that makes real pipes for programs that need them.
const HELPER: &str = "winterop-helper.exe";

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

    /// The directory with `bin` and `lib`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The program `winterop`.
    pub(crate) fn winterop(&self) -> PathBuf {
        self.root.join("bin/winterop")
    }

    /// The file that is written when it is complete.
    pub(crate) fn stamp(&self) -> PathBuf {
        self.root.join("stamp")
    }

    /// Whether this is complete and was built from the sources with this digest.
    fn is_of(&self, sources: &str) -> bool {
        let parts = [
            self.winterop(),
            self.root.join("bin/wslpath"),
            self.library("init"),
            self.library(PRELOAD),
        ];
        fs::read_to_string(self.stamp()).is_ok_and(|built| built == sources)
            && parts.iter().all(|part| part.exists())
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
    let sources = digest()?;
    if layout.is_of(&sources) {
        return Ok(layout);
    }
    let _lock = paths::lock(&paths::target().join("winterop.lock"))?;
    // Somebody else may have built it while we waited.
    if layout.is_of(&sources) {
        return Ok(layout);
    }
    let begin = Instant::now();
    eprintln!("Building Winterop …");
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
    place(&built.join("release").join(PRELOAD), &layout.library(PRELOAD))?;
    place(&built.join(STATIC_TARGET).join("release/init"), &layout.library("init"))?;
    for name in NAMES {
        link("winterop", &layout.root.join("bin").join(name))?;
    }
    link("../lib/winterop/init", &layout.root.join("bin/wslpath"))?;
    let programs = built.join("windows");
    if programs.join(HELPER).exists() {
        add_helper(&layout, &programs)?;
    }
    fs::write(layout.stamp(), sources).context("write the stamp of what is built")?;
    eprintln!("✓ Building Winterop ({:.1} s)", begin.elapsed().as_secs_f64());
    Ok(layout)
}

/// Adds the Windows program that makes real pipes, once it is built.
///
/// # Errors
/// If it cannot be copied.
pub(crate) fn add_helper(layout: &Layout, programs: &Path) -> Result<()> {
    let (helper, placed) = (programs.join(HELPER), layout.library(HELPER));
    if fs::read(&placed).is_ok_and(|old| fs::read(&helper).is_ok_and(|new| old == new)) {
        return Ok(());
    }
    place(&helper, &placed)
}

/// Like [`add_helper`] to a Winterop that is laid out already; where there is none, whoever builds it
/// adds the helper.
///
/// # Errors
/// If it cannot be copied.
pub(crate) fn add_helper_if_built(programs: &Path) -> Result<()> {
    let layout = Layout::new();
    if layout.stamp().exists() { add_helper(&layout, programs) } else { Ok(()) }
}

/// The state of everything that the programs are built from.
fn digest() -> Result<String> {
    let parts = ["Cargo.toml", "Cargo.lock", "crates", "bins", "xtask/src/layout.rs"];
    let roots = parts.map(|name| paths::root().join(name));
    // The toolchain, which cargo names by its own path, and flags make other programs too.
    let variables = ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"];
    let recipe = variables.map(|name| std::env::var(name).unwrap_or_default());
    let recipe = recipe.each_ref().map(String::as_str);
    sources::digest(&roots, &["target", "fuzz", "tests", "examples"], &recipe)
}

fn cargo(arguments: &[&str], flags: Option<&str>) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(paths::root()).stdin(Stdio::null());
    // Cargo writes its progress to standard error, and standard output is the caller's.
    command.stdout(std::io::stderr());
    if let Some(flags) = flags {
        // These two would win over the flags for one target.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
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
