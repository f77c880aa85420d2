//! Whether anybody serves a socket, by their own answer.
//!
//! That a connection can be made says little: the kernel makes it for a server that was stopped, and
//! for one that was killed until the last of its descriptors is closed.

use crate::Peer;
use crate::wait::until_readable;
use rustix::event::Timespec;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use winterop_channel::Inbox;
use winterop_channel::unix::{ReceiveError, connect_within, receive};
use winterop_sys::{PeerCredentials, is_own_user, peer_credentials};

/// How long a server may take to answer; it takes well below a millisecond.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait before a server that is ending, and whose process cannot be watched, is looked at
/// again.
const PAUSE: Duration = Duration::from_millis(10);

/// Who serves a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nobody: the socket is not there, or nobody listens on it any more.
    Nobody,
    /// A server that answers.
    Answers(PeerCredentials),
    /// Somebody else than the user who should; nothing was sent there.
    Foreign(PeerCredentials),
    /// A process that has the socket and does not answer within two seconds: it was stopped, or hangs.
    Silent(PeerCredentials),
}

/// Asks whoever serves the socket at `path`. A server that is about to end is waited for.
///
/// # Errors
/// The system's, where the socket can neither be reached nor is it unserved: `EACCES` and so on;
/// `ETIMEDOUT` where as many wait for the server as can.
pub fn presence(path: &Path) -> rustix::io::Result<Presence> {
    presence_of(None, path)
}

/// The same for a socket that `user` should serve; `None` stands for anybody.
///
/// # Errors
/// Those of [`presence`].
pub fn presence_of(user: Option<u32>, path: &Path) -> rustix::io::Result<Presence> {
    find(user, path).map(|(presence, _)| presence)
}

/// The same as [`presence`], with a descriptor of the process that serves. By its pid nobody may be
/// signalled, who may have ended meanwhile. None where nobody can say which process it is: it has
/// ended, and others have what was its socket.
///
/// # Errors
/// Those of [`presence`].
pub fn server(path: &Path) -> rustix::io::Result<(Presence, Option<OwnedFd>)> {
    find(None, path)
}

fn find(user: Option<u32>, path: &Path) -> rustix::io::Result<(Presence, Option<OwnedFd>)> {
    let deadline = Instant::now() + PATIENCE;
    let mut has_answered = false;
    loop {
        let connection = match connect_within(path.as_os_str().as_bytes(), PATIENCE) {
            Ok(connection) => connection,
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok((Presence::Nobody, None)),
            Err(error) => return Err(error),
        };
        let peer = peer_credentials(connection.as_fd())?;
        if user.is_some_and(|user| !is_own_user(peer.uid, user)) {
            return Ok((Presence::Foreign(peer), None));
        }
        // Before the server is asked: when it has ended, its pid may be another's.
        let process = Peer::with(peer, connection.as_fd()).ok().and_then(Peer::into_process);
        match ask(&connection, left_until(deadline)) {
            // Another process goes on with the socket: who connects now is told of that one.
            Ok(()) if !has_answered && has_ended(process.as_ref()) => {
                has_answered = true;
                continue;
            }
            Ok(()) => return Ok((Presence::Answers(peer), process)),
            Err(ReceiveError::Closed | ReceiveError::System(Errno::PIPE | Errno::CONNRESET)) => {}
            Err(_) => return Ok((Presence::Silent(peer), process)),
        }
        // It has closed a connection that it should have answered, so it is ending.
        match &process {
            Some(process) => drop(until_readable(process, deadline)?),
            None => std::thread::sleep(PAUSE),
        }
        if Instant::now() >= deadline {
            return Ok((Presence::Silent(peer), process));
        }
    }
}

/// Whether a process has ended, or had when it was looked for.
fn has_ended(process: Option<&OwnedFd>) -> bool {
    process.is_none_or(|process| until_readable(process, Instant::now()).unwrap_or(true))
}

/// Closes this side without a word: every server and host answers that, and starts nothing for it.
fn ask(connection: &OwnedFd, patience: Timespec) -> Result<(), ReceiveError> {
    match shutdown(connection, Shutdown::Write) {
        // A server that refuses whoever has connected may have answered and closed before it was asked.
        Ok(()) | Err(Errno::NOTCONN | Errno::PIPE | Errno::CONNRESET) => {}
        Err(error) => return Err(error.into()),
    }
    receive(connection, &mut Inbox::default(), Some(patience)).map(drop)
}

fn left_until(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    // Two seconds at most, so nothing is lost.
    Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_refusal_that_came_before_the_question_is_an_answer() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        crate::queries::tell_presence(&theirs);
        drop(theirs);
        assert!(ask(&ours.into(), left_until(Instant::now() + PATIENCE)).is_ok());
        // One that was closed without a word is none.
        let (ours, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(ask(&ours.into(), left_until(Instant::now() + PATIENCE)).is_err());
    }

    #[test]
    fn an_answer_counts_and_a_connection_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert_eq!(presence(&path), Ok(Presence::Nobody));
        let listener = UnixListener::bind(&path).unwrap();
        let process = rustix::process::getpid().as_raw_nonzero().get();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // The first is closed without a word, as by a process that is ending; the second is
                // answered.
                drop(listener.accept().unwrap());
                let (mut connection, _) = listener.accept().unwrap();
                assert_eq!(connection.read(&mut [0]).unwrap(), 0, "a question without a word");
                crate::queries::tell_presence(&connection);
            });
            let found = presence(&path);
            // This process does not end, so the wait for its end takes all the time there is.
            assert!(
                matches!(found, Ok(Presence::Silent(peer)) if peer.pid == process),
                "{found:?}"
            );
            let found = presence(&path);
            assert!(
                matches!(found, Ok(Presence::Answers(peer)) if peer.pid == process),
                "{found:?}"
            );
        });
        let found = presence_of(Some(u32::MAX), &path);
        assert!(matches!(found, Ok(Presence::Foreign(peer)) if peer.pid == process), "{found:?}");
        drop(listener);
        assert_eq!(presence(&path), Ok(Presence::Nobody));
    }
}
