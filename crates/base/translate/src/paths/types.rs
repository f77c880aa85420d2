//! The two kinds of paths.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::bytes::{for_display, to_utf16};

/// An absolute or relative Linux path: bytes without NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinuxPath<'a>(pub &'a [u8]);

impl<'a> LinuxPath<'a> {
    /// Tells whether the path begins with a slash.
    pub fn is_absolute(self) -> bool {
        self.0.first() == Some(&b'/')
    }

    /// The part behind the last slash.
    pub fn file_name(self) -> &'a [u8] {
        self.0.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// Makes the path absolute by putting `directory` in front of a relative one; nothing else.
    pub fn in_directory(self, directory: LinuxPath) -> Cow<'a, [u8]> {
        if self.is_absolute() {
            return Cow::Borrowed(self.0);
        }
        Cow::Owned([directory.0, b"/", self.0].concat())
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for LinuxPath<'a> {
    fn from(path: &'a T) -> Self {
        Self(path.as_ref())
    }
}

impl fmt::Display for LinuxPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&for_display(self.0))
    }
}

impl fmt::Debug for LinuxPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.0), f)
    }
}

/// A Windows path, as bytes that are read as WTF-8 (see [`crate::bytes`]).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowsPath(pub(super) Vec<u8>);

impl WindowsPath {
    /// Takes bytes as a Windows path, as they are.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The path's bytes, as they go onto the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path's bytes, as they go onto the wire.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The path as UTF-16 units without a NUL; lossy as [`to_utf16`] is.
    pub fn to_utf16(&self) -> Vec<u16> {
        to_utf16(&self.0)
    }

    /// The same path with forward slashes, as `wslpath -m` prints it.
    pub fn with_forward_slashes(mut self) -> Self {
        for byte in &mut self.0 {
            if *byte == b'\\' {
                *byte = b'/';
            }
        }
        self
    }

    /// Tells whether the path is below a drive letter, and so can be cmd.exe's directory.
    pub fn has_drive_letter(&self) -> bool {
        matches!(self.0.as_slice(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic())
    }

    /// Tells whether WSL takes the path for absolute: a drive letter, or two slashes of any kind.
    pub fn is_absolute(&self) -> bool {
        is_absolute(&self.0)
    }

    /// The part behind the last slash of either kind.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&byte| is_separator(byte)).next().unwrap_or_default()
    }

    /// Reads what a mount says it shows: a drive with or without a slash of either kind behind it,
    /// or `UNC\server\share`. No backslash at the end.
    pub(crate) fn root_of_mount(text: &[u8]) -> Option<Self> {
        let mut root: Vec<u8> = Vec::with_capacity(text.len() + 2);
        match text {
            [b'U', b'N', b'C', b'\\' | b'/', rest @ ..] => {
                root.extend_from_slice(b"\\\\");
                root.extend_from_slice(rest);
            }
            [b'\\' | b'/', b'\\' | b'/', ..] => root.extend_from_slice(text),
            [letter, b':'] | [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic() => {
                root.extend_from_slice(text);
            }
            _ => return None,
        }
        for byte in &mut root {
            if *byte == b'/' {
                *byte = b'\\';
            }
        }
        while root.last() == Some(&b'\\') {
            root.pop();
        }
        (!root.is_empty()).then_some(Self(root))
    }
}

impl fmt::Display for WindowsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&for_display(&self.0))
    }
}

impl fmt::Debug for WindowsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

pub(crate) fn is_separator(byte: u8) -> bool {
    matches!(byte, b'\\' | b'/')
}

pub(crate) fn is_absolute(path: &[u8]) -> bool {
    match path {
        [first, second, _, ..] if is_separator(*first) && is_separator(*second) => true,
        [letter, b':', _, ..] => letter.is_ascii_alphabetic(),
        _ => false,
    }
}

pub(super) fn is_drive(path: &[u8]) -> bool {
    matches!(path, [letter, b':'] if letter.is_ascii_alphabetic())
}
