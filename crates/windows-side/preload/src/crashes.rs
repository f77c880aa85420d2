//! Keeps Wine from writing about a crash on the program's standard error.
//!
//! For an exception that nobody handles Wine always writes one line there, whatever it is told of
//! debugging output. On Windows a console program writes nothing, and the interpreter names the
//! crash. Whoever sets `WINEDEBUG` wants to hear of it, and does.

use core::ffi::{CStr, c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};

/// How the line begins and ends (`start_debugger` in Wine's `dlls/kernelbase/debug.c`).
const BEGIN: &[u8] = b"wine: Unhandled ";
const END: &[u8] = b", starting debugger...\n";

/// The line is not longer than this.
const LONGEST: usize = 512;

static QUIET: AtomicBool = AtomicBool::new(false);

/// Notes whether crashes are to be quiet: where Wine is told to say nothing at all.
pub(crate) fn prepare(debugging: Option<&CStr>) {
    QUIET.store(debugging == Some(c"-all"), Ordering::Relaxed);
}

/// Whether this is the line, and nobody wants it.
///
/// # Safety
/// `buffer` is valid for reads of `length` bytes.
pub(crate) unsafe fn is_noise(fd: c_int, buffer: *const c_void, length: usize) -> bool {
    if fd != libc::STDERR_FILENO || length > LONGEST || buffer.is_null() {
        return false;
    }
    if !QUIET.load(Ordering::Relaxed) {
        return false;
    }
    // SAFETY: the caller's promise.
    let text = unsafe { core::slice::from_raw_parts(buffer.cast::<u8>(), length) };
    text.starts_with(BEGIN) && text.ends_with(END)
}
