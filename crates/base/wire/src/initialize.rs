//! How the Windows side introduces itself to an instance, and what that answers.

use alloc::vec::Vec;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::read::{self, value};
use crate::write::{self, encode_current};
use crate::{DecodeError, EncodeError, Header, HeaderForm, Message, MessageType};

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
