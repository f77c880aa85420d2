//! The same channel for the services, on tokio.

use crate::inbox::{Frame, Inbox};
use crate::unix::{Read, ReceiveError, read_into, send_some};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::io;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// A stream of messages with a peer; reading and writing wait without holding a thread.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    inbox: Inbox,
}

impl Channel {
    /// Takes a connected unix stream socket over; it is switched to non-blocking.
    ///
    /// # Errors
    /// The system's, where the descriptor cannot be waited for.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(UnixStream::from_std(stream)?.into())
    }

    /// Takes no message of more than `most` bytes from here on.
    #[must_use]
    pub fn up_to(self, most: usize) -> Self {
        Self { inbox: Inbox::up_to(most), ..self }
    }

    /// Receives the next message; `None` where the peer closed the stream between two messages.
    ///
    /// Cancel-safe: what had arrived stays in the channel.
    ///
    /// # Errors
    /// [`ReceiveError`]; after one the stream is of no further use.
    pub async fn receive(&mut self) -> Result<Option<Frame>, ReceiveError> {
        // A peer that never pauses is not the only one.
        tokio::task::coop::consume_budget().await;
        // What came with the last read comes first, or more and more would be held.
        if let Some(frame) = self.inbox.next_frame()? {
            return Ok(Some(frame));
        }
        // What a peer has written is mostly there already: read first, wait only if it is not.
        let mut read = read_into(&self.stream, &mut self.inbox)?;
        loop {
            if let Some(frame) = self.inbox.next_frame()? {
                return Ok(Some(frame));
            }
            if read == Read::End {
                return self.inbox.end().map(|()| None).map_err(Into::into);
            }
            self.stream.readable().await.map_err(system)?;
            read = self.read_ready()?;
        }
    }

    /// Reads where the stream is said to be readable; says otherwise if it is not.
    fn read_ready(&mut self) -> Result<Read, ReceiveError> {
        let Self { stream, inbox } = self;
        let mut outcome = Ok(Read::NotYet);
        let _ = stream.try_io(Interest::READABLE, || {
            outcome = read_into(&*stream, inbox);
            match outcome {
                Ok(Read::NotYet) => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            }
        });
        outcome
    }

    /// Sends one message with its descriptors.
    ///
    /// # Errors
    /// The system's; part of the message may have gone out then.
    pub async fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut descriptors = descriptors;
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.send_ready(rest, descriptors) {
                Ok(sent) => {
                    descriptors = &[];
                    rest = rest.get(sent..).unwrap_or_default();
                }
                Err(Errno::AGAIN) => {
                    self.stream.writable().await?;
                    // Takes the readiness back where it was said too early.
                    let _ = self.stream.try_io(Interest::WRITABLE, || match self.has_room() {
                        true => Ok(()),
                        false => Err(io::ErrorKind::WouldBlock.into()),
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn send_ready(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        send_some(&self.stream, bytes, descriptors)
    }

    fn has_room(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut interest = [PollFd::new(&self.stream, PollFlags::OUT)];
        poll(&mut interest, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

impl From<UnixStream> for Channel {
    fn from(stream: UnixStream) -> Self {
        Self { stream, inbox: Inbox::default() }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn system(error: io::Error) -> ReceiveError {
    ReceiveError::System(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::ioctl_fionread;
    use std::cell::Cell;
    use std::io::Write as _;
    use std::rc::Rc;
    use std::vec::Vec;

    /// How many messages a peer has sent at once.
    const FLOOD: usize = 6400;
    const SIZE: usize = 16;

    /// A channel on which a peer has sent so many messages that there always is one.
    fn flooded() -> (Channel, std::os::unix::net::UnixStream) {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let size = u32::try_from(SIZE).unwrap();
        let message = [9, size, 0, 0].map(u32::to_le_bytes).concat();
        let flood: Vec<u8> = message.into_iter().cycle().take(FLOOD * SIZE).collect();
        theirs.set_nonblocking(true).unwrap();
        theirs.write_all(&flood).unwrap();
        (Channel::new(ours.into()).unwrap(), theirs)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_peer_that_floods_leaves_others_their_turns() {
        let (mut channel, _peer) = flooded();
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        let others = tokio::task::LocalSet::new();
        let other = others.spawn_local(async move {
            loop {
                counted.set(counted.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        let received = others.run_until(async {
            for _ in 0..FLOOD {
                channel.receive().await.unwrap().unwrap();
            }
        });
        received.await;
        other.abort();
        // A budget is 128 operations today.
        assert!(turns.get() >= FLOOD / 1024, "{} turns beside {FLOOD} messages", turns.get());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn no_more_is_held_of_a_peer_that_floods_than_one_read_brought() {
        let (mut channel, _peer) = flooded();
        let all = ioctl_fionread(&channel).unwrap();
        for taken in 1..=FLOOD {
            channel.receive().await.unwrap().unwrap();
            let unread = usize::try_from(ioctl_fionread(&channel).unwrap()).unwrap();
            let held = usize::try_from(all).unwrap() - unread - taken * SIZE;
            assert!(held <= 64 * 1024, "{held} bytes are held after {taken} messages");
        }
    }
}
