//! Linux processes that the Windows side asks a session leader for.

use alloc::vec::Vec;

use zerocopy::little_endian::{I64, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::bits::bit_set;
use crate::extension::Extensions;
use crate::read::{self, Span, value};
use crate::write::{self, Writer, encode_current};
use crate::{DecodeError, EncodeError, Header, HeaderForm, Message, MessageType};

bit_set! {
    /// How a shell is to be started.
    ShellOptions {
        /// As a login shell.
        LOGIN = 1;
    }
}

bit_set! {
    /// Circumstances of a Linux process.
    ProcessFlags {
        /// Standard input is a console.
        STDIN_CONSOLE = 1;
        /// Standard output is a console.
        STDOUT_CONSOLE = 2;
        /// Standard error is a console.
        STDERR_CONSOLE = 4;
        /// The requester is elevated.
        ELEVATED = 8;
        /// Interop is enabled.
        INTEROP_ENABLED = 16;
        /// The distribution's first-run program may be started; there is then a sixth connection,
        /// to the service.
        FIRST_RUN_ALLOWED = 32;
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawLinuxProcess {
    filename: U32,
    working_directory: U32,
    arguments: U32,
    argument_count: U16,
    padding: U16,
    environment: U32,
    environment_count: U16,
    environment_padding: U16,
    windows_environment: U32,
    windows_environment_count: U16,
    windows_environment_padding: U16,
    windows_path: U32,
    shell_options: U32,
    user_name: U32,
    default_uid: U32,
    flags: U32,
}

const FILENAME: &str = "file name";
const WORKING_DIRECTORY: &str = "working directory";
const ARGUMENTS: &str = "arguments";
const ENVIRONMENT: &str = "environment";
const WINDOWS_ENVIRONMENT: &str = "Windows environment";
const WINDOWS_PATH: &str = "Windows PATH";
const USER_NAME: &str = "user name";

/// What both create-process messages to a session leader say about the Linux program to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinuxProcess<'a> {
    /// The program's Linux path; empty for the user's shell.
    pub filename: &'a [u8],
    /// The working directory.
    pub working_directory: &'a [u8],
    /// The arguments; the first is `argv[0]`.
    pub arguments: Vec<&'a [u8]>,
    /// `NAME=value` entries.
    pub environment: Vec<&'a [u8]>,
    /// `NAME=value` entries of the Windows side, for WSLENV.
    pub windows_environment: Vec<&'a [u8]>,
    /// The Windows PATH; `None` has the offset 0 on the wire.
    pub windows_path: Option<&'a [u8]>,
    /// How a shell is to be started.
    pub shell_options: ShellOptions,
    /// The user to run as; `None` has the offset 0 on the wire.
    pub user_name: Option<&'a [u8]>,
    /// User id to run as where no name is given.
    pub default_uid: u32,
    /// Circumstances of the process.
    pub flags: ProcessFlags,
    /// What WSL's fields cannot say.
    pub extensions: Extensions<'a>,
}

impl<'a> LinuxProcess<'a> {
    fn decode(message: &Message<'a>, base: usize) -> Result<Self, DecodeError> {
        let raw: &RawLinuxProcess = read::layout(message, base)?;
        let strings = read::Strings::new(message, base, base + size_of::<RawLinuxProcess>());
        let filename = strings.one(FILENAME, raw.filename.get())?;
        let directory = strings.one(WORKING_DIRECTORY, raw.working_directory.get())?;
        let list = |field, offset: U32, count: U16| counted(&strings, field, offset, count);
        let arguments = list(ARGUMENTS, raw.arguments, raw.argument_count)?;
        let environment = list(ENVIRONMENT, raw.environment, raw.environment_count)?;
        let windows_environment =
            list(WINDOWS_ENVIRONMENT, raw.windows_environment, raw.windows_environment_count)?;
        let windows_path = strings.optional(WINDOWS_PATH, raw.windows_path.get())?;
        let user_name = strings.optional(USER_NAME, raw.user_name.get())?;

        let starts = [
            filename.start,
            directory.start,
            arguments.start,
            environment.start,
            windows_environment.start,
            windows_path.as_ref().map_or(0, |span| span.start),
            user_name.as_ref().map_or(0, |span| span.start),
        ];
        strings.apart(ARGUMENTS, &arguments, &starts)?;
        strings.apart(ENVIRONMENT, &environment, &starts)?;
        strings.apart(WINDOWS_ENVIRONMENT, &windows_environment, &starts)?;

        let end = filename
            .end
            .max(directory.end)
            .max(arguments.end)
            .max(environment.end)
            .max(windows_environment.end)
            .max(windows_path.as_ref().map_or(0, |span| span.end))
            .max(user_name.as_ref().map_or(0, |span| span.end));
        Ok(Self {
            filename: filename.value,
            working_directory: directory.value,
            arguments: arguments.value,
            environment: environment.value,
            windows_environment: windows_environment.value,
            windows_path: value(windows_path),
            shell_options: ShellOptions(raw.shell_options.get()),
            user_name: value(user_name),
            default_uid: raw.default_uid.get(),
            flags: ProcessFlags(raw.flags.get()),
            extensions: read::extensions(message, end)?,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let gap = writer.gap::<RawLinuxProcess>()?;
        let base = gap.position();
        let filename = writer.string_at(base, FILENAME, self.filename)?;
        let directory = writer.string_at(base, WORKING_DIRECTORY, self.working_directory)?;
        let (arguments, argument_count) = writer.counted_at(base, ARGUMENTS, &self.arguments)?;
        let (environment, environment_count) =
            writer.counted_at(base, ENVIRONMENT, &self.environment)?;
        let (windows_environment, windows_environment_count) =
            writer.counted_at(base, WINDOWS_ENVIRONMENT, &self.windows_environment)?;
        let windows_path = writer.optional_at(base, WINDOWS_PATH, self.windows_path)?;
        let user_name = writer.optional_at(base, USER_NAME, self.user_name)?;
        let raw = RawLinuxProcess {
            filename: U32::new(filename),
            working_directory: U32::new(directory),
            arguments: U32::new(arguments),
            argument_count: U16::new(argument_count),
            padding: U16::ZERO,
            environment: U32::new(environment),
            environment_count: U16::new(environment_count),
            environment_padding: U16::ZERO,
            windows_environment: U32::new(windows_environment),
            windows_environment_count: U16::new(windows_environment_count),
            windows_environment_padding: U16::ZERO,
            windows_path: U32::new(windows_path),
            shell_options: U32::new(self.shell_options.0),
            user_name: U32::new(user_name),
            default_uid: U32::new(self.default_uid),
            flags: U32::new(self.flags.0),
        };
        writer.fill(&gap, &raw);
        writer.extensions(&self.extensions)
    }
}

/// Reads a list that may be absent: with a count of 0 its offset has no meaning.
fn counted<'a>(
    strings: &read::Strings<'a>,
    field: &'static str,
    offset: U32,
    count: U16,
) -> Result<Span<Vec<&'a [u8]>>, DecodeError> {
    match count.get() {
        0 => Ok(Span { value: Vec::new(), start: 0, end: 0 }),
        count => strings.counted(field, offset.get(), count),
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawCreateLinuxProcess {
    interop_server_id: I64,
    standard_ids: [I64; 3],
    fork_token: I64,
}

/// Create a Linux process, one kernel (`LxInitMessageCreateProcess` to a session leader).
///
/// Its layout is the same with both headers: what follows is aligned to 8 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateLinuxProcess<'a> {
    /// Id of the interop server.
    pub interop_server_id: i64,
    /// Ids of the three standard descriptors.
    pub standard_ids: [i64; 3],
    /// Id of the token to fork with.
    pub fork_token: i64,
    /// The program to run.
    pub process: LinuxProcess<'a>,
}

impl<'a> CreateLinuxProcess<'a> {
    const IDS: usize = 16;

    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or its layout is not right.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::CREATE_PROCESS)?;
        let raw: &RawCreateLinuxProcess = read::layout(message, Self::IDS)?;
        let base = Self::IDS + size_of::<RawCreateLinuxProcess>();
        Ok(Self {
            interop_server_id: raw.interop_server_id.get(),
            standard_ids: raw.standard_ids.map(I64::get),
            fork_token: raw.fork_token.get(),
            process: LinuxProcess::decode(message, base)?,
        })
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
            writer.put(&RawCreateLinuxProcess {
                interop_server_id: I64::new(self.interop_server_id),
                standard_ids: self.standard_ids.map(I64::new),
                fork_token: I64::new(self.fork_token),
            })?;
            self.process.encode(writer)
        })
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawTerminal {
    rows: U16,
    columns: U16,
}

/// Create a Linux process in a VM (`LxInitMessageCreateProcessUtilityVm` to a session leader).
///
/// [`Message::parse`] takes the other direction's layout to find the header's form; where a session
/// leader can meet the older header, [`Message::parse_as`] belongs here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateLinuxProcessUtilityVm<'a> {
    /// Rows of the terminal.
    pub rows: u16,
    /// Columns of the terminal.
    pub columns: u16,
    /// The program to run.
    pub process: LinuxProcess<'a>,
}

impl<'a> CreateLinuxProcessUtilityVm<'a> {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or its layout is not right.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::CREATE_PROCESS_UTILITY_VM)?;
        let at = message.form.size();
        let raw: &RawTerminal = read::layout(message, at)?;
        let process = LinuxProcess::decode(message, at + size_of::<RawTerminal>())?;
        Ok(Self { rows: raw.rows.get(), columns: raw.columns.get(), process })
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
            writer
                .put(&RawTerminal { rows: U16::new(self.rows), columns: U16::new(self.columns) })?;
            self.process.encode(writer)
        })
    }
}
