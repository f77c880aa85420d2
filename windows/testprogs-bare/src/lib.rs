//! What the programs without the standard library share.
//!
//! They use kernel32 and nothing else, so that a measurement of how long a program takes to start
//! measures the launch and not the loading of libraries.
#![no_std]

use core::iter;
use core::ptr;

use windows_sys::Win32::Foundation::GetLastError;
use windows_sys::Win32::Storage::FileSystem::WriteFile;
use windows_sys::Win32::System::Console::{
    GetStdHandle, STD_ERROR_HANDLE, STD_HANDLE, STD_OUTPUT_HANDLE,
};
use windows_sys::Win32::System::Environment::GetCommandLineW;
use windows_sys::Win32::System::Threading::ExitProcess;

/// Defines the program's entry point, which calls `$main` and ends with the code it returns, and
/// what happens on a panic.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        /// Where Windows starts the program.
        // SAFETY: no other symbol has this name, the C runtime's start-up code being left out.
        #[unsafe(no_mangle)]
        extern "C" fn mainCRTStartup() -> ! {
            $crate::exit($main())
        }

        /// What unwinding would call for each frame. The core library was compiled to name it; here
        /// nothing ever unwinds.
        // SAFETY: no other symbol has this name without the standard library.
        #[unsafe(no_mangle)]
        extern "C" fn rust_eh_personality() {}

        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            $crate::print_error(b"panicked\n");
            $crate::exit(101)
        }
    };
}

/// Ends the program with all 32 bits of `code`.
pub fn exit(code: u32) -> ! {
    // SAFETY: may be called at any time; it does not return.
    unsafe { ExitProcess(code) }
}

/// Writes `text` to stdout; what cannot be written is lost.
pub fn print(text: &[u8]) {
    let _ = try_print(text);
}

/// Writes `text` to stdout.
///
/// # Errors
/// Windows' number of the error.
pub fn try_print(text: &[u8]) -> Result<(), u32> {
    write(STD_OUTPUT_HANDLE, text)
}

/// Writes `text` to stderr; what cannot be written is lost.
pub fn print_error(text: &[u8]) {
    let _ = write(STD_ERROR_HANDLE, text);
}

fn write(which: STD_HANDLE, text: &[u8]) -> Result<(), u32> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut written = 0;
    // SAFETY: takes any value, and one of no standard handle gives an invalid handle.
    let handle = unsafe { GetStdHandle(which) };
    // SAFETY: `text` has at least `length` bytes, `written` takes the count, and a handle that is
    // not valid makes the call fail.
    if unsafe { WriteFile(handle, text.as_ptr(), length, &mut written, ptr::null_mut()) } != 0 {
        return Ok(());
    }
    // SAFETY: may be called at any time.
    Err(unsafe { GetLastError() })
}

/// The UTF-16 units of the command line behind the program's name and the blanks after it.
pub fn arguments() -> impl Iterator<Item = u16> {
    let (quote, blank, tab) = (u16::from(b'"'), u16::from(b' '), u16::from(b'\t'));
    let mut quoted = false;
    command_line()
        .skip_while(move |unit| {
            quoted ^= *unit == quote;
            quoted || (*unit != blank && *unit != tab)
        })
        .skip_while(move |unit| *unit == blank || *unit == tab)
}

fn command_line() -> impl Iterator<Item = u16> {
    // SAFETY: always returns a string that ends with 0 and lasts as long as the process.
    let start = unsafe { GetCommandLineW() };
    let mut index = 0;
    iter::from_fn(move || {
        // SAFETY: `index` never passes the terminating 0, because it stays where that was found.
        let unit = unsafe { start.wrapping_add(index).read() };
        (unit != 0).then(|| {
            index += 1;
            unit
        })
    })
}
