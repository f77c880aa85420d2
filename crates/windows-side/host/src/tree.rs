//! Finds and ends everything that one launch has started.
//!
//! Children of a Windows process are nobody's children on the Linux side, and programs may leave
//! session and process group. What they keep is the environment they were started with: every
//! process of a launch carries its [`Mark`].
//!
//! Those who live in another pid namespace are left alone: a program is started in the host's, in place
//! too, and whoever has a namespace of their own, as a container has, could have many processes of which
//! nobody can read anything.

use crate::mark::Mark;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use winterop_serve::processes::Environment;

/// After this many looks in a row that find nothing, nothing is left: one look can miss a process
/// that is just being started by another.
const EMPTY_LOOKS: u32 = 3;

/// The most looks: a tree that grows faster than it can be ended is given up with a warning.
const MOST_LOOKS: u32 = 2_000;

/// How long a process may take to become a program before it is left alone: the program may lie on a
/// disk that does not answer, and then nobody can say whose the process is.
const BECOMING: Duration = Duration::from_secs(2);

/// After this time it is asked again whether a process has become what it is to be.
const SOON: Duration = Duration::from_millis(1);

/// Sends `signal` to every process of the launch, once; returns which there were.
///
/// Blocks for a moment.
pub fn signal(mark: &Mark, signal: Signal) -> BTreeSet<i32> {
    Search::of(mark).signal(signal)
}

/// Ends every process of the launch, in passes until none is found any more.
///
/// Blocks for some milliseconds. Returns how many were ended.
pub fn end(mark: &Mark) -> usize {
    let search = Search::of(mark);
    let (mut ended, mut empty) = (BTreeSet::new(), 0);
    for _ in 0..MOST_LOOKS {
        let found = search.signal(Signal::KILL);
        empty = if found.is_empty() { empty + 1 } else { 0 };
        ended.extend(found);
        if empty == EMPTY_LOOKS {
            return ended.len();
        }
    }
    tracing::warn!(launch = mark.launch, "processes are started faster than they can be ended");
    ended.len()
}

/// Whether anything runs that a launch of the host with this pid has started, or may have: what is just
/// becoming a program is nobody's to be sure of. Looks at every process, as often as [`end`] does.
#[must_use]
pub fn is_any_left(host: u32) -> bool {
    let start = Mark::start_of_all(host).into_bytes();
    let is_meant = |entry: &[u8]| entry.starts_with(&start);
    let may_be_its =
        |pid: Pid| Environment::of(pid).is_ok_and(|it| it.any(is_meant).unwrap_or(true));
    (0..EMPTY_LOOKS).any(|_| processes().any(may_be_its))
}

/// Looks for the processes of one launch.
struct Search {
    /// The entry of their environment.
    wanted: Vec<u8>,
    /// When nobody is waited for any more who does not become what they are to be.
    patience: Instant,
}

/// What came of asking one process.
enum Asked {
    Sent,
    NotOurs,
    /// It is just becoming a program, and nobody can say whose.
    NotYet,
}

impl Search {
    fn of(mark: &Mark) -> Self {
        let wanted = format!("{}={}", Mark::VARIABLE, mark.value).into_bytes();
        Self { wanted, patience: Instant::now() + BECOMING }
    }

    fn signal(&self, signal: Signal) -> BTreeSet<i32> {
        let mut hit = BTreeSet::new();
        let mut left: Vec<Pid> = processes().collect();
        loop {
            left.retain(|pid| match self.send_if_marked(*pid, signal) {
                Asked::Sent => {
                    hit.insert(pid.as_raw_nonzero().get());
                    false
                }
                Asked::NotOurs => false,
                Asked::NotYet => true,
            });
            if left.is_empty() || Instant::now() >= self.patience {
                return hit;
            }
            std::thread::sleep(SOON);
        }
    }

    /// The pid may be given to another process between looking and sending: the descriptor is opened
    /// first, so that the one that was looked at is the one that is hit.
    fn send_if_marked(&self, pid: Pid, signal: Signal) -> Asked {
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Asked::NotOurs };
        let Ok(environment) = Environment::of(pid) else { return Asked::NotOurs };
        match environment.any(|entry| entry == self.wanted) {
            None => Asked::NotYet,
            Some(true) if pidfd_send_signal(&process, signal).is_ok() => Asked::Sent,
            Some(_) => Asked::NotOurs,
        }
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let here = pid_namespace(OsStr::new("self"));
    entries.map(|entry| entry.file_name()).filter_map(move |name| {
        let pid = pid_of(&name)?;
        let lives_here = here.is_none() || pid_namespace(&name).is_none_or(|it| Some(it) == here);
        lives_here.then_some(pid)
    })
}

/// The pid namespace of a process; none where nobody may know it, who may not read more of it either.
fn pid_namespace(process: &OsStr) -> Option<PathBuf> {
    fs::read_link(Path::new("/proc").join(process).join("ns/pid")).ok()
}

fn pid_of(name: &OsStr) -> Option<Pid> {
    Pid::from_raw(name.to_str()?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    /// How often; in the way that was wrong about one in forty was missed.
    const ROUNDS: u64 = 100;

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
        assert!(signal(&mark, Signal::CONT).is_empty() && is_any_left(std::process::id()));
        assert_eq!(end(&other), 2);
    }

    #[test]
    fn who_lives_in_another_pid_namespace_is_left_alone() {
        let own = Command::new("sleep").arg("1000").spawn().unwrap();
        // Whoever is no root makes a user namespace for it.
        let mut other = Command::new("unshare")
            .args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "sleep", "1000"])
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", other.id());
        let inside = loop {
            let text = fs::read_to_string(&children).unwrap();
            if let Some(pid) = text.split_whitespace().next() {
                break pid.parse().unwrap();
            }
            assert!(other.try_wait().unwrap().is_none(), "unshare has ended");
        };
        let is_seen = |pid: i32| processes().any(|it| it.as_raw_nonzero().get() == pid);
        let seen = [own.id().cast_signed(), other.id().cast_signed(), inside].map(is_seen);
        for mut child in [own, other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(seen, [true, true, false]);
    }

    #[test]
    fn a_process_that_is_just_becoming_another_program_is_not_missed() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("again");
        fs::write(&script, "#!/bin/sh\nexec \"$0\"\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        for round in 0..ROUNDS {
            let mark = Mark::new((u64::from(std::process::id()) << 20) + 2 + round);
            let (name, value) = mark.entry();
            let mut child = Command::new(&script).env(name, value).spawn().unwrap();
            let ended = end(&mark);
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(ended, 1, "round {round}");
        }
    }
}
