//! Looks again for a moment before sleeping, while exactly one program starts.
//!
//! # When
//! Both sides share a page: 64 slots of 8 bytes, each the time at which one start began (see
//! `wine::launches` in the host). A program takes a slot when this library is loaded, and gives it
//! back when it writes something, waits for something other than an answer, or ends; one that is
//! killed before counts as starting for [`COUNTED`]. Program and server look again only while
//! exactly one program starts and only for its first [`WINDOW`], so with several starts at once
//! nothing changes, and a program that has started finds everything as without this library.
//!
//! # How long
//! What is waited for comes within microseconds if the other side runs and is awake too. So:
//! - one wait looks again for [`ONCE`] at most;
//! - all waits of one start that were in vain together for [`IN_VAIN`] at most, where each wait
//!   that was not in vain gives back [`EARNED`]: on an idle machine nearly none is in vain, and
//!   where both sides share a processor all are;
//! - a look that itself took longer than [`PREEMPTED`] means that another program wanted this
//!   processor: the machine is not idle, and this start goes on without.
//!
//! Affinities and priorities are never touched.

use core::ffi::{CStr, c_int, c_long, c_void};
use core::hint::spin_loop;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

use crate::{page, system};

/// The longest one wait looks again, in nanoseconds.
const ONCE: u64 = 200_000;
/// How long the waits of one start may look again in vain, together.
const IN_VAIN: u64 = 600_000;
/// How much of that a wait with success gives back.
const EARNED: u64 = 30_000;
/// A look takes less than a microsecond, unless it is interrupted.
const PREEMPTED: u64 = 100_000;
/// How long a start may look again: after that it is like any other program.
const WINDOW: u64 = 100_000_000;
/// How long a start counts as one at most. With many at once each takes this long.
const COUNTED: u64 = 2_000_000_000;

/// Which side this process is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Program,
    Server,
}

/// In a program: its slot, and the thread that starts.
static SLOT: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());
static PROCESS: AtomicI32 = AtomicI32::new(0);
/// The time looked again in vain for the start that [`START`] names, and the start.
static SPENT: AtomicU64 = AtomicU64::new(0);
static START: AtomicU64 = AtomicU64::new(0);

/// Maps the page, and in a program takes a slot.
pub(crate) fn prepare(path: &CStr, side: Side) {
    page::map(path);
    if page::starts().is_none() {
        return;
    }
    PROCESS.store(system::pid(), Ordering::Relaxed);
    if side == Side::Program {
        take_slot();
    }
}

fn take_slot() {
    let Some(page) = page::starts() else { return };
    let now = system::now();
    for slot in page {
        let seen = slot.load(Ordering::Relaxed);
        if !is_starting(seen, now)
            && slot.compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            START.store(now, Ordering::Relaxed);
            SLOT.store((&raw const *slot).cast_mut(), Ordering::Relaxed);
            return;
        }
    }
}

/// Whether a start that began at `begin` counts; 0 is none.
fn is_starting(begin: u64, now: u64) -> bool {
    begin != 0 && now.wrapping_sub(begin) < COUNTED
}

/// The start under way, if there is exactly one, and if it is young enough to look again for.
fn only_start(now: u64) -> Option<u64> {
    let mut found = None;
    for slot in page::starts()? {
        let begin = slot.load(Ordering::Relaxed);
        if is_starting(begin, now) && found.replace(begin).is_some() {
            return None;
        }
    }
    found.filter(|begin| now.wrapping_sub(*begin) < WINDOW)
}

/// This program's start is over: it does something of its own.
pub(crate) fn leave() {
    // Forks of a program share its slot and must not give it back.
    if SLOT.load(Ordering::Relaxed).is_null() || PROCESS.load(Ordering::Relaxed) != system::pid() {
        return;
    }
    let slot = SLOT.swap(null_mut(), Ordering::Relaxed);
    // SAFETY: either null, or a slot of the page, which is never unmapped.
    if let Some(slot) = unsafe { slot.as_ref() } {
        let begin = START.load(Ordering::Relaxed);
        let _ = slot.compare_exchange(begin, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Reads an answer of the server, looking again before sleeping.
///
/// # Safety
/// `buffer` is valid for writes of `length` bytes.
pub(crate) unsafe fn read_answer(fd: c_int, buffer: *mut c_void, length: usize) -> c_long {
    if !SLOT.load(Ordering::Relaxed).is_null() {
        // SAFETY: the caller's promise.
        let answer = look_again(
            || unsafe { system::read_now(fd, buffer, length) },
            |result| result != -c_long::from(libc::EAGAIN),
        );
        match answer {
            Some(result) if result == -c_long::from(libc::EOPNOTSUPP) => leave(),
            Some(result) => return result,
            None => {}
        }
    }
    // SAFETY: the caller's promise.
    unsafe { system::read(fd, buffer, length) }
}

/// Waits for events in the server, looking again before sleeping.
///
/// # Safety
/// `events` is valid for writes of `count` events.
pub(crate) unsafe fn wait_events(
    fd: c_int,
    events: *mut libc::epoll_event,
    count: c_int,
    timeout: c_int,
) -> c_long {
    if timeout != 0 && page::starts().is_some() {
        // SAFETY: the caller's promise.
        let look = || unsafe { system::epoll_wait(fd, events, count, 0) };
        if let Some(result) = look_again(look, |result| result != 0) {
            return result;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { system::epoll_wait(fd, events, count, timeout) }
}

/// Looks until `is_there` says that something came, within the limits above.
fn look_again(look: impl Fn() -> c_long, is_there: impl Fn(c_long) -> bool) -> Option<c_long> {
    let begin = system::now();
    let start = only_start(begin)?;
    if START.swap(start, Ordering::Relaxed) != start {
        SPENT.store(0, Ordering::Relaxed);
    }
    let spent = SPENT.load(Ordering::Relaxed);
    if spent >= IN_VAIN {
        return None;
    }
    let mut before = begin;
    loop {
        let result = look();
        if is_there(result) {
            SPENT.store(spent.saturating_sub(EARNED), Ordering::Relaxed);
            return Some(result);
        }
        let now = system::now();
        let waited = now.wrapping_sub(begin);
        if now.wrapping_sub(before) > PREEMPTED {
            SPENT.store(IN_VAIN, Ordering::Relaxed);
            return None;
        }
        if waited > ONCE {
            SPENT.store(spent.wrapping_add(waited), Ordering::Relaxed);
            return None;
        }
        before = now;
        spin_loop();
    }
}
