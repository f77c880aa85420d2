//! The state machine that cuts a byte stream into messages.

use alloc::vec::Vec;
use winterop_wire::{DecodeError, frame_length};

/// The most descriptors that one message may carry.
///
/// A launch uses six (three standard ones, executable, root, directory) and a hand-over one more.
pub(crate) const MAX_DESCRIPTORS: usize = 16;

/// What travels beside the bytes where nothing else is said: descriptors, where there are any.
#[cfg(unix)]
pub type Beside = rustix::fd::OwnedFd;

/// What travels beside the bytes where nothing else is said: nothing, as there are no descriptors here.
#[cfg(not(unix))]
pub type Beside = Nothing;

/// What travels beside the bytes of a stream that carries bytes alone: there is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {}

/// One whole message as it came: its bytes, header included, and what came beside them.
#[derive(Debug)]
pub struct Frame<B = Beside> {
    /// The whole message, header included.
    pub bytes: Vec<u8>,
    /// The descriptors that arrived with these bytes, in the order in which they were sent.
    pub descriptors: Vec<B>,
}

/// Why a byte stream could not be cut into messages.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The size field of a header is impossible.
    #[error("the peer sent a message with an impossible header: {0}")]
    Header(#[from] DecodeError),
    /// The stream ended inside a message.
    #[error("the peer closed the connection in the middle of a message, after {received} bytes")]
    Truncated {
        /// How many bytes of the unfinished message had arrived.
        received: usize,
    },
    /// A message is larger than the receiver takes.
    #[error("the peer sent a message of {size} bytes; {most} are the most here")]
    TooLarge {
        /// The message's size.
        size: usize,
        /// The most that is taken.
        most: usize,
    },
    /// More descriptors arrived than any message carries.
    #[error("the peer sent more than {MAX_DESCRIPTORS} descriptors with one message")]
    TooManyDescriptors,
}

/// What has arrived on a stream and has not been taken yet; `B` is what travels beside its bytes.
///
/// Apart from I/O: feed it with [`Inbox::push`], take messages with [`Inbox::next_frame`], and ask
/// [`Inbox::end`] what an end of the stream means. It never holds more than one message of the
/// largest size plus one read.
#[derive(Debug)]
pub struct Inbox<B = Beside> {
    buffer: Vec<u8>,
    /// Descriptors, each with the end of the read that brought it, as an offset in `buffer`.
    descriptors: Vec<(usize, B)>,
    /// The largest message that is taken.
    most: usize,
}

impl<B> Default for Inbox<B> {
    fn default() -> Self {
        Self::up_to(usize::MAX)
    }
}

/// What a first read asks for: nearly every message fits, and the interpreter touches few pages.
const FIRST_READ: usize = 8 * 1024;

impl<B> Inbox<B> {
    /// Takes no message of more than `most` bytes: it is refused as soon as its header says so.
    /// Without a limit of its own, 16 MiB are the most.
    #[must_use]
    pub const fn up_to(most: usize) -> Self {
        Self { buffer: Vec::new(), descriptors: Vec::new(), most }
    }

    /// Adds what one read brought.
    ///
    /// # Errors
    /// [`FrameError::TooManyDescriptors`]; they are closed with the inbox.
    pub fn push(
        &mut self,
        bytes: &[u8],
        descriptors: impl IntoIterator<Item = B>,
    ) -> Result<(), FrameError> {
        self.buffer.extend_from_slice(bytes);
        for descriptor in descriptors {
            self.descriptors.push((self.buffer.len(), descriptor));
        }
        match self.descriptors.len() > MAX_DESCRIPTORS {
            true => Err(FrameError::TooManyDescriptors),
            false => Ok(()),
        }
    }

    /// Takes the first whole message out, with its descriptors.
    ///
    /// A sender writes one message at a time with its descriptors on the first byte, and the kernel
    /// ends a read with the piece that carried descriptors: those of one read belong to the message
    /// that holds the read's last byte.
    ///
    /// # Errors
    /// [`FrameError::Header`] where the size field is below a header's or above 16 MiB,
    /// [`FrameError::TooLarge`] where it is above this inbox's limit. The stream cannot be used any
    /// further then.
    pub fn next_frame(&mut self) -> Result<Option<Frame<B>>, FrameError> {
        let Some(length) = frame_length(&self.buffer)? else { return Ok(None) };
        if length > self.most {
            return Err(FrameError::TooLarge { size: length, most: self.most });
        }
        if self.buffer.len() < length {
            return Ok(None);
        }
        let rest = self.buffer.split_off(length);
        let bytes = core::mem::replace(&mut self.buffer, rest);
        let later = self.descriptors.partition_point(|(end, _)| *end <= length);
        let later = self.descriptors.split_off(later);
        let descriptors = core::mem::replace(&mut self.descriptors, later)
            .into_iter()
            .map(|(_, fd)| fd)
            .collect();
        for (end, _) in &mut self.descriptors {
            *end -= length;
        }
        Ok(Some(Frame { bytes, descriptors }))
    }

    /// Says what the end of the stream means: a clean close between messages, or an error inside one.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] where a message had begun.
    pub fn end(&self) -> Result<(), FrameError> {
        match self.buffer.len() {
            0 => Ok(()),
            received => Err(FrameError::Truncated { received }),
        }
    }

    /// Whether a message has begun to arrive and is not whole yet.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// How many bytes the next read should ask for: what is missing of the message that has begun.
    #[must_use]
    pub fn read_size(&self) -> usize {
        match frame_length(&self.buffer) {
            Ok(Some(length)) => length.saturating_sub(self.buffer.len()).max(FIRST_READ),
            _ => FIRST_READ,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::OwnedFd;

    fn message(kind: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&(16 + payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn p4_a_message_that_comes_byte_by_byte_is_whole_at_its_last_byte() {
        let whole = message(9, &[1, 2, 3, 4]);
        let mut inbox = Inbox::<Nothing>::default();
        for (position, byte) in whole.iter().enumerate() {
            assert!(inbox.next_frame().unwrap().is_none(), "complete after {position} bytes");
            inbox.push(&[*byte], []).unwrap();
        }
        assert_eq!(inbox.next_frame().unwrap().unwrap().bytes, whole);
        assert!(inbox.end().is_ok());
    }

    #[test]
    fn two_messages_in_one_read_are_two() {
        let mut inbox = Inbox::<Nothing>::default();
        inbox.push(&[message(9, &[7; 4]), message(10, &[8; 4])].concat(), []).unwrap();
        assert_eq!(inbox.next_frame().unwrap().unwrap().bytes, message(9, &[7; 4]));
        assert_eq!(inbox.next_frame().unwrap().unwrap().bytes, message(10, &[8; 4]));
        assert!(inbox.next_frame().unwrap().is_none());
    }

    #[test]
    fn p5_impossible_sizes_are_errors() {
        for size in [0_u32, 11, (16 << 20) + 1, u32::MAX] {
            let mut inbox = Inbox::<Nothing>::default();
            inbox.push(&[9_u32.to_le_bytes(), size.to_le_bytes()].concat(), []).unwrap();
            assert!(matches!(inbox.next_frame(), Err(FrameError::Header(_))), "size {size}");
        }
    }

    #[test]
    fn a_message_above_the_limit_is_refused_by_its_header() {
        let whole = message(9, &[7; 84]);
        let mut inbox = Inbox::<Nothing>::up_to(100);
        inbox.push(&whole, []).unwrap();
        assert_eq!(inbox.next_frame().unwrap().unwrap().bytes, whole);
        inbox.push(&message(9, &[7; 85])[..8], []).unwrap();
        let refused = inbox.next_frame();
        assert!(matches!(refused, Err(FrameError::TooLarge { size: 101, most: 100 })));
    }

    #[test]
    fn an_end_inside_a_message_is_an_error() {
        let mut inbox = Inbox::<Nothing>::default();
        inbox.push(&message(9, &[])[..5], []).unwrap();
        assert!(matches!(inbox.end(), Err(FrameError::Truncated { received: 5 })));
    }

    #[test]
    fn too_many_descriptors_are_closed() {
        let mut inbox = Inbox::default();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let many: Vec<OwnedFd> =
            (0..MAX_DESCRIPTORS + 3).map(|_| writer.try_clone().unwrap()).collect();
        drop(writer);
        assert!(matches!(inbox.push(&[], many), Err(FrameError::TooManyDescriptors)));
        drop(inbox);
        let mut byte = [0];
        assert_eq!(rustix::io::read(&reader, &mut byte).unwrap(), 0, "a writer is still open");
    }
}
