//! `argv-split`: splits many command lines as Windows itself does (`CommandLineToArgvW`).
//!
//! Each line of stdin is a command line in hexadecimal UTF-16 units, each line of stdout a JSON
//! object like those of `argv-report`.

use std::io::{self, BufRead as _, Write as _};

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::UI::Shell::CommandLineToArgvW;
use winterop_testprogs::{copy_units, from_hex, json_command_line};

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line?;
        let command_line = from_hex(line.trim_end()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("not hexadecimal UTF-16: {line}"))
        })?;
        writeln!(out, "{}", json_command_line(&command_line, &split(&command_line)?))?;
    }
    out.flush()
}

fn split(command_line: &[u16]) -> io::Result<Vec<Vec<u16>>> {
    let terminated: Vec<u16> = command_line.iter().copied().chain([0]).collect();
    let mut count = 0;
    // SAFETY: the string ends with 0 and `count` takes the count.
    let list = unsafe { CommandLineToArgvW(terminated.as_ptr(), &mut count) };
    if list.is_null() {
        return Err(io::Error::last_os_error());
    }
    let count = usize::try_from(count).unwrap_or(0);
    let arguments = (0..count)
        .map(|index| {
            // SAFETY: the list has `count` entries.
            let start = unsafe { list.wrapping_add(index).read() };
            // SAFETY: each entry is a string that ends with 0.
            unsafe { copy_units(start) }
        })
        .collect();
    // SAFETY: the list was allocated for us and is not used any more.
    unsafe { LocalFree(list.cast()) };
    Ok(arguments)
}
