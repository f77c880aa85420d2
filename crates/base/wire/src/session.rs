//! Sessions and Linux processes: what the Windows side sends to an instance, and the answers.

use alloc::vec::Vec;

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::bits::bit_set;
use crate::extension::Extensions;
use crate::read::{self, Span};
use crate::write::{self, Writer, encode_current};
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

/// How the Windows drives are to be mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DriveMount(pub u32);

impl DriveMount {
    /// Not at all.
    pub const NONE: Self = Self(0);
    /// For an ordinary user.
    pub const PLAIN: Self = Self(1);
    /// For an elevated user.
    pub const ELEVATED: Self = Self(2);
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawInitialize {
    host_name: U32,
    domain: U32,
    hosts_file: U32,
    distribution: U32,
    plan9_socket: U32,
    time_zone: U32,
    drives: U32,
    drives_owner: U32,
    feature_flags: U32,
    drive_mount: U32,
}

const HOST_NAME: &str = "host name";
const DOMAIN: &str = "domain";
const HOSTS_FILE: &str = "hosts file";
const DISTRIBUTION: &str = "distribution name";
const PLAN9_SOCKET: &str = "plan9 socket";
const TIME_ZONE: &str = "time zone";

/// Settings of an instance, sent to its init (`LxInitMessageInitialize`).
///
/// A string that is `None` has the offset 0 on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Initialize<'a> {
    /// Host name.
    pub host_name: Option<&'a [u8]>,
    /// Domain.
    pub domain: Option<&'a [u8]>,
    /// Lines for the hosts file.
    pub hosts_file: Option<&'a [u8]>,
    /// Name of the distribution.
    pub distribution: Option<&'a [u8]>,
    /// Path of the plan9 server's socket.
    pub plan9_socket: Option<&'a [u8]>,
    /// Time zone.
    pub time_zone: Option<&'a [u8]>,
    /// The drives that exist: bit 0 is drive A.
    pub drives: u32,
    /// User id that owns the drives by default.
    pub drives_owner: u32,
    /// Feature flags of the instance.
    pub feature_flags: u32,
    /// How the drives are to be mounted.
    pub drive_mount: DriveMount,
}

impl<'a> Initialize<'a> {
    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or its layout is not right.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::INITIALIZE)?;
        let at = message.form.size();
        let raw: &RawInitialize = read::layout(message, at)?;
        let strings = read::Strings::new(message, 0, at + size_of::<RawInitialize>());
        let string = |field, offset: U32| Ok(value(strings.optional(field, offset.get())?));
        Ok(Self {
            host_name: string(HOST_NAME, raw.host_name)?,
            domain: string(DOMAIN, raw.domain)?,
            hosts_file: string(HOSTS_FILE, raw.hosts_file)?,
            distribution: string(DISTRIBUTION, raw.distribution)?,
            plan9_socket: string(PLAN9_SOCKET, raw.plan9_socket)?,
            time_zone: string(TIME_ZONE, raw.time_zone)?,
            drives: raw.drives.get(),
            drives_owner: raw.drives_owner.get(),
            feature_flags: raw.feature_flags.get(),
            drive_mount: DriveMount(raw.drive_mount.get()),
        })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// [`EncodeError`] if a string holds a NUL or the message would be too long; `out` is then as it
    /// was.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::INITIALIZE, header, |writer| {
            let gap = writer.gap::<RawInitialize>()?;
            let mut string = |field, text| writer.optional_at(0, field, text).map(U32::new);
            let raw = RawInitialize {
                host_name: string(HOST_NAME, self.host_name)?,
                domain: string(DOMAIN, self.domain)?,
                hosts_file: string(HOSTS_FILE, self.hosts_file)?,
                distribution: string(DISTRIBUTION, self.distribution)?,
                plan9_socket: string(PLAN9_SOCKET, self.plan9_socket)?,
                time_zone: string(TIME_ZONE, self.time_zone)?,
                drives: U32::new(self.drives),
                drives_owner: U32::new(self.drives_owner),
                feature_flags: U32::new(self.feature_flags),
                drive_mount: U32::new(self.drive_mount.0),
            };
            writer.fill(&gap, &raw);
            Ok(())
        })
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawInitializeResponseHead {
    plan9_port: U32,
    default_uid: U32,
    interop_port: U32,
    systemd: u8,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawInitializeResponseTail {
    pid_namespace: U64,
    flavour: U32,
    version: U32,
}

const FLAVOUR: &str = "flavour";
const VERSION: &str = "version";

/// Answer to initialize (`LxInitMessageInitializeResponse`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InitializeResponse<'a> {
    /// Vsock port of the plan9 server.
    pub plan9_port: u32,
    /// User id of the distribution's default user.
    pub default_uid: u32,
    /// Vsock port for the interop channel, or [`Self::INTEROP_OFF`].
    pub interop_port: u32,
    /// Whether systemd is enabled.
    pub systemd: bool,
    /// Inode of the instance's pid namespace.
    pub pid_namespace: u64,
    /// The distribution's flavour; `None` has the offset 0 on the wire.
    pub flavour: Option<&'a [u8]>,
    /// The distribution's version; `None` has the offset 0 on the wire.
    pub version: Option<&'a [u8]>,
}

impl<'a> InitializeResponse<'a> {
    /// Value of [`Self::interop_port`] where interop is off.
    pub const INTEROP_OFF: u32 = u32::MAX;

    /// The namespace's inode is aligned to 8 bytes, which makes up for the smaller header.
    const TAIL: usize = 32;

    /// Decodes the message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type or its layout is not right.
    pub fn decode(message: &Message<'a>) -> Result<Self, DecodeError> {
        message.expect(MessageType::INITIALIZE_RESPONSE)?;
        let head: &RawInitializeResponseHead = read::layout(message, message.form.size())?;
        let tail: &RawInitializeResponseTail = read::layout(message, Self::TAIL)?;
        let first = Self::TAIL + size_of::<RawInitializeResponseTail>();
        let strings = read::Strings::new(message, 0, first);
        Ok(Self {
            plan9_port: head.plan9_port.get(),
            default_uid: head.default_uid.get(),
            interop_port: head.interop_port.get(),
            systemd: head.systemd != 0,
            pid_namespace: tail.pid_namespace.get(),
            flavour: value(strings.optional(FLAVOUR, tail.flavour.get())?),
            version: value(strings.optional(VERSION, tail.version.get())?),
        })
    }

    encode_current!();

    /// Appends the message to `out` with a header of the given form; type and size are filled in.
    ///
    /// # Errors
    /// [`EncodeError`] if a string holds a NUL or the message would be too long; `out` is then as it
    /// was.
    pub fn encode_as(
        &self,
        form: HeaderForm,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write::message(out, form, MessageType::INITIALIZE_RESPONSE, header, |writer| {
            writer.put(&RawInitializeResponseHead {
                plan9_port: U32::new(self.plan9_port),
                default_uid: U32::new(self.default_uid),
                interop_port: U32::new(self.interop_port),
                systemd: self.systemd.into(),
            })?;
            writer.align_to(8)?;
            let gap = writer.gap::<RawInitializeResponseTail>()?;
            let flavour = writer.optional_at(0, FLAVOUR, self.flavour)?;
            let version = writer.optional_at(0, VERSION, self.version)?;
            let raw = RawInitializeResponseTail {
                pid_namespace: U64::new(self.pid_namespace),
                flavour: U32::new(flavour),
                version: U32::new(version),
            };
            writer.fill(&gap, &raw);
            Ok(())
        })
    }
}

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

fn value<T>(span: Option<Span<T>>) -> Option<T> {
    span.map(|span| span.value)
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
