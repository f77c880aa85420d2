//! `signal-report [COUNT]`: prints "ready", then the name of each console event it gets (CTRL_C,
//! CTRL_BREAK, CLOSE, LOGOFF, SHUTDOWN), and ends with 0 after COUNT of them (1 if not given).
//!
//! With COUNT 0 it installs no handler and waits: what ends it is Windows' own doing.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT,
    SetConsoleCtrlHandler,
};
use windows_sys::core::BOOL;
use winterop_testprogs::{number_argument, say, wait_for_ever};

/// How many events are still to come.
static LEFT: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let count = number_argument(1, 1)?;
    if count > 0 {
        LEFT.store(count, Ordering::SeqCst);
        // SAFETY: the handler has the signature asked for and lasts as long as the program.
        if unsafe { SetConsoleCtrlHandler(Some(handler), 1) } == 0 {
            return Err(io::Error::last_os_error());
        }
    }
    say("ready")?;
    wait_for_ever()
}

/// Runs in a thread of its own that Windows starts for each event.
unsafe extern "system" fn handler(event: u32) -> BOOL {
    let name = match event {
        CTRL_C_EVENT => "CTRL_C",
        CTRL_BREAK_EVENT => "CTRL_BREAK",
        CTRL_CLOSE_EVENT => "CLOSE",
        CTRL_LOGOFF_EVENT => "LOGOFF",
        CTRL_SHUTDOWN_EVENT => "SHUTDOWN",
        _ => "unknown",
    };
    if say(name).is_err() {
        std::process::exit(2);
    }
    if LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
        std::process::exit(0);
    }
    1
}
