//! Winterop's wire format: every message of WSL's init protocol that interop uses, and Winterop's
//! extensions to it, as plain values with `decode` and `encode`.
//!
//! This crate knows layouts and nothing else: no I/O, no unsafe code, no standard library. A channel
//! collects bytes until [`frame_length`] is satisfied, [`Message::parse`] looks at the header, and
//! the type that belongs to [`Header::message_type`] decodes the rest:
//!
//! ```
//! use winterop_wire::{ExitStatus, Header, Message, MessageType};
//!
//! let mut bytes = Vec::new();
//! ExitStatus::new(3).encode(&Header::plain(MessageType::EXIT_STATUS, 1), &mut bytes)?;
//!
//! let message = Message::parse(&bytes)?;
//! assert_eq!(ExitStatus::decode(&message)?.code, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What decoding accepts
//! - A message that is longer than its known layout: the rest is ignored, unless it is an extension
//!   block (see [`Extensions`]).
//! - Any transaction id and step, and any bytes in padding.
//! - Nothing else: an offset outside the string area, a string without its NUL, more arguments than
//!   there are strings, are a [`DecodeError`] that names message, field and offset. No input makes a
//!   decoder panic, and memory stays within a small multiple of the message.
//!
//! # Two header sizes
//! WSL 2.8.5 and later write a header of 16 bytes, WSL 2.6.1 to 2.8.4 one of 12 ([`HeaderForm`]).
//! Every message that WSL itself sends has `encode` (16 bytes) and `encode_as` (either). Winterop's
//! own messages exist with the 16-byte header alone.
//!
//! Source of the layouts: the protocol's public description and messages recorded from WSL 2.9;
//! extensions: `docs/extensions.md`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bits;
mod control;
mod create_process;
mod error;
mod extension;
mod header;
mod initialize;
mod kind;
mod linux_process;
mod own;
mod read;
mod session;
mod tag;
mod write;

pub use control::{
    CreateProcessResponse, ExitStatus, Query, QueryEnvironmentVariable, ResponseFlags,
    TransactionResult, VmIdReply, WindowSize,
};
pub use create_process::{CommonBlock, CreateProcess, CreateProcessUtilityVm};
pub use error::{DecodeError, EncodeError, ValueError};
pub use extension::{Extensions, Strings};
pub use header::{Header, HeaderForm, Message, frame_length};
pub use initialize::{DriveMount, Initialize, InitializeResponse};
pub use kind::{MAX_MESSAGE, MessageType};
pub use linux_process::{
    CreateLinuxProcess, CreateLinuxProcessUtilityVm, LinuxProcess, ProcessFlags, ShellOptions,
};
pub use own::{Credit, ErrorNotice, HandOff, HostHello, Instance, Prepare, Signal};
pub use session::{CreateSession, CreateSessionResponse, TerminateInstance};
pub use tag::{Features, MAGIC, MAX_ITEMS, Placement, Role, Tag};
