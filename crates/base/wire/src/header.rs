//! Framing: message types, the header in its two forms, and a message whose header has been read.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{DecodeError, MAGIC, MAX_MESSAGE, MessageType};

/// Which header a message has; every later offset depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum HeaderForm {
    /// 16 bytes: type, size, transaction id, transaction step (WSL 2.8.5 and later).
    #[default]
    Current,
    /// 12 bytes: type, size, sequence number (WSL 2.6.1 to 2.8.4).
    Legacy,
}

impl HeaderForm {
    /// Size of the header in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Current => size_of::<RawHeader>(),
            Self::Legacy => size_of::<RawLegacyHeader>(),
        }
    }
}

impl MessageType {
    /// The smallest size that any message of this type has, in bytes.
    ///
    /// Only a query that is a header alone, or a header and a short name, can be smaller than the
    /// header of today: it then has the header of WSL 2.6.1 to 2.8.4.
    const fn smallest(self) -> u32 {
        match self {
            Self::QUERY_DRVFS_ELEVATED
            | Self::QUERY_ENVIRONMENT_VARIABLE
            | Self::QUERY_FEATURE_FLAGS
            | Self::QUERY_NETWORKING_MODE
            | Self::QUERY_VM_ID => HeaderForm::Legacy.size() as u32,
            _ => HeaderForm::Current.size() as u32,
        }
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    message_type: U32,
    size: U32,
    transaction_id: U32,
    transaction_step: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawLegacyHeader {
    message_type: U32,
    size: U32,
    sequence: U32,
}

/// What stands at the head of every message.
///
/// For encoding, only the transaction fields count: type and size are filled in by the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the message is.
    pub message_type: MessageType,
    /// Size of the whole message in bytes, header included.
    pub size: u32,
    /// Number of a plain message per channel and direction, from 1, or id of a transaction; the
    /// sequence number where the header has 12 bytes.
    pub transaction_id: u32,
    /// 0 plain message, 1 request, 2 and up replies.
    pub transaction_step: u32,
}

impl Header {
    /// Header of a plain message: its `counter` per channel and direction (from 1), and step 0.
    #[must_use]
    pub const fn plain(message_type: MessageType, counter: u32) -> Self {
        Self { message_type, size: 0, transaction_id: counter, transaction_step: 0 }
    }

    /// Header of the request that opens a channel's first transaction: id 0, step 1.
    #[must_use]
    pub const fn request(message_type: MessageType) -> Self {
        Self { message_type, size: 0, transaction_id: 0, transaction_step: 1 }
    }

    /// Header of the next message in the same transaction: the same id, the step after this one.
    #[must_use]
    pub const fn reply(&self, message_type: MessageType) -> Self {
        let transaction_step = self.transaction_step.saturating_add(1);
        Self { message_type, size: 0, transaction_id: self.transaction_id, transaction_step }
    }

    fn read(form: HeaderForm, bytes: &[u8]) -> Option<Self> {
        match form {
            HeaderForm::Current => {
                let (raw, _) = RawHeader::ref_from_prefix(bytes).ok()?;
                Some(Self {
                    message_type: MessageType(raw.message_type.get()),
                    size: raw.size.get(),
                    transaction_id: raw.transaction_id.get(),
                    transaction_step: raw.transaction_step.get(),
                })
            }
            HeaderForm::Legacy => {
                let (raw, _) = RawLegacyHeader::ref_from_prefix(bytes).ok()?;
                Some(Self {
                    message_type: MessageType(raw.message_type.get()),
                    size: raw.size.get(),
                    transaction_id: raw.sequence.get(),
                    transaction_step: 0,
                })
            }
        }
    }

    /// Writes the header over the first bytes of `target`; `false` if there are too few.
    pub(crate) fn write(&self, form: HeaderForm, target: &mut [u8]) -> bool {
        let (message_type, size) = (U32::new(self.message_type.0), U32::new(self.size));
        let transaction_id = U32::new(self.transaction_id);
        match form {
            HeaderForm::Current => {
                let transaction_step = U32::new(self.transaction_step);
                RawHeader { message_type, size, transaction_id, transaction_step }
                    .write_to_prefix(target)
                    .is_ok()
            }
            HeaderForm::Legacy => RawLegacyHeader { message_type, size, sequence: transaction_id }
                .write_to_prefix(target)
                .is_ok(),
        }
    }
}

/// Tells how many bytes the message has that begins with `prefix`.
///
/// `Ok(None)` while there are fewer than the 8 bytes that say so.
///
/// # Errors
/// [`DecodeError::Size`] for a size below the type's header or above [`MAX_MESSAGE`]. The stream
/// cannot be used after that.
pub fn frame_length(prefix: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Ok(([message_type, size], _)) = <[U32; 2]>::ref_from_prefix(prefix) else {
        return Ok(None);
    };
    let message = MessageType(message_type.get());
    let (size, minimum) = (size.get(), message.smallest());
    if size < minimum || size > MAX_MESSAGE {
        return Err(DecodeError::Size { message, size, minimum });
    }
    Ok(Some(size as usize))
}

/// One whole message whose header has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The header.
    pub header: Header,
    /// Which header that was.
    pub form: HeaderForm,
    /// All bytes of the message, header included.
    pub bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the header of the message that `bytes` begin with, and finds out which form it has.
    ///
    /// Bytes behind the announced size are not looked at. The form is certain for the messages of a
    /// launch (create process towards Windows, its response, exit status, window size) and for
    /// fixed-size answers. Elsewhere the two forms cannot be told apart and 16 bytes are assumed:
    /// a receiver that knows what its peer speaks calls [`Message::parse_as`].
    ///
    /// # Errors
    /// [`DecodeError::Size`] and [`DecodeError::Truncated`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let bytes = whole(bytes)?;
        Self::read(detect(bytes), bytes)
    }

    /// Reads the header of the message that `bytes` begin with, in a form that is known.
    ///
    /// # Errors
    /// As [`Message::parse`]; also for a message smaller than that form's header.
    pub fn parse_as(form: HeaderForm, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::read(form, whole(bytes)?)
    }

    fn read(form: HeaderForm, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let header = Header::read(form, bytes)
            .ok_or(DecodeError::Truncated { have: bytes.len(), size: form.size() })?;
        Ok(Self { header, form, bytes })
    }

    /// Checks that this is a message of type `expected`.
    ///
    /// # Errors
    /// [`DecodeError::Type`] if it is not.
    pub fn expect(&self, expected: MessageType) -> Result<(), DecodeError> {
        let found = self.header.message_type;
        if found == expected { Ok(()) } else { Err(DecodeError::Type { expected, found }) }
    }
}

/// Cuts `bytes` to the one message they begin with.
fn whole(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let have = bytes.len();
    let size = frame_length(bytes)?
        .ok_or(DecodeError::Truncated { have, size: HeaderForm::Current.size() })?;
    bytes.get(..size).ok_or(DecodeError::Truncated { have, size })
}

/// Finds out which header a whole message has.
fn detect(message: &[u8]) -> HeaderForm {
    let Some(message_type) = u32_at(message, 0).map(MessageType) else {
        return HeaderForm::Current;
    };
    let legacy = match message_type {
        MessageType::CREATE_PROCESS_UTILITY_VM => has_early_offsets(message),
        MessageType::CREATE_PROCESS_RESPONSE => is_short(message, 32, 40),
        MessageType::CREATE_SESSION_RESPONSE
        | MessageType::EXIT_STATUS
        | MessageType::WINDOW_SIZE_CHANGED
        | MessageType::TERMINATE_INSTANCE
        | MessageType::RESULT_BOOL
        | MessageType::RESULT_I32
        | MessageType::RESULT_U32
        | MessageType::RESULT_U8 => is_short(message, 16, 20),
        _ => message.len() < HeaderForm::Current.size(),
    };
    if legacy { HeaderForm::Legacy } else { HeaderForm::Current }
}

/// Whether a message with a fixed layout has the 12-byte header: it ends, or its extension block
/// begins, where the smaller layout ends.
fn is_short(message: &[u8], legacy_size: usize, current_size: usize) -> bool {
    let block_at = |at: usize| message.get(at..).is_some_and(|rest| rest.starts_with(&MAGIC));
    message.len() < current_size || (block_at(legacy_size) && !block_at(current_size))
}

/// Whether a VM create-process message has the 12-byte header: file name and working directory then
/// have their offsets, which are at least 49, at bytes 40 and 44. With the 16-byte header the third
/// standard descriptor's id stands there, which a VM does not use. The check at 20, the high half of
/// the first id, keeps messages to a session leader apart: a file name's offset stands there.
fn has_early_offsets(message: &[u8]) -> bool {
    const FIRST_STRING: u32 = 49;
    let is_offset = |at| u32_at(message, at).is_some_and(|value| value >= FIRST_STRING);
    u32_at(message, 20) == Some(0) && is_offset(40) && is_offset(44)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let (value, _) = U32::ref_from_prefix(bytes.get(at..)?).ok()?;
    Some(value.get())
}
