//! A host of a test's own.

use crate::process::{Outcome, finish, finish_with, processes};
use crate::{Process, Session, built, workspace};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The uid of the plain user as whom some tests run: one that no account has.
const PLAIN_USER: u32 = 64_123;

/// How long something may take to end that has been told to, or has nothing to do any more.
const ENDING: Duration = Duration::from_secs(20);

/// Where programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the caller's place.
    InPlace,
    /// Below the host.
    Hosted,
}

/// Both placements.
pub const PLACEMENTS: [Placement; 2] = [Placement::InPlace, Placement::Hosted];

/// Both placements, one after the other; each is printed, so that a failure says where it was.
pub fn placements() -> impl Iterator<Item = Placement> {
    PLACEMENTS.into_iter().inspect(|placement| println!("--- {placement:?}"))
}

impl Placement {
    /// The value of `WINTEROP_PLACEMENT`.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Self::InPlace => "auto",
            Self::Hosted => "hosted",
        }
    }
}

/// A host with directories, settings and a Wine prefix of its own. Ends with everything that it
/// started when it is dropped.
#[derive(Debug)]
pub struct Host {
    base: TempDir,
    layout: PathBuf,
    windows: PathBuf,
    user: Option<u32>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A host that is started when it is first needed.
    #[must_use]
    pub fn new() -> Self {
        Self::of(None, "")
    }

    /// A host with settings, the text of its `config.toml`.
    #[must_use]
    pub fn with_settings(settings: &str) -> Self {
        Self::of(None, settings)
    }

    /// A host of a user without rights. Always there: where this test cannot become one it fails.
    ///
    /// # Panics
    /// Where it is not root's.
    #[must_use]
    #[track_caller]
    pub fn of_plain_user() -> Self {
        Self::of_plain_user_with_settings("")
    }

    /// The same with settings, the text of its `config.toml`.
    ///
    /// # Panics
    /// As [`Self::of_plain_user`].
    #[must_use]
    #[track_caller]
    pub fn of_plain_user_with_settings(settings: &str) -> Self {
        crate::needs_root("only root can become another user");
        Self::of(Some(PLAIN_USER), settings)
    }

    fn of(user: Option<u32>, settings: &str) -> Self {
        let template = template();
        let base = tempfile::Builder::new().prefix("winterop-test-").tempdir().expect("a folder");
        let root = base.path();
        let folders = ["run", "home", "work", "bin", "data/winterop", "config/winterop"];
        for folder in folders {
            fs::create_dir_all(root.join(folder)).expect(folder);
        }
        fs::set_permissions(root.join("run"), Permissions::from_mode(0o700)).expect("run");
        fs::write(root.join("config/winterop/config.toml"), settings).expect("the settings");
        copy(&template, &root.join("data/winterop/template"));
        // Wine's own file cannot be executed by its mode.
        let command_processor = root.join("bin/cmd.exe");
        fs::copy(template.join("drive_c/windows/system32/cmd.exe"), &command_processor)
            .expect("cmd.exe of Wine");
        fs::set_permissions(&command_processor, Permissions::from_mode(0o755)).expect("cmd.exe");
        let (layout, windows) = (built("winterop"), built("windows"));
        let Some(user) = user else { return Self { base, layout, windows, user } };
        // What another user cannot reach below this folder is copied for them.
        let own = (root.join("winterop"), root.join("windows"));
        copy(&layout, &own.0);
        fs::create_dir(&own.1).expect("windows");
        for program in ["hello.exe", "cwd-report.exe", "exit-with.exe", "cat.exe"] {
            fs::copy(windows.join(program), own.1.join(program)).expect(program);
        }
        fs::set_permissions(root, Permissions::from_mode(0o755)).expect("the folder");
        let owner = format!("{user}:{user}");
        finish(Command::new("chown").args(["-R", "-h", &owner]).arg(root)).clean();
        Self { base, layout: own.0, windows: own.1, user: Some(user) }
    }

    /// Where everything of it is.
    #[must_use]
    pub fn base(&self) -> &Path {
        self.base.path()
    }

    /// An empty folder, the working directory of everything that is run.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.base().join("work")
    }

    /// The folder with the Windows programs for tests.
    #[must_use]
    pub fn windows(&self) -> &Path {
        &self.windows
    }

    /// The static `init`.
    #[must_use]
    pub fn init(&self) -> PathBuf {
        self.layout.join("lib/winterop/init")
    }

    /// The host's own socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.base().join("run/winterop/interop")
    }

    /// What the host has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.base().join("run/winterop/host.log")).unwrap_or_default()
    }

    /// A command in this host's environment. Its PATH has the Windows programs, and Wine's own
    /// `cmd.exe`, before everything else.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>, placement: Placement) -> Command {
        let mut command = self.command_as_root(program, placement);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// The same as the user who runs the tests, whoever the host's user is.
    #[must_use]
    pub fn command_as_root(
        &self,
        program: impl AsRef<std::ffi::OsStr>,
        placement: Placement,
    ) -> Command {
        let mut command = Command::new(program);
        let base = self.base();
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let own = [self.layout.join("bin"), base.join("bin"), self.windows.clone()];
        let path = own.into_iter().chain(std::env::split_paths(&inherited));
        command
            .env_clear()
            .env("PATH", std::env::join_paths(path).expect("PATH"))
            .env("HOME", base.join("home"))
            .env("SHELL", "/bin/sh")
            .env("LC_ALL", "C.UTF-8")
            .env("XDG_DATA_HOME", base.join("data"))
            .env("XDG_RUNTIME_DIR", base.join("run"))
            .env("XDG_CONFIG_HOME", base.join("config"))
            .env("WINTEROP_PLACEMENT", placement.value())
            .env("W", &self.windows)
            .current_dir(self.work());
        command
    }

    /// Gives a file with everything below it to the host's user.
    pub fn own(&self, path: &Path) {
        if let Some(user) = self.user {
            let owner = format!("{user}:{user}");
            finish(Command::new("chown").args(["-R", "-h", &owner]).arg(path)).clean();
        }
    }

    /// The program `winterop` with these arguments.
    #[must_use]
    pub fn winterop(&self, placement: Placement, arguments: &[&str]) -> Command {
        let mut command = self.command(self.layout.join("bin/winterop"), placement);
        command.args(arguments);
        command
    }

    /// `winterop shell sh -c SCRIPT`.
    #[must_use]
    pub fn script(&self, placement: Placement, script: &str) -> Command {
        self.winterop(placement, &["shell", "sh", "-c", script])
    }

    /// Runs a script in an instance of its own.
    #[must_use]
    #[track_caller]
    pub fn shell(&self, placement: Placement, script: &str) -> Outcome {
        self.settled();
        finish(&mut self.script(placement, script))
    }

    /// Runs a script in an instance of its own with `input` on its standard input.
    #[must_use]
    #[track_caller]
    pub fn shell_with(&self, placement: Placement, script: &str, input: Vec<u8>) -> Outcome {
        self.settled();
        finish_with(&mut self.script(placement, script), input)
    }

    /// Starts a shell in an instance that stays until it is ended.
    #[must_use]
    pub fn session(&self, placement: Placement) -> Session {
        self.settled();
        Session::start(self, placement)
    }

    /// Waits until Wine is ready: the first launch after a start may be told that it takes long, on
    /// standard error.
    pub fn settled(&self) {
        if self.socket().exists() {
            return;
        }
        let hello = self.windows.join("hello.exe");
        let run = [Path::new("run").as_os_str(), hello.as_os_str()];
        let outcome = finish(self.winterop(Placement::InPlace, &[]).args(run));
        assert!(outcome.status.success(), "{}\n{}", outcome.errors(), self.log());
    }

    /// The host's process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        let outcome = finish(&mut self.winterop(Placement::InPlace, &["host", "status"]));
        outcome.text().split_whitespace().last()?.parse().ok().map(Process)
    }

    /// Everything that runs in this host's environment: itself, Wine, instances.
    #[must_use]
    pub fn everything(&self) -> Vec<Process> {
        let mark = self.base().to_string_lossy().into_owned();
        let own = Process(std::process::id().cast_signed());
        let belongs = |process: &Process| *process != own && process.environment().contains(&mark);
        processes().into_iter().filter(belongs).collect()
    }

    /// Ends the host with its Wine, and waits until that is done.
    pub fn stop(&self) -> Outcome {
        let outcome = finish(&mut self.winterop(Placement::InPlace, &["host", "stop"]));
        // Wine keeps its server's folder; the prefix is gone in a moment, and so is its use.
        let noted = fs::read_to_string(self.base().join("data/winterop/prefix/wineserver"));
        if let Some(name) = noted.ok().filter(|name| name.starts_with("wine-")) {
            let _ = fs::remove_dir_all(Path::new("/tmp").join(name.trim()));
        }
        outcome
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let outcome = self.stop();
        let left = self.everything();
        let left: Vec<_> =
            left.into_iter().filter(|process| !process.ends_within(ENDING)).collect();
        if std::thread::panicking() {
            println!("--- the host's log\n{}", self.log());
        } else {
            let words: Vec<_> = left.iter().map(|process| process.command_line()).collect();
            assert!(words.is_empty(), "left behind: {words:?}");
            assert!(outcome.status.success(), "the host does not stop: {}", outcome.errors());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    finish(Command::new("cp").arg("-a").arg(from).arg(to)).clean();
}

/// A prepared prefix, made once for all tests; another process that makes it is waited for.
pub(crate) fn template() -> PathBuf {
    let data = workspace().join("target/test-data");
    fs::create_dir_all(&data).expect("target/test-data");
    let lock = File::create(data.join("lock")).expect("a lock");
    flock(&lock, FlockOperation::LockExclusive).expect("the lock");
    let template = data.join("winterop/template");
    let stamp = data.join("stamp");
    let program = fs::metadata(built("winterop/bin/winterop")).expect("winterop");
    let wanted = format!("{} {}", program.size(), program.mtime());
    if fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) && template.is_dir() {
        return template;
    }
    prepare(&data);
    fs::write(stamp, wanted).expect("the stamp");
    template
}

fn prepare(data: &Path) {
    let runtime = tempfile::tempdir().expect("a folder");
    fs::set_permissions(runtime.path(), Permissions::from_mode(0o700)).expect("the folder");
    let winterop = |arguments: &[&str]| {
        let mut command = Command::new(built("winterop/bin/winterop"));
        command.args(arguments).env("XDG_DATA_HOME", data).env("XDG_RUNTIME_DIR", runtime.path());
        let none = runtime.path().join("none");
        finish(
            command
                .env("XDG_CONFIG_HOME", &none)
                .env("HOME", runtime.path())
                .env_remove("WSL_INTEROP"),
        )
    };
    let hello = built("windows/hello.exe");
    let outcome = winterop(&["run", &hello.to_string_lossy()]);
    assert!(outcome.status.success(), "Wine cannot be prepared: {}", outcome.errors());
    winterop(&["host", "stop"]).clean();
    let prefix = data.join("winterop/prefix");
    if let Ok(name) = fs::read_to_string(prefix.join("wineserver")) {
        let _ = fs::remove_dir_all(Path::new("/tmp").join(name.trim()));
    }
    let _ = fs::remove_dir_all(prefix);
}
