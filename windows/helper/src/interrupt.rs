//! Console events: the program decides what they do, so they must not end us before it.
//!
//! Under Wine they are made of signals, and Winterop's library says by the event's number whether the
//! program has heard of it as well: [`ALONE`].

use std::io;
use std::os::windows::io::AsRawHandle as _;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use windows_sys::Win32::Foundation::CloseHandle;
use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, SetConsoleCtrlHandler,
};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Threading::CreateRemoteThread;
use windows_sys::core::{BOOL, s, w};

use crate::arguments::Interrupts;
use crate::process::Process;

/// Added to the number of an event that has come to us alone.
const ALONE: u32 = 16;

/// Whether every event is passed on.
static PASS: AtomicBool = AtomicBool::new(false);

/// The program's process handle once it runs; it stays open until we end.
static PROGRAM: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(ptr::null_mut());

/// Takes over the events.
///
/// The program does not inherit this: only "ignore Ctrl-C", which is another thing, is inherited.
pub(crate) fn install(interrupts: Interrupts) -> io::Result<()> {
    PASS.store(interrupts == Interrupts::Pass, Ordering::SeqCst);
    // SAFETY: the handler has the signature asked for and lasts as long as the program.
    match unsafe { SetConsoleCtrlHandler(Some(handler), 1) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Says whom events are passed to.
pub(crate) fn pass_to(process: &Process) {
    PROGRAM.store(process.as_raw_handle(), Ordering::SeqCst);
}

/// Runs in a thread of its own that Windows starts for each event.
unsafe extern "system" fn handler(event: u32) -> BOOL {
    let (event, is_alone) = (event & !ALONE, event & ALONE != 0);
    let has_program = !PROGRAM.load(Ordering::SeqCst).is_null();
    let is_dealt_with = match event {
        CTRL_C_EVENT | CTRL_BREAK_EVENT | CTRL_CLOSE_EVENT
            if is_alone || PASS.load(Ordering::SeqCst) =>
        {
            pass_on(event);
            has_program
        }
        CTRL_C_EVENT | CTRL_BREAK_EVENT => true,
        // The program has heard of it; where there is none we end.
        CTRL_CLOSE_EVENT => has_program,
        _ => false,
    };
    is_dealt_with.into()
}

/// Starts in the program what Windows itself starts in a process for such an event.
///
/// `GenerateConsoleCtrlEvent` would do it only where there is a console, and a program whose
/// handles are all pipes has none. The routine is at the same address in every process, because
/// system libraries are loaded at one address until the next boot.
fn pass_on(event: u32) {
    let process = PROGRAM.load(Ordering::SeqCst);
    if process.is_null() {
        return;
    }
    // SAFETY: the name ends with 0, and every process has this library.
    let library = unsafe { GetModuleHandleW(w!("kernelbase.dll")) };
    // SAFETY: the name ends with 0; without the library there is no routine.
    let Some(routine) = (unsafe { GetProcAddress(library, s!("CtrlRoutine")) }) else { return };
    // SAFETY: CtrlRoutine is the start of a thread and takes the event's number.
    let routine = unsafe {
        core::mem::transmute::<
            unsafe extern "system" fn() -> isize,
            unsafe extern "system" fn(*mut core::ffi::c_void) -> u32,
        >(routine)
    };
    let event = ptr::without_provenance_mut(event as usize);
    let (none, nowhere) = (ptr::null(), ptr::null_mut());
    // SAFETY: the process handle stays open until we end, and the routine exists in the process.
    let thread = unsafe { CreateRemoteThread(process, none, 0, Some(routine), event, 0, nowhere) };
    if !thread.is_null() {
        // SAFETY: the handle is ours and not used any more.
        unsafe { CloseHandle(thread) };
    }
}
