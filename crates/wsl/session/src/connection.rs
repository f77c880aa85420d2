//! A connection with a session leader, or with one of its processes: what is said on it is the same,
//! however it was had.

use rustix::event::Timespec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::fmt::Debug;
use std::num::NonZeroU32;
use winterop_channel::unix::{self, ReceiveError};
use winterop_channel::{Frame, Inbox, Nothing, Promise, plain};

/// A connection, with what has arrived on it.
#[derive(Debug)]
pub struct Connection {
    stream: OwnedFd,
    carries: Carries,
}

/// What travels on a connection.
#[derive(Debug)]
enum Carries {
    Descriptors(Inbox),
    BytesAlone(Inbox<Nothing>),
}

impl Connection {
    /// A connection of one kernel, which carries descriptors.
    #[must_use]
    pub fn with_descriptors(socket: OwnedFd) -> Self {
        Self { stream: socket, carries: Carries::Descriptors(Inbox::default()) }
    }

    /// A connection that carries bytes alone, as one into a virtual machine.
    #[must_use]
    pub fn of_bytes(stream: OwnedFd) -> Self {
        Self { stream, carries: Carries::BytesAlone(Inbox::default()) }
    }

    /// Sends one message with its descriptors.
    ///
    /// # Errors
    /// The system's; `EOPNOTSUPP` for descriptors where none travel.
    pub(crate) fn send(&self, bytes: &[u8], attached: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
        match (&self.carries, attached) {
            (Carries::Descriptors(_), attached) => unix::send(&self.stream, bytes, attached),
            (Carries::BytesAlone(_), []) => plain::send(&self.stream, bytes),
            (Carries::BytesAlone(_), _) => Err(Errno::OPNOTSUPP),
        }
    }

    /// Receives one message, waiting for it at most `patience` between two reads.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub(crate) fn receive(&mut self, patience: Option<Timespec>) -> Result<Frame, ReceiveError> {
        match &mut self.carries {
            Carries::Descriptors(inbox) => unix::receive(&self.stream, inbox, patience),
            Carries::BytesAlone(inbox) => {
                let Frame { bytes, .. } = plain::receive(&self.stream, inbox, patience)?;
                Ok(Frame { bytes, descriptors: Vec::new() })
            }
        }
    }
}

impl AsFd for Connection {
    /// Can be read when something has arrived, or the other side is gone.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// How a port is reached that an answer names.
pub trait Ports: Debug + Send + Sync {
    /// Connects to it, within a time of its own.
    ///
    /// # Errors
    /// The system's.
    fn connect(&self, port: NonZeroU32) -> rustix::io::Result<Connection>;
}

/// Of one kernel: connections are attached there, and no port leads anywhere.
#[derive(Debug)]
pub(crate) struct OneKernel;

impl Ports for OneKernel {
    fn connect(&self, _: NonZeroU32) -> rustix::io::Result<Connection> {
        Err(Errno::ADDRNOTAVAIL)
    }
}

/// Has what an answer promises.
///
/// # Errors
/// Those of [`Ports::connect`].
pub(crate) fn redeem(
    promise: Promise<OwnedFd>,
    ports: &dyn Ports,
) -> rustix::io::Result<Connection> {
    match promise {
        Promise::Attached(socket) => Ok(Connection::with_descriptors(socket)),
        Promise::Port(port) => ports.connect(port),
    }
}
