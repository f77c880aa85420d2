//! Waiting for children whose pids are not known before: process 1 and session leaders inherit the
//! children of processes that ended before them.

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

/// What one look has found.
#[derive(Debug, Default)]
pub(crate) struct Reaped {
    /// Those that have ended.
    pub(crate) ended: Vec<(Pid, WaitStatus)>,
    /// Whether any are left.
    pub(crate) any_left: bool,
}

/// Takes every child that has ended.
pub(crate) fn reap() -> Reaped {
    let mut reaped = Reaped::default();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(ended)) => reaped.ended.push(ended),
            Ok(None) => {
                reaped.any_left = true;
                return reaped;
            }
            Err(Errno::INTR) => {}
            Err(_) => return reaped,
        }
    }
}

/// The exit code of an ended process as a shell has it: its status, or 128 and the signal.
pub(crate) fn exit_code(status: WaitStatus) -> i32 {
    let by_signal = status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or(by_signal).unwrap_or(1)
}

/// Every process that can be seen but this one.
pub(crate) fn everybody_else() -> Vec<Pid> {
    let own = rustix::process::getpid();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Pid::from_raw(pid).filter(|pid| *pid != own)
    });
    pids.collect()
}
