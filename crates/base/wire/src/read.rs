//! Bounds-checked reading: fixed layouts, and strings that a message names by offset.

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::extension::{self, Extensions};
use crate::kind::MAX_LIST;
use crate::{DecodeError, Message, MessageType};

/// Reads the fixed layout `T` at byte `at` of a message.
pub(crate) fn layout<'a, T>(message: &Message<'a>, at: usize) -> Result<&'a T, DecodeError>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    message
        .bytes
        .get(at..)
        .and_then(|rest| T::ref_from_prefix(rest).ok())
        .map(|(layout, _)| layout)
        .ok_or(DecodeError::Layout {
            message: message.header.message_type,
            size: message.bytes.len(),
            minimum: at.saturating_add(size_of::<T>()),
        })
}

/// Reads the extension block that stands at byte `at` of a message, if one does.
pub(crate) fn extensions<'a>(
    message: &Message<'a>,
    at: usize,
) -> Result<Extensions<'a>, DecodeError> {
    extension::decode(message.header.message_type, message.bytes, at)
}

/// One string, or several in a row, and the bytes of the message they take, NULs included.
pub(crate) struct Span<T> {
    pub(crate) value: T,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What an optional string says.
pub(crate) fn value<T>(span: Option<Span<T>>) -> Option<T> {
    span.map(|span| span.value)
}

/// Reader of the strings of one message, whose offsets count from `base`.
pub(crate) struct Strings<'a> {
    message: MessageType,
    bytes: &'a [u8],
    base: usize,
    first: usize,
}

impl<'a> Strings<'a> {
    /// A reader for offsets that count from byte `base`; strings begin at byte `first` or later.
    pub(crate) fn new(message: &Message<'a>, base: usize, first: usize) -> Self {
        Self { message: message.header.message_type, bytes: message.bytes, base, first }
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Turns an offset field into a position in the message.
    fn start(&self, field: &'static str, offset: u32) -> Result<usize, DecodeError> {
        let position = self.base as u64 + u64::from(offset);
        usize::try_from(position)
            .ok()
            .filter(|start| (self.first..=self.size()).contains(start))
            .ok_or(DecodeError::Offset {
                message: self.message,
                field,
                offset: position,
                first: self.first,
                size: self.size(),
            })
    }

    /// The string that begins at `start`, without its NUL, and the position behind the NUL.
    fn terminated(&self, start: usize) -> Option<(&'a [u8], usize)> {
        let rest = self.bytes.get(start..)?;
        let length = rest.iter().position(|byte| *byte == 0)?;
        Some((rest.get(..length)?, start + length + 1))
    }

    /// Reads the one string of a field.
    pub(crate) fn one(
        &self,
        field: &'static str,
        offset: u32,
    ) -> Result<Span<&'a [u8]>, DecodeError> {
        let start = self.start(field, offset)?;
        let (value, end) = self.terminated(start).ok_or(DecodeError::Unterminated {
            message: self.message,
            field,
            offset: start,
            size: self.size(),
        })?;
        Ok(Span { value, start, end })
    }

    /// Reads the string of a field where an offset of 0 says that there is none.
    pub(crate) fn optional(
        &self,
        field: &'static str,
        offset: u32,
    ) -> Result<Option<Span<&'a [u8]>>, DecodeError> {
        if offset == 0 { Ok(None) } else { self.one(field, offset).map(Some) }
    }

    /// Reads `count` strings that follow each other.
    pub(crate) fn counted(
        &self,
        field: &'static str,
        offset: u32,
        count: u16,
    ) -> Result<Span<Vec<&'a [u8]>>, DecodeError> {
        let start = self.start(field, offset)?;
        let count = usize::from(count);
        let mut value = Vec::new();
        let mut end = start;
        while value.len() < count {
            let Some((string, next)) = self.terminated(end) else {
                return Err(self.count_error(field, start, count, value.len()));
            };
            value.push(string);
            end = next;
        }
        Ok(Span { value, start, end })
    }

    /// Reads strings up to an empty one. `end` lies behind the empty one.
    pub(crate) fn until_empty(
        &self,
        field: &'static str,
        offset: u32,
    ) -> Result<Span<Vec<&'a [u8]>>, DecodeError> {
        let (message, start) = (self.message, self.start(field, offset)?);
        let mut value = Vec::new();
        let mut at = start;
        loop {
            let (string, end) = self.terminated(at).ok_or(DecodeError::Unterminated {
                message,
                field,
                offset: at,
                size: self.size(),
            })?;
            if string.is_empty() {
                return Ok(Span { value, start, end });
            }
            if value.len() == MAX_LIST {
                return Err(DecodeError::TooMany {
                    message,
                    field,
                    offset: start,
                    limit: MAX_LIST,
                });
            }
            value.push(string);
            at = end;
        }
    }

    /// Refuses a counted list that runs into one of `others`: its count is too large.
    pub(crate) fn apart(
        &self,
        field: &'static str,
        list: &Span<Vec<&'a [u8]>>,
        others: &[usize],
    ) -> Result<(), DecodeError> {
        let inside = |start: &&usize| **start > list.start && **start < list.end;
        let Some(limit) = others.iter().filter(inside).min() else { return Ok(()) };
        let mut end = list.start;
        let fitting = list.value.iter().take_while(|string| {
            end = end.saturating_add(string.len() + 1);
            end <= *limit
        });
        Err(self.count_error(field, list.start, list.value.len(), fitting.count()))
    }

    /// Position behind one NUL that may follow `end`.
    pub(crate) fn skip_nul(&self, end: usize) -> usize {
        if self.bytes.get(end) == Some(&0) { end + 1 } else { end }
    }

    fn count_error(
        &self,
        field: &'static str,
        offset: usize,
        count: usize,
        found: usize,
    ) -> DecodeError {
        let (message, size) = (self.message, self.size());
        DecodeError::Count { message, field, offset, count, found, size }
    }
}
