//! The standard handles: which are relayed, and what the program gets for each.

use std::io;
use std::os::windows::io::{AsHandle as _, BorrowedHandle, OwnedHandle};

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::Storage::FileSystem::{FILE_TYPE_PIPE, GetFileType};
use windows_sys::Win32::System::Console::{
    GetStdHandle, STD_ERROR_HANDLE, STD_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE,
};

use crate::arguments::Relay;
use crate::pipe;
use crate::relay::{Input, Output, Relays};

/// What becomes of one standard handle.
enum Handle {
    /// We have none, so the program gets none.
    None,
    /// The program gets ours.
    Ours(BorrowedHandle<'static>),
    /// The program gets the end of a pipe.
    Pipe(OwnedHandle),
    /// stderr is what stdout is.
    LikeStdout,
}

/// The program's standard handles, and what copies to and from them.
pub(crate) struct Connections {
    stdin: Handle,
    stdout: Handle,
    stderr: Handle,
    relays: Relays,
}

impl Connections {
    /// Makes the pipes that `wanted` asks for.
    pub(crate) fn make(wanted: Relay) -> io::Result<Self> {
        let mut relays = Relays::default();
        let stdin = match standard(STD_INPUT_HANDLE) {
            Some(ours) if wants(wanted.stdin, ours) => {
                let (write, theirs) = pipe::for_input()?;
                relays.input = Some(Input::new(ours, write)?);
                Handle::Pipe(theirs)
            }
            other => other.map_or(Handle::None, Handle::Ours),
        };
        let stdout = output(STD_OUTPUT_HANDLE, wanted.stdout, &mut relays)?;
        let stderr = if wanted.merged {
            Handle::LikeStdout
        } else {
            output(STD_ERROR_HANDLE, wanted.stderr, &mut relays)?
        };
        Ok(Self { stdin, stdout, stderr, relays })
    }

    /// What the program gets as stdin, stdout and stderr; `None` for no handle at all.
    pub(crate) fn handles(&self) -> [Option<BorrowedHandle<'_>>; 3] {
        [&self.stdin, &self.stdout, &self.stderr].map(|handle| match handle {
            Handle::LikeStdout => theirs(&self.stdout),
            handle => theirs(handle),
        })
    }

    /// Closes the program's ends, which it has by now, and returns what there is to copy.
    pub(crate) fn into_relays(self) -> Relays {
        self.relays
    }
}

fn theirs(handle: &Handle) -> Option<BorrowedHandle<'_>> {
    match handle {
        Handle::None | Handle::LikeStdout => None,
        Handle::Ours(handle) => Some(*handle),
        Handle::Pipe(handle) => Some(handle.as_handle()),
    }
}

fn output(which: STD_HANDLE, wanted: Option<bool>, relays: &mut Relays) -> io::Result<Handle> {
    let Some(ours) = standard(which) else { return Ok(Handle::None) };
    if !wants(wanted, ours) {
        return Ok(Handle::Ours(ours));
    }
    let (read, theirs) = pipe::for_output()?;
    relays.outputs.push(Output::new(read, ours)?);
    Ok(Handle::Pipe(theirs))
}

fn wants(wanted: Option<bool>, handle: BorrowedHandle<'_>) -> bool {
    wanted.unwrap_or_else(|| is_pipe(handle))
}

fn is_pipe(handle: BorrowedHandle<'_>) -> bool {
    use std::os::windows::io::AsRawHandle as _;
    // SAFETY: the handle is open while it is borrowed.
    unsafe { GetFileType(handle.as_raw_handle()) == FILE_TYPE_PIPE }
}

fn standard(which: STD_HANDLE) -> Option<BorrowedHandle<'static>> {
    // SAFETY: `which` is one of the three values that exist.
    let handle = unsafe { GetStdHandle(which) };
    let usable = !handle.is_null() && handle != INVALID_HANDLE_VALUE;
    // SAFETY: we never close a standard handle, so it stays open as long as the process.
    usable.then(|| unsafe { BorrowedHandle::borrow_raw(handle) })
}
