//! The same channel for the services, on tokio.

use crate::inbox::{Frame, Inbox};
use crate::unix::{Read, ReceiveError, read_into, send_some};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::io;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A stream of messages with a peer; reading and writing wait without holding a thread.
#[derive(Debug)]
pub struct Channel {
    socket: AsyncFd<OwnedFd>,
    inbox: Inbox,
}

impl Channel {
    /// Takes a connected unix stream socket over; it is switched to non-blocking.
    ///
    /// # Errors
    /// The system's, where the descriptor cannot be waited for.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            socket: AsyncFd::register_with_interest(socket, Interest::READABLE | Interest::WRITABLE)?,
            inbox: Inbox::default(),
        })
    }

    /// Receives the next message; `None` where the peer closed the stream between two messages.
    ///
    /// Cancel-safe: what had arrived stays in the channel.
    ///
    /// # Errors
    /// [`ReceiveError`]; after one the stream is of no further use.
    pub async fn receive(&mut self) -> Result<Option<Frame>, ReceiveError> {
        loop {
            if let Some(frame) = self.inbox.next_frame()? {
                return Ok(Some(frame));
            }
            // What a peer has written is mostly there already: read first, wait only if it is not.
            match read_into(self.socket.get_ref(), &mut self.inbox)? {
                Read::Data(_) => {}
                Read::End => return self.inbox.end().map(|()| None).map_err(Into::into),
                Read::NotYet => {
                    let mut ready = self.socket.readable().await.map_err(system)?;
                    ready.clear_ready();
                    // The next turn reads again before it waits again, so that nothing which came
                    // before the clearing is waited for in vain.
                }
            }
        }
    }

    /// Sends one message with its descriptors.
    ///
    /// # Errors
    /// The system's; part of the message may have gone out then.
    pub async fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut descriptors = descriptors;
        let mut rest = bytes;
        while !rest.is_empty() {
            match send_some(self.socket.get_ref(), rest, descriptors) {
                Ok(sent) => {
                    descriptors = &[];
                    rest = rest.get(sent..).unwrap_or_default();
                }
                Err(Errno::AGAIN) => self.socket.writable().await?.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives the socket back; it stays non-blocking, and what had arrived unread is lost.
    #[must_use]
    pub fn into_socket(self) -> OwnedFd {
        self.socket.into_inner()
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

fn system(error: io::Error) -> ReceiveError {
    ReceiveError::System(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
