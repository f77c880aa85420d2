//! The same channel for the services, on tokio.

use crate::inbox::{Frame, Inbox, Nothing};
use crate::unix::{READ_SIZE, Read, ReceiveError, read_into, send_some};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

/// A stream of messages with a peer; reading and writing wait without holding a thread.
///
/// [`Channel`] over a unix socket carries descriptors; over [`Bytes`], any stream, bytes alone.
#[derive(Debug)]
pub struct Channel<S: Stream = UnixStream> {
    stream: S,
    inbox: Inbox<S::Beside>,
}

/// A stream that messages come over.
pub trait Stream {
    /// What travels beside its bytes.
    type Beside: Send;

    /// Reads once into `inbox`, and waits until that brings something, or an end.
    ///
    /// Cancel-safe: what was read is in `inbox`.
    fn read(
        &mut self,
        inbox: &mut Inbox<Self::Beside>,
    ) -> impl Future<Output = Result<Read, ReceiveError>> + Send;

    /// Writes one message, with nothing beside it.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

/// Any stream, as one of bytes alone.
#[derive(Debug)]
pub struct Bytes<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for Bytes<S> {
    type Beside = Nothing;

    async fn read(&mut self, inbox: &mut Inbox<Nothing>) -> Result<Read, ReceiveError> {
        let mut bytes = std::vec![0; inbox.read_size().min(READ_SIZE)];
        let count = match self.0.read(&mut bytes).await {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Read::End),
            Err(error) => return Err(system(error)),
        };
        inbox.push(bytes.get(..count).unwrap_or_default(), [])?;
        Ok(if count == 0 { Read::End } else { Read::Data(count) })
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }
}

impl Stream for UnixStream {
    type Beside = OwnedFd;

    async fn read(&mut self, inbox: &mut Inbox) -> Result<Read, ReceiveError> {
        // What a peer has written is mostly there already: read first, wait only if it is not.
        let mut read = read_into(&*self, inbox)?;
        while read == Read::NotYet {
            self.readable().await.map_err(system)?;
            read = read_ready(self, inbox)?;
        }
        Ok(read)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_with(self, bytes, &[]).await
    }
}

impl<S: Stream> Channel<S> {
    /// Takes a stream over.
    #[must_use]
    pub fn over(stream: S) -> Self {
        Self { stream, inbox: Inbox::default() }
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
    pub async fn receive(&mut self) -> Result<Option<Frame<S::Beside>>, ReceiveError> {
        // A peer that never pauses is not the only one.
        tokio::task::coop::consume_budget().await;
        loop {
            // What came with the last read comes first, or more and more would be held.
            if let Some(frame) = self.inbox.next_frame()? {
                return Ok(Some(frame));
            }
            if self.stream.read(&mut self.inbox).await? == Read::End {
                return self.inbox.end().map(|()| None).map_err(Into::into);
            }
        }
    }

    /// Sends one message with nothing beside it, over whatever the stream is.
    ///
    /// # Errors
    /// The system's; part of the message may have gone out then.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write(bytes).await
    }
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

    /// Sends one message with its descriptors.
    ///
    /// # Errors
    /// The system's; part of the message may have gone out then.
    pub async fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        write_with(&self.stream, bytes, descriptors).await
    }
}

impl From<UnixStream> for Channel {
    fn from(stream: UnixStream) -> Self {
        Self::over(stream)
    }
}

impl<S: Stream + AsFd> AsFd for Channel<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Reads where the stream is said to be readable; says otherwise if it is not.
fn read_ready(stream: &UnixStream, inbox: &mut Inbox) -> Result<Read, ReceiveError> {
    let mut outcome = Ok(Read::NotYet);
    let _ = stream.try_io(Interest::READABLE, || {
        outcome = read_into(stream, inbox);
        match outcome {
            Ok(Read::NotYet) => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    });
    outcome
}

async fn write_with(
    stream: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut descriptors = descriptors;
    let mut rest = bytes;
    while !rest.is_empty() {
        match send_some(stream, rest, descriptors) {
            Ok(sent) => {
                descriptors = &[];
                rest = rest.get(sent..).unwrap_or_default();
            }
            Err(Errno::AGAIN) => {
                stream.writable().await?;
                // Takes the readiness back where it was said too early.
                let _ = stream.try_io(Interest::WRITABLE, || match has_room(stream) {
                    true => Ok(()),
                    false => Err(io::ErrorKind::WouldBlock.into()),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn has_room(stream: &UnixStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut interest = [PollFd::new(stream, PollFlags::OUT)];
    poll(&mut interest, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
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

    #[tokio::test(flavor = "current_thread")]
    async fn any_stream_carries_the_same_messages() {
        // Less than a message: it comes in pieces.
        let (ours, theirs) = tokio::io::duplex(7);
        let (mut ours, mut theirs) = (Channel::over(Bytes(ours)), Channel::over(Bytes(theirs)));
        let message = [9, 20, 0, 0, 3].map(u32::to_le_bytes).concat();
        let sending = async {
            for _ in 0..2 {
                ours.send_bytes(&message).await.unwrap();
            }
            drop(ours);
        };
        let receiving = async {
            for _ in 0..2 {
                assert_eq!(theirs.receive().await.unwrap().unwrap().bytes, message);
            }
            assert!(theirs.receive().await.unwrap().is_none());
        };
        tokio::join!(sending, receiving);
    }
}
