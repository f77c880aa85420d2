//! This process's variables as programs are given them: `NAME=value`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// All of them.
#[must_use]
pub fn own() -> Vec<Vec<u8>> {
    std::env::vars_os().map(|(name, value)| entry(&name, &value)).collect()
}

/// One.
#[must_use]
pub fn entry(name: &OsStr, value: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}
