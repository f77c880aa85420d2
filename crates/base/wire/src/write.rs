//! Putting a message together: header, fixed layout, strings, extension block.

use alloc::vec::Vec;

use zerocopy::{Immutable, IntoBytes};

use crate::kind::MAX_LIST;
use crate::{EncodeError, Header, HeaderForm, MAX_MESSAGE, MessageType};

/// Adds the `encode` that every message has besides `encode_as`.
macro_rules! encode_current {
    () => {
        /// Appends the message to `out` with a 16-byte header; type and size are filled in.
        ///
        /// # Errors
        /// As `encode_as`; `out` is then as it was.
        pub fn encode(
            &self,
            header: &crate::Header,
            out: &mut alloc::vec::Vec<u8>,
        ) -> Result<(), crate::EncodeError> {
            self.encode_as(crate::HeaderForm::Current, header, out)
        }
    };
}
pub(crate) use encode_current;

/// Appends one message to `out`: its header, and what `body` writes. On an error `out` is as it was.
pub(crate) fn message(
    out: &mut Vec<u8>,
    form: HeaderForm,
    message_type: MessageType,
    header: &Header,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let result = write(out, form, message_type, header, body);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn write(
    out: &mut Vec<u8>,
    form: HeaderForm,
    message_type: MessageType,
    header: &Header,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut writer = Writer { start: out.len(), out, message_type };
    writer.zeros(form.size())?;
    body(&mut writer)?;
    let size = writer.position_u32()?;
    let header = Header { message_type, size, ..*header };
    let start = writer.start;
    let written = out.get_mut(start..).is_some_and(|target| header.write(form, target));
    debug_assert!(written, "room for the header was made above");
    Ok(())
}

/// A place in the message that was left for a fixed layout.
pub(crate) struct Gap {
    at: usize,
}

impl Gap {
    /// Where the gap begins, counted from the start of the message.
    pub(crate) fn position(&self) -> usize {
        self.at
    }
}

/// Writer of one message; positions count from its start.
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    message_type: MessageType,
}

impl Writer<'_> {
    /// Bytes written so far, header included.
    pub(crate) fn position(&self) -> usize {
        self.out.len().saturating_sub(self.start)
    }

    fn position_u32(&self) -> Result<u32, EncodeError> {
        let (message, size) = (self.message_type, self.position());
        u32::try_from(size).map_err(|_| EncodeError::TooLong { message, size })
    }

    /// Refuses `more` bytes that would make the message too long.
    fn check(&self, more: usize) -> Result<(), EncodeError> {
        let (message, size) = (self.message_type, self.position().saturating_add(more));
        if size > MAX_MESSAGE as usize {
            return Err(EncodeError::TooLong { message, size });
        }
        Ok(())
    }

    fn zeros(&mut self, count: usize) -> Result<(), EncodeError> {
        self.check(count)?;
        self.out.resize(self.out.len() + count, 0);
        Ok(())
    }

    /// Appends zeros up to the next position that is a multiple of `alignment`, as a C compiler
    /// pads.
    pub(crate) fn align_to(&mut self, alignment: usize) -> Result<(), EncodeError> {
        let padding = self.position().next_multiple_of(alignment) - self.position();
        self.zeros(padding)
    }

    /// Appends bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.check(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a fixed layout.
    pub(crate) fn put<T: IntoBytes + Immutable>(&mut self, layout: &T) -> Result<(), EncodeError> {
        self.bytes(layout.as_bytes())
    }

    /// Leaves room for a fixed layout, to be filled in once the offsets are known.
    pub(crate) fn gap<T>(&mut self) -> Result<Gap, EncodeError> {
        let at = self.position();
        self.zeros(size_of::<T>())?;
        Ok(Gap { at })
    }

    /// Fills a gap.
    pub(crate) fn fill<T: IntoBytes + Immutable>(&mut self, gap: &Gap, layout: &T) {
        let begin = self.start + gap.at;
        let target = self.out.get_mut(begin..).and_then(|rest| rest.get_mut(..size_of::<T>()));
        debug_assert!(target.is_some(), "a gap is part of the message");
        if let Some(target) = target {
            target.copy_from_slice(layout.as_bytes());
        }
    }

    /// Appends a string and its NUL.
    pub(crate) fn string(&mut self, field: &'static str, string: &[u8]) -> Result<(), EncodeError> {
        if let Some(at) = string.iter().position(|byte| *byte == 0) {
            return Err(EncodeError::Nul { field, at });
        }
        self.bytes(string)?;
        self.bytes(&[0])
    }

    /// The offset of what is written next, counted from `base`.
    pub(crate) fn offset(&self, base: usize) -> Result<u32, EncodeError> {
        let (message, size) = (self.message_type, self.position());
        u32::try_from(size.saturating_sub(base)).map_err(|_| EncodeError::TooLong { message, size })
    }

    /// Appends a string and tells its offset from `base`.
    pub(crate) fn string_at(
        &mut self,
        base: usize,
        field: &'static str,
        string: &[u8],
    ) -> Result<u32, EncodeError> {
        let offset = self.offset(base)?;
        self.string(field, string)?;
        Ok(offset)
    }

    /// Appends a string, or nothing; its offset from `base`, or 0.
    pub(crate) fn optional_at(
        &mut self,
        base: usize,
        field: &'static str,
        string: Option<&[u8]>,
    ) -> Result<u32, EncodeError> {
        string.map_or(Ok(0), |string| self.string_at(base, field, string))
    }

    /// Appends strings one after the other; their offset from `base`, and how many they are.
    pub(crate) fn counted_at(
        &mut self,
        base: usize,
        field: &'static str,
        strings: &[&[u8]],
    ) -> Result<(u32, u16), EncodeError> {
        let count = strings.len();
        let limit = usize::from(u16::MAX);
        let number =
            u16::try_from(count).map_err(|_| EncodeError::TooMany { field, count, limit })?;
        let offset = self.offset(base)?;
        for string in strings {
            self.string(field, string)?;
        }
        Ok((offset, number))
    }

    /// Appends strings and the empty one that ends them; their offset from `base`.
    pub(crate) fn until_empty_at(
        &mut self,
        base: usize,
        field: &'static str,
        strings: &[&[u8]],
    ) -> Result<u32, EncodeError> {
        let count = strings.len();
        if count > MAX_LIST {
            return Err(EncodeError::TooMany { field, count, limit: MAX_LIST });
        }
        let offset = self.offset(base)?;
        for (index, string) in strings.iter().enumerate() {
            if string.is_empty() {
                return Err(EncodeError::EmptyEntry { field, index });
            }
            self.string(field, string)?;
        }
        self.bytes(&[0])?;
        Ok(offset)
    }
}
