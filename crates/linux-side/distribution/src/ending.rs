//! How an instance ends: what is told to end first, and how long that may take.

use crate::reaper::{everybody_else, reap, signal_if};
use crate::systemd;
use rustix::process::{Pid, Signal};
use std::time::Duration;
use winterop_serve::processes::Environment;

/// How long processes may take to end that were told to, before the kernel ends them.
const ENDING: Duration = Duration::from_secs(1);

/// Whether something that a session has started is left although its leader is not.
pub(crate) fn has_session_processes() -> bool {
    everybody_else().into_iter().any(is_of_a_session)
}

/// One that is just becoming a program counts as a session's: to go on for nothing harms nobody.
fn is_of_a_session(pid: Pid) -> bool {
    let is_meant = |entry: &[u8]| {
        let server = entry.strip_prefix(b"WSL_INTEROP=");
        server.is_some_and(|server| !server.ends_with(b"/1_interop"))
    };
    Environment::of(pid).is_ok_and(|it| it.any(is_meant).unwrap_or(true))
}

/// Tells what sessions have started to end, and waits a moment.
pub(crate) async fn end_sessions(children: &mut tokio::signal::unix::Signal) {
    end(is_of_a_session, children).await;
}

/// Has systemd end its services and itself. At last it tells this process to end too, and waits for
/// that.
pub(crate) async fn end_systemd(terminated: &mut tokio::signal::unix::Signal) {
    for at_once in [false, true] {
        systemd::power_off(at_once);
        if tokio::time::timeout(systemd::SHUTDOWN, terminated.recv()).await.is_ok() {
            return;
        }
    }
}

/// Tells every process to end, and waits a moment. What is left then ends with this one.
pub(crate) async fn end_everything(children: &mut tokio::signal::unix::Signal) {
    end(|_| true, children).await;
}

async fn end(are_meant: fn(Pid) -> bool, children: &mut tokio::signal::unix::Signal) {
    for pid in everybody_else() {
        // SIGHUP for shells, which ignore the other; one that has stopped must go on to hear it.
        signal_if(pid, || are_meant(pid), &[Signal::TERM, Signal::HUP, Signal::CONT]);
    }
    let all = async {
        while reap().any_left {
            children.recv().await;
        }
    };
    let _ = tokio::time::timeout(ENDING, all).await;
}
