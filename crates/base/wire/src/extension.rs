//! The extension block: what Winterop's peers tell each other beyond WSL's fields.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::tag::{Features, MAGIC, MAX_ITEMS, Placement, Role, Tag};
use crate::write::Writer;
use crate::{DecodeError, EncodeError, MessageType, ValueError};

/// The items of an extension block, in order.
///
/// The block stands behind the last string of a message, or behind the fixed layout of a message
/// without strings. A tag that occurs twice counts where it occurs first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    items: Vec<(Tag, Cow<'a, [u8]>)>,
}

impl<'a> Extensions<'a> {
    /// No items; such a block is not written at all.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// All items in order, those with unknown tags included.
    pub fn iter(&self) -> impl Iterator<Item = (Tag, &[u8])> {
        self.items.iter().map(|(tag, value)| (*tag, value.as_ref()))
    }

    /// The value of the first item with this tag.
    #[must_use]
    pub fn get(&self, tag: Tag) -> Option<&[u8]> {
        self.iter().find(|(candidate, _)| *candidate == tag).map(|(_, value)| value)
    }

    /// The value of `tag` as a byte.
    ///
    /// # Errors
    /// [`ValueError::Length`] if it is not one byte.
    pub fn get_u8(&self, tag: Tag) -> Result<Option<u8>, ValueError> {
        Ok(self.number(tag)?.map(|[byte]| byte))
    }

    /// The value of `tag` as a number.
    ///
    /// # Errors
    /// [`ValueError::Length`] if it is not four bytes.
    pub fn get_u32(&self, tag: Tag) -> Result<Option<u32>, ValueError> {
        Ok(self.number(tag)?.map(u32::from_le_bytes))
    }

    /// The value of `tag` as a number.
    ///
    /// # Errors
    /// [`ValueError::Length`] if it is not eight bytes.
    pub fn get_u64(&self, tag: Tag) -> Result<Option<u64>, ValueError> {
        Ok(self.number(tag)?.map(u64::from_le_bytes))
    }

    fn number<const N: usize>(&self, tag: Tag) -> Result<Option<[u8; N]>, ValueError> {
        let Some(value) = self.get(tag) else { return Ok(None) };
        let error = ValueError::Length { tag, length: value.len(), expected: N };
        value.try_into().map(Some).map_err(|_| error)
    }

    /// The value of `tag` as a list of NUL-terminated strings; an empty value is an empty list.
    ///
    /// # Errors
    /// [`ValueError::Unterminated`] if the last string has no NUL.
    pub fn strings(&self, tag: Tag) -> Result<Option<Strings<'_>>, ValueError> {
        let Some(value) = self.get(tag) else { return Ok(None) };
        if value.last().is_some_and(|last| *last != 0) {
            return Err(ValueError::Unterminated { tag, length: value.len() });
        }
        Ok(Some(Strings { rest: value }))
    }

    /// The features under `tag` ([`Tag::CLIENT_FEATURES`] or [`Tag::HOST_FEATURES`]); none where the
    /// item is absent.
    ///
    /// # Errors
    /// [`ValueError::Length`] if it is not four bytes.
    pub fn features(&self, tag: Tag) -> Result<Features, ValueError> {
        Ok(Features(self.get_u32(tag)?.unwrap_or(0)))
    }

    /// The roles of the descriptors that travel with the message; `None` where nothing is said.
    #[must_use]
    pub fn roles(&self) -> Option<impl Iterator<Item = Role>> {
        Some(self.get(Tag::DESCRIPTOR_ROLES)?.iter().map(|number| Role::from(*number)))
    }

    /// The placement that the client wants.
    ///
    /// # Errors
    /// [`ValueError::Length`] if it is not one byte.
    pub fn placement(&self) -> Result<Placement, ValueError> {
        Ok(self.get_u8(Tag::PLACEMENT)?.map_or_else(Placement::default, Placement::from))
    }

    /// Adds an item at the end.
    pub fn push(&mut self, tag: Tag, value: impl Into<Cow<'a, [u8]>>) {
        self.items.push((tag, value.into()));
    }

    /// Adds a byte.
    pub fn push_u8(&mut self, tag: Tag, value: u8) {
        self.push(tag, [value].to_vec());
    }

    /// Adds a number of four bytes.
    pub fn push_u32(&mut self, tag: Tag, value: u32) {
        self.push(tag, value.to_le_bytes().to_vec());
    }

    /// Adds a number of eight bytes.
    pub fn push_u64(&mut self, tag: Tag, value: u64) {
        self.push(tag, value.to_le_bytes().to_vec());
    }

    /// Adds a list of strings, each with a NUL behind it.
    ///
    /// # Errors
    /// [`EncodeError::Nul`] if one of them holds a NUL; nothing is added then.
    pub fn push_strings<'s>(
        &mut self,
        tag: Tag,
        strings: impl IntoIterator<Item = &'s [u8]>,
    ) -> Result<(), EncodeError> {
        let mut value = Vec::new();
        for string in strings {
            if let Some(at) = string.iter().position(|byte| *byte == 0) {
                return Err(EncodeError::Nul { field: tag.name().unwrap_or("a string"), at });
            }
            value.extend_from_slice(string);
            value.push(0);
        }
        self.push(tag, value);
        Ok(())
    }

    /// Adds the roles of the descriptors that travel with the message, in their order.
    pub fn push_roles(&mut self, roles: impl IntoIterator<Item = Role>) {
        let value: Vec<u8> = roles.into_iter().map(u8::from).collect();
        self.push(Tag::DESCRIPTOR_ROLES, value);
    }

    /// Copies whatever is borrowed, so that the items outlive the message they came from.
    #[must_use]
    pub fn into_owned(self) -> Extensions<'static> {
        let owned = |(tag, value): (Tag, Cow<'a, [u8]>)| (tag, Cow::Owned(value.into_owned()));
        Extensions { items: self.items.into_iter().map(owned).collect() }
    }
}

/// The strings of a NUL-terminated list, without their NULs.
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = self.rest.iter().position(|byte| *byte == 0)?;
        let (string, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Some(string)
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ItemHead {
    tag: U16,
    reserved: U16,
    length: U32,
}

/// Reads the extension block at byte `at` of a message; bytes that are no such block are ignored.
pub(crate) fn decode(
    message: MessageType,
    bytes: &[u8],
    at: usize,
) -> Result<Extensions<'_>, DecodeError> {
    let mut extensions = Extensions::new();
    let block = bytes.get(at..).and_then(|rest| rest.strip_prefix(&MAGIC));
    let Some(mut rest) = block else { return Ok(extensions) };
    let size = bytes.len();
    let mut count = 0_usize;
    while !rest.is_empty() {
        let (offset, left) = (size - rest.len(), rest.len());
        let truncated = |needed| DecodeError::Item { message, offset, needed, left, size };
        let (head, values) =
            ItemHead::ref_from_prefix(rest).map_err(|_| truncated(size_of::<ItemHead>()))?;
        let length = usize::try_from(head.length.get()).unwrap_or(usize::MAX);
        let (value, next) = values
            .split_at_checked(length)
            .ok_or(truncated(length.saturating_add(size_of::<ItemHead>())))?;
        count += 1;
        if count > MAX_ITEMS {
            let field = "extension items";
            return Err(DecodeError::TooMany { message, field, offset: at, limit: MAX_ITEMS });
        }
        // Another value is kept free for items of a form that this version cannot read.
        if head.reserved.get() == 0 {
            extensions.push(Tag(head.tag.get()), value);
        }
        rest = next;
    }
    Ok(extensions)
}

/// Appends the extension block, or nothing where there are no items.
pub(crate) fn encode(
    extensions: &Extensions<'_>,
    writer: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    if extensions.is_empty() {
        return Ok(());
    }
    let count = extensions.len();
    if count > MAX_ITEMS {
        return Err(EncodeError::TooMany { field: "extension items", count, limit: MAX_ITEMS });
    }
    writer.bytes(&MAGIC)?;
    for (tag, value) in extensions.iter() {
        // A value that does not fit in 32 bits does not fit in a message either.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let reserved = U16::ZERO;
        writer.put(&ItemHead { tag: U16::new(tag.0), reserved, length: U32::new(length) })?;
        writer.bytes(value)?;
    }
    Ok(())
}

impl Writer<'_> {
    /// Appends the extension block, or nothing where there are no items.
    pub(crate) fn extensions(&mut self, extensions: &Extensions<'_>) -> Result<(), EncodeError> {
        encode(extensions, self)
    }
}
