//! What can be wrong with a message that was received, or with one that is to be sent.

use crate::{MAX_MESSAGE, MessageType, Tag};

/// Why received bytes are not the message they claim to be.
///
/// Offsets count bytes from the start of the message; sizes are in bytes, header included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The header announces a size that no message of this type can have.
    #[error("{message}: announced size {size} is not within {minimum} to {MAX_MESSAGE} bytes")]
    Size {
        /// Type in the header.
        message: MessageType,
        /// Announced size.
        size: u32,
        /// Smallest size possible.
        minimum: u32,
    },
    /// There are fewer bytes than a header, or than the header announces.
    #[error("message cut off: {have} of {size} bytes")]
    Truncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes that are needed.
        size: usize,
    },
    /// The message has another type than the one that was to be decoded.
    #[error("expected {expected}, got {found}")]
    Type {
        /// Type that was asked for.
        expected: MessageType,
        /// Type in the header.
        found: MessageType,
    },
    /// The message is smaller than its fixed layout.
    #[error("{message}: {size} bytes are too few, the fixed layout alone has {minimum}")]
    Layout {
        /// Type of the message.
        message: MessageType,
        /// Size of the message.
        size: usize,
        /// End of the fixed layout.
        minimum: usize,
    },
    /// A field says that its string begins outside the string area.
    #[error(
        "{message}: {field} is said to begin at byte {offset}, outside the strings (bytes {first} to {size})"
    )]
    Offset {
        /// Type of the message.
        message: MessageType,
        /// Name of the field.
        field: &'static str,
        /// Where the string is said to begin.
        offset: u64,
        /// Where the string area begins.
        first: usize,
        /// Size of the message.
        size: usize,
    },
    /// A string has no NUL before the end of the message.
    #[error("{message}: {field} at byte {offset} has no NUL before the end at {size}")]
    Unterminated {
        /// Type of the message.
        message: MessageType,
        /// Name of the field.
        field: &'static str,
        /// Where the string begins.
        offset: usize,
        /// Size of the message.
        size: usize,
    },
    /// A list of strings does not have as many strings as the message says.
    #[error(
        "{message}: {field} at byte {offset} should be {count} strings, there are {found} (message size {size})"
    )]
    Count {
        /// Type of the message.
        message: MessageType,
        /// Name of the field.
        field: &'static str,
        /// Where the list begins.
        offset: usize,
        /// Number that the message states.
        count: usize,
        /// Number that is there.
        found: usize,
        /// Size of the message.
        size: usize,
    },
    /// A list has more entries than a receiver takes.
    #[error("{message}: {field} at byte {offset} has more than {limit} entries")]
    TooMany {
        /// Type of the message.
        message: MessageType,
        /// Name of the field.
        field: &'static str,
        /// Where the list begins.
        offset: usize,
        /// Most entries that are taken.
        limit: usize,
    },
    /// An item of the extension block reaches over the end of the message.
    #[error(
        "{message}: extension item at byte {offset} needs {needed} bytes, {left} are left (message size {size})"
    )]
    Item {
        /// Type of the message.
        message: MessageType,
        /// Where the item begins.
        offset: usize,
        /// Bytes of the item: 8 for its head, or head and value.
        needed: usize,
        /// Bytes up to the end of the message.
        left: usize,
        /// Size of the message.
        size: usize,
    },
}

/// Why a message cannot be put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message would be larger than [`MAX_MESSAGE`].
    #[error("{message}: {size} bytes are over the limit of {MAX_MESSAGE} bytes")]
    TooLong {
        /// Type of the message.
        message: MessageType,
        /// Size at which encoding stopped, in bytes.
        size: usize,
    },
    /// A string holds a NUL, which ends strings on the wire.
    #[error("{field} holds a NUL at byte {at}")]
    Nul {
        /// Name of the field.
        field: &'static str,
        /// Position within the string.
        at: usize,
    },
    /// A list has more entries than its count can state or a receiver takes.
    #[error("{count} {field}, at most {limit} can be sent")]
    TooMany {
        /// Name of the list.
        field: &'static str,
        /// Entries that were to be sent.
        count: usize,
        /// Most entries possible.
        limit: usize,
    },
    /// A list that an empty string ends has an empty entry.
    #[error("{field}: entry {index} is empty, which would end the list")]
    EmptyEntry {
        /// Name of the list.
        field: &'static str,
        /// Position of the entry, from 0.
        index: usize,
    },
}

/// Why the value of an extension item does not have its tag's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// A number has the wrong number of bytes.
    #[error("extension item {tag}: {length} bytes where {expected} belong")]
    Length {
        /// Tag of the item.
        tag: Tag,
        /// Bytes in the value.
        length: usize,
        /// Bytes of the number.
        expected: usize,
    },
    /// The last string of a list has no NUL.
    #[error("extension item {tag}: the last string of {length} bytes has no NUL")]
    Unterminated {
        /// Tag of the item.
        tag: Tag,
        /// Bytes in the value.
        length: usize,
    },
}
