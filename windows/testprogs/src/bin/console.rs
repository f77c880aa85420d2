//! `console STEP…`: does one thing after the other with its console, and prints a line for each.
//!
//! | step | what it does | prints |
//! |---|---|---|
//! | `say=TEXT` | nothing | TEXT |
//! | `vt=TEXT` | writes TEXT with each `~` as an escape character | nothing |
//! | `mode=HEX` | sets the input's mode | nothing |
//! | `line` | `ReadConsoleW` in whatever mode is set | `line "TEXT"`, or `end` without a character |
//! | `file` | `ReadFile` from standard input | the same |
//! | `lines` | `file` until the end of input | the same, several |
//! | `key` | `ReadConsoleInputW` until a key goes down | `key CODE CHARACTER` |
//! | `wait` | waits for the input's handle, then `key` | the same |
//! | `poll` | asks for the number of events until there are some, then `key` | the same |
//! | `flush` | `FlushConsoleInputBuffer` | nothing |
//! | `size` | looks at the console | `size COLUMNS ROWS` |
//! | `resized` | reads events until one of a new size | `resized COLUMNS ROWS` |
//! | `until=COLUMNS` | looks at the console until it has that many columns | `size COLUMNS ROWS` |
//! | `sleep` | waits until somebody ends it | nothing |

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::windows::io::AsRawHandle as _;
use std::process::ExitCode;

use windows_sys::Win32::Foundation::{HANDLE, WAIT_OBJECT_0};
use windows_sys::Win32::Storage::FileSystem::ReadFile;
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, ENABLE_VIRTUAL_TERMINAL_PROCESSING, ENABLE_WINDOW_INPUT,
    FlushConsoleInputBuffer, GetConsoleMode, GetConsoleScreenBufferInfo,
    GetNumberOfConsoleInputEvents, INPUT_RECORD, KEY_EVENT, ReadConsoleInputW, ReadConsoleW,
    SetConsoleMode, WINDOW_BUFFER_SIZE_EVENT,
};
use windows_sys::Win32::System::Threading::{INFINITE, WaitForSingleObject};
use windows_sys::core::BOOL;
use winterop_testprogs::{Standard, say, wait_for_ever};

/// The console that the program has.
struct Console {
    input: HANDLE,
    output: File,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("console: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let input = Standard::Input.handle().ok_or(io::ErrorKind::NotFound)?.as_raw_handle();
    let output = OpenOptions::new().read(true).write(true).open("CONOUT$")?;
    let console = Console { input, output };
    for step in std::env::args().skip(1) {
        let (name, value) = step.split_once('=').unwrap_or((&step, ""));
        console.step(name, value)?;
    }
    Ok(())
}

impl Console {
    fn step(&self, name: &str, value: &str) -> io::Result<()> {
        match name {
            "say" => say(value),
            "vt" => self.write_escapes(&value.replace('~', "\u{1b}")),
            "mode" => self.set_mode(value),
            "line" => self.say_line(self.read_line()?).map(|_| ()),
            "file" => self.say_line(self.read_file()?).map(|_| ()),
            "lines" => {
                while self.say_line(self.read_file()?)? {}
                Ok(())
            }
            "key" => self.say_key(),
            "wait" => self.wait().and_then(|()| self.say_key()),
            "poll" => self.poll().and_then(|()| self.say_key()),
            // SAFETY: a handle that is no console's input makes the call fail.
            "flush" => check(unsafe { FlushConsoleInputBuffer(self.input) }),
            "size" => self.say_size(),
            "resized" => self.resized(),
            "until" => self.until(value),
            "sleep" => wait_for_ever(),
            other => Err(io::Error::other(format!("no step is called {other}"))),
        }
    }

    fn write_escapes(&self, text: &str) -> io::Result<()> {
        let handle = self.output.as_raw_handle();
        let mut mode = 0;
        // SAFETY: `mode` takes the result.
        check(unsafe { GetConsoleMode(handle, &mut mode) })?;
        // SAFETY: a mode is a number.
        check(unsafe { SetConsoleMode(handle, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING) })?;
        (&self.output).write_all(text.as_bytes())
    }

    fn set_mode(&self, text: &str) -> io::Result<()> {
        let mode = u32::from_str_radix(text, 16).map_err(io::Error::other)?;
        // SAFETY: a mode is a number.
        check(unsafe { SetConsoleMode(self.input, mode) })
    }

    fn read_line(&self) -> io::Result<String> {
        let mut units = [0_u16; 256];
        let mut count = 0;
        // SAFETY: there is room for as many units as are asked for.
        check(unsafe {
            ReadConsoleW(self.input, units.as_mut_ptr().cast(), 256, &mut count, std::ptr::null())
        })?;
        Ok(String::from_utf16_lossy(&units[..count as usize]))
    }

    fn read_file(&self) -> io::Result<String> {
        let mut bytes = [0_u8; 256];
        let mut count = 0;
        let to = bytes.as_mut_ptr();
        // SAFETY: there is room for as many bytes as are asked for.
        check(unsafe { ReadFile(self.input, to, 256, &mut count, std::ptr::null_mut()) })?;
        Ok(String::from_utf8_lossy(&bytes[..count as usize]).into_owned())
    }

    /// Prints what was read; false at the end of input.
    fn say_line(&self, text: String) -> io::Result<bool> {
        if text.is_empty() {
            say("end")?;
        } else {
            say(&format!("line {text:?}"))?;
        }
        Ok(!text.is_empty())
    }

    fn next_event(&self) -> io::Result<INPUT_RECORD> {
        let mut record = INPUT_RECORD::default();
        let mut count = 0;
        // SAFETY: there is room for the one record that is asked for.
        check(unsafe { ReadConsoleInputW(self.input, &mut record, 1, &mut count) })?;
        Ok(record)
    }

    fn say_key(&self) -> io::Result<()> {
        loop {
            let record = self.next_event()?;
            if record.EventType != KEY_EVENT as u16 {
                continue;
            }
            // SAFETY: the type says that it is a key.
            let key = unsafe { record.Event.KeyEvent };
            // Shift, Ctrl and Alt come as keys of their own.
            if key.bKeyDown == 0 || (0x10..=0x12).contains(&key.wVirtualKeyCode) {
                continue;
            }
            // SAFETY: ReadConsoleInputW fills in the UTF-16 unit.
            let unit = unsafe { key.uChar.UnicodeChar };
            return say(&format!("key {:x} {unit:x}", key.wVirtualKeyCode));
        }
    }

    fn wait(&self) -> io::Result<()> {
        // SAFETY: the handle stays open.
        let result = unsafe { WaitForSingleObject(self.input, INFINITE) };
        if result == WAIT_OBJECT_0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn poll(&self) -> io::Result<()> {
        loop {
            let mut count = 0;
            // SAFETY: `count` takes the result.
            check(unsafe { GetNumberOfConsoleInputEvents(self.input, &mut count) })?;
            if count > 0 {
                return Ok(());
            }
            std::thread::yield_now();
        }
    }

    fn size(&self) -> io::Result<(i32, i32)> {
        let mut information = CONSOLE_SCREEN_BUFFER_INFO::default();
        // SAFETY: the structure is there to be filled.
        check(unsafe {
            GetConsoleScreenBufferInfo(self.output.as_raw_handle(), &mut information)
        })?;
        let window = information.srWindow;
        let length = |from: i16, to: i16| i32::from(to) - i32::from(from) + 1;
        Ok((length(window.Left, window.Right), length(window.Top, window.Bottom)))
    }

    fn say_size(&self) -> io::Result<()> {
        let (columns, rows) = self.size()?;
        say(&format!("size {columns} {rows}"))
    }

    fn resized(&self) -> io::Result<()> {
        let mut mode = 0;
        // SAFETY: `mode` takes the result.
        check(unsafe { GetConsoleMode(self.input, &mut mode) })?;
        // SAFETY: a mode is a number.
        check(unsafe { SetConsoleMode(self.input, mode | ENABLE_WINDOW_INPUT) })?;
        loop {
            let record = self.next_event()?;
            if record.EventType == WINDOW_BUFFER_SIZE_EVENT as u16 {
                // SAFETY: the type says that it is a size.
                let size = unsafe { record.Event.WindowBufferSizeEvent.dwSize };
                return say(&format!("resized {} {}", size.X, size.Y));
            }
        }
    }

    fn until(&self, columns: &str) -> io::Result<()> {
        let wanted: i32 = columns.parse().map_err(io::Error::other)?;
        while self.size()?.0 != wanted {
            std::thread::yield_now();
        }
        self.say_size()
    }
}

fn check(result: BOOL) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
