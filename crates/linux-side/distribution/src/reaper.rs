//! Waiting for children whose pids are not known before: process 1 and session leaders inherit the
//! children of processes that ended before them.

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, wait,
};

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

/// Sends the signals to a process, one after the other, if it `is_meant`. The process is opened before
/// it is looked at: when it ends, and whoever has its pid then is looked at, nobody gets them.
pub(super) fn signal_if(pid: Pid, is_meant: impl FnOnce() -> bool, signals: &[Signal]) {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if is_meant() {
        for signal in signals {
            // It has ended by itself meanwhile.
            let _ = pidfd_send_signal(&process, *signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::successor::{Successor, has_own_pids};
    use std::process::Command;

    #[test]
    fn whoever_gets_the_pid_of_a_process_that_is_looked_at_gets_none_of_its_signals() {
        if !has_own_pids() {
            return;
        }
        let mut meant = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&meant);
        let mut other = None;
        let is_meant = || {
            // It ends while it is looked at.
            meant.kill().unwrap();
            meant.wait().unwrap();
            other = Some(Successor::of(pid.as_raw_nonzero().get().cast_unsigned()));
            true
        };
        signal_if(pid, is_meant, &[Signal::TERM, Signal::HUP]);
        assert!(other.unwrap().was_spared());
    }

    #[test]
    fn only_who_is_meant_gets_a_signal() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        signal_if(pid, || false, &[Signal::KILL]);
        signal_if(pid, || true, &[Signal::TERM, Signal::CONT]);
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::TERM.as_raw()));
    }
}
