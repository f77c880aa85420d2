//! Checks of the user's host: whether it runs, answers, and is of this version.

use super::context::Context;
use super::finding::Finding;
use crate::{host, places};
use rustix::event::Timespec;
use rustix::fd::{AsFd as _, OwnedFd};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use winterop_channel::Inbox;
use winterop_channel::unix::{connect_path, receive, send};
use winterop_host::Mark;
use winterop_sys::peer_credentials;
use winterop_wire::{ExitStatus, Header, MessageType};

/// How long the host may take to refuse what is no launch; it takes well below a millisecond.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

pub fn host(context: &Context) -> Finding {
    let Ok(socket) = places::host_socket() else {
        return Finding::skipped("there is no place for its socket");
    };
    let Ok(connection) = connect_path(socket.as_os_str().as_bytes()) else {
        return Finding::note("it does not run; it is started when it is needed")
            .with_mend("winterop host start");
    };
    let peer = peer_credentials(connection.as_fd()).unwrap_or_default();
    if peer.uid != context.uid {
        let says = format!("{} is served by uid {}, not by you", socket.display(), peer.uid);
        return Finding::wrong(says, format!("rm {} (as root)", socket.display()));
    }
    let pid = peer.pid;
    if let Err(error) = answers(&connection) {
        let says = format!("process {pid} listens and does not answer: {error}");
        return Finding::wrong(says, format!("kill -9 {pid}; winterop host start"));
    }
    match other_program(pid) {
        None => Finding::good(format!("process {pid} answers, and is of this version")),
        Some(program) => {
            let says = format!("process {pid} answers, and runs another program: {program}");
            let mend = "winterop host stop (ends the Windows programs that run)";
            restart_if_idle(Finding::wrong(says, mend), pid)
        }
    }
}

/// Sends what is no launch; a host refuses it at once.
fn answers(connection: &OwnedFd) -> Result<(), String> {
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::EXIT_STATUS, 1);
    ExitStatus::new(0).encode(&header, &mut bytes).map_err(|error| error.to_string())?;
    send(connection, &bytes, &[])
        .map_err(|error| winterop_sys::system_error(error).into_owned())?;
    let received = receive(connection, &mut Inbox::default(), Some(PATIENCE));
    received.map(drop).map_err(|error| error.to_string())
}

/// The program that the process runs, where it is another one than this.
fn other_program(pid: i32) -> Option<String> {
    let exe = format!("/proc/{pid}/exe");
    let file = |path: &Path| fs::metadata(path).ok().map(|data| (data.dev(), data.ino()));
    let theirs = file(Path::new(&exe))?;
    if Some(theirs) == file(&places::own_program().ok()?) {
        return None;
    }
    Some(fs::read_link(&exe).unwrap_or_default().display().to_string())
}

/// Offers to start a host anew that nothing depends on.
fn restart_if_idle(finding: Finding, pid: i32) -> Finding {
    if is_busy(pid) {
        return finding;
    }
    finding.with_fix("started the host anew; no Windows program was running", |_| {
        host::stop()?;
        host::ensure()
    })
}

/// Whether something runs that this host has started.
pub fn is_busy(pid: i32) -> bool {
    let mark = format!("{}={pid}-", Mark::VARIABLE);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.into_iter().any(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(mark.as_bytes()))
    })
}
