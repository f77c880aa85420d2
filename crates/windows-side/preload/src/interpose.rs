//! The functions of libc that this library puts itself in front of.
//!
//! Wine calls them through the dynamic linker, which finds this library's first.

use core::ffi::{c_char, c_int, c_long, c_void};

use crate::system::MESSAGE;
use crate::{
    children, command_line, console_host, crashes, events, links, orphan, patience, readers,
    report, start, system, terminal, vanished, zones,
};

/// The size of what the server writes when a wait is over.
const WAKE_UP: usize = 16;

/// libc's `exit`: reports the code on the way.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn exit(code: c_int) -> ! {
    report::end(code);
    patience::leave();
    // SAFETY: looks a name up; the name is a string.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, c"exit".as_ptr()) };
    if !next.is_null() {
        // SAFETY: libc's `exit` has this type.
        let next = unsafe { core::mem::transmute::<*mut c_void, extern "C" fn(c_int) -> !>(next) };
        next(code);
    }
    system::exit_group(code)
}

/// libc's `_exit`: reports the code on the way.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn _exit(code: c_int) -> ! {
    report::end(code);
    patience::leave();
    system::exit_group(code)
}

/// libc's `fork`: the child, which goes on to execute a loader, is given the library back, and hears of
/// no signal as if it were its parent.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fork() -> libc::pid_t {
    // SAFETY: looks a name up; the name is a string.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, c"fork".as_ptr()) };
    if next.is_null() {
        return system::finish(-libc::c_long::from(libc::ENOSYS)) as libc::pid_t;
    }
    // SAFETY: libc's `fork` has this type.
    let next =
        unsafe { core::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> libc::pid_t>(next) };
    let parent = system::pid();
    let held = events::hold();
    // SAFETY: the caller's promise.
    let child = unsafe { next() };
    if child == 0 {
        events::disown();
        children::begin(parent);
    }
    events::release(held);
    child
}

/// libc's `sigaction`: where Wine wants a console event of one signal, more signals become some.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sigaction(
    signal: c_int,
    action: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { events::install(signal, action, old) }
}

/// libc's `isatty`: Wine makes consoles of terminals only where it is to.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn isatty(fd: c_int) -> c_int {
    terminal::is_terminal(fd)
}

/// libc's `read`: answers of the server are looked for again before the thread sleeps.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn read(fd: c_int, buffer: *mut c_void, length: usize) -> isize {
    if let Some(request) = vanished::last_request(fd).filter(|_| length == MESSAGE) {
        // SAFETY: the caller's promise; it may be unaligned.
        unsafe { buffer.cast::<[u32; 16]>().write_unaligned(request) };
        return MESSAGE as isize;
    }
    let result = if length == MESSAGE {
        // SAFETY: the caller's promise.
        unsafe { patience::read_answer(fd, buffer, length) }
    } else {
        if length == WAKE_UP {
            patience::leave();
            orphan::wait(fd);
        }
        links::is_rest(fd);
        // SAFETY: the caller's promise.
        let read = unsafe { console_host::read(fd, buffer, length) };
        // SAFETY: the caller's promise.
        read.unwrap_or_else(|| unsafe { system::read(fd, buffer, length) })
    };
    let is_rest = vanished::is_rest(fd, result);
    if is_rest && length == MESSAGE {
        links::is_rest(fd);
    }
    if result == length as c_long && length == MESSAGE && !is_rest {
        // SAFETY: that many bytes were read; they may be unaligned.
        let mut message = unsafe { buffer.cast::<[u32; 16]>().read_unaligned() };
        if vanished::note_request(fd, &mut message) {
            // SAFETY: as above.
            unsafe { buffer.cast::<[u32; 16]>().write_unaligned(message) };
        }
        report::note_answer(&message);
        console_host::note_answer(&message);
        links::note_request(fd, &message);
        zones::answered(&message);
    } else if result == length as c_long && length == WAKE_UP {
        // SAFETY: as above.
        let [_, _, status, _] = unsafe { buffer.cast::<[u32; 4]>().read_unaligned() };
        orphan::note_wake_up(status);
    } else if result == 4 && length == 4 {
        // SAFETY: as above.
        console_host::note_data(unsafe { buffer.cast::<[u8; 4]>().read_unaligned() });
    }
    system::finish(result) as isize
}

/// libc's `write`: the request to end this process is looked at on the way, and anything else that
/// is written means that the program does its own work.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, length: usize) -> isize {
    if length == MESSAGE && !buffer.is_null() {
        // SAFETY: the caller promises that many bytes; they may be unaligned.
        let mut request = unsafe { buffer.cast::<[u32; 16]>().read_unaligned() };
        report::note_request(&request);
        orphan::note_request(request[0], 0);
        vanished::note_answer(request[2]);
        console_host::note_request(&request);
        if zones::asks(&mut request) {
            let arguments = [fd.into(), request.as_ptr() as c_long, length as c_long, 0, 0, 0];
            // SAFETY: the request lives until the call returns.
            return system::finish(unsafe { system::call(libc::SYS_write, arguments) }) as isize;
        }
    } else {
        patience::leave();
    }
    // SAFETY: the caller's promise.
    if unsafe { crashes::is_noise(fd, buffer, length) } {
        return length as isize;
    }
    // SAFETY: the caller's promise.
    unsafe { console_host::follow(fd, buffer, length) };
    let arguments = [fd.into(), buffer as c_long, length as c_long, 0, 0, 0];
    // SAFETY: the caller's promise.
    let result = unsafe { system::call(libc::SYS_write, arguments) };
    readers::note(result);
    system::finish(result) as isize
}

/// libc's `writev`: a console host's requests may be others than Wine has made them.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn writev(
    fd: c_int,
    parts: *const libc::iovec,
    count: c_int,
) -> isize {
    // SAFETY: the caller's promise.
    unsafe { zones::sends(parts, count) };
    // SAFETY: the caller's promise.
    if let Some([number, size]) = unsafe { head_of(parts, count) } {
        report::note_other();
        orphan::note_request(number, size);
    }
    // SAFETY: the caller's promise.
    let sent = unsafe { console_host::send(fd, parts, count) };
    let arguments = [fd.into(), parts as c_long, count.into(), 0, 0, 0];
    // SAFETY: the caller's promise.
    let result = sent.unwrap_or_else(|| unsafe { system::call(libc::SYS_writev, arguments) });
    system::finish(result) as isize
}

/// The number of a request to the server, and how many bytes belong to it, if this is one.
///
/// # Safety
/// As for libc's `writev`.
unsafe fn head_of(parts: *const libc::iovec, count: c_int) -> Option<[u32; 2]> {
    if count < 2 || parts.is_null() {
        return None;
    }
    // SAFETY: the caller promises that many parts.
    let first = unsafe { parts.read() };
    // SAFETY: the caller promises that many bytes; they may be unaligned.
    (first.iov_len == MESSAGE)
        .then(|| unsafe { first.iov_base.cast::<[u32; 2]>().read_unaligned() })
}

/// libc's `epoll_wait`: the server looks for requests again before it sleeps.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn epoll_wait(
    fd: c_int,
    events: *mut libc::epoll_event,
    count: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let result = unsafe { patience::wait_events(fd, events, count, timeout) };
    if let Some(there) = usize::try_from(result).ok().filter(|there| *there > 0) {
        // SAFETY: the kernel has written so many.
        vanished::attend(unsafe { core::slice::from_raw_parts_mut(events, there) });
    }
    system::finish(result) as c_int
}

/// libc's `epoll_ctl`: which number the server has for what it waits for.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn epoll_ctl(
    epoll: c_int,
    action: c_int,
    fd: c_int,
    event: *mut libc::epoll_event,
) -> c_int {
    let arguments = [epoll.into(), action.into(), fd.into(), event as c_long, 0, 0];
    // SAFETY: the caller's promise.
    let result = unsafe { system::call(libc::SYS_epoll_ctl, arguments) };
    if result == 0 {
        // SAFETY: the caller's promise.
        unsafe { vanished::note_interest(action, fd, event) };
    }
    system::finish(result) as c_int
}

/// libc's `sendmsg`: the server gives a process its connection.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sendmsg(
    fd: c_int,
    message: *const libc::msghdr,
    flags: c_int,
) -> isize {
    let arguments = [fd.into(), message as c_long, flags.into(), 0, 0, 0];
    // SAFETY: the caller's promise.
    let result = unsafe { system::call(libc::SYS_sendmsg, arguments) };
    if result > 0 {
        // SAFETY: it was sent.
        unsafe { vanished::note_sent(fd, message) };
    }
    system::finish(result) as isize
}

/// libc's `recvmsg`: a process gives the server a connection.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn recvmsg(
    fd: c_int,
    message: *mut libc::msghdr,
    flags: c_int,
) -> isize {
    let arguments = [fd.into(), message as c_long, flags.into(), 0, 0, 0];
    // SAFETY: the caller's promise.
    let result = unsafe { system::call(libc::SYS_recvmsg, arguments) };
    if result > 0 {
        // SAFETY: it was received.
        unsafe { vanished::note_received(fd, message) };
    }
    system::finish(result) as isize
}

/// libc's `syscall`: the command line is put in place before Windows code begins.
///
/// # Safety
/// As for libc's. It takes as many arguments as the call has; what lies where the others would be
/// is passed on and not looked at by the kernel.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if command_line::before_system_call(number, a, b) {
        orphan::begin();
        events::begin(command_line::ignores_interrupt(b));
        start::begin();
    }
    // SAFETY: the caller's promise.
    let result = unsafe { system::call(number, [a, b, c, d, e, f]) };
    system::finish(result)
}

/// libc's `free`: names of links are not libc's memory.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free(memory: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { links::free(memory) };
}

/// libc's `realpath`: the server keeps a link's own name as well.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realpath(path: *const c_char, room: *mut c_char) -> *mut c_char {
    // SAFETY: the caller's promise.
    unsafe { links::realpath(path, room) }
}

/// libc's `unlink`: the server removes a link, and not what it leads to.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    system::finish(unsafe { links::remove(libc::SYS_unlink, path) }) as c_int
}

/// libc's `rmdir`: the same for links to directories.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    system::finish(unsafe { links::remove(libc::SYS_rmdir, path) }) as c_int
}

/// libc's `rename`: the same for links that get another name.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    system::finish(unsafe { links::rename(from, to) }) as c_int
}

/// libc's `fchmod`: what a renamed link leads to stays as it is.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fchmod(fd: c_int, mode: libc::mode_t) -> c_int {
    system::finish(links::change_mode(fd, mode)) as c_int
}

/// libc's `open`: the server's descriptors that were opened through links are known.
///
/// # Safety
/// As for libc's. Where no mode is wanted, what lies where it would be is passed on and not looked at.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open(
    path: *const c_char,
    flags: c_int,
    mode: libc::mode_t,
) -> c_int {
    // SAFETY: the caller's promise.
    system::finish(unsafe { links::open(path, flags, mode) }) as c_int
}

/// libc's `fchdir`: as [`open`].
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fchdir(fd: c_int) -> c_int {
    system::finish(links::change_directory(fd)) as c_int
}

/// libc's `dup`: as [`open`].
#[unsafe(no_mangle)]
pub(crate) extern "C" fn dup(fd: c_int) -> c_int {
    system::finish(links::dup(fd)) as c_int
}

/// libc's `readdir`: to the server a link to a directory is empty.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn readdir(directory: *mut libc::DIR) -> *mut libc::dirent {
    // SAFETY: the caller's promise.
    unsafe { links::readdir(directory) }
}
