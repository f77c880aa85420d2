//! Makes terminals files like any other, where the program is not to be interactive.
//!
//! Wine asks `isatty` whether a standard descriptor is a terminal, and makes a console of it then,
//! which reads ahead what is typed and moves the cursor. As in WSL a program has a console only if
//! its three descriptors are one terminal and its caller is in the foreground there.

use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::system;

static PLAIN: AtomicBool = AtomicBool::new(false);

/// Notes whether terminals are to be files.
pub(crate) fn prepare(plain: Option<&CStr>) {
    PLAIN.store(plain.is_some(), Ordering::Relaxed);
}

/// libc's `isatty`.
pub(crate) fn is_terminal(fd: c_int) -> c_int {
    if PLAIN.load(Ordering::Relaxed) {
        return system::finish(-libc::c_long::from(libc::ENOTTY)).max(0) as c_int;
    }
    let mut modes = core::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: there is room for the modes.
    c_int::from(unsafe { libc::tcgetattr(fd, modes.as_mut_ptr()) } == 0)
}
