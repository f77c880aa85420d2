//! What the end-to-end tests share: a host of their own on the real kernel and the real Wine.
//!
//! Every [`Host`] has directories of its own, a copy of one prepared Wine prefix, and is ended with
//! everything it started when it is dropped. Nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub mod peer;

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace").to_owned()
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The program `winterop`, as `cargo xtask` has laid it out.
pub fn winterop() -> PathBuf {
    let program = target().join("winterop/bin/winterop");
    assert!(program.exists(), "{} is missing: run `cargo xtask test`", program.display());
    program
}

/// One of our own programs for Windows.
pub fn program(name: &str) -> PathBuf {
    let program = target().join("windows").join(name);
    assert!(program.exists(), "{} is missing: run `cargo xtask test`", program.display());
    program
}

/// A real Windows program that `cargo xtask fetch` has brought.
pub fn fetched(name: &str) -> PathBuf {
    let programs = target().join("cache/programs");
    let folders = fs::read_dir(&programs).expect("`cargo xtask test` fetches programs");
    folders
        .flatten()
        .map(|folder| folder.path().join(name))
        .find(|file| file.exists())
        .unwrap_or_else(|| panic!("{name} is not in {}", programs.display()))
}

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Where the host decides: in the caller's place, for everything in these tests.
    InPlace,
    /// Below the host.
    Hosted,
}

/// Both placements, for tests that hold in each.
pub const PLACEMENTS: [Placement; 2] = [Placement::InPlace, Placement::Hosted];

/// A host of its own, with directories of its own.
pub struct Host {
    directory: TempDir,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// Makes the directories; the host itself starts with the first launch.
    pub fn new() -> Self {
        let host = Self::without_wine();
        let data = host.path().join("data/winterop");
        fs::create_dir_all(&data).unwrap();
        copy(&prepared_template(), &data.join("template"));
        host
    }

    /// The same without a prepared prefix: for the `command` launcher.
    pub fn without_wine() -> Self {
        let directory = tempfile::Builder::new().prefix("winterop-test-").tempdir().unwrap();
        for name in ["run", "data", "config/winterop", "work"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(directory.path().join("run"), private).unwrap();
        Self { directory }
    }

    /// The directory of this host.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// An empty directory to work in.
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// Writes the settings file.
    pub fn configure(&self, text: &str) {
        fs::write(self.path().join("config/winterop/config.toml"), text).unwrap();
    }

    /// Gives `command` this host's environment.
    pub fn dress<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("XDG_RUNTIME_DIR", self.path().join("run"))
            .env("XDG_DATA_HOME", self.path().join("data"))
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env_remove("WSL_INTEROP")
            .env_remove("WSLENV")
            .env_remove("WINTEROP_PLACEMENT")
            .stdin(Stdio::null())
            .current_dir(self.work())
    }

    /// `winterop` with `arguments`.
    pub fn command(&self, arguments: &[&OsStr]) -> Command {
        let mut command = Command::new(winterop());
        self.dress(&mut command);
        command.args(arguments);
        command
    }

    /// `winterop shell sh -c SCRIPT`, not started yet. `$T` are our programs for Windows.
    pub fn script(&self, placement: Placement, script: &str) -> Command {
        let mut command = self.command(&["shell", "--", "sh", "-c", script].map(OsStr::new));
        command.env("T", target().join("windows"));
        if placement == Placement::Hosted {
            command.env("WINTEROP_PLACEMENT", "hosted");
        }
        command
    }

    /// Runs a script in an instance and returns what it printed.
    pub fn shell(&self, placement: Placement, script: &str) -> Output {
        self.script(placement, script).output().unwrap()
    }

    /// Runs a script in both placements; it must succeed, print `expected` and nothing to stderr.
    pub fn expect(&self, script: &str, expected: &str) {
        for placement in PLACEMENTS {
            let output = self.shell(placement, script);
            assert_output(&output, expected, &format!("{placement:?}: {script}"));
        }
    }

    /// Runs a script in both placements that prints to standard error and ends with `status`.
    pub fn expect_failure(&self, script: &str, status: i32, parts: &[&str]) {
        for placement in PLACEMENTS {
            let output = self.shell(placement, script);
            let errors = text(&output.stderr);
            assert_eq!(output.status.code(), Some(status), "{placement:?}: {script}: {errors}");
            for part in parts {
                assert!(errors.contains(part), "{placement:?}: {script}: {errors}");
            }
        }
    }

    /// The host's process.
    pub fn pid(&self) -> u32 {
        let output = self.command(&["host", "status"].map(OsStr::new)).output().unwrap();
        let said = text(&output.stdout);
        said.split_whitespace().last().and_then(|pid| pid.parse().ok()).expect("the host runs")
    }

    /// The host's log, for messages.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("run/winterop/host.log")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let stopped = self.command(&["host", "stop"].map(OsStr::new)).output();
        if std::thread::panicking() {
            eprintln!("the host's log:\n{}", self.log());
        } else {
            assert!(stopped.is_ok_and(|output| output.status.success()), "{}", self.log());
        }
    }
}

/// Checks that a command succeeded, printed `expected` and no complaint.
pub fn assert_output(output: &Output, expected: &str, what: &str) {
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(printed, expected, "{what}; stderr: {errors}");
    assert_eq!(errors, "", "{what}");
    assert!(output.status.success(), "{what}: {}", output.status);
}

/// Output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The template of a prefix, prepared once for all tests and runs.
fn prepared_template() -> PathBuf {
    let shared = target().join("test-data");
    let template = shared.join("data/winterop/template");
    fs::create_dir_all(&shared).unwrap();
    let lock = File::create(shared.join("lock")).unwrap();
    lock.lock().unwrap();
    if !template.join("system.reg").exists() {
        prepare(&shared);
    }
    template
}

fn prepare(shared: &Path) {
    let run = tempfile::Builder::new().prefix("winterop-test-").tempdir().unwrap();
    let winterop = |arguments: &[&str]| {
        let mut command = Command::new(winterop());
        command.args(arguments).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", run.path()).env("XDG_DATA_HOME", shared.join("data"));
        command.env("XDG_CONFIG_HOME", run.path()).env_remove("WSL_INTEROP");
        command.output().unwrap()
    };
    let output = winterop(&["run", program("hello.exe").to_str().unwrap()]);
    assert!(output.status.success(), "Wine cannot be prepared: {}", text(&output.stderr));
    winterop(&["host", "stop"]);
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success(), "{} cannot be copied", from.display());
}
