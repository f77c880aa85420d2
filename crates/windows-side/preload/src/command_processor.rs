//! Mends Wine's command processor, `cmd.exe`.
//!
//! - From a pipe it is given one line at a time ([`lines`]).
//! - What npm's `.cmd` files say to end themselves does not end what they have to do ([`lines`]).
//! - `del /s` and `rmdir /s` leave alone what links to directories lead to ([`Walk`]); a link itself is
//!   removed by `rmdir /s`, as on Windows.
//!
//! All of that is done where it calls kernel32, and where shell32, which removes trees for it, does.
//! Another program of that name is left alone.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::transmute;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::lines;
use crate::modules::{self, Module, Replacement, Writer};
use crate::walk::{self, Walk};

/// Whoever wants so many bytes, or characters, wants a line of commands: 8191. Answers to questions are
/// shorter, and so are the parts in which files are shown.
const LINE: u32 = 4096;

/// The kinds of files, in Windows' numbers.
const DISK: u32 = 1;
const PIPE: u32 = 3;

/// A directory that is a link, or where something is mounted.
const LINK: u32 = 0x410;
const NO_ATTRIBUTES: u32 = u32::MAX;

const NO_HANDLE: isize = -1;
const ERROR_FILE_NOT_FOUND: u32 = 2;

/// The longest pattern of the command processor's.
const LONGEST: usize = 1024;

/// What is called in the end.
static READ_FILE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static READ_CONSOLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static FIND_FIRST: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static FIND_CLOSE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static SHELL_FIND_FIRST: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

static FILE_TYPE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static ATTRIBUTES: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static SET_LAST_ERROR: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

static WALK: Guarded = Guarded { busy: AtomicBool::new(false), walk: UnsafeCell::new(Walk::new()) };

type ReadFile = unsafe extern "win64" fn(isize, *mut u8, u32, *mut u32, *mut c_void) -> i32;
type ReadConsole = unsafe extern "win64" fn(isize, *mut u16, u32, *mut u32, *mut c_void) -> i32;
type FindFirst = unsafe extern "win64" fn(*const u16, *mut c_void) -> isize;
type FindClose = unsafe extern "win64" fn(isize) -> i32;
type FileType = unsafe extern "win64" fn(isize) -> u32;
type Attributes = unsafe extern "win64" fn(*const u16) -> u32;
type SetLastError = unsafe extern "win64" fn(u32);

struct Guarded {
    busy: AtomicBool,
    walk: UnsafeCell<Walk>,
}

// SAFETY: `with` lets one thread at a time have it.
unsafe impl Sync for Guarded {}

impl Guarded {
    /// `None` where another thread has it: the command processor has one for its work.
    fn with<T>(&self, work: impl FnOnce(&mut Walk) -> T) -> Option<T> {
        if self.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: `busy` was false, so no other thread is here.
        let result = work(unsafe { &mut *self.walk.get() });
        self.busy.store(false, Ordering::Release);
        Some(result)
    }
}

/// Puts our functions in their places, if this process is the command processor.
pub(crate) fn mend(writer: Writer, kernelbase: Module, ntdll: Module) {
    // SAFETY: Windows code runs in this thread, and the program stays loaded.
    let Some(program) = (unsafe { modules::program(b"cmd.exe") }) else { return };
    if !program.is_builtin() {
        return;
    }
    let used = [
        (&FILE_TYPE, kernelbase.export(b"GetFileType")),
        (&ATTRIBUTES, kernelbase.export(b"GetFileAttributesW")),
        (&SET_LAST_ERROR, ntdll.export(b"RtlSetLastWin32Error")),
    ];
    for (place, function) in used {
        let Some(function) = function else { return };
        place.store(function.cast_mut(), Ordering::Relaxed);
    }
    let replaced = [
        (&b"ReadFile"[..], read_file as *const c_void, &READ_FILE),
        (b"ReadConsoleW", read_console as *const c_void, &READ_CONSOLE),
        (b"FindFirstFileW", find_first as *const c_void, &FIND_FIRST),
        (b"FindClose", find_close as *const c_void, &FIND_CLOSE),
    ];
    for (name, ours, original) in replaced {
        let replacement = Replacement { ours, original };
        // SAFETY: ours has the function's type, and no other thread is there before the program begins.
        unsafe { writer.replace_import(program, b"kernel32.dll", name, replacement) };
    }
    // SAFETY: as above.
    let Some(shell) = (unsafe { modules::find(b"shell32.dll") }) else { return };
    let replacement =
        Replacement { ours: shell_find_first as *const c_void, original: &SHELL_FIND_FIRST };
    // SAFETY: as above.
    unsafe { writer.replace_import(shell, b"kernel32.dll", b"FindFirstFileW", replacement) };
}

/// # Safety
/// As for Windows' `ReadFile`.
unsafe extern "win64" fn read_file(
    file: isize,
    buffer: *mut u8,
    length: u32,
    count: *mut u32,
    overlapped: *mut c_void,
) -> i32 {
    // SAFETY: the documented types of these functions, which are known where this one is called.
    let read = unsafe { transmute::<*mut c_void, ReadFile>(READ_FILE.load(Ordering::Relaxed)) };
    // SAFETY: as above.
    let kind_of = unsafe { transmute::<*mut c_void, FileType>(FILE_TYPE.load(Ordering::Relaxed)) };
    note_line(length);
    // SAFETY: a handle, or none, which is an error and nothing else.
    let kind = unsafe { kind_of(file) };
    let is_plain = overlapped.is_null() && !buffer.is_null() && !count.is_null();
    if kind == PIPE && length > 1 && is_plain {
        // SAFETY: the caller's promise, and all three are there.
        return unsafe { read_line(read, file, buffer, length, count) };
    }
    // SAFETY: the caller's promise.
    let result = unsafe { read(file, buffer, length, count, overlapped) };
    if result != 0 && kind == DISK && length >= LINE && is_plain {
        // SAFETY: it has told how many bytes it read.
        let read = unsafe { count.read() }.min(length) as usize;
        // SAFETY: as many bytes are there, and nobody else has them yet.
        lines::blank_jumps(unsafe { core::slice::from_raw_parts_mut(buffer, read) });
    }
    result
}

/// Reads from a pipe up to the end of a line, and fails as `read` does where there is nothing.
///
/// # Safety
/// As for Windows' `ReadFile`, which `read` is; `buffer` and `count` are there.
unsafe fn read_line(
    read: ReadFile,
    file: isize,
    buffer: *mut u8,
    length: u32,
    count: *mut u32,
) -> i32 {
    let mut result = 0;
    // SAFETY: the caller promises as many bytes.
    let room = unsafe { core::slice::from_raw_parts_mut(buffer, length as usize) };
    let taken = lines::read_line(room, || {
        let (mut byte, mut one) = (0_u8, 0_u32);
        // SAFETY: there is room for one byte.
        result = unsafe { read(file, &raw mut byte, 1, &raw mut one, null_mut()) };
        (result != 0 && one == 1).then_some(byte)
    });
    // SAFETY: the caller's promise.
    unsafe { count.write(taken as u32) };
    if taken > 0 { 1 } else { result }
}

/// # Safety
/// As for Windows' `ReadConsoleW`.
unsafe extern "win64" fn read_console(
    console: isize,
    buffer: *mut u16,
    length: u32,
    count: *mut u32,
    control: *mut c_void,
) -> i32 {
    note_line(length);
    // SAFETY: the documented type of this function, which is known where this one is called.
    let read =
        unsafe { transmute::<*mut c_void, ReadConsole>(READ_CONSOLE.load(Ordering::Relaxed)) };
    // SAFETY: the caller's promise.
    unsafe { read(console, buffer, length, count, control) }
}

fn note_line(length: u32) {
    if length >= LINE {
        WALK.with(Walk::is_over);
    }
}

/// # Safety
/// As for Windows' `FindFirstFileW`.
unsafe extern "win64" fn find_first(pattern: *const u16, found: *mut c_void) -> isize {
    // SAFETY: the caller's promise.
    let text = unsafe { text(pattern) };
    let is_reached = WALK.with(|walk| walk.reaches(text)).unwrap_or(true);
    if is_reached && looks_into_link(text) {
        return nothing();
    }
    // SAFETY: the documented type of this function, which is known where this one is called.
    let find = unsafe { transmute::<*mut c_void, FindFirst>(FIND_FIRST.load(Ordering::Relaxed)) };
    // SAFETY: the caller's promise.
    let handle = unsafe { find(pattern, found) };
    if handle != NO_HANDLE {
        WALK.with(|walk| walk.begins(handle, text));
    }
    handle
}

/// # Safety
/// As for Windows' `FindClose`.
unsafe extern "win64" fn find_close(handle: isize) -> i32 {
    WALK.with(|walk| walk.ends(handle));
    // SAFETY: the documented type of this function, which is known where this one is called.
    let close = unsafe { transmute::<*mut c_void, FindClose>(FIND_CLOSE.load(Ordering::Relaxed)) };
    // SAFETY: the caller's promise.
    unsafe { close(handle) }
}

/// What shell32 calls: here it lists directories only to remove what is in them.
///
/// # Safety
/// As for Windows' `FindFirstFileW`.
unsafe extern "win64" fn shell_find_first(pattern: *const u16, found: *mut c_void) -> isize {
    // SAFETY: the caller's promise.
    let text = unsafe { text(pattern) };
    if text.contains(&u16::from(b'*')) && looks_into_link(text) {
        return nothing();
    }
    // SAFETY: the documented type of this function, which is known where this one is called.
    let find =
        unsafe { transmute::<*mut c_void, FindFirst>(SHELL_FIND_FIRST.load(Ordering::Relaxed)) };
    // SAFETY: the caller's promise.
    unsafe { find(pattern, found) }
}

/// A pattern's characters; those that are no pattern of the command processor's have no end.
///
/// # Safety
/// `pattern` is NULL or ends with 0.
unsafe fn text<'a>(pattern: *const u16) -> &'a [u16] {
    if pattern.is_null() {
        return &[];
    }
    let mut length = 0_usize;
    // SAFETY: everything before this one was not 0.
    while length < LONGEST && unsafe { pattern.wrapping_add(length).read() } != 0 {
        length = length.wrapping_add(1);
    }
    // SAFETY: they were read just now.
    unsafe { core::slice::from_raw_parts(pattern, length) }
}

/// Whether what the pattern looks into is a link to a directory, as far as can be told.
fn looks_into_link(pattern: &[u16]) -> bool {
    let Some(directory) = walk::parent(pattern) else { return false };
    let mut name = [0_u16; LONGEST];
    let Some(room) = name.get_mut(..directory.len()) else { return true };
    room.copy_from_slice(directory);
    // SAFETY: the documented type of this function, which is known where this one is called.
    let attributes =
        unsafe { transmute::<*mut c_void, Attributes>(ATTRIBUTES.load(Ordering::Relaxed)) };
    // SAFETY: the name ends with 0: it is shorter than a pattern, which is not longer than the room.
    let attributes = unsafe { attributes(name.as_ptr()) };
    attributes != NO_ATTRIBUTES && attributes & LINK == LINK
}

/// What is said where nothing is found.
fn nothing() -> isize {
    // SAFETY: the documented type of this function, which is known where this one is called.
    let set =
        unsafe { transmute::<*mut c_void, SetLastError>(SET_LAST_ERROR.load(Ordering::Relaxed)) };
    // SAFETY: takes a number.
    unsafe { set(ERROR_FILE_NOT_FOUND) };
    NO_HANDLE
}
