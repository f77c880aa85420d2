//! The page that the starts of a prefix share with its server, in a file that the host has made
//! (`wine::launches`): 64 words about starts under way, then 32 about time zones.

use core::ffi::CStr;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The words about starts under way.
pub(crate) type Starts = [AtomicU64; 64];
/// The words about time zones.
pub(crate) type Zones = [AtomicU64; 32];

#[repr(C)]
struct Page {
    starts: Starts,
    zones: Zones,
}

/// The page, once it is mapped.
static PAGE: AtomicPtr<Page> = AtomicPtr::new(null_mut());

/// Maps the page, if it is there.
pub(crate) fn map(path: &CStr) {
    // SAFETY: the path is a string.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if fd < 0 {
        return;
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let size = size_of::<Page>();
    // SAFETY: a new mapping at an address of the kernel's choice.
    let memory = unsafe { libc::mmap(null_mut(), size, protection, libc::MAP_SHARED, fd, 0) };
    // SAFETY: `stat` is plain data.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: `stat` is valid for the write.
    let known = unsafe { libc::fstat(fd, &raw mut stat) } == 0;
    // SAFETY: this function opened it.
    unsafe { libc::close(fd) };
    // A shorter file would end the process with SIGBUS at the first look.
    if memory != libc::MAP_FAILED && known && stat.st_size >= size as i64 {
        PAGE.store(memory.cast(), Ordering::Relaxed);
    }
}

fn page() -> Option<&'static Page> {
    // SAFETY: either null, or the mapping, which is never undone and is used atomically only.
    unsafe { PAGE.load(Ordering::Relaxed).as_ref() }
}

pub(crate) fn starts() -> Option<&'static Starts> {
    page().map(|page| &page.starts)
}

pub(crate) fn zones() -> Option<&'static Zones> {
    page().map(|page| &page.zones)
}
