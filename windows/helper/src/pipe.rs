//! Windows pipes: their two ends, and reading one until its writer has ended.

use std::fs::File;
use std::io;
use std::os::windows::io::{
    AsHandle, AsRawHandle as _, BorrowedHandle, FromRawHandle as _, OwnedHandle,
};
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_IO_PENDING, ERROR_OPERATION_ABORTED, ERROR_PIPE_NOT_CONNECTED,
    GENERIC_WRITE, HANDLE, INVALID_HANDLE_VALUE, WAIT_FAILED, WAIT_OBJECT_0,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_READ_ATTRIBUTES,
    OPEN_EXISTING, PIPE_ACCESS_INBOUND, ReadFile, SYNCHRONIZE,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, CreatePipe, PIPE_REJECT_REMOTE_CLIENTS, PeekNamedPipe,
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, WaitForMultipleObjects, WaitForSingleObject,
};

/// What Windows buffers in a pipe that the program writes to, in bytes.
const OUTPUT_BUFFER: u32 = 256 * 1024;

/// What Windows buffers in a pipe that the program reads from, in bytes.
///
/// As little as possible: a write then lasts until the program has taken everything, so that no
/// more of the caller's input is taken than the program wants.
const INPUT_BUFFER: u32 = 1;

/// Turns what a system call returned into an owned handle.
///
/// # Safety
/// `handle` must be null, `INVALID_HANDLE_VALUE`, or open and owned by nobody else.
unsafe fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and the caller says that it is nobody else's.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// A pipe for the program's stdin: our end to write to, and the program's to read from.
pub(crate) fn for_input() -> io::Result<(File, OwnedHandle)> {
    let (mut read, mut write) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: both handles have a place, and the attributes may be left out.
    if unsafe { CreatePipe(&mut read, &mut write, ptr::null(), INPUT_BUFFER) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call made it for us.
    let write = unsafe { owned(write) }?;
    // SAFETY: as above.
    let read = unsafe { owned(read) }?;
    Ok((write.into(), read))
}

/// A pipe for the program's stdout or stderr: our end to read from, and the program's to write to.
///
/// Our end can be waited for together with the program's end, which an end of `CreatePipe` cannot;
/// the program's is like one of those.
pub(crate) fn for_output() -> io::Result<(Reader, OwnedHandle)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!(r"\\.\pipe\winterop-helper.{}.{number}", process::id());
    let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
    let mode = PIPE_ACCESS_INBOUND | FILE_FLAG_FIRST_PIPE_INSTANCE | FILE_FLAG_OVERLAPPED;
    let (kind, size, none) = (PIPE_REJECT_REMOTE_CLIENTS, OUTPUT_BUFFER, ptr::null());
    // SAFETY: the name ends with 0, and the attributes may be left out.
    let read = unsafe { CreateNamedPipeW(name.as_ptr(), mode, kind, 1, 0, size, 0, none) };
    // SAFETY: the call made it for us, or failed.
    let read = unsafe { owned(read) }?;
    let access = GENERIC_WRITE | FILE_READ_ATTRIBUTES | SYNCHRONIZE;
    let template = ptr::null_mut();
    // SAFETY: the name ends with 0, and attributes and template may be left out.
    let write =
        unsafe { CreateFileW(name.as_ptr(), access, 0, ptr::null(), OPEN_EXISTING, 0, template) };
    // SAFETY: the call made it for us, or failed.
    let write = unsafe { owned(write) }?;
    Ok((Reader { pipe: read, event: event()?, left: None }, write))
}

fn event() -> io::Result<OwnedHandle> {
    // SAFETY: attributes and name may be left out.
    let event = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
    // SAFETY: the call made it for us, or failed.
    unsafe { owned(event) }
}

/// Our end of a pipe that the program writes to.
pub(crate) struct Reader {
    pipe: OwnedHandle,
    /// Set when a read is complete.
    event: OwnedHandle,
    /// Once the program has ended: how many bytes of what it wrote are still in the pipe.
    left: Option<u32>,
}

impl Reader {
    /// Reads what is there, or waits for it; 0 at the end.
    ///
    /// The end is when nobody can write any more, or when the program, whose process `program` is,
    /// has ended and everything it wrote was read. Its children may hold the pipe open for as long
    /// as they like, and write to it: that does not delay the end.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        program: BorrowedHandle<'_>,
    ) -> io::Result<usize> {
        let most = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let most = most.min(self.left.unwrap_or(u32::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = match self.read_up_to(buffer, most, program) {
            Ok(read) => read,
            Err(error) if is_end(&error) => return Ok(0),
            Err(error) => return Err(error),
        };
        self.left = match self.left {
            Some(left) => Some(left.saturating_sub(read)),
            None if has_ended(program) => self.available(),
            None => None,
        };
        Ok(read as usize)
    }

    fn read_up_to(
        &self,
        buffer: &mut [u8],
        most: u32,
        program: BorrowedHandle<'_>,
    ) -> io::Result<u32> {
        let pipe = self.pipe.as_raw_handle();
        let mut operation =
            OVERLAPPED { hEvent: self.event.as_raw_handle(), ..OVERLAPPED::default() };
        let place = buffer.as_mut_ptr();
        // SAFETY: `buffer` has room for `most` bytes; it and `operation` stay where they are until
        // the operation is over, because nothing below returns before that.
        let done = unsafe { ReadFile(pipe, place, most, ptr::null_mut(), &mut operation) };
        if done == 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(ERROR_IO_PENDING.cast_signed()) {
                return Err(error);
            }
            if !wait_first(self.event.as_handle(), program) {
                // SAFETY: the operation is this handle's, and it does no harm if it is over.
                unsafe { CancelIoEx(pipe, &operation) };
            }
        }
        let mut read = 0;
        // SAFETY: the operation is this handle's, and the call waits until it is over.
        match unsafe { GetOverlappedResult(pipe, &operation, &mut read, 1) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(read),
        }
    }

    /// How much is in the pipe, or `None` where that cannot be told because nobody can write to it
    /// any more: then it can simply be read to its end.
    fn available(&self) -> Option<u32> {
        let (none, mut available) = (ptr::null_mut(), 0);
        let (buffer, message) = (ptr::null_mut(), ptr::null_mut());
        let pipe = self.pipe.as_raw_handle();
        // SAFETY: no data is asked for, and the count has its place.
        let known = unsafe { PeekNamedPipe(pipe, buffer, 0, none, &mut available, message) };
        (known != 0).then_some(available)
    }
}

/// Waits for either and returns whether `first` is set.
fn wait_first(first: BorrowedHandle<'_>, second: BorrowedHandle<'_>) -> bool {
    let both = [first.as_raw_handle(), second.as_raw_handle()];
    // SAFETY: both handles are open while they are borrowed.
    let which = unsafe { WaitForMultipleObjects(2, both.as_ptr(), 0, INFINITE) };
    // Where waiting fails, the read is waited for instead of being given up.
    which == WAIT_OBJECT_0 || which == WAIT_FAILED
}

fn has_ended(process: BorrowedHandle<'_>) -> bool {
    // SAFETY: the handle is open while it is borrowed.
    unsafe { WaitForSingleObject(process.as_raw_handle(), 0) == WAIT_OBJECT_0 }
}

fn is_end(error: &io::Error) -> bool {
    const ENDS: [u32; 3] = [ERROR_BROKEN_PIPE, ERROR_PIPE_NOT_CONNECTED, ERROR_OPERATION_ABORTED];
    let code = error.raw_os_error().map(i32::cast_unsigned);
    code.is_some_and(|code| ENDS.contains(&code))
}
