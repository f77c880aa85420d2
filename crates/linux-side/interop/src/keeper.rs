//! What keepers do: the one process of an instance that stays outside.
//!
//! A keeper tells the user's host which instance is the user's, starts the host where there is none, and
//! does both again for whoever connects to its socket: an instance's servers do before they connect to
//! a host, because that may be another one by then. A connection can do nothing else, so it does no
//! harm that anybody can make one who sees the socket.
//!
//! A distribution's keeper also makes the instance; a shell's is there for this alone.

use crate::handoff::{HandOffError, reach};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use std::io;
use std::sync::mpsc::{Sender, channel};
use winterop_channel::Inbox;
use winterop_channel::unix::{receive, send};
use winterop_serve::starting::HostAddress;
use winterop_wire::{Header, Instance, Message, MessageType};

/// How long a host may take to note an instance.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Tells the user's host that whoever lives where the process of a pidfd lives is the user's own. The
/// host is started where there is none. Blocks, for some seconds at most.
///
/// # Errors
/// A [`HandOffError`]: there is no host, or it does not believe this process.
pub fn introduce(address: &HostAddress, process: BorrowedFd<'_>) -> Result<(), HandOffError> {
    let outside = HostAddress { keeper: None, ..address.clone() };
    let host = reach(&outside, None)?;
    send_instance(host.as_fd(), process).map_err(|error| HandOffError::Broken(error.into()))?;
    let broken = |error: String| HandOffError::Broken(io::Error::other(error));
    let frame = receive(&host, &mut Inbox::default(), Some(PATIENCE));
    let frame = frame.map_err(|error| broken(error.to_string()))?;
    let answer = Message::parse(&frame.bytes).map_err(|error| broken(error.to_string()))?;
    match answer.header.message_type {
        MessageType::HOST_HELLO => Ok(()),
        _ => Err(broken("the host does not take this instance for the user's own".to_owned())),
    }
}

/// Names an instance: a header alone, and a process of it.
///
/// # Errors
/// The system's.
pub fn send_instance(to: BorrowedFd<'_>, process: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut bytes = Vec::new();
    // A message of fixed size always fits.
    let _ = Instance.encode(&Header::plain(MessageType::INSTANCE, 1), &mut bytes);
    send(to, &bytes, &[process])
}

/// Serves a keeper's socket until the process ends that the instance lives by.
pub fn keep(address: &HostAddress, process: &OwnedFd, listener: BorrowedFd<'_>) {
    let closer = start_closer()
        .inspect_err(|error| tracing::warn!(%error, "connections are closed where they are served"))
        .ok();
    loop {
        let mut interest =
            [PollFd::new(process, PollFlags::IN), PollFd::new(&listener, PollFlags::IN)];
        // No deadline: that may take days.
        match poll(&mut interest, None) {
            Err(Errno::INTR) => continue,
            Err(_) => break,
            Ok(_) => {}
        }
        let [end, wish] = interest.map(|it| it.revents().contains(PollFlags::IN));
        if wish {
            fulfil(address, process, listener, closer.as_ref());
        }
        if end {
            break;
        }
    }
}

/// Starts a thread that closes connections: there are never more in its queue than this process may have
/// descriptors.
fn start_closer() -> io::Result<Sender<OwnedFd>> {
    let (closer, queue) = channel::<OwnedFd>();
    std::thread::Builder::new().spawn(move || queue.into_iter().for_each(drop))?;
    Ok(closer)
}

/// How many wishes one attempt fulfils at most: as many as may wait on the socket, so that no stream of
/// them keeps a keeper from seeing that its instance has ended.
const MOST_WISHES: usize = 128;

/// What the wishers have sent is closed aside: that may never end, and this is the keeper's only thread.
fn fulfil(
    address: &HostAddress,
    process: &OwnedFd,
    listener: BorrowedFd<'_>,
    closer: Option<&Sender<OwnedFd>>,
) {
    let Ok(first) = accept_with(listener, SocketFlags::CLOEXEC) else { return };
    let introduced = introduce(address, process.as_fd());
    if let Err(error) = &introduced {
        tracing::warn!(%error, "the host does not know this instance");
    }
    // Whoever has come meanwhile wished for the same: a host that is silent delays all of them once.
    let others = std::iter::from_fn(|| next_waiting(listener)).take(MOST_WISHES);
    for connection in std::iter::once(first).chain(others) {
        // Whoever asked may be gone. Without the byte the other side knows that there is no host.
        if introduced.is_ok() {
            let _ = rustix::io::write(&connection, b".");
        }
        // Whoever waits for its end sees it now.
        let _ = shutdown(&connection, Shutdown::Both);
        if let Some(closer) = closer {
            let _ = closer.send(connection);
        }
    }
}

/// The next connection that waits already.
fn next_waiting(listener: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut interest = [PollFd::new(&listener, PollFlags::IN)];
    let waiting = poll(&mut interest, Some(&Timespec::default()));
    waiting
        .is_ok_and(|count| count > 0)
        .then(|| accept_with(listener, SocketFlags::CLOEXEC).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn wishes_that_come_while_a_host_is_silent_wait_for_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let (host, wishes) = (folder.path().join("interop"), folder.path().join("keeper"));
        let silent = UnixListener::bind(&host).unwrap();
        let listener = UnixListener::bind(&wishes).unwrap();
        let address = HostAddress { socket: host, ..HostAddress::default() };
        let own = rustix::process::getpid();
        let process =
            rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).unwrap();
        let mut waiting: Vec<_> = (0..8).map(|_| UnixStream::connect(&wishes).unwrap()).collect();
        fulfil(&address, &process, listener.as_fd(), Some(&start_closer().unwrap()));
        for wish in &mut waiting {
            wish.set_nonblocking(true).unwrap();
            assert_eq!(wish.read(&mut [0]).unwrap(), 0, "it still waits, or was told of a host");
        }
        // The question whether it is there came once.
        silent.set_nonblocking(true).unwrap();
        assert_eq!(std::iter::from_fn(|| silent.accept().ok()).count(), 1);
    }
}
