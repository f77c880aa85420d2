//! `std-use FILE [BYTES]`: reads a byte of stdin and writes BYTES bytes (1 if not given) to stdout and to
//! stderr, each handle once; says in FILE how that went, and ends with 7.
//!
//! A line for each handle: "0 worked", "1 failed 6" with the system's error, "2 none" where there is no
//! handle. Rust's own standard streams hide such failures, so they are not used here.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::windows::io::{AsRawHandle as _, BorrowedHandle, FromRawHandle as _};
use std::process::ExitCode;

use winterop_testprogs::{Standard, number_argument};

fn main() -> io::Result<ExitCode> {
    let bytes = vec![b'x'; usize::try_from(number_argument(2, 1)?).unwrap_or(usize::MAX)];
    let mut report = String::new();
    for (number, standard) in (0..).zip(Standard::ALL) {
        let Some(handle) = standard.handle() else {
            report.push_str(&format!("{number} none\n"));
            continue;
        };
        let mut file = as_file(handle);
        let used = match standard {
            Standard::Input => file.read(&mut [0]).map(|_| ()),
            Standard::Output | Standard::Error => file.write_all(&bytes),
        };
        report.push_str(&match used.map_err(|error| error.raw_os_error()) {
            Ok(()) => format!("{number} worked\n"),
            Err(code) => format!("{number} failed {}\n", code.unwrap_or_default()),
        });
    }
    let file = std::env::args_os().nth(1).ok_or(io::ErrorKind::InvalidInput)?;
    fs::write(file, report)?;
    Ok(ExitCode::from(7))
}

/// The handle as a file, which stays open.
fn as_file(handle: BorrowedHandle<'_>) -> ManuallyDrop<File> {
    // SAFETY: the handle is open, and is not closed with the file, which is never dropped.
    ManuallyDrop::new(unsafe { File::from_raw_handle(handle.as_raw_handle()) })
}
