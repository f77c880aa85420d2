//! The system calls this library makes, without libc: some of libc's own names are interposed here.

use core::arch::asm;
use core::ffi::{c_int, c_long, c_void};

/// The size of a request to the server and of its answer, when they carry no data.
pub(crate) const MESSAGE: usize = 64;

/// Makes a system call; the result is the kernel's, errors as negative numbers.
///
/// # Safety
/// As for the system call itself: what the arguments point to has to be valid for it.
pub(crate) unsafe fn call(number: c_long, arguments: [c_long; 6]) -> c_long {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: the kernel's convention: number in rax, arguments in these registers, rcx and r11
    // lost. The caller answers for what the call does.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Turns the kernel's result into libc's: -1 and `errno` for errors.
pub(crate) fn finish(result: c_long) -> c_long {
    if (-4095..0).contains(&result) {
        // SAFETY: libc's pointer to this thread's errno is always valid.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        unsafe { *errno = result.wrapping_neg() as c_int };
        return -1;
    }
    result
}

/// `read`.
///
/// # Safety
/// `buffer` is valid for writes of `length` bytes, or the kernel says that it is not.
pub(crate) unsafe fn read(fd: c_int, buffer: *mut c_void, length: usize) -> c_long {
    // SAFETY: the caller's promise.
    unsafe { call(libc::SYS_read, [fd.into(), buffer as c_long, length as c_long, 0, 0, 0]) }
}

/// Reads what is there already; `-EAGAIN` if there is nothing, `-EOPNOTSUPP` if this kind of file
/// cannot tell.
///
/// # Safety
/// As for [`read`].
pub(crate) unsafe fn read_now(fd: c_int, buffer: *mut c_void, length: usize) -> c_long {
    let vector = libc::iovec { iov_base: buffer, iov_len: length };
    let at = &raw const vector as c_long;
    // An offset of -1 means the file's own; its upper half is a separate argument.
    let arguments = [fd.into(), at, 1, -1, -1, libc::RWF_NOWAIT.into()];
    // SAFETY: the vector lives until the call returns; its buffer is the caller's promise.
    unsafe { call(libc::SYS_preadv2, arguments) }
}

/// `epoll_wait`, with the timeout in milliseconds.
///
/// # Safety
/// `events` is valid for writes of `count` events.
pub(crate) unsafe fn epoll_wait(
    fd: c_int,
    events: *mut libc::epoll_event,
    count: c_int,
    timeout: c_int,
) -> c_long {
    let arguments = [fd.into(), events as c_long, count.into(), timeout.into(), 0, 0];
    // SAFETY: the caller's promise.
    unsafe { call(libc::SYS_epoll_wait, arguments) }
}

/// This process's id, from the kernel: libc's would be right as well, but costs a look-up.
pub(crate) fn pid() -> c_int {
    // SAFETY: no arguments, no effects.
    unsafe { call(libc::SYS_getpid, [0; 6]) as c_int }
}

/// This thread's id.
pub(crate) fn thread() -> c_int {
    // SAFETY: no arguments, no effects.
    unsafe { call(libc::SYS_gettid, [0; 6]) as c_int }
}

/// The monotonic clock in nanoseconds.
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the write; libc reads the clock without a system call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// libc's own `sigaction`.
///
/// # Safety
/// As for libc's.
pub(crate) unsafe fn sigaction(
    signal: c_int,
    action: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    type Function =
        unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;
    // SAFETY: looks a name up; the name is a string.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, c"sigaction".as_ptr()) };
    if next.is_null() {
        return finish(-c_long::from(libc::ENOSYS)) as c_int;
    }
    // SAFETY: libc's `sigaction` has this type.
    let next = unsafe { core::mem::transmute::<*mut c_void, Function>(next) };
    // SAFETY: the caller's promise.
    unsafe { next(signal, action, old) }
}

/// Ends the process with all its threads.
pub(crate) fn exit_group(code: c_int) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { call(libc::SYS_exit_group, [code.into(), 0, 0, 0, 0, 0]) };
    }
}
