//! Finds an installed Wine and says why it took that one.
//!
//! Looked at, in this order, and the first complete one is taken:
//! 1. `WINELOADER`, Wine's own variable for it;
//! 2. `wine64` and `wine` on `PATH`;
//! 3. `/usr/lib/wine`, where Debian's packages `wine64` and `wine32` put loader and server, apart
//!    from their libraries in `/usr/lib/<triplet>/wine` (12 with Wine 8, 13 with Wine 10);
//! 4. `/opt/wine-*/bin`, where WineHQ's own packages go, the newest version first.
//!
//! A Wine is complete when there are a 64-bit loader, a server beside it, and a library folder with
//! `x86_64-unix/ntdll.so` and `x86_64-windows/ntdll.dll`. Debian's `/usr/bin/wine` is a shell
//! script around the loader; it is passed over for the loader itself.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::pe::Abilities;
use winterop_words::{Failure, Words};

/// A complete Wine on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The 64-bit loader, an ELF program.
    pub loader: PathBuf,
    /// The server that belongs to it.
    pub server: PathBuf,
    /// The folder that holds `x86_64-unix` and `x86_64-windows`.
    pub libraries: PathBuf,
    /// What the loader says of itself, such as `wine-8.0 (Debian 8.0~repack-4)`.
    pub version: String,
    /// Whether 32-bit Windows programs run.
    pub runs_32_bit: bool,
    /// Why this one was taken, for people.
    pub why: String,
}

impl Installation {
    /// The folder with Wine's own 64-bit Windows libraries and programs.
    pub fn windows_libraries(&self) -> PathBuf {
        self.libraries.join("x86_64-windows")
    }

    /// The folder with Wine's own 32-bit Windows libraries; it may be missing.
    pub fn windows_libraries_32(&self) -> PathBuf {
        self.libraries.join("i386-windows")
    }

    /// What kinds of programs it can run, in a prefix that has no Wine Mono.
    pub fn abilities(&self) -> Abilities {
        Abilities { x86_64: true, x86: self.runs_32_bit, dot_net: false }
    }
}

/// A place where Wine could have been, and what was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The loader that was looked for.
    pub loader: PathBuf,
    /// What led to it: a variable, `PATH`, a layout.
    pub source: String,
    /// What came of it: taken, or what is missing.
    pub verdict: Verdict,
}

/// What came of looking at one [`Candidate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This is the Wine that is used.
    Taken,
    /// It is complete as well, and another came first.
    NotNeeded,
    /// It cannot be used, and why.
    Unusable(Unusable),
}

/// Why a loader that is there cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It cannot be opened or read.
    #[error("cannot be {what}: {error}")]
    Unreadable {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: String,
    },
    /// Nobody may execute it.
    #[error("not executable")]
    NotExecutable,
    /// It is one for 32-bit programs alone.
    #[error("a 32-bit Wine; 64-bit is needed")]
    For32Bit,
    /// It is a script that starts another one.
    #[error("a script around the loader")]
    Script,
    /// It is no program at all.
    #[error("not a Linux program")]
    NoProgram,
    /// It lies in no folder.
    #[error("has no folder")]
    NoFolder,
    /// No server lies beside it.
    #[error("no wineserver64 or wineserver in {}", folder.display())]
    NoServer {
        /// Where it would have to be.
        folder: PathBuf,
    },
    /// Its libraries are not where they would have to be.
    #[error("its library folder (x86_64-unix/ntdll.so, x86_64-windows/ntdll.dll) is missing")]
    NoLibraries,
    /// It does not say which version it is.
    #[error("does not tell its version ({status}): {complaint}")]
    NoVersion {
        /// How it ended.
        status: ExitStatus,
        /// What it wrote instead.
        complaint: String,
    },
}

impl Unusable {
    /// What the system says of an attempt.
    fn unreadable(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Unreadable { what, error: error.to_string() }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): ", self.loader.display(), self.source)?;
        match &self.verdict {
            Verdict::Taken => f.write_str("taken"),
            Verdict::NotNeeded => f.write_str("usable, but another comes first"),
            Verdict::Unusable(why) => why.fmt(f),
        }
    }
}

/// The outcome of a search: the Wine that was taken, and everything that was looked at.
#[derive(Debug, Clone)]
pub struct Found {
    /// The Wine to use.
    pub installation: Installation,
    /// Every candidate in the order of the search.
    pub candidates: Vec<Candidate>,
}

/// No usable Wine on this machine.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub struct NotFound {
    /// Every candidate that was there and cannot be used.
    pub candidates: Vec<Candidate>,
}

impl NotFound {
    /// The error in words.
    pub fn words(&self) -> Words {
        let looked_at = |candidate: &Candidate| format!("\n  looked at {candidate}");
        let candidates: String = self.candidates.iter().map(looked_at).collect();
        Failure::NoWine { candidates: &candidates }.words()
    }
}

/// What steers a search: the variables of the environment, and the file system's root.
#[derive(Debug, Clone)]
pub struct Search {
    /// `WINELOADER`, where it is set and not empty.
    pub wineloader: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<OsString>,
    /// What `/usr/lib/wine` and `/opt` are looked for in: `/`, or a folder in tests.
    pub root: PathBuf,
}

impl Search {
    /// A search as this process's own environment asks for it.
    pub fn from_env() -> Self {
        let wineloader = env::var_os("WINELOADER").filter(|value| !value.is_empty());
        Self {
            wineloader: wineloader.map(PathBuf::from),
            path: env::var_os("PATH"),
            root: PathBuf::from("/"),
        }
    }

    /// Looks for Wine. Runs the loader once, to ask for its version (5 ms).
    pub fn run(&self) -> Result<Found, NotFound> {
        self.run_with(ask_version)
    }

    fn run_with(
        &self,
        version: impl Fn(&Path) -> Result<String, Unusable>,
    ) -> Result<Found, NotFound> {
        let mut taken = None;
        let mut candidates = Vec::new();
        for (loader, source) in self.loaders() {
            let verdict = match examine(&loader, &source, &version) {
                Err(why) => Verdict::Unusable(why),
                Ok(_) if taken.is_some() => Verdict::NotNeeded,
                Ok(installation) => {
                    taken = Some(installation);
                    Verdict::Taken
                }
            };
            candidates.push(Candidate { loader, source, verdict });
        }
        match taken {
            Some(installation) => Ok(Found { installation, candidates }),
            None => Err(NotFound { candidates }),
        }
    }

    /// Every loader that exists, in the order of preference, each once.
    fn loaders(&self) -> Vec<(PathBuf, String)> {
        let mut loaders: Vec<(PathBuf, String)> = Vec::new();
        let mut add = |loader: PathBuf, source: &str| {
            if loaders.iter().all(|(known, _)| *known != loader) {
                loaders.push((loader, source.to_owned()));
            }
        };
        if let Some(loader) = &self.wineloader {
            add(loader.clone(), "named in WINELOADER");
        }
        let on_path = self.path.iter().flat_map(env::split_paths).map(|folder| (folder, "on PATH"));
        let debian = (self.root.join("usr/lib/wine"), "Debian's layout");
        let opt = in_opt(&self.root).into_iter().map(|folder| (folder, "below /opt"));
        for (folder, source) in on_path.chain([debian]).chain(opt) {
            for name in ["wine64", "wine"] {
                let loader = folder.join(name);
                if folder.is_absolute() && loader.exists() {
                    add(loader, source);
                }
            }
        }
        loaders
    }
}

/// The folders `/opt/wine-*/bin`, the highest version first.
fn in_opt(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("opt")).into_iter().flatten().flatten();
    let mut found: Vec<(Vec<u64>, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("wine-")?;
            let numbers = version.split(|c: char| !c.is_ascii_digit());
            Some((numbers.flat_map(str::parse).collect(), entry.path().join("bin")))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, folder)| folder).collect()
}

/// Looks whether the Wine with this loader is complete; the error says what is missing.
fn examine(
    loader: &Path,
    source: &str,
    version: &impl Fn(&Path) -> Result<String, Unusable>,
) -> Result<Installation, Unusable> {
    // Wine finds its libraries from where it really lies, so links are followed first.
    let loader = fs::canonicalize(loader).map_err(Unusable::unreadable("opened"))?;
    kind_of(&loader)?;
    let folder = loader.parent().ok_or(Unusable::NoFolder)?;
    let server = ["wineserver64", "wineserver"]
        .iter()
        .map(|name| folder.join(name))
        .find(|path| is_executable(path))
        .ok_or_else(|| Unusable::NoServer { folder: folder.to_owned() })?;
    let libraries = libraries_of(folder).ok_or(Unusable::NoLibraries)?;
    let version = version(&loader)?;
    let runs_32_bit = runs_32_bit(&libraries, &version);
    let why = format!("{version} at {}: {source}", loader.display());
    Ok(Installation { loader, server, libraries, version, runs_32_bit, why })
}

/// Checks that a file is a 64-bit ELF program that may be executed.
fn kind_of(loader: &Path) -> Result<(), Unusable> {
    let mut head = Vec::new();
    let file = fs::File::open(loader).map_err(Unusable::unreadable("read"))?;
    file.take(5).read_to_end(&mut head).map_err(Unusable::unreadable("read"))?;
    match head.as_slice() {
        [0x7f, b'E', b'L', b'F', 2] if is_executable(loader) => Ok(()),
        [0x7f, b'E', b'L', b'F', 2] => Err(Unusable::NotExecutable),
        [0x7f, b'E', b'L', b'F', ..] => Err(Unusable::For32Bit),
        [b'#', b'!', ..] => Err(Unusable::Script),
        _ => Err(Unusable::NoProgram),
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The library folder of a Wine whose loader lies in `folder`.
fn libraries_of(folder: &Path) -> Option<PathBuf> {
    let parent = folder.parent()?;
    [
        "lib/wine",
        "lib64/wine",
        "lib/x86_64-linux-gnu/wine",
        // Debian: the loader itself is in /usr/lib/wine.
        "x86_64-linux-gnu/wine",
        "wine",
    ]
    .iter()
    .map(|path| parent.join(path))
    .find(|path| {
        path.join("x86_64-unix/ntdll.so").is_file()
            && path.join("x86_64-windows/ntdll.dll").is_file()
    })
}

/// Whether 32-bit programs run: with 32-bit Linux libraries, or by Wine 9's WoW64 without them.
fn runs_32_bit(libraries: &Path, version: &str) -> bool {
    let windows = libraries.join("i386-windows/ntdll.dll").is_file()
        // Debian keeps its 32-bit half in a folder of its own.
        || libraries.join("../../i386-linux-gnu/wine/i386-windows/ntdll.dll").is_file();
    let unix = libraries.join("i386-unix/ntdll.so").is_file()
        || libraries.join("../../i386-linux-gnu/wine/i386-unix/ntdll.so").is_file();
    let wow64 = libraries.join("x86_64-windows/wow64cpu.dll").is_file();
    windows && (unix || wow64 && major_version(version).is_some_and(|major| major >= 9))
}

/// The first number of a version such as `wine-8.0 (Debian 8.0~repack-4)`.
fn major_version(version: &str) -> Option<u32> {
    let digits = version.strip_prefix("wine-")?.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn ask_version(loader: &Path) -> Result<String, Unusable> {
    let output = Command::new(loader)
        .arg("--version")
        .env_clear()
        // Without it the loader looks for the user's account, and crashes where there is none.
        .env("HOME", "/")
        .stdin(Stdio::null())
        .output()
        .map_err(Unusable::unreadable("started"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && version.starts_with("wine-") {
        return Ok(version);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Unusable::NoVersion { status: output.status, complaint })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELF: &[u8] = b"\x7fELF\x02 and more";

    fn put(path: &Path, content: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn put_libraries(folder: &Path) {
        put(&folder.join("x86_64-unix/ntdll.so"), ELF);
        put(&folder.join("x86_64-windows/ntdll.dll"), b"MZ");
        put(&folder.join("x86_64-windows/wow64cpu.dll"), b"MZ");
    }

    fn put_debian(root: &Path) {
        put(&root.join("usr/lib/wine/wine64"), ELF);
        put(&root.join("usr/lib/wine/wineserver64"), ELF);
        put(&root.join("usr/lib/wine/wineserver"), b"#!/bin/sh");
        put_libraries(&root.join("usr/lib/x86_64-linux-gnu/wine"));
    }

    fn put_opt(root: &Path, name: &str) {
        put(&root.join("opt").join(name).join("bin/wine"), ELF);
        put(&root.join("opt").join(name).join("bin/wineserver"), ELF);
        put_libraries(&root.join("opt").join(name).join("lib/wine"));
    }

    fn search(root: &Path) -> Search {
        Search { wineloader: None, path: None, root: root.to_owned() }
    }

    fn version(_: &Path) -> Result<String, Unusable> {
        Ok("wine-10.0 (made up)".to_owned())
    }

    #[test]
    fn debians_layout_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        put_debian(&root);
        let found = search(&root).run_with(version).unwrap().installation;
        assert_eq!(found.loader, root.join("usr/lib/wine/wine64"));
        assert_eq!(found.server, root.join("usr/lib/wine/wineserver64"));
        assert_eq!(found.libraries, root.join("usr/lib/x86_64-linux-gnu/wine"));
        assert!(!found.runs_32_bit);
        assert!(found.why.contains("Debian"), "{}", found.why);
    }

    #[test]
    fn the_script_on_path_is_passed_over_and_the_newest_in_opt_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        put(&root.join("usr/bin/wine"), b"#!/bin/sh\n");
        put_opt(&root, "wine-9.2");
        put_opt(&root, "wine-10.11");
        put(&root.join("opt/wine-10.11/lib/wine/i386-windows/ntdll.dll"), b"MZ");
        let mut search = search(&root);
        search.path = Some(root.join("usr/bin").into_os_string());
        let found = search.run_with(version).unwrap();
        assert_eq!(found.installation.loader, root.join("opt/wine-10.11/bin/wine"));
        assert!(found.installation.runs_32_bit);
        let verdicts: Vec<_> = found.candidates.iter().map(|seen| &seen.verdict).collect();
        let script = Verdict::Unusable(Unusable::Script);
        assert_eq!(verdicts, [&script, &Verdict::Taken, &Verdict::NotNeeded]);
    }

    #[test]
    fn wineloader_comes_before_everything() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        put_debian(&root);
        put_opt(&root, "wine-stable");
        let mut search = search(&root);
        search.wineloader = Some(root.join("opt/wine-stable/bin/wine"));
        let found = search.run_with(version).unwrap().installation;
        assert_eq!(found.loader, root.join("opt/wine-stable/bin/wine"));
        assert!(found.why.contains("WINELOADER"), "{}", found.why);
    }

    #[test]
    fn without_wine_the_error_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("usr/lib/wine/wine64"), ELF);
        let error = search(folder.path()).run_with(version).unwrap_err().to_string();
        assert!(error.contains("apt-get install"), "{error}");
        assert!(error.contains("no wineserver64"), "{error}");
    }

    #[test]
    fn the_installed_wine_is_found() {
        let found = Search::from_env().run().unwrap();
        assert!(found.installation.version.starts_with("wine-"));
    }
}
