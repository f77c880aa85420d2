//! Gives this library to the Windows processes that a Windows process starts.
//!
//! Wine starts them by a fork that executes the loader with the Unix environment it has, so the
//! variables that ask for it are put back there, in the fork. The process itself stays without
//! them: no Windows program sees them, and a Linux program started from Windows, which gets the
//! Windows environment, does not either.

use core::ffi::{CStr, c_char};
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

/// Puts the entries back, in a process that was forked just now.
///
/// libc's `fork` leaves the child's memory allocation usable, and Wine sets variables in the same
/// place.
pub(crate) fn begin() {
    for kept in &ENTRIES {
        let entry = kept.swap(null_mut(), Ordering::Relaxed);
        if !entry.is_null() {
            // SAFETY: a string that stays as long as the process, which has one thread.
            unsafe { libc::putenv(entry) };
        }
    }
}
