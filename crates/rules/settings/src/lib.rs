//! What people can set: the user's own file, and what each setting means.
//!
//! `$XDG_CONFIG_HOME/winterop/config.toml` (by default `~/.config/winterop/config.toml`) is read when
//! the host starts. A file with an error is not half obeyed: the error is reported with its place,
//! and nothing runs until it is mended.
#![forbid(unsafe_code)]

pub mod file;
pub mod flags;
pub mod machine;
pub mod peer;
pub mod policy;
pub mod switches;
pub mod wsl_conf;

pub use file::FileError;
pub use machine::MachineSettings;
pub use policy::Policy;
pub use switches::{Off, SwitchPlaces, Switches};
pub use wsl_conf::WslConf;

use file::Limits;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};
use std::time::Duration;
use winterop_places::user;
use winterop_translate::groups;
use winterop_words::{Failure, Words};

/// Programs that refuse unix pipes as their standard handles: libuv asks Windows what they are.
const NEED_PIPES: [&str; 3] = ["node.exe", "bun.exe", "deno.exe"];

/// The user's settings, with their defaults.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// How Windows programs are started: `wine` or `command`.
    pub launcher: LauncherKind,
    /// With the launcher `command`: the words that go before the program and its arguments.
    pub command: Vec<String>,
    /// Where programs run.
    pub placement: PlacementSetting,
    /// Base names of programs that need real Windows pipes, beside those that are built in.
    pub pipes: Vec<String>,
    /// Base names of programs that are taken for such and do well without.
    pub no_pipes: Vec<String>,
    /// Whether a session's PATH ends with where Windows programs are.
    pub append_windows_path: bool,
    /// What is appended.
    pub windows_path: WindowsPathSetting,
    /// Whether the kernel starts batch files in a session, as it does programs.
    pub batch_files: bool,
    /// Groups of variables that every program gets, as if WSLENV listed them.
    pub pass_environment: Vec<VariableGroup>,
    /// Whether the user's own processes are served in other namespaces, too, as in sandboxes and
    /// containers that they have started: without a rule of the policy's.
    pub sandboxes: bool,
    /// How long a program that was told to end may take until it is ended, in seconds.
    pub grace_seconds: u64,
    /// How long a distribution goes on after its last session, in seconds.
    pub instance_idle_seconds: u64,
    /// Was to be for output that is relayed, and nothing ever was.
    pub drain_seconds: Gone,
}

/// A key that is no setting any more. Whatever stands behind it is passed over, so that a file that has it
/// still goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gone {
    /// The file does not have it.
    #[default]
    Absent,
    /// The file has it.
    Present,
}

impl<'de> Deserialize<'de> for Gone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self::Present)
    }
}

/// The host's way to create a Windows process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LauncherKind {
    /// Wine.
    #[default]
    Wine,
    /// A prefix command.
    Command,
}

/// Where programs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlacementSetting {
    /// In the caller's place where that is possible.
    #[default]
    Auto,
    /// Always below the host.
    Hosted,
}

/// What a session's PATH ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowsPathSetting {
    /// The directories of Windows' own PATH.
    #[default]
    Directories,
    /// One directory of links, named after the programs with and without their extensions.
    Links,
}

/// Variables that mean the same on both sides, and are passed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariableGroup {
    /// Where the network is reached through a proxy.
    Proxy,
    /// By what a program knows that it runs in continuous integration.
    Ci,
    /// What a program may write to the terminal.
    Term,
}

impl VariableGroup {
    /// The names of the variables.
    #[must_use]
    pub fn names(self) -> &'static [&'static [u8]] {
        match self {
            Self::Proxy => groups::PROXY,
            Self::Ci => groups::CI,
            Self::Term => groups::TERMINAL,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            launcher: LauncherKind::default(),
            command: Vec::new(),
            placement: PlacementSetting::default(),
            pipes: Vec::new(),
            no_pipes: Vec::new(),
            append_windows_path: true,
            windows_path: WindowsPathSetting::default(),
            batch_files: false,
            pass_environment: Vec::new(),
            sandboxes: false,
            grace_seconds: 5,
            instance_idle_seconds: 15,
            drain_seconds: Gone::Absent,
        }
    }
}

/// Why the settings cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is there and cannot be read.
    #[error(transparent)]
    Read(#[from] FileError),
    /// The file's content is wrong.
    #[error("{}", self.words().fault())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
}

impl SettingsError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Read(error) => error.words(),
            Self::Content { path, problem } => {
                Failure::SettingsWrong { path: &path.display(), problem: &problem }.words()
            }
        }
    }
}

/// A settings file is never larger; more is not a settings file.
const LARGEST: u64 = 1 << 20;

impl Settings {
    /// Reads the file at `path`; where there is none, the defaults hold.
    ///
    /// # Errors
    /// A [`SettingsError`]: unreadable, too large, or wrong.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let Some(content) = file::read(path, Limits::up_to(LARGEST))? else {
            return Ok(Self::default());
        };
        let settings: Self = from_toml(&content.bytes, path)?;
        let lacks_command =
            settings.launcher == LauncherKind::Command && settings.command.is_empty();
        match lacks_command {
            true => Err(SettingsError::Content {
                path: path.to_owned(),
                problem:
                    "launcher = \"command\" needs `command`, a list with at least the program \
                          that starts Windows programs"
                        .to_owned(),
            }),
            false => Ok(settings),
        }
    }

    /// Reads the file of this process's user; where there is none, the defaults hold.
    ///
    /// # Errors
    /// In words: those of [`Settings::read`], or there is no place that can be believed.
    pub fn of_user() -> Result<Self, Words> {
        Self::of_user_with_warnings().map(|(settings, _)| settings)
    }

    /// The same, with what to tell of the file although it is obeyed.
    ///
    /// # Errors
    /// Those of [`Settings::of_user`].
    pub fn of_user_with_warnings() -> Result<(Self, Vec<Words>), Words> {
        let Some(file) = user::settings().map_err(|error| error.words())? else {
            return Ok((Self::default(), Vec::new()));
        };
        let settings = Self::read(&file).map_err(|error| error.words())?;
        let warnings = settings.warnings(&file);
        Ok((settings, warnings))
    }

    /// Whether the program with this base name needs real Windows pipes.
    #[must_use]
    pub fn needs_pipes(&self, base_name: &str) -> bool {
        let is = |name: &str| name.eq_ignore_ascii_case(base_name);
        !self.no_pipes.iter().any(|name| is(name))
            && (NEED_PIPES.iter().any(|name| is(name)) || self.pipes.iter().any(|name| is(name)))
    }

    /// How long a program that was told to end may take until it is ended.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }

    /// What to tell of the file at `path`, from which these are, although it is obeyed.
    #[must_use]
    pub fn warnings(&self, path: &Path) -> Vec<Words> {
        let gone = [(self.drain_seconds, "drain-seconds")];
        let present = gone.into_iter().filter(|(gone, _)| *gone == Gone::Present);
        present
            .map(|(_, key)| Failure::SettingGone { path: &path.display(), key: &key }.words())
            .collect()
    }
}

/// Reads a table of settings, all of whose keys are known.
fn from_toml<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    path: &Path,
) -> Result<T, SettingsError> {
    let wrong = |problem: String| SettingsError::Content { path: path.to_owned(), problem };
    let text = std::str::from_utf8(bytes).map_err(|error| wrong(format!("no UTF-8: {error}")))?;
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        wrong(format!("line {line}: {}", error.message().replace('\n', ", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, SettingsError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        Settings::read(&path)
    }

    #[test]
    fn no_file_means_defaults() {
        assert_eq!(Settings::read(Path::new("/nowhere/config.toml")).unwrap(), Settings::default());
        assert_eq!(read("").unwrap(), Settings::default());
    }

    #[test]
    fn what_is_set_is_obeyed() {
        let text = "launcher = \"command\"\ncommand = [\"ssh\", \"win\"]\nplacement = \"hosted\"\n\
                    pipes = [\"Tool.exe\"]\nno-pipes = [\"bun.exe\"]\n\
                    append-windows-path = false\nwindows-path = \"links\"\n\
                    batch-files = true\npass-environment = [\"proxy\", \"ci\", \"term\"]\n";
        let settings = read(text).unwrap();
        assert_eq!(settings.command, ["ssh", "win"]);
        assert_eq!(settings.placement, PlacementSetting::Hosted);
        assert!(!settings.append_windows_path && settings.batch_files);
        assert_eq!(settings.windows_path, WindowsPathSetting::Links);
        for group in &settings.pass_environment {
            assert!(group.names().iter().all(|name| groups::contain(name)), "{group:?}");
        }
        assert_eq!(settings.pass_environment.len(), 3);
        assert!(settings.needs_pipes("tool.EXE") && settings.needs_pipes("node.exe"));
        assert!(!settings.needs_pipes("bun.exe") && !settings.needs_pipes("cmd.exe"));
    }

    #[test]
    fn a_key_that_is_gone_is_told_of_and_does_no_harm() {
        let path = Path::new("/x/config.toml");
        assert!(read("grace-seconds = 1").unwrap().warnings(path).is_empty());
        for value in ["2", "\"two\"", "[1, 2]"] {
            let settings = read(&format!("drain-seconds = {value}\ngrace-seconds = 7")).unwrap();
            assert_eq!(settings.grace_seconds, 7);
            let warnings: Vec<String> =
                settings.warnings(path).iter().map(ToString::to_string).collect();
            let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
            assert!(warning.contains("/x/config.toml") && warning.contains("`drain-seconds`"));
        }
    }

    #[test]
    fn errors_name_the_file_and_the_place() {
        for (text, part) in [
            ("placement = \"cloud\"", "line 1"),
            ("colour = 1", "unknown field `colour`"),
            ("pass-environment = [\"all\"]", "unknown variant `all`, expected one of `proxy`"),
            ("launcher = \"command\"", "needs `command`"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("config.toml") && error.contains(part), "{error}");
        }
    }
}
