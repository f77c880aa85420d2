//! Lists of C strings as exec wants them.

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::c_char;
use core::ptr;

/// C strings with the array of pointers to them that exec takes, ended by a null pointer.
#[derive(Debug)]
pub struct CStrings {
    // Kept because `pointers` points into them; a CString's bytes do not move with it.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CStrings {
    /// Copies `strings`; of one that holds a NUL only what stands before it.
    pub fn new<'a>(strings: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let strings: Vec<CString> = strings.into_iter().map(c_string).collect();
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }

    /// The array that exec takes.
    #[must_use]
    pub fn as_pointers(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// Copies `bytes` up to their first NUL.
#[must_use]
pub fn c_string(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    CString::new(bytes.get(..end).unwrap_or_default()).unwrap_or_default()
}
