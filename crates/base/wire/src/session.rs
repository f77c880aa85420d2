//! Sessions: what the Windows side asks of an instance, and the answers.

use alloc::vec::Vec;

use zerocopy::little_endian::{I64, U32};

use crate::read;
use crate::write::{self, encode_current};
use crate::{DecodeError, EncodeError, Header, HeaderForm, Message, MessageType};

/// Create a session (`LxInitMessageCreateSession`), 24 bytes with both headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CreateSession {
    /// Id of the console that the session owns.
    pub console_id: i64,
}

impl CreateSession {
    const CONSOLE_ID: usize = 16;

    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or too short.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        message.expect(MessageType::CREATE_SESSION)?;
        Ok(Self { console_id: read::layout::<I64>(message, Self::CONSOLE_ID)?.get() })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// None in practice: the size is fixed.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::CREATE_SESSION, header, |writer| {
            writer.align_to(8)?;
            writer.put(&I64::new(self.console_id))
        })
    }
}

/// Answer to create session (`LxInitMessageCreateSessionResponse`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CreateSessionResponse {
    /// The vsock port on which the session leader listens for the Windows side.
    pub port: u32,
}

impl CreateSessionResponse {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or too short.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        message.expect(MessageType::CREATE_SESSION_RESPONSE)?;
        Ok(Self { port: read::layout::<U32>(message, message.form.size())?.get() })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// None in practice: the size is fixed.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::CREATE_SESSION_RESPONSE, header, |writer| {
            writer.put(&U32::new(self.port))
        })
    }
}

/// End an instance (`LxInitMessageTerminateInstance`); answered with a truth value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TerminateInstance {
    /// Whether to end it even while programs run in it.
    pub force: bool,
}

impl TerminateInstance {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or too short.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        message.expect(MessageType::TERMINATE_INSTANCE)?;
        Ok(Self { force: *read::layout::<u8>(message, message.form.size())? != 0 })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// None in practice: the size is fixed.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::TERMINATE_INSTANCE, header, |writer| {
            writer.put(&[u8::from(self.force), 0, 0, 0])
        })
    }
}
