//! Writes the Windows exit code, all 32 bits, to the descriptor that the environment names.
//!
//! Only the process that loaded the library does: Wine forks twice for every child, and those forks
//! end with `_exit` too, with the codes of their own.

use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use crate::system;

/// The descriptor, -1 for none or once the code is written.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);
/// The process that reports.
static PROCESS: AtomicI32 = AtomicI32::new(0);
/// The code that this process asked the server to end itself with, if its low byte is 0.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// The threads whose last request may have been the one to end this process, each at a place that its
/// address gives; 0 for none.
static ENDING: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

/// What stands for the 0 with which Wine ends a process that did not ask for its end: another program
/// has ended it, or the server has gone.
const NOT_ASKED_FOR: u32 = 1;

/// Takes the descriptor over: it is closed in every program that this process executes.
pub(crate) fn prepare(number: Option<&CStr>) {
    let number = number.and_then(|number| number.to_str().ok()?.parse().ok());
    let Some(fd) = number.filter(|fd: &c_int| *fd >= 0) else { return };
    // SAFETY: sets a flag of a descriptor; one that is not open is an error and nothing else.
    let flagged = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    if flagged == 0 {
        DESCRIPTOR.store(fd, Ordering::Relaxed);
        PROCESS.store(system::pid(), Ordering::Relaxed);
    }
}

/// Notes a request to the server if it is the one to end this process.
///
/// Before it calls `exit`, Wine turns a code whose low byte is 0, such as 256, into 1: the Unix
/// status would be 0. The real code is in the last request to the server, `terminate_process`: 12
/// bytes of header, the handle -1 for the process itself, the code. The request's number differs
/// between versions of Wine and is not looked at; [`end`] uses the code only where `exit` gets 1, and
/// takes 0 for success only from a thread whose last request it was ([`note_answer`]).
pub(crate) fn note_request(request: &[u32; 16]) {
    let &[_, 0, 0, u32::MAX, code, ref rest @ ..] = request else { return note_other() };
    if rest.iter().any(|word| *word != 0) {
        return note_other();
    }
    let (place, thread) = own_place();
    place.store(thread, Ordering::Relaxed);
    if code & 0xff == 0 {
        ASKED.store(code, Ordering::Relaxed);
    }
}

/// Notes the server's answer to this thread: to the request it says that the process is one's own, and
/// nothing else.
pub(crate) fn note_answer(answer: &[u32; 16]) {
    const OWN: [u32; 16] = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if *answer != OWN {
        note_other();
    }
}

/// Notes any other request.
pub(crate) fn note_other() {
    let (place, thread) = own_place();
    if place.load(Ordering::Relaxed) == thread {
        place.store(0, Ordering::Relaxed);
    }
}

/// This thread's place, and what stands for the thread. Two threads may have the same place: then one
/// of them would have to ask for the process' end in the moment in which the other does.
fn own_place() -> (&'static AtomicUsize, usize) {
    // SAFETY: each thread has an errno of its own; its address is all that is used.
    let thread = unsafe { libc::__errno_location() } as usize;
    let at = (thread >> 12) % ENDING.len();
    (&ENDING[at], thread)
}

fn has_asked() -> bool {
    let (place, thread) = own_place();
    place.load(Ordering::Relaxed) == thread
}

/// Writes the code, once, if this is the process to do it.
pub(crate) fn end(code: c_int) {
    if DESCRIPTOR.load(Ordering::Relaxed) < 0 || PROCESS.load(Ordering::Relaxed) != system::pid() {
        return;
    }
    let fd = DESCRIPTOR.swap(-1, Ordering::Relaxed);
    let asked = ASKED.load(Ordering::Relaxed);
    let code = match code as u32 {
        1 if asked != 0 => asked,
        0 if !has_asked() => NOT_ASKED_FOR,
        code => code,
    };
    let bytes = code.to_le_bytes();
    let arguments = [fd.into(), bytes.as_ptr() as _, bytes.len() as _, 0, 0, 0];
    // SAFETY: the bytes live until the call returns.
    unsafe { system::call(libc::SYS_write, arguments) };
}
