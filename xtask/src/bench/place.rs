//! A place for measuring: a host with directories of its own, ended and removed afterwards.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{paths, progress};

/// Which launcher the host starts programs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `command`, with a program that does nothing.
    Command,
    /// `command`, with a program that kills the host.
    Deadly,
    /// `wine`.
    Wine,
}

/// Notes the time, and kills the process that a file beside this program names.
const KILL: &[u8] = b"#!/bin/sh\ndate +%s%N >\"$0.time\"; kill -9 \"$(cat \"$0.host\")\"\n";

/// A host's directories; dropping it ends the host.
pub(super) struct Place {
    /// On the disk of the target folder, where files of the prefix are.
    files: TempDir,
    /// Short enough for a socket's name.
    runtime: TempDir,
}

/// A folder that is closed to others, as a runtime directory has to be.
fn closed_folder() -> std::io::Result<TempDir> {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir()
}

impl Place {
    /// Makes the directories and the settings.
    ///
    /// # Errors
    /// If one of them cannot be made.
    pub(super) fn make(kind: Kind) -> Result<Self> {
        let folder = paths::target().join("bench");
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let files = tempfile::Builder::new().prefix("place-").tempdir_in(&folder);
        let place = Self {
            files: files.with_context(|| format!("make a folder in {}", folder.display()))?,
            runtime: closed_folder().context("make a folder for sockets")?,
        };
        let program = if kind == Kind::Deadly { KILL.to_vec() } else { do_nothing() };
        write_executable(&place.nothing(), &program)?;
        // The kernel looks at the two letters only, and the launcher `command` at nothing.
        write_executable(&place.image(), b"MZ")?;
        place.write_settings(kind)?;
        if kind == Kind::Wine && template().is_dir() {
            copy(&template(), &place.data().join("template"))?;
        }
        Ok(place)
    }

    fn write_settings(&self, kind: Kind) -> Result<()> {
        let folder = self.files.path().join("config/winterop");
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let text = match kind {
            Kind::Wine => String::new(),
            Kind::Command | Kind::Deadly => {
                format!("launcher = \"command\"\ncommand = [{:?}]\n", self.nothing())
            }
        };
        fs::write(folder.join("config.toml"), text).context("write the settings")
    }

    /// What the launcher `command` runs: a program that does nothing, or kills the host.
    pub(super) fn nothing(&self) -> PathBuf {
        self.files.path().join("nothing")
    }

    /// An executable that the kernel hands to the interpreter.
    pub(super) fn image(&self) -> PathBuf {
        self.files.path().join("image.exe")
    }

    fn data(&self) -> PathBuf {
        self.files.path().join("data/winterop")
    }

    /// The Wine prefix that the host uses.
    pub(super) fn prefix(&self) -> PathBuf {
        self.data().join("prefix")
    }

    /// A copy of the prefix's template, for a Wine that is to start with nothing running.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub(super) fn second_prefix(&self) -> Result<PathBuf> {
        let prefix = self.files.path().join("cold");
        copy(&self.data().join("template"), &prefix)?;
        Ok(prefix)
    }

    /// A folder on the disk of the target folder.
    pub(super) fn files(&self) -> &Path {
        self.files.path()
    }

    /// `winterop ARGUMENTS…` with this place's host.
    pub(super) fn winterop(&self, arguments: &[&str]) -> Command {
        let mut command = self.program("winterop");
        command.args(arguments);
        command
    }

    /// One of Winterop's programs with this place's host.
    pub(super) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(paths::target().join("winterop/bin").join(name));
        command
            .env("XDG_DATA_HOME", self.files.path().join("data"))
            .env("XDG_CONFIG_HOME", self.files.path().join("config"))
            .env("XDG_RUNTIME_DIR", self.runtime.path())
            .env_remove("WSL_INTEROP")
            .env_remove("WINTEROP_PLACEMENT");
        command
    }

    /// Prepares Wine by running `program` once, and keeps the template for the next time.
    ///
    /// # Errors
    /// If the program does not run.
    pub(super) fn warm_up(&self, program: &Path) -> Result<()> {
        let mut command = self.winterop(&["shell"]);
        command.arg(program).stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.status().context("start winterop")?;
        ensure!(status.success(), "{} in a new instance: {status}", program.display());
        if stamp(&self.data().join("template")) != stamp(&template()) {
            self.keep_template()?;
        }
        Ok(())
    }

    /// Keeps this place's template for the next run, instead of one that is outdated or missing.
    fn keep_template(&self) -> Result<()> {
        let new = self.files.path().join("template");
        copy(&self.data().join("template"), &new)?;
        // Another run may be doing the same: whichever template stays, it is as good.
        let _ = fs::rename(template(), self.files.path().join("outdated"));
        let _ = fs::rename(&new, template());
        Ok(())
    }

    /// The host's process.
    ///
    /// # Errors
    /// If it does not run.
    pub(super) fn host(&self) -> Result<u32> {
        peer(&self.runtime.path().join("winterop/interop"))
    }

    /// The process and the program of the Wine server that the host has started.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn wine_server(&self) -> Result<(u32, PathBuf)> {
        let host = self.host()?;
        let processes = fs::read_dir("/proc").context("list /proc")?;
        let mut numbers = processes.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        let server = numbers.find(|process| is_server(*process, host));
        let server = server.with_context(|| format!("the host (process {host}) has no server"))?;
        let program = fs::read_link(format!("/proc/{server}/exe"))
            .with_context(|| format!("read which program process {server} runs"))?;
        Ok((server, program))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let stopped = self.winterop(&["host", "stop"]).stdin(Stdio::null()).output();
        match stopped {
            Ok(output) if output.status.success() => {}
            Ok(output) => eprint!("{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => eprintln!("the host could not be ended: {error}"),
        }
    }
}

/// The process that serves a socket.
///
/// # Errors
/// If nobody does.
pub(super) fn peer(socket: &Path) -> Result<u32> {
    let connected = UnixStream::connect(socket);
    let connected = connected.with_context(|| format!("connect to {}", socket.display()))?;
    let peer = rustix::net::sockopt::socket_peercred(&connected);
    let peer = peer.with_context(|| format!("ask who serves {}", socket.display()))?;
    Ok(peer.pid.as_raw_nonzero().get().unsigned_abs())
}

/// Whether `process` is a Wine server that `host` has started.
fn is_server(process: u32, host: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name is in parentheses and may hold any; the parent is the second word behind it.
    let Some((name, rest)) = stat.rsplit_once(')') else { return false };
    let parent = rest.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    name.contains("(wineserver") && parent == Some(host)
}

/// Where the template is kept between runs; the launcher makes it anew when it is outdated.
fn template() -> PathBuf {
    paths::target().join("bench/template")
}

/// What a prefix says about who made it.
fn stamp(prefix: &Path) -> Option<Vec<u8>> {
    fs::read(prefix.join(".winterop")).ok()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    progress::output(Command::new("cp").arg("-a").arg("--").arg(from).arg(to)).map(|_| ())
}

pub(super) fn write_executable(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = fs::File::options().write(true).create_new(true).mode(0o755).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("write {}", path.display()))
}

/// A static x86-64 program without a library that ends with 0: one segment, three instructions.
pub(super) fn do_nothing() -> Vec<u8> {
    program(&EXIT)
}

/// The same, after it has read a byte of standard input.
pub(super) fn read_a_byte() -> Vec<u8> {
    // xor eax, eax (read); xor edi, edi; mov rsi, rsp; mov edx, 1; syscall
    const READ: [u8; 14] = [0x31, 0xc0, 0x31, 0xff, 0x48, 0x89, 0xe6, 0xba, 1, 0, 0, 0, 0x0f, 0x05];
    program(&[&READ[..], &EXIT].concat())
}

/// mov eax, 60 (exit); xor edi, edi; syscall
const EXIT: [u8; 9] = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];

fn program(code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let size = HEADERS + code.len() as u64;
    let mut file = Vec::new();
    // ELF, 64 bits, little-endian, version 1, no particular system.
    file.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // An executable for x86-64, version 1.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // The entry, the program headers' place, no section headers.
    file.extend([BASE + HEADERS, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    // Flags; the sizes: ELF header, program header and their number; no section headers.
    file.extend(0_u32.to_le_bytes());
    file.extend([64, 56, 1, 64, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    // One segment to load (1), readable and executable (5): all of the file.
    file.extend([1, 5].into_iter().flat_map(u32::to_le_bytes));
    file.extend([0, BASE, BASE, size, size, 4096].into_iter().flat_map(u64::to_le_bytes));
    file.extend(code);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_does_nothing_runs() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("nothing");
        write_executable(&program, &do_nothing()).unwrap();
        assert!(Command::new(&program).status().unwrap().success());
    }
}
