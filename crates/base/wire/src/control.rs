//! What travels beside and after a launch: the response, window sizes, the exit status, queries and
//! the results of transactions.

use alloc::vec::Vec;

use zerocopy::little_endian::{I32, I64, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::bits::bit_set;
use crate::extension::Extensions;
use crate::read;
use crate::tag::Tag;
use crate::write::{self, encode_current};
use crate::{DecodeError, EncodeError, Header, HeaderForm, Message, MessageType};

bit_set! {
    /// Flags of a create-process response.
    ResponseFlags {
        /// A graphical program: the interpreter gives the terminal back at once.
        GRAPHICAL = 1;
    }
}

/// `CreateProcessResponse` behind a header of either form, padding before the id excepted.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawResponseTail {
    signal_pipe_id: I64,
    flags: U32,
    padding: U32,
}

/// Answer to create process (`LxInitMessageCreateProcessResponse`, Windows to Linux).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateProcessResponse<'a> {
    /// 0, or a Linux errno as a positive number. WSL sends 2 (not found), 13 (elevation required)
    /// and 22 (any other failure).
    pub result: i32,
    /// Where both sides share a kernel, the id of the pipe for window sizes; otherwise 0.
    pub signal_pipe_id: i64,
    /// What kind of program was started.
    pub flags: ResponseFlags,
    /// What WSL's fields cannot say.
    pub extensions: Extensions<'a>,
}

impl<'a> CreateProcessResponse<'a> {
    /// A refusal: the errno that WSL's protocol has for it, the words for the user, and the status
    /// that the interpreter exits with.
    #[must_use]
    pub fn refusal(result: i32, text: &'a str, status: u8) -> Self {
        let mut extensions = Extensions::new();
        extensions.push(Tag::ERROR_TEXT, text.as_bytes());
        extensions.push_u8(Tag::ERROR_STATUS, status);
        Self { result, extensions, ..Self::default() }
    }

    const fn tail_at(form: HeaderForm) -> usize {
        match form {
            HeaderForm::Current => 24,
            HeaderForm::Legacy => 16,
        }
    }

    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or its layout is not right.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::CREATE_PROCESS_RESPONSE)?;
        let tail_at = Self::tail_at(message.form);
        let result: &I32 = read::layout(message, message.form.size())?;
        let tail: &RawResponseTail = read::layout(message, tail_at)?;
        Ok(Self {
            result: result.get(),
            signal_pipe_id: tail.signal_pipe_id.get(),
            flags: ResponseFlags(tail.flags.get()),
            extensions: read::extensions(message, tail_at + size_of::<RawResponseTail>())?,
        })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// [`EncodeError`] if the extensions are too long; `out` is then as it was.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::CREATE_PROCESS_RESPONSE, header, |writer| {
            writer.put(&I32::new(self.result))?;
            writer.align_to(8)?;
            writer.put(&RawResponseTail {
                signal_pipe_id: I64::new(self.signal_pipe_id),
                flags: U32::new(self.flags.0),
                padding: U32::ZERO,
            })?;
            writer.extensions(&self.extensions)
        })
    }
}

/// Exit status of a process (`LxInitMessageExitStatus`, both directions).
///
/// On one kernel the receiver sends the message back as it came, as acknowledgement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExitStatus<'a> {
    /// The exit code; a Windows code above `i32::MAX` goes as the negative number of the same bits.
    pub code: i32,
    /// What WSL's field cannot say.
    pub extensions: Extensions<'a>,
}

impl<'a> ExitStatus<'a> {
    /// An exit status without extensions.
    #[must_use]
    pub const fn new(code: i32) -> Self {
        Self { code, extensions: Extensions::new() }
    }

    /// The exit code as Windows counts: 0 to `0xFFFF_FFFF`.
    #[must_use]
    pub const fn windows_code(&self) -> u32 {
        self.code.cast_unsigned()
    }

    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or its layout is not right.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::EXIT_STATUS)?;
        let at = message.form.size();
        let code: &I32 = read::layout(message, at)?;
        let extensions = read::extensions(message, at + size_of::<I32>())?;
        Ok(Self { code: code.get(), extensions })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// [`EncodeError`] if the extensions are too long; `out` is then as it was.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::EXIT_STATUS, header, |writer| {
            writer.put(&I32::new(self.code))?;
            writer.extensions(&self.extensions)
        })
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawWindowSize {
    rows: U16,
    columns: U16,
}

/// The terminal has another size (`LxInitMessageWindowSizeChanged`, towards the program).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Rows of the terminal.
    pub rows: u16,
    /// Columns of the terminal.
    pub columns: u16,
}

impl WindowSize {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or too short.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        message.expect(MessageType::WINDOW_SIZE_CHANGED)?;
        let raw: &RawWindowSize = read::layout(message, message.form.size())?;
        Ok(Self { rows: raw.rows.get(), columns: raw.columns.get() })
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
        write::message(out, form, MessageType::WINDOW_SIZE_CHANGED, header, |writer| {
            writer
                .put(&RawWindowSize { rows: U16::new(self.rows), columns: U16::new(self.columns) })
        })
    }
}

/// A question that is a header alone.
///
/// The answers: [`TransactionResult`] for the first three, [`VmIdReply`] for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Query {
    /// `LxInitMessageQueryDrvfsElevated`: are the drives mounted for an elevated user?
    DrvfsElevated,
    /// `LxInitMessageQueryFeatureFlags`: which feature flags does the instance have?
    FeatureFlags,
    /// `LxInitMessageQueryNetworkingMode`: how is the VM connected?
    NetworkingMode,
    /// `LxInitMessageQueryVmId`: what is the VM's GUID?
    VmId,
}

impl Query {
    /// The type of the message that asks this.
    #[must_use]
    pub const fn message_type(self) -> MessageType {
        match self {
            Self::DrvfsElevated => MessageType::QUERY_DRVFS_ELEVATED,
            Self::FeatureFlags => MessageType::QUERY_FEATURE_FLAGS,
            Self::NetworkingMode => MessageType::QUERY_NETWORKING_MODE,
            Self::VmId => MessageType::QUERY_VM_ID,
        }
    }

    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError::Type`] if it is none of these questions; the type that was expected is then
    /// given as the first of them.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        match message.header.message_type {
            MessageType::QUERY_FEATURE_FLAGS => Ok(Self::FeatureFlags),
            MessageType::QUERY_NETWORKING_MODE => Ok(Self::NetworkingMode),
            MessageType::QUERY_VM_ID => Ok(Self::VmId),
            _ => message.expect(MessageType::QUERY_DRVFS_ELEVATED).map(|()| Self::DrvfsElevated),
        }
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
        write::message(out, form, self.message_type(), header, |_| Ok(()))
    }
}

/// Ask for a Windows environment variable (`LxInitMessageQueryEnvironmentVariable`); also the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryEnvironmentVariable<'a> {
    /// In the question the variable's name, in the answer its value (empty if it is not set).
    pub text: &'a [u8],
}

impl<'a> QueryEnvironmentVariable<'a> {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or its string has no NUL.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::QUERY_ENVIRONMENT_VARIABLE)?;
        Ok(Self { text: string_behind_header(message, "environment variable")? })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// [`EncodeError`] if the text holds a NUL or is too long; `out` is then as it was.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::QUERY_ENVIRONMENT_VARIABLE, header, |writer| {
            writer.string("environment variable", self.text)
        })
    }
}

/// Answer to [`Query::VmId`] (`LxInitMessageQueryVmId`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VmIdReply<'a> {
    /// The VM's GUID as text.
    pub id: &'a [u8],
}

impl<'a> VmIdReply<'a> {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or its string has no NUL.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::QUERY_VM_ID)?;
        Ok(Self { id: string_behind_header(message, "VM id")? })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// [`EncodeError`] if the id holds a NUL or is too long; `out` is then as it was.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::QUERY_VM_ID, header, |writer| {
            writer.string("VM id", self.id)
        })
    }
}

/// Reads the NUL-terminated string that stands directly behind the header.
fn string_behind_header<'a>(
    message: &Message<'a>,
    field: &'static str,
) -> Result<&'a [u8], DecodeError> {
    let base = message.form.size();
    Ok(read::Strings::new(message, base, base).one(field, 0)?.value)
}

/// Result of a transaction (types 76 to 79), 20 bytes with the value at 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionResult {
    /// A truth value.
    Bool(bool),
    /// A signed number.
    I32(i32),
    /// An unsigned number.
    U32(u32),
    /// A byte.
    U8(u8),
}

impl TransactionResult {
    /// The type of the message that carries this result.
    #[must_use]
    pub const fn message_type(self) -> MessageType {
        match self {
            Self::Bool(_) => MessageType::RESULT_BOOL,
            Self::I32(_) => MessageType::RESULT_I32,
            Self::U32(_) => MessageType::RESULT_U32,
            Self::U8(_) => MessageType::RESULT_U8,
        }
    }

    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError::Type`] if it is not a result (the type that was expected is then given as the
    /// first of them), [`DecodeError::Layout`] if it is too short.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        let at = message.form.size();
        match message.header.message_type {
            MessageType::RESULT_I32 => Ok(Self::I32(read::layout::<I32>(message, at)?.get())),
            MessageType::RESULT_U32 => Ok(Self::U32(read::layout::<U32>(message, at)?.get())),
            MessageType::RESULT_U8 => Ok(Self::U8(*read::layout::<u8>(message, at)?)),
            _ => {
                message.expect(MessageType::RESULT_BOOL)?;
                Ok(Self::Bool(*read::layout::<u8>(message, at)? != 0))
            }
        }
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
        write::message(out, form, self.message_type(), header, |writer| match *self {
            Self::Bool(value) => writer.put(&U32::new(value.into())),
            Self::I32(value) => writer.put(&I32::new(value)),
            Self::U32(value) => writer.put(&U32::new(value)),
            Self::U8(value) => writer.put(&U32::new(value.into())),
        })
    }
}
