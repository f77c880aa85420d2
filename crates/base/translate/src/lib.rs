//! Translates what a Linux caller says into what a Windows program hears, and back.
//!
//! Everything here is a pure function over text: a mount table that somebody else has read, a
//! closure that says whether a file exists, a list of arguments. There is no input or output, no
//! global state and no standard library, so the interpreter can use it before libc is set up and
//! every rule can be tested with made-up mounts.
//!
//! | module | what it translates |
//! |---|---|
//! | [`bytes`] | Linux bytes to UTF-16 and back |
//! | [`mounts`] | the text of `/proc/self/mountinfo` into a table of mounts |
//! | [`paths`] | Linux paths to Windows paths and back |
//! | [`wslenv`] | the variables that `WSLENV` lists |
//! | [`groups`] | variables that a setting passes together |
//! | [`command_line`] | an argument list into one Windows command line |
//! | [`pathext`] | a bare program name into a file, as Windows searches for it |
//! | [`wslpath`] | the arguments of `wslpath` into its output |
//!
//! # How text is represented
//! Linux text is bytes. Windows text is UTF-16 that need not be well formed. Between the two this
//! crate keeps Windows text as *bytes that are to be read as WTF-8*: UTF-8 in which an unpaired
//! surrogate has its three-byte form. Bytes that are neither stay as they are for as long as the
//! text stays bytes (WSL's wire format carries them like that) and become U+FFFD in UTF-16; see
//! [`bytes::to_utf16`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bytes;
pub mod command_line;
pub mod groups;
pub mod mounts;
pub mod pathext;
pub mod paths;
pub mod shell;
pub mod wslenv;
pub mod wslpath;

pub use mounts::MountTable;
pub use paths::{Drives, LinuxPath, Naming, Translator, WindowsPath};
