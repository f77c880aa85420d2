//! Ends a process whose parent has ended before it let it begin.
//!
//! Wine's `CreateProcess` makes a process with its first thread suspended, waits until it is ready, and
//! resumes it. A parent that ends in between would leave a process that waits for ever and holds what it
//! has inherited: whoever reads its caller's pipe would wait as long. On Windows that cannot happen to an
//! ordinary child; one that was asked to be suspended is ended as well here, unless somebody else resumes
//! it within [`LATE`] of its parent's end.
//!
//! # How a suspended thread is known
//! Before Windows code begins it sends the server its registers, with the request to wait for nothing
//! (`wait_suspend` in Wine), and then sleeps until it is woken. No other request of that time carries as
//! much. A wake-up may be for a call that somebody else wants done in this process; then the same request
//! follows again, without the registers. Only one thread runs until then.

use core::ffi::{CStr, c_int, c_long};
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::system;

/// The parent, as a descriptor; [`NONE`] where it does not matter, [`ENDED`] where it was gone at once.
static PARENT: AtomicI32 = AtomicI32::new(NONE);
const NONE: i32 = -1;
const ENDED: i32 = -2;

/// How far the first thread is: one of those below, and in the upper half the number of the request.
static STAGE: AtomicU64 = AtomicU64::new(OVER);
/// It runs Windows code, or has no parent to look after.
const OVER: u64 = 0;
/// It is about to begin, unless it is suspended.
const READY: u64 = 1;
/// It is suspended.
const SUSPENDED: u64 = 2;
/// It was woken to do a call for somebody else.
const CALLED: u64 = 3;

/// A request of this size has a thread's registers in it.
const REGISTERS: u32 = 512;

/// `STATUS_KERNEL_APC`: a thread was woken to do a call.
const CALL: u32 = 0x100;

/// How long a resumption may take to arrive after the parent's end, in seconds. The server has the
/// parent's request before it hears of its end, but the machine may be busy.
const LATE: i64 = 2;

/// The status of a process that never began; for whoever still has a handle to it.
const NEVER_BEGUN: c_int = 1;

/// Takes the parent's pid.
///
/// The parent waits for the fork from which this process has come, and then for the process to be ready.
/// So the pid is its own unless it was killed meanwhile.
pub(crate) fn prepare(parent: Option<&CStr>) {
    let Some(pid) = parent.and_then(|it| it.to_str().ok()?.parse::<c_int>().ok()) else { return };
    // SAFETY: opens a descriptor, which is closed in every program that this process executes.
    let fd = unsafe { system::call(libc::SYS_pidfd_open, [pid.into(), 0, 0, 0, 0, 0]) };
    if fd == -c_long::from(libc::ESRCH) {
        PARENT.store(ENDED, Ordering::Relaxed);
    } else if fd >= 0 {
        PARENT.store(above_standard(fd as c_int), Ordering::Relaxed);
    }
}

/// The same descriptor with a number that stands for no standard input or output: one of those may be
/// closed, and has to stay so.
fn above_standard(fd: c_int) -> c_int {
    if fd > libc::STDERR_FILENO {
        return fd;
    }
    // SAFETY: makes a copy of a descriptor.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1) };
    // SAFETY: this module opened it.
    unsafe { libc::close(fd) };
    if copy < 0 { NONE } else { copy }
}

/// The first thread's last step before Windows code.
pub(crate) fn begin() {
    if PARENT.load(Ordering::Relaxed) != NONE {
        STAGE.store(READY, Ordering::Relaxed);
    }
}

/// Windows code runs.
pub(crate) fn has_begun() {
    if STAGE.swap(OVER, Ordering::Relaxed) != OVER {
        let parent = PARENT.swap(NONE, Ordering::Relaxed);
        if parent >= 0 {
            // SAFETY: this module opened it, and no thread waits with it any more.
            unsafe { libc::close(parent) };
        }
    }
}

/// A request of this number, with so many bytes behind it, is about to be sent.
pub(crate) fn note_request(number: u32, size: u32) {
    let stage = STAGE.load(Ordering::Relaxed);
    if stage == OVER {
        return;
    }
    let sent = u64::from(number) << 32;
    match stage & 0xff {
        READY if size >= REGISTERS => STAGE.store(sent | SUSPENDED, Ordering::Relaxed),
        SUSPENDED if stage != sent | SUSPENDED => has_begun(),
        CALLED if stage == sent | CALLED => STAGE.store(sent | SUSPENDED, Ordering::Relaxed),
        _ => {}
    }
}

/// The server has woken the thread, with this status.
pub(crate) fn note_wake_up(status: u32) {
    let stage = STAGE.load(Ordering::Relaxed);
    if stage & 0xff != SUSPENDED {
        return;
    }
    if status == CALL {
        STAGE.store(stage ^ SUSPENDED ^ CALLED, Ordering::Relaxed);
    } else {
        has_begun();
    }
}

/// Before a thread sleeps until the server wakes it through `fd`: returns when it is woken, and not at
/// all if it is suspended and its parent has ended.
pub(crate) fn wait(fd: c_int) {
    if STAGE.load(Ordering::Relaxed) & 0xff != SUSPENDED {
        return;
    }
    let parent = PARENT.load(Ordering::Relaxed);
    // The wait is for the parent, and has no deadline until that has ended.
    if parent >= 0 && is_woken(fd, parent) {
        return;
    }
    if !is_woken_late(fd) {
        system::exit_group(NEVER_BEGUN);
    }
}

/// Waits for the server or the parent's end, and says whether it was the server.
fn is_woken(fd: c_int, parent: c_int) -> bool {
    loop {
        let mut both = [poll_of(fd), poll_of(parent)];
        let ready = poll(&mut both, None);
        let [server, parent] = both.map(|it| it.revents != 0);
        // An error other than an interruption leaves the waiting to Wine.
        if ready < 0 && ready != -c_long::from(libc::EINTR) || ready > 0 && server {
            return true;
        }
        if ready > 0 && parent {
            return false;
        }
    }
}

fn is_woken_late(fd: c_int) -> bool {
    let time = libc::timespec { tv_sec: LATE, tv_nsec: 0 };
    loop {
        match poll(&mut [poll_of(fd)], Some(&time)) {
            0 => return false,
            ready if ready == -c_long::from(libc::EINTR) => {}
            _ => return true,
        }
    }
}

fn poll_of(fd: c_int) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

fn poll(interest: &mut [libc::pollfd], time: Option<&libc::timespec>) -> c_long {
    let time = time.map_or(0, |time| core::ptr::from_ref(time) as c_long);
    let arguments = [interest.as_mut_ptr() as c_long, interest.len() as c_long, time, 0, 8, 0];
    // SAFETY: the array and the time live until the call returns.
    unsafe { system::call(libc::SYS_ppoll, arguments) }
}
