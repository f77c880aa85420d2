//! `tty-report`: which standard handles are a console.
//!
//! Prints a line for each: "stdin console MODE" or "stdin other" or "stdin none", MODE being the
//! console's mode in hexadecimal, for the outputs followed by "vt" if escape sequences can be
//! switched on. Then "size COLUMNS ROWS" of the console, or "size none".

use std::fs::OpenOptions;
use std::io;
use std::os::windows::io::{AsRawHandle as _, BorrowedHandle};

use windows_sys::Win32::System::Console::{
    CONSOLE_MODE, CONSOLE_SCREEN_BUFFER_INFO, ENABLE_VIRTUAL_TERMINAL_PROCESSING,
    GetConsoleScreenBufferInfo, SetConsoleMode,
};
use winterop_testprogs::{Standard, console_mode, say};

fn main() -> io::Result<()> {
    // Everything is found out before the first line is printed, which might change it.
    let lines = Standard::ALL.map(|standard| format!("{} {}", name(standard), describe(standard)));
    let size = size();
    for line in lines {
        say(&line)?;
    }
    match size {
        Some((columns, rows)) => say(&format!("size {columns} {rows}")),
        None => say("size none"),
    }
}

fn name(standard: Standard) -> &'static str {
    match standard {
        Standard::Input => "stdin",
        Standard::Output => "stdout",
        Standard::Error => "stderr",
    }
}

fn describe(standard: Standard) -> String {
    let Some(handle) = standard.handle() else { return "none".to_owned() };
    match console_mode(handle) {
        None => "other".to_owned(),
        Some(mode) if standard != Standard::Input && takes_escapes(handle, mode) => {
            format!("console {mode:x} vt")
        }
        Some(mode) => format!("console {mode:x}"),
    }
}

fn takes_escapes(handle: BorrowedHandle<'_>, mode: CONSOLE_MODE) -> bool {
    // SAFETY: a mode is a number, and a handle that does not take it makes the call fail.
    let taken = unsafe {
        SetConsoleMode(handle.as_raw_handle(), mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING)
    } != 0;
    // SAFETY: as above; this puts back what was there.
    unsafe { SetConsoleMode(handle.as_raw_handle(), mode) };
    taken
}

/// Columns and rows of the window of the console that the program has, whatever its handles are.
fn size() -> Option<(i32, i32)> {
    let console = OpenOptions::new().read(true).write(true).open("CONOUT$").ok()?;
    let mut information = CONSOLE_SCREEN_BUFFER_INFO::default();
    // SAFETY: the handle is open for as long as `console`, and the structure is there to be filled.
    if unsafe { GetConsoleScreenBufferInfo(console.as_raw_handle(), &mut information) } == 0 {
        return None;
    }
    let window = information.srWindow;
    let length = |from: i16, to: i16| i32::from(to) - i32::from(from) + 1;
    Some((length(window.Left, window.Right), length(window.Top, window.Bottom)))
}
