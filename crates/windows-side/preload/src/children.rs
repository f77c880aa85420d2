//! Gives this library to the Windows processes that a Windows process starts.
//!
//! Wine starts them by a fork that executes the loader with the Unix environment it has, so the
//! variables that ask for it are put back there, in the fork. The process itself stays without
//! them: no Windows program sees them, and a Linux program started from Windows, which gets the
//! Windows environment, does not either.

use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::environment::Settings;

/// The entries to put back, until that is done.
static ENTRIES: [AtomicPtr<c_char>; 3] = [const { AtomicPtr::new(null_mut()) }; 3];

/// Keeps the entries, if children are to have the library.
pub(crate) fn prepare(settings: &Settings) {
    if let (Some(preload), Some(children)) = (settings.preload, settings.children) {
        let entries = [preload, children].into_iter().chain(settings.console_entry);
        for (kept, entry) in ENTRIES.iter().zip(entries) {
            kept.store(CStr::as_ptr(entry).cast_mut(), Ordering::Relaxed);
        }
    }
}

/// Puts the entries back, in a process that was forked just now, and says who its parent is.
///
/// libc's `fork` leaves the child's memory allocation usable, and Wine sets variables in the same
/// place. Wine forks twice for each child: what the first fork has done the second finds done.
pub(crate) fn begin(parent: c_int) {
    let mut has_any = false;
    for kept in &ENTRIES {
        let entry = kept.swap(null_mut(), Ordering::Relaxed);
        if !entry.is_null() {
            has_any = true;
            // SAFETY: a string that stays as long as the process, which has one thread.
            unsafe { libc::putenv(entry) };
        }
    }
    if has_any {
        let digits = digits(parent.unsigned_abs());
        // SAFETY: both are strings, which are copied; the process has one thread.
        unsafe { libc::setenv(PARENT.as_ptr(), digits.as_ptr().cast(), 1) };
    }
}

/// The variable with the parent's pid.
const PARENT: &CStr = c"WINTEROP_PARENT";

/// A number in decimal digits, as a string.
fn digits(number: u32) -> [u8; 12] {
    let mut text = [0; 12];
    let mut rest = number;
    let mut length = 1;
    while rest >= 10 {
        rest /= 10;
        length += 1;
    }
    rest = number;
    for place in text.iter_mut().take(length).rev() {
        *place = b'0'.wrapping_add((rest % 10) as u8);
        rest /= 10;
    }
    text
}
