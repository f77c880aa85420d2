//! The machine's init: started by systemd, or by us where there is none.

use super::error::{InstallError, failed};
use super::files::{UNITS, below};
use super::installable::Installable;
use crate::options::{Ground, Options};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use winterop_places::names::{INIT, SHARED_SOCKET, SOCKET_DIRECTORY, process_of};
use winterop_serve::presence::{Presence, presence, server};

/// Where systemd shows that it is the machine's.
const SYSTEMD: &str = "/run/systemd/system";

/// What a machine's init that we have started has to say.
const LOG: &str = "/var/log/winterop.log";

/// How long the machine's init may take to end.
const ENDING: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// The units, the socket first.
const UNIT_NAMES: [&str; 2] = ["winterop.socket", "winterop.service"];

/// How the machine's init is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitState {
    /// It does not run.
    Gone,
    /// It answers; or systemd starts it when somebody asks.
    Answers(i32),
    /// It does not answer.
    Silent(i32),
}

/// The socket of the machine's init.
#[must_use]
pub fn socket() -> PathBuf {
    Path::new(SOCKET_DIRECTORY).join(SHARED_SOCKET)
}

/// Whether the machine's init runs.
#[must_use]
pub fn init_state() -> InitState {
    match presence(&socket()) {
        Ok(Presence::Answers(peer)) => InitState::Answers(peer.pid),
        Ok(Presence::Silent(peer) | Presence::Foreign(peer)) => InitState::Silent(peer.pid),
        Ok(Presence::Nobody) | Err(_) => InitState::Gone,
    }
}

/// Whether systemd runs this machine.
#[must_use]
pub fn is_systemds(root: &Path) -> bool {
    below(root, SYSTEMD).is_dir()
}

/// Starts the machine's init; again where its files have changed.
///
/// # Errors
/// An [`InstallError`].
pub fn start(plan: &Installable, is_new: bool, done: &mut Vec<String>) -> Result<(), InstallError> {
    if is_systemds(&plan.root) {
        systemctl(&["daemon-reload"])?;
        systemctl(&["enable", "--now", UNIT_NAMES[0], UNIT_NAMES[1]])?;
        if is_new {
            // The socket too: whoever holds the one that was, such as a host of a version that did not
            // keep it to itself, hears of nobody any more.
            systemctl(&["restart", UNIT_NAMES[0], UNIT_NAMES[1]])?;
        }
        done.push(format!("systemd runs {}", UNIT_NAMES.join(" and ")));
        return Ok(());
    }
    if below(&plan.root, UNITS).is_dir() && has_systemctl() {
        // For the machine's next start; in a container or chroot there may be none.
        systemctl(&[
            "--root",
            &plan.root.to_string_lossy(),
            "enable",
            UNIT_NAMES[0],
            UNIT_NAMES[1],
        ])?;
    }
    // One that was killed has left its socket.
    if is_new || init_state() == InitState::Gone {
        end_own(done)?;
    }
    match init_state() {
        InitState::Answers(_) => return Ok(()),
        InitState::Silent(pid) => {
            let why = format!("process {pid} has its socket and does not answer; end it");
            return Err(failed("starting", &socket())(io::Error::other(why)));
        }
        InitState::Gone => {}
    }
    let pid = start_own(plan).map_err(failed("starting", Path::new(INIT)))?;
    done.push(format!("started the machine's init, {pid}; {LOG} has what it says"));
    Ok(())
}

/// Starts the machine's init in the background and waits until it serves; says its socket.
fn start_own(plan: &Installable) -> io::Result<String> {
    let options = Options {
        host: plan.program.clone(),
        ground: Ground::Back(LOG.into()),
        ..Options::default()
    };
    let mut command = Command::new(INIT);
    command.arg0("init").args(options.to_arguments()).env_clear().current_dir("/");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = command.stdin(Stdio::null()).output()?;
    if output.stdout.is_empty() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(error.trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Ends the machine's init, whoever has started it.
///
/// # Errors
/// An [`InstallError`].
pub fn stop(root: &Path, done: &mut Vec<String>) -> Result<(), InstallError> {
    let has_units = below(root, UNITS).join(UNIT_NAMES[1]).exists();
    if has_units && is_systemds(root) {
        systemctl(&["disable", "--now", UNIT_NAMES[0], UNIT_NAMES[1]])?;
        done.push(format!("systemd does not run {} any more", UNIT_NAMES.join(" and ")));
    } else if has_units && has_systemctl() {
        systemctl(&["--root", &root.to_string_lossy(), "disable", UNIT_NAMES[0], UNIT_NAMES[1]])?;
    }
    end_own(done)?;
    // Gone with the last socket in it.
    let _ = fs::remove_dir(SOCKET_DIRECTORY);
    Ok(())
}

/// Ends a machine's init that was started without systemd: its pid is in its socket's name.
fn end_own(done: &mut Vec<String>) -> Result<(), InstallError> {
    let link = socket();
    let Ok(target) = fs::read_link(&link) else { return Ok(()) };
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(pid) = process_of(&name).and_then(Pid::from_raw) else { return Ok(()) };
    if let Some(process) = machines_init(&link, pid) {
        let sent = pidfd_send_signal(&process, Signal::TERM).map_err(io::Error::from);
        sent.map_err(failed("ending", &link))?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&ENDING)) {
            Ok(1..) => done.push("ended the machine's init".to_owned()),
            _ => return Err(failed("ending", &link)(io::ErrorKind::TimedOut.into())),
        }
    }
    // What one that was killed has left.
    if init_state() == InitState::Gone {
        let _ = fs::remove_file(link.with_file_name(name));
        let _ = fs::remove_file(&link);
    }
    Ok(())
}

/// The process of the machine's init, if it has this pid: the kernel says that it made the socket, or,
/// where nobody listens there any more, it is one of this user's that is called so. Anybody may be
/// called so.
fn machines_init(socket: &Path, pid: Pid) -> Option<OwnedFd> {
    let user = geteuid().as_raw();
    let is_it = |by: u32| by == user && is_called_machines_init(pid);
    match server(socket) {
        Ok((Presence::Answers(peer) | Presence::Silent(peer), process)) => {
            let has_pid = peer.pid == pid.as_raw_nonzero().get();
            process.filter(|_| has_pid && is_it(peer.uid))
        }
        _ => {
            // The descriptor is there before the process is looked at: its pid may be another's.
            let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
            effective_user(pid).is_some_and(is_it).then_some(process)
        }
    }
}

fn effective_user(pid: Pid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1)?.parse().ok()
}

fn is_called_machines_init(pid: Pid) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0);
    words.next() == Some(b"init") && words.next() == Some(b"--machine")
}

fn has_systemctl() -> bool {
    Path::new("/usr/bin/systemctl").exists()
}

fn systemctl(arguments: &[&str]) -> Result<(), InstallError> {
    let program = Path::new("/usr/bin/systemctl");
    let output = Command::new(program).arg("--quiet").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(failed("calling", program))?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let why = format!("systemctl {}: {error}", arguments.join(" "));
    Err(failed("calling", program)(io::Error::other(why)))
}
