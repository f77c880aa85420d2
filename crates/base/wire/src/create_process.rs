//! Create a Windows process: the two messages an interpreter sends.

use alloc::vec::Vec;

use zerocopy::little_endian::{I64, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::extension::Extensions;
use crate::read;
use crate::write::{self, Writer, encode_current};
use crate::{DecodeError, EncodeError, Header, HeaderForm, Message, MessageType};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawCommon {
    standard_ids: [I64; 3],
    filename: U32,
    working_directory: U32,
    arguments: U32,
    argument_count: U16,
    padding: U16,
    environment: U32,
    rows: U16,
    columns: U16,
    pseudoconsole: u8,
}

const FILENAME: &str = "file name";
const WORKING_DIRECTORY: &str = "working directory";
const ENVIRONMENT: &str = "environment";
const ARGUMENTS: &str = "arguments";

/// What both create-process messages say about the program to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommonBlock<'a> {
    /// Ids of the three standard descriptors, 0 where they are not marshalled.
    pub standard_ids: [i64; 3],
    /// The executable's Windows path.
    pub filename: &'a [u8],
    /// The working directory, a Windows path; may be empty.
    pub working_directory: &'a [u8],
    /// The arguments, nothing quoted; the first is `argv[0]`.
    pub arguments: Vec<&'a [u8]>,
    /// `NAME=value` entries, none of them empty; WSL's always begin with one for `WSLENV`.
    pub environment: Option<Vec<&'a [u8]>>,
    /// Rows of the terminal, 0 if there is none.
    pub rows: u16,
    /// Columns of the terminal, 0 if there is none.
    pub columns: u16,
    /// Whether to create a pseudoconsole.
    pub pseudoconsole: bool,
    /// What WSL's fields cannot say.
    pub extensions: Extensions<'a>,
}

impl<'a> CommonBlock<'a> {
    fn decode(message: &Message<'a>, base: usize) -> Result<Self, DecodeError> {
        let raw: &RawCommon = read::layout(message, base)?;
        let strings = read::Strings::new(message, base, base + size_of::<RawCommon>());
        let filename = strings.one(FILENAME, raw.filename.get())?;
        let directory = strings.one(WORKING_DIRECTORY, raw.working_directory.get())?;
        let environment = match raw.environment.get() {
            0 => None,
            offset => Some(strings.until_empty(ENVIRONMENT, offset)?),
        };
        let count = raw.argument_count.get();
        let arguments = strings.counted(ARGUMENTS, raw.arguments.get(), count)?;

        let environment_start = environment.as_ref().map_or(arguments.start, |span| span.start);
        let others = [filename.start, directory.start, environment_start];
        strings.apart(ARGUMENTS, &arguments, &others)?;

        let environment_end = environment.as_ref().map_or(0, |span| strings.skip_nul(span.end));
        let end = filename.end.max(directory.end).max(environment_end).max(arguments.end);
        Ok(Self {
            standard_ids: raw.standard_ids.map(I64::get),
            filename: filename.value,
            working_directory: directory.value,
            arguments: arguments.value,
            environment: environment.map(|span| span.value),
            rows: raw.rows.get(),
            columns: raw.columns.get(),
            pseudoconsole: raw.pseudoconsole != 0,
            extensions: read::extensions(message, end)?,
        })
    }

    /// Appends the block. The strings go in the order in which WSL sends them.
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let gap = writer.gap::<RawCommon>()?;
        let base = gap.position();
        let filename = writer.string_at(base, FILENAME, self.filename)?;
        let directory = writer.string_at(base, WORKING_DIRECTORY, self.working_directory)?;
        let environment = self.encode_environment(writer, base)?;
        let (arguments, count) = writer.counted_at(base, ARGUMENTS, &self.arguments)?;
        let raw = RawCommon {
            standard_ids: self.standard_ids.map(I64::new),
            filename: U32::new(filename),
            working_directory: U32::new(directory),
            arguments: U32::new(arguments),
            argument_count: U16::new(count),
            padding: U16::ZERO,
            environment: U32::new(environment),
            rows: U16::new(self.rows),
            columns: U16::new(self.columns),
            pseudoconsole: self.pseudoconsole.into(),
        };
        writer.fill(&gap, &raw);
        writer.extensions(&self.extensions)
    }

    fn encode_environment(&self, writer: &mut Writer<'_>, base: usize) -> Result<u32, EncodeError> {
        let Some(environment) = &self.environment else { return Ok(0) };
        let offset = writer.until_empty_at(base, ENVIRONMENT, environment)?;
        // WSL sends one NUL more than the list needs.
        writer.bytes(&[0])?;
        Ok(offset)
    }
}

/// Create a Windows process, one kernel (`LxInitMessageCreateProcess`, Linux to Windows).
///
/// Its layout is the same with both headers: what follows is aligned to 8 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateProcess<'a> {
    /// Ids of the three standard descriptors.
    pub standard_ids: [i64; 3],
    /// The program to run.
    pub common: CommonBlock<'a>,
}

impl<'a> CreateProcess<'a> {
    const IDS: usize = 16;
    const COMMON: usize = 40;

    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or its layout is not right.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::CREATE_PROCESS)?;
        let standard_ids: &[I64; 3] = read::layout(message, Self::IDS)?;
        let common = CommonBlock::decode(message, Self::COMMON)?;
        Ok(Self { standard_ids: standard_ids.map(I64::get), common })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// [`EncodeError`] if a string holds a NUL, there are too many strings, or the message would be
    /// too long; `out` is then as it was.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::CREATE_PROCESS, header, |writer| {
            writer.align_to(8)?;
            writer.put(&self.standard_ids.map(I64::new))?;
            self.common.encode(writer)
        })
    }
}

/// Create a Windows process from a VM (`LxInitMessageCreateProcessUtilityVm`, Linux to Windows).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateProcessUtilityVm<'a> {
    /// The vsock port on which the sender waits for stdin, stdout, stderr and control.
    pub port: u32,
    /// The program to run.
    pub common: CommonBlock<'a>,
}

impl<'a> CreateProcessUtilityVm<'a> {
    const fn common_at(form: HeaderForm) -> usize {
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
        message.expect(MessageType::CREATE_PROCESS_UTILITY_VM)?;
        let port: &U32 = read::layout(message, message.form.size())?;
        let common = CommonBlock::decode(message, Self::common_at(message.form))?;
        Ok(Self { port: port.get(), common })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// [`EncodeError`] if a string holds a NUL, there are too many strings, or the message would be
    /// too long; `out` is then as it was.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::CREATE_PROCESS_UTILITY_VM, header, |writer| {
            writer.put(&U32::new(self.port))?;
            writer.align_to(8)?;
            self.common.encode(writer)
        })
    }
}
