//! Finds and ends everything that one launch has started.
//!
//! Children of a Windows process are nobody's children on the Linux side, and programs may leave
//! session and process group. What they keep is the environment they were started with: every
//! process of a launch carries its [`Mark`].

use crate::mark::Mark;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;

/// After this many looks in a row that find nothing, nothing is left: one look can miss a process
/// that is just being started by another.
const EMPTY_LOOKS: u32 = 3;

/// The most looks: a tree that grows faster than it can be ended is given up with a warning.
const MOST_LOOKS: u32 = 2_000;

/// Sends `signal` to every process of the launch, once; returns which there were.
pub fn signal(mark: &Mark, signal: Signal) -> BTreeSet<i32> {
    let wanted = entry_of(mark);
    let hit = processes().filter(|pid| send_if_marked(*pid, &wanted, signal));
    hit.map(|pid| pid.as_raw_nonzero().get()).collect()
}

/// Ends every process of the launch, in passes until none is found any more.
///
/// Blocks for some milliseconds. Returns how many were ended.
pub fn end(mark: &Mark) -> usize {
    let (mut ended, mut empty) = (BTreeSet::new(), 0);
    for _ in 0..MOST_LOOKS {
        let found = signal(mark, Signal::KILL);
        empty = if found.is_empty() { empty + 1 } else { 0 };
        ended.extend(found);
        if empty == EMPTY_LOOKS {
            return ended.len();
        }
    }
    tracing::warn!(launch = mark.launch, "processes are started faster than they can be ended");
    ended.len()
}

/// Whether anything runs that any launch of this process has started. Looks at every process.
#[must_use]
pub fn is_any_left() -> bool {
    let start = Mark::start_of_all().into_bytes();
    let has_mark = |pid: Pid| {
        let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
        environment.is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(&start))
        })
    };
    processes().any(has_mark)
}

fn entry_of(mark: &Mark) -> Vec<u8> {
    format!("{}={}", Mark::VARIABLE, mark.value).into_bytes()
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| pid_of(&entry.file_name()))
}

fn pid_of(name: &OsStr) -> Option<Pid> {
    Pid::from_raw(name.to_str()?.parse().ok()?)
}

/// The pid may be given to another process between looking and sending: the descriptor is opened
/// first, so that the one that was looked at is the one that is hit.
fn send_if_marked(pid: Pid, wanted: &[u8], signal: Signal) -> bool {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    has_entry(pid, wanted) && pidfd_send_signal(&process, signal).is_ok()
}

fn has_entry(pid: Pid, wanted: &[u8]) -> bool {
    let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
    let Ok(environment) = fs::read(path) else { return false };
    environment.split(|byte| *byte == 0).any(|entry| entry == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_tree_that_left_its_session_is_ended_and_nothing_else() {
        let mark = Mark::new(u64::from(std::process::id()) << 20);
        let other = Mark::new(mark.launch + 1);
        let sleeper = |mark: &Mark| {
            let (name, value) = mark.entry();
            Command::new("setsid")
                .args(["--fork", "sh", "-c", "sleep 1000 & exec sleep 1000"])
                .env(name, value)
                .status()
                .unwrap();
        };
        sleeper(&mark);
        sleeper(&other);
        // Both shells have forked when their `sleep`s are found.
        while signal(&mark, Signal::CONT).len() < 2 || signal(&other, Signal::CONT).len() < 2 {}
        assert_eq!(end(&mark), 2);
        assert!(signal(&mark, Signal::CONT).is_empty() && is_any_left());
        assert_eq!(end(&other), 2);
    }
}
