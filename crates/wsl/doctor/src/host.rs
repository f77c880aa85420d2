//! Checks of the user's host: whether it runs, answers, and is of this version.

use crate::context::Context;
use crate::finding::{Finding, remove};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use winterop_host::tree::is_any_left;
use winterop_places::{program, user};
use winterop_serve::own_host;
use winterop_serve::presence::{Presence, presence};
use winterop_sys::{is_own_user, system_error};

pub(crate) fn host(context: &Context) -> Finding {
    let Ok(socket) = user::host_socket() else {
        return Finding::skipped("there is no place for its socket");
    };
    let (peer, answers) = match presence(&socket) {
        Ok(Presence::Nobody) => {
            return Finding::note("it does not run; it is started when it is needed")
                .with_mend("winterop host start");
        }
        Ok(Presence::Answers(peer)) => (peer, true),
        Ok(Presence::Silent(peer) | Presence::Foreign(peer)) => (peer, false),
        Err(error) => {
            let says = format!("{}: {}", socket.display(), system_error(error));
            return Finding::wrong(says, remove(&socket));
        }
    };
    if !is_own_user(peer.uid, context.uid) {
        let says = format!("{} is served by uid {}, not by you", socket.display(), peer.uid);
        return Finding::wrong(says, format!("{} (as root)", remove(&socket)));
    }
    let pid = peer.pid;
    if !answers {
        let says = format!("process {pid} listens and does not answer");
        return Finding::wrong(says, format!("kill -9 {pid}; winterop host start"));
    }
    match other_program(pid) {
        Ok(None) => Finding::good(format!("process {pid} answers, and is of this version")),
        // In an instance: its host lives outside, and may not be looked at from there.
        Err(_) => Finding::good(format!(
            "process {pid} answers; which program it runs cannot be seen from here"
        )),
        Ok(Some(program)) => {
            let says = format!("process {pid} answers, and runs another program: {program}");
            let mend = "winterop host stop (ends the Windows programs that run)";
            restart_if_idle(Finding::wrong(says, mend), pid)
        }
    }
}

/// The program that the process runs, where it is another one than this.
fn other_program(pid: i32) -> io::Result<Option<String>> {
    let exe = format!("/proc/{pid}/exe");
    let file = |path: &Path| fs::metadata(path).map(|data| (data.dev(), data.ino()));
    let own = program::own().map_err(io::Error::other)?;
    if file(Path::new(&exe))? == file(&own)? {
        return Ok(None);
    }
    Ok(Some(fs::read_link(&exe)?.display().to_string()))
}

/// Offers to start a host anew that nothing depends on.
fn restart_if_idle(finding: Finding, pid: i32) -> Finding {
    if is_any_left(pid.unsigned_abs()) {
        return finding;
    }
    finding.with_fix("started the host anew; no Windows program was running", |_| {
        own_host::stop()?;
        Ok(own_host::ensure()?)
    })
}
