//! Begins again where the kernel's choice of addresses leaves no room for Wine.
//!
//! Every Windows process has a page of shared data at 0x7ffe0000. Debian's 64-bit loader is linked
//! to 0x7d000000 and comes without Wine's preloader, which would reserve that page. The kernel puts
//! the heap behind the loader, at a random distance: up to 32 MiB before Linux 6.9, which never
//! reaches the page, and up to 1 GiB since, which does once in some eight thousand starts. Wine
//! then ends with status 1 and without a word, before it has loaded anything.
//!
//! At this library's start nothing has happened yet, so the loader can simply be executed again,
//! with the same arguments, environment and descriptors, and gets another heap.

use core::ffi::{CStr, c_char, c_long};
use core::ptr::null_mut;

use crate::system;

/// The page of shared data, with the 64 KiB that Windows allots addresses by.
const SHARED_DATA: core::ops::Range<usize> = 0x7ffe_0000..0x7fff_0000;

/// How much the heap may have grown before and may grow until Wine takes the page. Measured are
/// 132 KiB in all, libc's first portion.
const HEAP: usize = 1 << 20;

/// After so many starts the loader goes on as it is: chance does not explain it any more.
const STARTS: u8 = 8;

/// The variable that counts the starts, ending in `=` and one digit.
pub(crate) const VARIABLE: &[u8] = b"WINTEROP_STARTS=";

/// Whether a heap that ends at `heap_end` may lie on the page of shared data.
fn collides(heap_end: usize) -> bool {
    let (begin, end) = (SHARED_DATA.start, SHARED_DATA.end);
    heap_end > begin.wrapping_sub(HEAP) && heap_end < end.wrapping_add(HEAP)
}

/// Executes the loader again if its heap is in Wine's way. Returns if it is not, or if that does
/// not help.
///
/// # Safety
/// Both arrays are NULL-terminated, hold NUL-terminated strings, and nothing changes them meanwhile.
pub(crate) unsafe fn choose(arguments: *mut *mut c_char, environment: *mut *mut c_char) {
    // SAFETY: asks for the heap's end and changes nothing.
    let heap_end = unsafe { system::call(libc::SYS_brk, [0; 6]) };
    if !collides(heap_end as usize) || arguments.is_null() || environment.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    let Some((count, starts)) = (unsafe { look(environment) }) else { return };
    if starts >= STARTS {
        return;
    }
    // SAFETY: the caller's promise; there are `count` entries.
    unsafe { again(arguments, environment, count, starts.wrapping_add(1)) };
}

/// How many entries the environment has, and how often the loader was executed again already.
///
/// # Safety
/// As for [`choose`].
unsafe fn look(environment: *mut *mut c_char) -> Option<(usize, u8)> {
    let (mut count, mut starts) = (0usize, 0);
    loop {
        // SAFETY: the loop stops at the NULL, so this is inside the array.
        let entry = unsafe { environment.wrapping_add(count).read() };
        if entry.is_null() {
            return Some((count, starts));
        }
        // SAFETY: every entry before the NULL is a string.
        let text = unsafe { CStr::from_ptr(entry) };
        if let Some(value) = text.to_bytes().strip_prefix(VARIABLE) {
            starts = value.first()?.wrapping_sub(b'0');
        }
        count = count.wrapping_add(1);
    }
}

/// Executes the loader with one more variable, which says that it is the `starts`th time. Of two of
/// that name [`look`] takes the last.
///
/// # Safety
/// As for [`choose`]; the environment has `count` entries.
unsafe fn again(
    arguments: *mut *mut c_char,
    environment: *mut *mut c_char,
    count: usize,
    starts: u8,
) {
    let mut variable = *b"WINTEROP_STARTS=0\0";
    variable[VARIABLE.len()] = starts.wrapping_add(b'0');
    let size = count.wrapping_add(2).wrapping_mul(size_of::<*mut c_char>());
    let (protection, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice.
    let memory = unsafe { libc::mmap(null_mut(), size, protection, kind, -1, 0) };
    if memory == libc::MAP_FAILED {
        return;
    }
    let longer = memory.cast::<*mut c_char>();
    // SAFETY: `count` entries can be read, and there is room for two more. The last stays NULL.
    unsafe { longer.copy_from_nonoverlapping(environment, count) };
    // SAFETY: as above.
    unsafe { longer.wrapping_add(count).write(variable.as_mut_ptr().cast()) };
    // SAFETY: what the kernel was told when it executed this program; the string stays.
    let program = unsafe { libc::getauxval(libc::AT_EXECFN) };
    for path in [program as c_long, c"/proc/self/exe".as_ptr() as c_long] {
        let call = [path, arguments as c_long, longer as c_long, 0, 0, 0];
        // SAFETY: a path and two NULL-terminated arrays that live until the call returns; it
        // returns only if it fails, and then nothing has changed.
        unsafe { system::call(libc::SYS_execve, call) };
    }
}
