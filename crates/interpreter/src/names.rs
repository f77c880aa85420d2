//! The Windows names that go into WSL's own fields: from the mount table, read only if it is needed.

use crate::start::Environment;
use alloc::vec::Vec;
use rustix::fd::{BorrowedFd, OwnedFd};

/// Translates what the request needs.
pub(crate) struct WindowsNames<'a> {
    distribution: &'a [u8],
}

impl<'a> WindowsNames<'a> {
    pub(crate) fn new(environment: &Environment<'a>) -> Self {
        let distribution = environment.non_empty(b"WSL_DISTRO_NAME").unwrap_or(b"Linux");
        Self { distribution }
    }

    pub(crate) fn executable(&mut self, path: &[u8], _file: BorrowedFd<'_>) -> Vec<u8> {
        self.translate(path)
    }

    pub(crate) fn directory(&mut self, path: &[u8], _directory: Option<&OwnedFd>) -> Vec<u8> {
        self.translate(path)
    }

    pub(crate) fn variables(&mut self, environment: &Environment<'_>) -> Vec<Vec<u8>> {
        let value = environment.get(b"WSLENV").unwrap_or_default();
        alloc::vec![[&b"WSLENV="[..], value].concat()]
    }

    fn translate(&self, path: &[u8]) -> Vec<u8> {
        let mut name = [&b"\\\\wsl.localhost\\"[..], self.distribution].concat();
        name.extend(path.iter().map(|byte| if *byte == b'/' { b'\\' } else { *byte }));
        name
    }
}

pub(crate) fn raw_paths<'a>(_: &Environment<'a>) -> impl Iterator<Item = &'a [u8]> {
    core::iter::empty()
}
