//! Bytes alone over any descriptor: a socket that carries no descriptors, a pair of pipes, a terminal line.

use crate::inbox::{Frame, Inbox, Nothing};
use crate::unix::{READ_SIZE, Read, ReceiveError, receive_with, retry};
use rustix::event::Timespec;
use rustix::fd::AsFd;
use rustix::io::{Errno, read, write};

/// Sends all of `bytes` on a blocking descriptor.
///
/// # Errors
/// The system's, `EPIPE` where nobody reads any more (a program that keeps SIGPIPE as it was gets that
/// too); part of the message may have gone out then and the stream is of no further use.
pub fn send(stream: impl AsFd, bytes: &[u8]) -> rustix::io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let sent = match retry(|| write(&stream, rest)) {
            // A blocking socket says so only when its time is over.
            Err(Errno::AGAIN) => return Err(Errno::TIMEDOUT),
            sent => sent?,
        };
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Reads once into `inbox`. A peer that reset the connection counts as its end.
///
/// # Errors
/// [`ReceiveError::System`].
pub fn read_into(stream: impl AsFd, inbox: &mut Inbox<Nothing>) -> Result<Read, ReceiveError> {
    let mut bytes = alloc::vec![0; inbox.read_size().min(READ_SIZE)];
    let count = match retry(|| read(&stream, &mut bytes)) {
        Ok(count) => count,
        Err(Errno::AGAIN) => return Ok(Read::NotYet),
        Err(Errno::CONNRESET) => return Ok(Read::End),
        Err(error) => return Err(error.into()),
    };
    inbox.push(bytes.get(..count).unwrap_or_default(), [])?;
    Ok(if count == 0 { Read::End } else { Read::Data(count) })
}

/// Receives one message, waiting for it at most `patience` between two reads (`None`: for ever, for
/// callers whose wait has a reason).
///
/// # Errors
/// [`ReceiveError`]: closed, timed out, not a message, or the system's.
pub fn receive(
    stream: impl AsFd,
    inbox: &mut Inbox<Nothing>,
    patience: Option<Timespec>,
) -> Result<Frame<Nothing>, ReceiveError> {
    receive_with(&stream, inbox, patience, |inbox| read_into(&stream, inbox))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn message(kind: u32, size: usize) -> Vec<u8> {
        let mut bytes = alloc::vec![7_u8; size];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
        bytes
    }

    #[test]
    fn messages_go_through_a_pipe_whole_and_its_end_is_an_end() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let sizes = [20, 3 << 20, 16];
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for size in sizes {
                    send(&writer, &message(8, size)).unwrap();
                }
            });
            let mut inbox = Inbox::default();
            for size in sizes {
                let frame = receive(&reader, &mut inbox, None).unwrap();
                assert!(frame.bytes == message(8, size), "{size}");
            }
            assert!(matches!(receive(&reader, &mut inbox, None), Err(ReceiveError::Closed)));
        });
    }

    #[test]
    fn silence_is_a_timeout_and_an_end_within_a_message_is_an_error() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut inbox = Inbox::default();
        send(&writer, &message(8, 20)[..7]).unwrap();
        let patience = Some(Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
        assert!(matches!(receive(&reader, &mut inbox, patience), Err(ReceiveError::Timeout)));
        drop(writer);
        assert!(matches!(receive(&reader, &mut inbox, patience), Err(ReceiveError::Frame(_))));
    }
}
