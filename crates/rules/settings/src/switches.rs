//! The two switches: the registry's for all users, and the distribution's own.
//!
//! Files are looked at anew with each question, and read again when they have changed, so that a
//! switch works at once and nothing has to be started again. A file that is there and cannot be
//! understood counts as off: whoever wrote it wanted to say something.

use crate::SettingsError;
use crate::file::{Cached, Limits};
use crate::flags::{self, Said};
use crate::machine::{self, FlagsMeaning, MachineSettings};
use crate::wsl_conf::{self, Diagnostic, WslConf};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use winterop_places::user;
use winterop_words::{Failure, Words};

/// Why Windows programs do not run, with where that is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum Off {
    /// The machine's registry value says so.
    Machine {
        /// The file.
        path: PathBuf,
        /// The value.
        flags: u32,
        /// The same value with interop switched on.
        on: u32,
    },
    /// The value in the user's Wine prefix says so.
    Prefix {
        /// The file.
        path: PathBuf,
        /// The value.
        flags: u32,
        /// The same value with interop switched on.
        on: u32,
    },
    /// The distribution's file says so.
    Distribution {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u32,
    },
    /// A file cannot be understood.
    Unclear(String),
}

impl Off {
    /// The reason in words, for Windows programs in general.
    #[must_use]
    pub fn words(&self) -> Words {
        let program: &dyn Display = &"Windows programs";
        match self {
            Self::Machine { path, flags, on } => {
                let (path, flags) = (path.display(), format!("{flags:#x}"));
                Failure::OffForAllUsers { program, path: &path, flags: &flags, on }.words()
            }
            Self::Prefix { path, flags, on } => {
                let (path, key) = (path.display(), &flags::KEY);
                let (flags, on) = (&format!("{flags:#x}"), &format!("{on:#x}"));
                Failure::OffInPrefix { program, path: &path, flags, key, on }.words()
            }
            Self::Distribution { path, line } => {
                Failure::OffInDistribution { program, path: &path.display(), line }.words()
            }
            Self::Unclear(problem) => Failure::SwitchUnclear { program, problem }.words(),
        }
    }
}

/// Where the switches are.
#[derive(Clone, Debug)]
pub struct SwitchPlaces {
    /// The directory of root's settings.
    pub directory: PathBuf,
    /// The distribution's `wsl.conf`.
    pub wsl_conf: PathBuf,
    /// The registry of the user's Wine prefix, where there is one.
    pub prefix: Option<PathBuf>,
}

impl Default for SwitchPlaces {
    fn default() -> Self {
        Self { directory: machine::DIRECTORY.into(), wsl_conf: wsl_conf::PATH.into(), prefix: None }
    }
}

impl SwitchPlaces {
    /// Where the switches are that hold for this process's user on this machine.
    #[must_use]
    pub fn of_user() -> Self {
        let prefix = user::data().ok().map(|data| data.join("prefix/system.reg"));
        Self { prefix, ..Self::default() }
    }
}

/// The switches, as their files have them now.
#[derive(Debug)]
pub struct Switches {
    settings: Cached<Result<MachineSettings, SettingsError>>,
    machine: Cached<Said>,
    distribution: Cached<(WslConf, Vec<Diagnostic>)>,
    prefix: Option<Cached<Said>>,
}

impl Default for Switches {
    fn default() -> Self {
        Self::new(SwitchPlaces::default())
    }
}

impl Switches {
    /// The switches in these files.
    #[must_use]
    pub fn new(places: SwitchPlaces) -> Self {
        let of_root = |largest| Limits::up_to(largest).of_root();
        let in_directory = |name| places.directory.join(name);
        let prefix = Limits::up_to(flags::LARGEST_OF_WINE);
        Self {
            settings: Cached::new(
                in_directory("config.toml"),
                of_root(machine::LARGEST),
                MachineSettings::parse,
            ),
            machine: Cached::new(
                in_directory("system.reg"),
                of_root(flags::LARGEST),
                flags::of_machine,
            ),
            distribution: Cached::new(
                places.wsl_conf,
                Limits::up_to(wsl_conf::LARGEST),
                |bytes, path| bytes.map_or_else(Default::default, |b| WslConf::parse(b, path)),
            ),
            prefix: places.prefix.map(|path| Cached::new(path, prefix, flags::of_prefix)),
        }
    }

    /// Whether Windows programs run; all levels must say so.
    ///
    /// # Errors
    /// The first [`Off`]: the machine's, the prefix's, the distribution's.
    pub fn check(&self) -> Result<(), Off> {
        self.check_users()?;
        let conf = self.distribution()?;
        if conf.interop.enabled {
            return Ok(());
        }
        let line = conf.line_of("interop.enabled").unwrap_or_default();
        Err(Off::Distribution { path: self.distribution.path().to_owned(), line })
    }

    /// Whether the registries let Windows programs run: what holds in every distribution.
    ///
    /// # Errors
    /// An [`Off`].
    pub fn check_users(&self) -> Result<(), Off> {
        let meaning = self.settings()?.distribution_flags;
        if let Some((flags, on)) = switched_off(&self.machine, meaning)? {
            return Err(Off::Machine { path: self.machine.path().to_owned(), flags, on });
        }
        let Some(prefix) = &self.prefix else { return Ok(()) };
        match switched_off(prefix, meaning)? {
            Some((flags, on)) => Err(Off::Prefix { path: prefix.path().to_owned(), flags, on }),
            None => Ok(()),
        }
    }

    /// The machine's settings.
    ///
    /// # Errors
    /// [`Off::Unclear`].
    pub fn settings(&self) -> Result<MachineSettings, Off> {
        let settings = self.settings.get().map_err(|error| Off::Unclear(error.to_string()))?;
        settings.as_ref().clone().map_err(|error| Off::Unclear(error.to_string()))
    }

    /// What the distribution says of itself.
    ///
    /// # Errors
    /// [`Off::Unclear`].
    pub fn distribution(&self) -> Result<WslConf, Off> {
        let conf = self.distribution.get().map_err(|error| Off::Unclear(error.to_string()))?;
        Ok(conf.0.clone())
    }

    /// What is wrong in the distribution's file.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.distribution.get().map(|conf| conf.1.clone()).unwrap_or_default()
    }
}

/// The flags in a file that switch interop off, and what they would be with it on.
fn switched_off(file: &Cached<Said>, meaning: FlagsMeaning) -> Result<Option<(u32, u32)>, Off> {
    let unclear = |problem: String| Off::Unclear(problem);
    let said = file.get().map_err(|error| unclear(error.to_string()))?;
    let flags = said.as_ref().clone().map_err(|problem| {
        let path = file.path().display();
        unclear(Failure::RegistryUnreadable { path: &path, problem: &problem }.words().fault())
    })?;
    Ok(flags.filter(|flags| !meaning.is_on(*flags)).map(|flags| (flags, flags ^ 1)))
}

/// Reads a `wsl.conf` only to say what is wrong in it.
///
/// # Errors
/// A [`SettingsError`] where it cannot be read at all.
pub fn examine(path: &Path) -> Result<Vec<Diagnostic>, SettingsError> {
    Ok(WslConf::read(path)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;

    #[test]
    fn s3_each_level_switches_off_and_says_where() {
        let why = "this test cannot run here: only root can write root's settings";
        assert!(rustix::process::geteuid().is_root(), "{why}");
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let switches = Switches::new(SwitchPlaces {
            directory: folder.path().to_owned(),
            wsl_conf: path("wsl.conf"),
            prefix: Some(path("prefix.reg")),
        });
        let says = |words: &str| {
            let text = switches.check().unwrap_err().to_string();
            assert!(text.contains(words), "{text}");
        };
        assert_eq!(switches.check(), Ok(()));
        flags::write(&path("system.reg"), 1).unwrap();
        says("DistributionFlags is 0x1");
        says("set-flags 0");
        write(path("config.toml"), "distribution_flags = \"service\"\n").unwrap();
        assert_eq!(switches.check(), Ok(()));
        flags::write(&path("system.reg"), 6).unwrap();
        says("set-flags 7");
        write(path("config.toml"), "distribution-flags = \"odd\"\n").unwrap();
        says("config.toml");
        write(path("config.toml"), "").unwrap();
        assert_eq!(switches.check(), Ok(()));
        write(path("system.reg"), "REGEDIT4\n\n[HKEY_LOCAL").unwrap();
        says("cut off");
        std::fs::remove_file(path("system.reg")).unwrap();

        let wine = "WINE REGISTRY Version 2\n\n[System\\\\CurrentControlSet\\\\Services\\\\\
                    LxssManager] 1\n\"DistributionFlags\"=dword:00000001\n";
        write(path("prefix.reg"), wine).unwrap();
        says("in this Wine prefix");
        write(path("prefix.reg"), wine.get(..60).unwrap()).unwrap();
        says("prefix.reg cannot be read");
        write(path("prefix.reg"), wine.replace(":00000001", ":00000000")).unwrap();
        assert_eq!(switches.check(), Ok(()));
        std::fs::remove_file(path("prefix.reg")).unwrap();

        write(path("wsl.conf"), "# x\n[interop]\nenabled = false\n").unwrap();
        says("wsl.conf:3");
        assert_eq!(switches.check_users(), Ok(()));
        write(path("wsl.conf"), "[interop]\nenabled = perhaps\n").unwrap();
        assert_eq!(switches.check(), Ok(()));
        assert_eq!(switches.diagnostics().len(), 1);
        std::fs::remove_file(path("wsl.conf")).unwrap();
        std::fs::create_dir(path("wsl.conf")).unwrap();
        says("is a directory");
    }
}
