//! Tells programs which of the directories that they list are links.
//!
//! On Windows an entry that has the attribute of a reparse point says which kind it is, and programs that
//! remove trees ask for that: Node.js from 24 on, and whatever else uses Microsoft's C++ library. Wine 8
//! leaves the field empty, so they go through links to directories and remove what they find. Here links
//! get the kind of a symbolic link. What is mounted has that attribute too, and stays as it is.
//!
//! All programs list directories through kernel32, and that through kernelbase: the calls in between are
//! ours.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_void};
use core::mem::{MaybeUninit, transmute};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicIsize, AtomicPtr, Ordering};

use crate::modules::{self, Module, Replacement, Writer};

/// A directory that is a link, or where something is mounted.
const REPARSE_DIRECTORY: u32 = 0x410;
/// Windows' number for symbolic links.
const SYMBOLIC_LINK: u32 = 0xa000_000c;
/// Where an entry has its kind and its name, and how long that can be.
const KIND: usize = 36;
const NAME: usize = 44;
const LONGEST_NAME: usize = 260;

/// How many listings at once, and the longest name of a directory: in others links have no kind.
const LISTINGS: usize = 64;
const LONGEST: usize = 1024;

const NO_HANDLE: isize = -1;
/// A place is just being taken, or free.
const TAKEN: isize = -1;
const FREE: isize = 0;

/// What is called in the end.
static FIND_FIRST: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static FIND_FIRST_EX: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static FIND_NEXT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static FIND_CLOSE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

static UNIX_NAME: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static FREE_HEAP: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static HEAP: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

static OPEN: [Listing; LISTINGS] = [const { Listing::none() }; LISTINGS];

type FindFirst = unsafe extern "win64" fn(*const u16, *mut u8) -> isize;
type FindFirstEx =
    unsafe extern "win64" fn(*const u16, u32, *mut u8, u32, *mut c_void, u32) -> isize;
type FindNext = unsafe extern "win64" fn(isize, *mut u8) -> i32;
type FindClose = unsafe extern "win64" fn(isize) -> i32;
type UnixName = unsafe extern "win64" fn(*const u16) -> *mut c_char;
type GetHeap = unsafe extern "win64" fn() -> *mut c_void;
type FreeHeap = unsafe extern "win64" fn(*mut c_void, u32, *mut c_void) -> i32;

/// A listing that goes on.
struct Listing {
    /// The program's handle, [`FREE`] or [`TAKEN`].
    handle: AtomicIsize,
    /// The directory as the program has named it, with its last backslash.
    directory: UnsafeCell<Directory>,
}

#[derive(Clone, Copy)]
struct Directory {
    units: [u16; LONGEST],
    length: usize,
}

// SAFETY: the directory is written by whoever has put `TAKEN` in the place of `FREE`, and read by whoever
// uses the handle: a program that closes it meanwhile has the same trouble with Windows.
unsafe impl Sync for Listing {}

impl Listing {
    const fn none() -> Self {
        let directory = Directory { units: [0; LONGEST], length: 0 };
        Self { handle: AtomicIsize::new(FREE), directory: UnsafeCell::new(directory) }
    }

    fn find(handle: isize) -> Option<&'static Self> {
        let is_handle = !matches!(handle, FREE | TAKEN);
        OPEN.iter().find(|it| is_handle && it.handle.load(Ordering::Acquire) == handle)
    }

    /// Remembers a listing, where there is a place.
    fn begin(handle: isize, pattern: &[u16]) {
        let take = |listing: &&Self| {
            listing
                .handle
                .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        };
        let directory = directory_of(pattern);
        let Some(listing) = OPEN.iter().find(take) else { return };
        // SAFETY: taken by this thread.
        let place = unsafe { &mut *listing.directory.get() };
        let fits = match place.units.get_mut(..directory.len()) {
            Some(room) => {
                room.copy_from_slice(directory);
                place.length = directory.len();
                true
            }
            None => false,
        };
        listing.handle.store(if fits { handle } else { FREE }, Ordering::Release);
    }

    fn directory(&self) -> &[u16] {
        // SAFETY: written before the handle was there.
        let directory = unsafe { &*self.directory.get() };
        directory.units.get(..directory.length).unwrap_or_default()
    }
}

/// Everything up to the last separator of a pattern.
fn directory_of(pattern: &[u16]) -> &[u16] {
    let separators = [b'\\', b'/', b':'].map(u16::from);
    let end = pattern.iter().rposition(|unit| separators.contains(unit));
    let end = end.map_or(0, |at| at.wrapping_add(1));
    pattern.get(..end).unwrap_or_default()
}

/// Puts our functions between kernel32 and kernelbase.
pub(crate) fn mend(writer: Writer, kernelbase: Module, ntdll: Module) {
    // SAFETY: Windows code runs in this thread, and it stays loaded.
    let Some(kernel32) = (unsafe { modules::find(b"kernel32.dll") }) else { return };
    let heap = kernelbase.export(b"GetProcessHeap");
    let used = [
        (&UNIX_NAME, kernel32.export(b"wine_get_unix_file_name")),
        (&FREE_HEAP, ntdll.export(b"RtlFreeHeap")),
        (&HEAP, heap),
    ];
    for (place, function) in used {
        let Some(function) = function else { return };
        place.store(function.cast_mut(), Ordering::Relaxed);
    }
    let replaced = [
        (&b"FindFirstFileW"[..], find_first as *const c_void, &FIND_FIRST),
        (b"FindFirstFileExW", find_first_ex as *const c_void, &FIND_FIRST_EX),
        (b"FindNextFileW", find_next as *const c_void, &FIND_NEXT),
        (b"FindClose", find_close as *const c_void, &FIND_CLOSE),
    ];
    for (name, ours, original) in replaced {
        let replacement = Replacement { ours, original };
        // SAFETY: ours has the function's type, and no other thread is there before the program begins.
        unsafe { writer.replace_import(kernel32, b"kernelbase.dll", name, replacement) };
    }
}

/// # Safety
/// As for Windows' `FindFirstFileW`.
unsafe extern "win64" fn find_first(pattern: *const u16, entry: *mut u8) -> isize {
    // SAFETY: the documented type of this function, which is known where this one is called.
    let find = unsafe { transmute::<*mut c_void, FindFirst>(FIND_FIRST.load(Ordering::Relaxed)) };
    // SAFETY: the caller's promise.
    let handle = unsafe { find(pattern, entry) };
    // SAFETY: as above.
    unsafe { begins(handle, pattern, entry) };
    handle
}

/// # Safety
/// As for Windows' `FindFirstFileExW`.
unsafe extern "win64" fn find_first_ex(
    pattern: *const u16,
    level: u32,
    entry: *mut u8,
    search: u32,
    filter: *mut c_void,
    flags: u32,
) -> isize {
    // SAFETY: the documented type of this function, which is known where this one is called.
    let find =
        unsafe { transmute::<*mut c_void, FindFirstEx>(FIND_FIRST_EX.load(Ordering::Relaxed)) };
    // SAFETY: the caller's promise.
    let handle = unsafe { find(pattern, level, entry, search, filter, flags) };
    // SAFETY: as above.
    unsafe { begins(handle, pattern, entry) };
    handle
}

/// # Safety
/// As for Windows' `FindNextFileW`.
unsafe extern "win64" fn find_next(handle: isize, entry: *mut u8) -> i32 {
    // SAFETY: the documented type of this function, which is known where this one is called.
    let find = unsafe { transmute::<*mut c_void, FindNext>(FIND_NEXT.load(Ordering::Relaxed)) };
    // SAFETY: the caller's promise.
    let result = unsafe { find(handle, entry) };
    if result != 0
        && let Some(listing) = Listing::find(handle)
    {
        // SAFETY: as above; the entry was filled in.
        unsafe { name_kind(listing.directory(), entry) };
    }
    result
}

/// # Safety
/// As for Windows' `FindClose`.
unsafe extern "win64" fn find_close(handle: isize) -> i32 {
    if let Some(listing) = Listing::find(handle) {
        listing.handle.store(FREE, Ordering::Release);
    }
    // SAFETY: the documented type of this function, which is known where this one is called.
    let close = unsafe { transmute::<*mut c_void, FindClose>(FIND_CLOSE.load(Ordering::Relaxed)) };
    // SAFETY: the caller's promise.
    unsafe { close(handle) }
}

/// A listing has begun, if there is a handle.
///
/// # Safety
/// The pattern and the entry are what such a listing has begun with.
unsafe fn begins(handle: isize, pattern: *const u16, entry: *mut u8) {
    if handle == NO_HANDLE || pattern.is_null() {
        return;
    }
    let mut length = 0_usize;
    // SAFETY: everything before this one was not 0.
    while unsafe { pattern.wrapping_add(length).read() } != 0 {
        length = length.wrapping_add(1);
    }
    // SAFETY: they were read just now.
    let pattern = unsafe { core::slice::from_raw_parts(pattern, length) };
    Listing::begin(handle, pattern);
    // SAFETY: the caller's promise.
    unsafe { name_kind(directory_of(pattern), entry) };
}

/// Puts a link's kind into its entry.
///
/// # Safety
/// `entry` is a `WIN32_FIND_DATAW` that was filled in.
unsafe fn name_kind(directory: &[u16], entry: *mut u8) {
    // SAFETY: the attributes come first.
    let attributes = unsafe { entry.cast::<u32>().read_unaligned() };
    if attributes & REPARSE_DIRECTORY != REPARSE_DIRECTORY {
        return;
    }
    // SAFETY: the place of the name in an entry.
    let name = unsafe { entry.wrapping_add(NAME).cast::<[u16; LONGEST_NAME]>().read_unaligned() };
    if is_link(directory, &name) {
        // SAFETY: the place of the kind.
        unsafe { entry.wrapping_add(KIND).cast::<u32>().write_unaligned(SYMBOLIC_LINK) };
    }
}

/// Whether what a directory has under a name is a link.
fn is_link(directory: &[u16], name: &[u16]) -> bool {
    let mut path = [0_u16; LONGEST + LONGEST_NAME + 1];
    let name = name.iter().copied().take_while(|unit| *unit != 0);
    let units = directory.iter().copied().chain(name);
    // The last one stays 0.
    path.iter_mut().take(LONGEST + LONGEST_NAME).zip(units).for_each(|(place, unit)| *place = unit);
    // SAFETY: the type of this function, which is known where listings are.
    let unix_name =
        unsafe { transmute::<*mut c_void, UnixName>(UNIX_NAME.load(Ordering::Relaxed)) };
    // SAFETY: the path ends with 0.
    let unix = unsafe { unix_name(path.as_ptr()) };
    if unix.is_null() {
        return false;
    }
    // SAFETY: a text that ends with NUL.
    let is_link = is_unix_link(unsafe { CStr::from_ptr(unix) });
    // SAFETY: the documented type of this function.
    let heap = unsafe { transmute::<*mut c_void, GetHeap>(HEAP.load(Ordering::Relaxed)) };
    // SAFETY: as above.
    let free = unsafe { transmute::<*mut c_void, FreeHeap>(FREE_HEAP.load(Ordering::Relaxed)) };
    // SAFETY: asks for a handle.
    let heap = unsafe { heap() };
    // SAFETY: the text is the caller's to give back, to this heap.
    unsafe { free(heap, 0, unix.cast()) };
    is_link
}

fn is_unix_link(path: &CStr) -> bool {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: a text, and room for the answer.
    if unsafe { libc::lstat(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: it was filled in.
    let mode = unsafe { stat.assume_init() }.st_mode;
    mode & libc::S_IFMT == libc::S_IFLNK
}
