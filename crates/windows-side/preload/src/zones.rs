//! Finds the time zone with a tenth of the questions: [`Search`] begins with the zone that the last start
//! has found, which the page remembers for a while.
//!
//! A note in the page is for one setting of the time zone, one year and one Wine, by a hash of these. One
//! that is wrong costs a search from the beginning; one that leads out of the list is taken out.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::page;
use crate::zone_search::{Asked, Search};

/// Whether the search may still come, or goes on.
static IS_AWAITED: AtomicBool = AtomicBool::new(false);
static SEARCH: Guarded =
    Guarded { busy: AtomicBool::new(false), search: UnsafeCell::new(Search::new()) };

/// The seconds of a year of the calendar, on average: that is near enough.
const YEAR: i64 = 31_556_952;

/// The part of a note that is the index and one more; the rest is of the hash.
const INDEX: u64 = 0xffff;

struct Guarded {
    busy: AtomicBool,
    search: UnsafeCell<Search>,
}

// SAFETY: `with` lets one thread at a time have it.
unsafe impl Sync for Guarded {}

/// What `work` makes of the search; `None` where there is none to come, or another thread has it. While it
/// goes on, a process has one thread.
fn with<T>(work: impl FnOnce(&mut Search) -> T) -> Option<T> {
    if !IS_AWAITED.load(Ordering::Relaxed) || SEARCH.busy.swap(true, Ordering::Acquire) {
        return None;
    }
    // SAFETY: `busy` was false, so no other thread is here.
    let search = unsafe { &mut *SEARCH.search.get() };
    let result = work(search);
    IS_AWAITED.store(!search.is_over(), Ordering::Relaxed);
    SEARCH.busy.store(false, Ordering::Release);
    Some(result)
}

/// Has the search be looked for, where there is a page to remember it.
pub(crate) fn prepare() {
    IS_AWAITED.store(page::zones().is_some(), Ordering::Relaxed);
}

/// Looks at the two parts of a request with data.
///
/// # Safety
/// `parts` is valid for `count` entries, which are valid themselves.
pub(crate) unsafe fn sends(parts: *const libc::iovec, count: c_int) {
    if count != 2 || !IS_AWAITED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: the caller's promise.
    let part = unsafe { parts.wrapping_add(1).read() };
    if part.iov_base.is_null() {
        return;
    }
    // SAFETY: as above.
    let data = unsafe { core::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len) };
    with(|search| {
        if search.sends(data) {
            search.begin_with(remembered());
        }
    });
}

/// Looks at a request without data; says whether it was changed.
pub(crate) fn asks(request: &mut [u32; 16]) -> bool {
    match with(|search| search.asks(request)) {
        Some(Asked::Changed) => return true,
        Some(Asked::Ended(index)) => remember(u64::from(index).wrapping_add(1)),
        Some(Asked::EndedWithout) => remember(0),
        Some(Asked::Else) | None => {}
    }
    false
}

/// Looks at an answer.
pub(crate) fn answered(answer: &[u32; 16]) {
    with(|search| search.answered(answer));
}

/// The place of this setting's note, and the part of it that is the hash.
fn note() -> Option<(&'static AtomicU64, u64)> {
    let zones = page::zones()?;
    let hash = setting() & !INDEX;
    let place = usize::try_from(hash.wrapping_shr(16)).ok()?.checked_rem(zones.len())?;
    Some((zones.get(place)?, hash))
}

/// The index that is remembered, 0 if none is.
fn remembered() -> u32 {
    let Some((place, hash)) = note() else { return 0 };
    let note = place.load(Ordering::Relaxed);
    if note & !INDEX != hash { 0 } else { (note & INDEX).saturating_sub(1) as u32 }
}

fn remember(index: u64) {
    if let Some((place, hash)) = note()
        && index <= INDEX
    {
        place.store(hash | index, Ordering::Relaxed);
    }
}

/// A hash of what the time zone depends on.
fn setting() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    // SAFETY: at this library's start no other thread changes the environment, and at Wine's neither.
    let zone = unsafe { libc::getenv(c"TZ".as_ptr()) };
    if zone.is_null() {
        add(&identity(c"/etc/localtime"));
    } else {
        // SAFETY: a text.
        add(unsafe { CStr::from_ptr(zone) }.to_bytes_with_nul());
    }
    add(&identity(c"/proc/self/exe"));
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for the write.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    add(&now.tv_sec.wrapping_div(YEAR).to_ne_bytes());
    hash
}

/// Which file that is, and when it was written.
fn identity(path: &CStr) -> [u8; 24] {
    let mut identity = [0; 24];
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: a text, and room for the answer.
    if unsafe { libc::stat(path.as_ptr(), stat.as_mut_ptr()) } == 0 {
        // SAFETY: it was filled in.
        let stat = unsafe { stat.assume_init() };
        let parts = [stat.st_ino, stat.st_mtime as u64, stat.st_mtime_nsec as u64];
        let bytes = parts.iter().flat_map(|part| part.to_ne_bytes());
        identity.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    }
    identity
}
