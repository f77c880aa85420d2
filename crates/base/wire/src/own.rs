//! Winterop's own messages, which only a peer that has shown that it understands them receives.
//!
//! They exist with the 16-byte header alone: no peer that knows them speaks the older one.

use alloc::vec::Vec;

use zerocopy::little_endian::{I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::extension::Extensions;
use crate::read;
use crate::tag::{Features, Tag};
use crate::write;
use crate::{DecodeError, EncodeError, Header, HeaderForm, Message, MessageType};

/// Where the layout begins.
const BODY: usize = HeaderForm::Current.size();

/// A signal for the running program (client to host).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// The Linux signal number.
    pub number: i32,
}

impl Signal {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or too short.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        message.expect(MessageType::SIGNAL)?;
        Ok(Self { number: read::layout::<I32>(message, BODY)?.get() })
    }

    /// Appends the message to `out`; type and size are filled in.
    ///
    /// # Errors
    /// None in practice: the size is fixed.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::message(out, HeaderForm::Current, MessageType::SIGNAL, header, |writer| {
            writer.put(&I32::new(self.number))
        })
    }
}

/// An error in words (either way), where no response can carry it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorNotice<'a> {
    /// The error: [`crate::Tag::ERROR_TEXT`] and what belongs to it.
    pub extensions: Extensions<'a>,
}

impl<'a> ErrorNotice<'a> {
    /// A whole message that says `text`, and with which status a command should end for it.
    ///
    /// What is too long for a message is an empty text.
    #[must_use]
    pub fn message(text: &str, status: Option<u8>) -> Vec<u8> {
        let mut extensions = Extensions::new();
        extensions.push(Tag::ERROR_TEXT, text.as_bytes());
        if let Some(status) = status {
            extensions.push_u8(Tag::ERROR_STATUS, status);
        }
        let (header, mut bytes) = (Header::plain(MessageType::ERROR_NOTICE, 1), Vec::new());
        if (ErrorNotice { extensions }).encode(&header, &mut bytes).is_err() {
            // The system has no room for less.
            let _ = ErrorNotice::default().encode(&header, &mut bytes);
        }
        bytes
    }

    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or an extension item is cut off.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::ERROR_NOTICE)?;
        Ok(Self { extensions: read::extensions(message, BODY)? })
    }

    /// Appends the message to `out`; type and size are filled in.
    ///
    /// # Errors
    /// [`EncodeError`] if the extensions are too long; `out` is then as it was.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::message(out, HeaderForm::Current, MessageType::ERROR_NOTICE, header, |writer| {
            writer.extensions(&self.extensions)
        })
    }
}

/// A client, passed from an interop server to a host.
///
/// With it travels the client's connection, on which nothing has been read: who the client is the
/// kernel tells whoever has the connection, and what it asks only the host reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandOff<'a> {
    /// What the server knows and the host does not: [`crate::Tag::SERVER_VARIABLES`].
    pub extensions: Extensions<'a>,
}

impl<'a> HandOff<'a> {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or an extension item is cut off.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::HAND_OFF)?;
        Ok(Self { extensions: read::extensions(message, BODY)? })
    }

    /// Appends the message to `out`; type and size are filled in.
    ///
    /// # Errors
    /// [`EncodeError`] if the extensions are too long; `out` is then as it was.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::message(out, HeaderForm::Current, MessageType::HAND_OFF, header, |writer| {
            writer.extensions(&self.extensions)
        })
    }
}

/// An instance of the user's, named to a host (keeper to host).
///
/// With it travels a pidfd: whoever lives in the namespaces of its process is the user's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance;

impl Instance {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        message.expect(MessageType::INSTANCE)?;
        Ok(Self)
    }

    /// Appends the message to `out`; type and size are filled in.
    ///
    /// # Errors
    /// None in practice: the size is fixed.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::message(out, HeaderForm::Current, MessageType::INSTANCE, header, |_| Ok(()))
    }
}

/// A wish to have the Windows side ready (the user's own process to their host): it is answered with a
/// [`HostHello`] once it is, with notices before, or with an error notice that has a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepare;

impl Prepare {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        message.expect(MessageType::PREPARE)?;
        Ok(Self)
    }

    /// Appends the message to `out`; type and size are filled in.
    ///
    /// # Errors
    /// None in practice: the size is fixed.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::message(out, HeaderForm::Current, MessageType::PREPARE, header, |_| Ok(()))
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawCredit {
    stream: U32,
    reserved: U32,
    bytes: U64,
}

/// How many more bytes of a stream the receiver takes (sent by the stream's receiver).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// The stream: 0, 1, 2 for stdin, stdout, stderr.
    pub stream: u32,
    /// Bytes that may be sent on top of what was allowed before.
    pub bytes: u64,
}

impl Credit {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or too short.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        message.expect(MessageType::CREDIT)?;
        let raw: &RawCredit = read::layout(message, BODY)?;
        Ok(Self { stream: raw.stream.get(), bytes: raw.bytes.get() })
    }

    /// Appends the message to `out`; type and size are filled in.
    ///
    /// # Errors
    /// None in practice: the size is fixed.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::message(out, HeaderForm::Current, MessageType::CREDIT, header, |writer| {
            writer.put(&RawCredit {
                stream: U32::new(self.stream),
                reserved: U32::ZERO,
                bytes: U64::new(self.bytes),
            })
        })
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHostHello {
    features: U32,
    pid: U32,
}

/// What a server or host understands; opens a connection between the two, answered with the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostHello {
    /// What the sender understands.
    pub features: Features,
    /// The sender's process id as it sees itself.
    pub pid: u32,
}

impl HostHello {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or too short.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        message.expect(MessageType::HOST_HELLO)?;
        let raw: &RawHostHello = read::layout(message, BODY)?;
        Ok(Self { features: Features(raw.features.get()), pid: raw.pid.get() })
    }

    /// Appends the message to `out`; type and size are filled in.
    ///
    /// # Errors
    /// None in practice: the size is fixed.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::message(out, HeaderForm::Current, MessageType::HOST_HELLO, header, |writer| {
            writer
                .put(&RawHostHello { features: U32::new(self.features.0), pid: U32::new(self.pid) })
        })
    }
}
