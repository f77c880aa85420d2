//! How a connection comes to be that a session leader's answer promises: what is done with it is the same,
//! whatever it lies over.

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::future::{Ready, ready};
use std::io;
use tokio::net::UnixStream;
use winterop_channel::Promise;
use winterop_channel::asynchronous::{Channel, Stream};

/// Makes connections with whoever asks for a process.
pub(crate) trait Transport {
    /// What a connection lies over.
    type Stream: Stream + Send + 'static;

    /// This side of a connection, as soon as it is there. How long that may take the transport bounds.
    type Control: Future<Output = io::Result<Channel<Self::Stream>>> + Send + 'static;

    /// A new connection: what the answer says of it, and this side of it.
    ///
    /// # Errors
    /// The system's.
    fn promise(&self) -> io::Result<(Promise<OwnedFd>, Self::Control)>;
}

/// The transport on one kernel: a pair of sockets, of which one goes with the answer.
#[derive(Debug)]
pub(crate) struct Attached;

impl Transport for Attached {
    type Stream = UnixStream;
    type Control = Ready<io::Result<Channel>>;

    fn promise(&self) -> io::Result<(Promise<OwnedFd>, Self::Control)> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let control = Channel::new(ours)?;
        Ok((Promise::Attached(theirs), ready(Ok(control))))
    }
}
