//! What the test programs share: a pattern for bulk data, hashes, texts in forms that lose nothing,
//! and the few system calls that more than one of them needs.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::io::{AsRawHandle as _, BorrowedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::System::Console::{
    CONSOLE_MODE, GetConsoleMode, GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE,
    STD_OUTPUT_HANDLE,
};
use windows_sys::Win32::System::Environment::GetCommandLineW;

/// Bytes moved by one call in the programs that move many.
pub const BUFFER: usize = 256 * 1024;

/// The three standard handles by their unix numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// 0
    Input,
    /// 1
    Output,
    /// 2
    Error,
}

impl Standard {
    /// All three, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Input, Self::Output, Self::Error];

    /// The handle, or `None` where the program has none.
    pub fn handle(self) -> Option<BorrowedHandle<'static>> {
        let which = match self {
            Self::Input => STD_INPUT_HANDLE,
            Self::Output => STD_OUTPUT_HANDLE,
            Self::Error => STD_ERROR_HANDLE,
        };
        // SAFETY: `which` is one of the three values that exist.
        let handle = unsafe { GetStdHandle(which) };
        let usable = !handle.is_null() && handle != INVALID_HANDLE_VALUE;
        // SAFETY: no program here closes a standard handle, so it stays open as long as the process.
        usable.then(|| unsafe { BorrowedHandle::borrow_raw(handle) })
    }
}

/// The mode of the console that `handle` is, or `None` if it is no console.
pub fn console_mode(handle: BorrowedHandle<'_>) -> Option<CONSOLE_MODE> {
    let mut mode = 0;
    // SAFETY: `mode` takes the result; a handle that is no console's makes the call fail.
    let asked = unsafe { GetConsoleMode(handle.as_raw_handle(), &mut mode) };
    (asked != 0).then_some(mode)
}

/// The command line exactly as the program was started with.
pub fn command_line() -> Vec<u16> {
    // SAFETY: always returns a string that ends with 0 and lasts as long as the process.
    let start = unsafe { GetCommandLineW() };
    // SAFETY: as said above.
    unsafe { copy_units(start) }
}

/// Copies the UTF-16 units before the 0 that ends a string.
///
/// # Safety
/// `start` must point to units that are readable up to and including one that is 0.
pub unsafe fn copy_units(start: *const u16) -> Vec<u16> {
    let mut length = 0;
    // SAFETY: the caller promises units up to a 0, and this has seen none yet.
    while unsafe { start.wrapping_add(length).read() } != 0 {
        length += 1;
    }
    let mut units = vec![0; length];
    // SAFETY: `length` units before the 0 are readable, and `units` has room for as many.
    unsafe { ptr::copy_nonoverlapping(start, units.as_mut_ptr(), length) };
    units
}

/// UTF-16 units as four hexadecimal digits each: nothing is lost, lone surrogates included.
pub fn hex(units: &[u16]) -> String {
    units.iter().fold(String::with_capacity(units.len() * 4), |mut text, unit| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{unit:04x}");
        text
    })
}

/// The reverse of [`hex`], or `None` where the text is something else.
pub fn from_hex(text: &str) -> Option<Vec<u16>> {
    text.as_bytes()
        .chunks(4)
        .map(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 4)?;
            u16::from_str_radix(digits, 16).ok()
        })
        .collect()
}

/// The UTF-16 units of a text of the system's.
pub fn units(text: &OsStr) -> Vec<u16> {
    text.encode_wide().collect()
}

/// A JSON string with `text`, in ASCII only, so that no encoding on the way can change it.
pub fn json(text: &str) -> String {
    let mut quoted = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => quoted.extend(['\\', char::from(byte)]),
            Ok(byte @ b' '..=b'~') => quoted.push(char::from(byte)),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{unit:04x}");
            }
        }
    }
    quoted.push('"');
    quoted
}

/// A JSON array of values that are JSON already.
pub fn json_array(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().collect::<Vec<_>>().join(","))
}

/// A JSON object for one command line: `command_line` and each of `arguments` both as lossy text and
/// in [`hex`].
pub fn json_command_line(command_line: &[u16], arguments: &[Vec<u16>]) -> String {
    let text = |units: &[u16]| json(&String::from_utf16_lossy(units));
    format!(
        "{{\"command_line\":{},\"command_line_hex\":{},\"argv\":{},\"argv_hex\":{}}}",
        text(command_line),
        json(&hex(command_line)),
        json_array(arguments.iter().map(|argument| text(argument))),
        json_array(arguments.iter().map(|argument| json(&hex(argument)))),
    )
}

/// Endless bytes that show what was lost, doubled or moved: each 8 bytes are their own position in
/// the stream divided by 8, least significant byte first.
#[derive(Debug, Default)]
pub struct Pattern {
    position: u64,
}

impl Pattern {
    /// Writes the first `length` bytes to `sink`.
    ///
    /// # Errors
    /// What writing fails with.
    pub fn write(length: u64, sink: &mut impl Write) -> io::Result<()> {
        copy(&mut Self::default().take(length), |piece| sink.write_all(piece))?;
        sink.flush()
    }
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = (self.position / 8).to_le_bytes()[(self.position % 8) as usize];
            self.position += 1;
        }
        Ok(buffer.len())
    }
}

/// Copies everything in pieces of up to [`BUFFER`] bytes, each written as soon as it was read, and
/// returns how many bytes there were.
///
/// # Errors
/// What reading or writing fails with.
pub fn copy(
    source: &mut impl Read,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        let length = source.read(&mut buffer)?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else {
            return Ok(total);
        };
        sink(piece)?;
        total += piece.len() as u64;
    }
}

/// The hash FNV-1a with 64 bits.
#[derive(Debug, PartialEq, Eq)]
pub struct Fnv(pub u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    }
}

/// The program's argument number `index` as a number, or `default` where there is none.
///
/// # Errors
/// If it is there and no number.
pub fn number_argument(index: usize, default: u64) -> io::Result<u64> {
    match std::env::args().nth(index) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{text:?}: {error}"))
        }),
    }
}

/// Prints `text` as one line, at once: stdout to a pipe would otherwise wait for the end.
///
/// # Errors
/// What writing fails with.
pub fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Waits until somebody ends the process.
pub fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}
