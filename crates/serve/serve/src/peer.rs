//! Who is at the other end of a unix socket: the kernel's word, and only as long as it holds.
//!
//! A pid says little by itself: when its process has ended it may be given to another one. So a peer
//! is a pidfd, and whatever is read of `/proc/PID` is believed only if the process of the pidfd is
//! there afterwards.

use crate::processes::{BEGIN, numbers};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use winterop_sys::{PeerCredentials, peer_credentials, peer_process};

/// Why a peer is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKnown {
    /// Its process has ended; whoever has the connection now is somebody else.
    #[error("the process that has connected has ended")]
    Gone,
    /// The system refused to tell.
    #[error("who has connected cannot be found out: {}", winterop_sys::system_error(*.0))]
    System(Errno),
}

impl From<Errno> for NotKnown {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

/// The process that has made a connection.
#[derive(Debug)]
pub struct Peer {
    /// Its ids when it connected, as this process's namespaces show them.
    pub credentials: PeerCredentials,
    process: Option<OwnedFd>,
}

impl Peer {
    /// Who has made `connection`. On a pair of sockets that is whoever has made the pair.
    ///
    /// Before Linux 6.5 the kernel has no pidfd for a connection. Then the pid's process is taken if
    /// it has the same uid and was started before now; see [`Self::is_proven`].
    ///
    /// # Errors
    /// [`NotKnown`]; a process that has ended is one.
    pub fn of(connection: BorrowedFd<'_>) -> Result<Self, NotKnown> {
        Self::with(peer_credentials(connection)?, connection)
    }

    /// The same where the connection's credentials have been asked for already.
    ///
    /// # Errors
    /// Those of [`Self::of`].
    pub fn with(
        credentials: PeerCredentials,
        connection: BorrowedFd<'_>,
    ) -> Result<Self, NotKnown> {
        let process = match peer_process(connection) {
            Ok(process) => Some(process),
            Err(Errno::NOPROTOOPT) => by_number(credentials, Moment::now())?,
            // ESRCH, and EINVAL in some kernels: it has ended. ENODATA: nobody ever was there.
            Err(Errno::SRCH | Errno::INVAL | Errno::NODATA) => return Err(NotKnown::Gone),
            Err(error) => return Err(error.into()),
        };
        let peer = Self { credentials, process };
        if peer.is_proven() && !peer.lives() { Err(NotKnown::Gone) } else { Ok(peer) }
    }

    /// This, and leaves the ids alone.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self { credentials: self.credentials, process: self.process.take() }
    }

    /// Whether it is certain which process it is. If not, nothing may be concluded from its pid.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.process.is_some()
    }

    /// A descriptor of its process, where it is certain which that is: what is sent by it reaches this
    /// process or nobody.
    #[must_use]
    pub fn into_process(self) -> Option<OwnedFd> {
        self.process
    }

    /// Whether its process has not ended: what was read by its pid before was read of it. Never for
    /// one that is not proven.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.process.as_ref().is_some_and(lives)
    }

    /// Its pid, where it is certain that it is its own.
    #[must_use]
    pub fn proven_pid(&self) -> Option<i32> {
        Some(self.credentials.pid).filter(|pid| *pid > 0 && self.is_proven())
    }
}

/// Whether the process of a pidfd has not ended.
#[must_use]
pub fn lives(process: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)) {
            Err(Errno::INTR) => {}
            result => return result == Ok(0),
        }
    }
}

/// A time as the kernel notes a process's start: in ticks since the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

/// Nanoseconds of a tick in `/proc`: always 100 a second.
const TICK: u64 = 10_000_000;

impl Moment {
    fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
        Self(seconds * (1_000_000_000 / TICK) + nanoseconds / TICK)
    }
}

/// The process of a pid, if it can be the one that connected before `accepted`: it has the uid that
/// the kernel noted, and was started before. None where that cannot be told.
fn by_number(credentials: PeerCredentials, accepted: Moment) -> Result<Option<OwnedFd>, NotKnown> {
    let Some(pid) = Pid::from_raw(credentials.pid) else { return Ok(None) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH | Errno::INVAL) => return Err(NotKnown::Gone),
        Err(error) => return Err(error.into()),
    };
    let facts = facts_of(credentials.pid);
    // What was read was read of this process only if that is still there.
    if !lives(&process) {
        return Err(NotKnown::Gone);
    }
    match facts {
        Some((uid, started)) if uid == credentials.uid && started <= accepted => Ok(Some(process)),
        // The pid is another's by now.
        Some(_) => Err(NotKnown::Gone),
        None => Ok(None),
    }
}

/// The effective uid and the start of a process.
fn facts_of(pid: i32) -> Option<(u32, Moment)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uid = ids.split_whitespace().nth(1)?.parse().ok()?;
    let [started] = numbers(&format!("/proc/{pid}"), [BEGIN])?;
    Some((uid, Moment(started)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd as _;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::{Child, Command, Stdio};

    fn credentials(pid: u32) -> PeerCredentials {
        let uid = rustix::process::geteuid().as_raw();
        PeerCredentials { pid: pid.cast_signed(), uid, gid: 0 }
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn whoever_connects_is_known_and_a_pair_is_its_makers() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = Peer::of(ours.as_fd()).unwrap();
        assert_eq!(peer.proven_pid(), Some(std::process::id().cast_signed()));
        assert!(peer.lives());
    }

    #[test]
    fn a_peer_that_has_ended_is_nobody_whoever_holds_its_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        // It connects, leaves the connection to a child, and ends: the child is not the peer.
        let script = "import os, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
            os.fork() and os._exit(0)\nsys.stdin.read()";
        let mut first = Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let (connection, _) = listener.accept().unwrap();
        let held = first.stdin.take();
        first.wait().unwrap();
        assert_eq!(Peer::of(connection.as_fd()).unwrap_err(), NotKnown::Gone);
        drop(held);
    }

    #[test]
    fn before_linux_6_5_a_pid_is_believed_only_with_its_uid_and_its_start() {
        let mut child = sleeper();
        let known = credentials(child.id());
        assert!(by_number(known, Moment::now()).unwrap().is_some_and(|it| lives(&it)));
        // Another user had the pid when it connected.
        let other = PeerCredentials { uid: known.uid + 1, ..known };
        assert_eq!(by_number(other, Moment::now()).unwrap_err(), NotKnown::Gone);
        // It was started after the connection had been accepted.
        let started = facts_of(child.id().cast_signed()).unwrap().1;
        assert_eq!(by_number(known, Moment(started.0 - 1)).unwrap_err(), NotKnown::Gone);
        // Nobody can say who lives in a pid namespace that is not seen from here.
        let unseen = PeerCredentials { pid: 0, ..known };
        assert!(by_number(unseen, Moment::now()).unwrap().is_none());
        child.kill().unwrap();
        // Not waited for yet, it has its pid, and has ended.
        while facts_of(known.pid).is_some() && !has_ended(known.pid) {}
        assert_eq!(by_number(known, Moment::now()).unwrap_err(), NotKnown::Gone);
        child.wait().unwrap();
        assert_eq!(by_number(known, Moment::now()).unwrap_err(), NotKnown::Gone);
    }

    fn has_ended(pid: i32) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    }

    #[test]
    fn starts_are_told_in_ticks_since_the_boot() {
        let before = Moment::now();
        let mut child = sleeper();
        let started = facts_of(child.id().cast_signed()).unwrap().1;
        assert!(before <= started && started <= Moment::now());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
