//! `std-handles [FILE]`: prints a line for each standard handle, to FILE if there is one.
//!
//! "0 pipe", "1 disk", "2 char", "0 console", "1 unknown", or "2 none" where there is no handle.

use std::fs;
use std::io;
use std::os::windows::io::{AsRawHandle as _, BorrowedHandle};

use windows_sys::Win32::Storage::FileSystem::{
    FILE_TYPE_CHAR, FILE_TYPE_DISK, FILE_TYPE_PIPE, GetFileType,
};
use winterop_testprogs::{Standard, console_mode, say};

fn main() -> io::Result<()> {
    let lines = [0, 1, 2].map(|number: usize| {
        let handle = Standard::ALL.get(number).and_then(|standard| standard.handle());
        format!("{number} {}", handle.map_or("none", kind))
    });
    let report = lines.join("\n");
    match std::env::args_os().nth(1) {
        Some(file) => fs::write(file, report + "\n"),
        None => say(&report),
    }
}

fn kind(handle: BorrowedHandle<'_>) -> &'static str {
    // SAFETY: a handle of any kind may be asked, and one that is not valid is of no known kind.
    match unsafe { GetFileType(handle.as_raw_handle()) } {
        FILE_TYPE_CHAR if console_mode(handle).is_some() => "console",
        FILE_TYPE_CHAR => "char",
        FILE_TYPE_DISK => "disk",
        FILE_TYPE_PIPE => "pipe",
        _ => "unknown",
    }
}
