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
use rustix::net::{SocketFlags, accept_with};
use std::io;
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
            fulfil(address, process, listener);
        }
        if end {
            break;
        }
    }
}

fn fulfil(address: &HostAddress, process: &OwnedFd, listener: BorrowedFd<'_>) {
    let Ok(connection) = accept_with(listener, SocketFlags::CLOEXEC) else { return };
    match introduce(address, process.as_fd()) {
        // Whoever asked may be gone. Without the byte the other side knows that there is no host.
        Ok(()) => drop(rustix::io::write(&connection, b".")),
        Err(error) => tracing::warn!(%error, "the host does not know this instance"),
    }
}
