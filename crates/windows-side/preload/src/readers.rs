//! Tells a program whose reader has gone what Windows would tell it.
//!
//! There a pipe that nobody reads any more is one that is being closed, `ERROR_NO_DATA` (232): what C
//! runtimes, Rust, Go and .NET take for a broken pipe, on which many programs end without a word. Wine makes
//! of the kernel's EPIPE a pipe that is not connected (233), which is an error like any other to them.
//! Pipes of Wine's own are right, so only what a write of this library's has seen is changed.
//!
//! Programs write through kernelbase, or call ntdll themselves, which Rust's standard library looks up while
//! it runs.

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use crate::modules::{Module, Replacement, Writer};
use crate::system;

/// What Wine says, and what Windows says, as NT's status.
const PIPE_DISCONNECTED: i32 = 0xC000_00B0_u32.cast_signed();
const PIPE_CLOSING: i32 = 0xC000_00B1_u32.cast_signed();

/// The threads whose last write found no reader and that have not told their program yet. Where more are at
/// it at once, the others' programs are told what Wine says.
static THREADS: [AtomicI32; 16] = [const { AtomicI32::new(NOBODY) }; 16];
const NOBODY: i32 = 0;

/// ntdll's `NtWriteFile`.
static WRITE_FILE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// ntdll's `LdrGetProcedureAddress`.
static LOOK_UP: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

type WriteFile = unsafe extern "win64" fn(
    isize,
    isize,
    *const c_void,
    *const c_void,
    *mut StatusBlock,
    *const c_void,
    u32,
    *const i64,
    *const u32,
) -> i32;

type LookUp =
    unsafe extern "win64" fn(*const c_void, *const c_void, u32, *mut *const c_void) -> i32;

/// What a call leaves of how it went, as Windows lays it out.
#[repr(C)]
pub(crate) struct StatusBlock {
    status: i32,
    information: usize,
}

/// Has what the program and kernelbase write go by ours.
pub(crate) fn mend(writer: Writer, program: Module, kernelbase: Module) {
    for module in [program, kernelbase] {
        let replacement = Replacement { ours: write_file as *const c_void, original: &WRITE_FILE };
        // SAFETY: ours has the type of this function, and no other thread is there before the program
        // begins.
        unsafe { writer.replace_import(module, b"ntdll.dll", b"NtWriteFile", replacement) };
    }
    let replacement = Replacement { ours: look_up as *const c_void, original: &LOOK_UP };
    // SAFETY: as above.
    unsafe {
        writer.replace_import(kernelbase, b"ntdll.dll", b"LdrGetProcedureAddress", replacement);
    }
}

/// Notes how a write of this thread's has ended.
pub(crate) fn note(result: core::ffi::c_long) {
    if result == -core::ffi::c_long::from(libc::EPIPE) {
        // It is once, also where Wine has had a success of it: a part was written before.
        was_noted();
        change(NOBODY, system::thread());
    }
}

/// Whether this thread is noted; it is not any more then.
fn was_noted() -> bool {
    let is_anybody = THREADS.iter().any(|place| place.load(Ordering::Relaxed) != NOBODY);
    is_anybody && change(system::thread(), NOBODY)
}

fn change(from: i32, to: i32) -> bool {
    let is_changed = |place: &AtomicI32| {
        place.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    };
    THREADS.iter().any(is_changed)
}

/// What `GetProcAddress` calls.
///
/// # Safety
/// As for Windows' `LdrGetProcedureAddress`.
unsafe extern "win64" fn look_up(
    module: *const c_void,
    name: *const c_void,
    number: u32,
    found: *mut *const c_void,
) -> i32 {
    // SAFETY: the documented type of this function, which is known where this one is called.
    let look_up = unsafe { transmute::<*mut c_void, LookUp>(LOOK_UP.load(Ordering::Relaxed)) };
    // SAFETY: the caller's promise.
    let status = unsafe { look_up(module, name, number, found) };
    let write = WRITE_FILE.load(Ordering::Relaxed).cast_const();
    // SAFETY: the caller promises room for an address, which was written.
    if status >= 0 && !write.is_null() && unsafe { *found } == write {
        // SAFETY: as above.
        unsafe { *found = write_file as *const c_void };
    }
    status
}

/// # Safety
/// As for Windows' `NtWriteFile`.
unsafe extern "win64" fn write_file(
    file: isize,
    event: isize,
    routine: *const c_void,
    context: *const c_void,
    block: *mut StatusBlock,
    bytes: *const c_void,
    length: u32,
    offset: *const i64,
    key: *const u32,
) -> i32 {
    // SAFETY: the documented type of this function, which is known where this one is called.
    let write = unsafe { transmute::<*mut c_void, WriteFile>(WRITE_FILE.load(Ordering::Relaxed)) };
    // SAFETY: the caller's promise.
    let status = unsafe { write(file, event, routine, context, block, bytes, length, offset, key) };
    if !was_noted() || status != PIPE_DISCONNECTED {
        return status;
    }
    // SAFETY: the caller promises a block, and Wine has written into this one.
    unsafe { (*block).status = PIPE_CLOSING };
    PIPE_CLOSING
}
