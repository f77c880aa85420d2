//! In the server: a process that vanishes has not succeeded.
//!
//! Wine's server learns of a process' end as the kernel closes its connections. One that has asked to
//! end has told its exit code before; every other one ends with 0, as if all had been well: one that the
//! kernel has killed, or that was killed before it could say anything. Here such a process asks in its
//! last moment to end with [`VANISHED`]: its thread's connection has one more request to be read. So its
//! Windows parent, and whoever else waits for it, learns that it failed. Somebody else who ends a process
//! with 0 (`taskkill /f` of Wine does) makes no success of it either.
//!
//! # What is known of Wine
//! - A process has a socket, over which the server sends it its first thread's connection, the end of a
//!   pipe, and gets the others. The order in which the kernel closes them is no rule.
//! - The server has a number of its own for everything that it waits for, which `epoll_ctl` tells.
//! - The request to end a process: 12 bytes of header, a process' handle (0 and -1 are one's own), the
//!   code; the answer says behind its header whether it was one's own. Its number differs between
//!   versions of Wine. It is learnt from the first process that asks with the handle 0, then with -1,
//!   then ends; one such has ended before any caller's program begins.
//! - A thread that ends alone asks for it, with the handle -2, and closes its connection.
//!
//! The server has one thread. What has a number above [`MOST`] is left as it was.

use core::ffi::{c_int, c_long};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::system;

/// The exit code of a process that has vanished; `taskkill /f` gives it on Windows.
const VANISHED: u32 = 1;

/// So many descriptors, and so many numbers of the server's own, are looked after.
const MOST: usize = 16_384;

/// How long it may take until a process whose first connection is closed has closed its socket, in
/// nanoseconds: the kernel does both at once, but a thread may also go alone.
const CLOSING: u64 = 50_000_000;

/// The handles that stand for whoever asks.
const THIS_PROCESS: u32 = u32::MAX;
const THIS_THREAD: u32 = u32::MAX - 1;

/// What is known of a descriptor.
struct Known {
    /// The socket of the process to which it belongs; its own number for the socket itself; 0 for none.
    socket: AtomicI32,
    /// The process whose socket has brought it, before the server waits for it.
    brought_by: AtomicI32,
    /// The server's number for it.
    index: AtomicU32,
    /// Whether requests come through it.
    has_requests: AtomicBool,
    /// How much of a request is still to be read.
    rest: AtomicU32,
    /// Whether the last request may have been a thread's to end itself alone.
    ends_alone: AtomicBool,
    /// Whether there is one more request to be read.
    has_last: AtomicBool,
    /// Of a socket: whether its process has asked to end, or was made to.
    has_asked: AtomicBool,
    /// The number and the code of a request with the handle 0, and the number of what may be the request
    /// to end, plus 1; 0 for none.
    first: AtomicU64,
    candidate: AtomicU32,
    /// Since when it is waited for its process' socket.
    since: AtomicU64,
}

impl Known {
    const fn nothing() -> Self {
        Self {
            socket: AtomicI32::new(0),
            brought_by: AtomicI32::new(0),
            index: AtomicU32::new(0),
            has_requests: AtomicBool::new(false),
            rest: AtomicU32::new(0),
            ends_alone: AtomicBool::new(false),
            has_last: AtomicBool::new(false),
            has_asked: AtomicBool::new(false),
            first: AtomicU64::new(0),
            candidate: AtomicU32::new(0),
            since: AtomicU64::new(0),
        }
    }

    fn forget(&self) {
        self.socket.store(0, Relaxed);
        self.has_requests.store(false, Relaxed);
        self.rest.store(0, Relaxed);
        self.ends_alone.store(false, Relaxed);
        self.has_last.store(false, Relaxed);
        self.has_asked.store(false, Relaxed);
        self.first.store(0, Relaxed);
        self.candidate.store(0, Relaxed);
        self.since.store(0, Relaxed);
    }
}

static KNOWN: [Known; MOST] = [const { Known::nothing() }; MOST];
/// The descriptor of each of the server's own numbers, plus 1.
static WAITED_FOR: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];

/// Whether this process is the server.
static IS_SERVER: AtomicBool = AtomicBool::new(false);
/// The number of the request to end a process, plus 1; 0 as long as it is not known.
static TERMINATE: AtomicU32 = AtomicU32::new(0);
/// The socket over which a pipe was sent last, and which pipe.
static SENT_OVER: AtomicI32 = AtomicI32::new(0);
static SENT: AtomicU64 = AtomicU64::new(0);
/// The connection whose request may be one to end a process and is answered next; -1 for none.
static ANSWERED: AtomicI32 = AtomicI32::new(-1);

/// This process is the server.
pub(crate) fn prepare() {
    IS_SERVER.store(true, Relaxed);
}

fn is_server() -> bool {
    IS_SERVER.load(Relaxed)
}

fn known(fd: c_int) -> Option<&'static Known> {
    KNOWN.get(usize::try_from(fd).ok()?)
}

/// A descriptor that the server waits for by a number of its own.
fn waited_for(index: u64) -> Option<c_int> {
    let fd = WAITED_FOR.get(usize::try_from(index).ok()?)?.load(Relaxed);
    (fd > 0).then(|| fd.wrapping_sub(1))
}

/// The server has sent this message over `socket`.
///
/// # Safety
/// The message is one that was sent.
pub(crate) unsafe fn note_sent(socket: c_int, message: *const libc::msghdr) {
    if !is_server() {
        return;
    }
    // SAFETY: the caller's promise.
    let Some(fd) = (unsafe { descriptor_in(message) }) else { return };
    let Some(own) = known(socket) else { return };
    if own.socket.load(Relaxed) != socket {
        own.socket.store(socket, Relaxed);
        // The first that it sends is its first thread's connection.
        SENT.store(pipe_of(fd).unwrap_or(0), Relaxed);
        SENT_OVER.store(socket, Relaxed);
    }
}

/// The server has received this message over `socket`.
///
/// # Safety
/// The message is one that was received.
pub(crate) unsafe fn note_received(socket: c_int, message: *const libc::msghdr) {
    if !is_server() {
        return;
    }
    // SAFETY: the caller's promise.
    let Some(known) = (unsafe { descriptor_in(message) }).and_then(known) else { return };
    known.brought_by.store(socket, Relaxed);
}

/// The descriptor that a message carries.
///
/// # Safety
/// The message is one that the kernel has taken or given.
unsafe fn descriptor_in(message: *const libc::msghdr) -> Option<c_int> {
    // SAFETY: the caller's promise.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null, or inside of what the message carries.
    let header = unsafe { header.as_ref() }?;
    if header.cmsg_level != libc::SOL_SOCKET || header.cmsg_type != libc::SCM_RIGHTS {
        return None;
    }
    // SAFETY: as above.
    let carried = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: a message of this kind has a descriptor at least.
    Some(unsafe { carried.cast::<c_int>().read_unaligned() })
}

/// Which pipe a descriptor is; both ends are the same.
fn pipe_of(fd: c_int) -> Option<u64> {
    // SAFETY: all zeros are a valid value of this plain structure.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: valid for the write.
    let told = unsafe { libc::fstat(fd, &raw mut stat) } == 0;
    (told && stat.st_mode & libc::S_IFMT == libc::S_IFIFO).then_some(stat.st_ino)
}

/// The server begins or stops to wait for a descriptor.
///
/// # Safety
/// As for libc's `epoll_ctl`.
pub(crate) unsafe fn note_interest(action: c_int, fd: c_int, event: *const libc::epoll_event) {
    if !is_server() {
        return;
    }
    let Some(known) = known(fd) else { return };
    match action {
        libc::EPOLL_CTL_DEL => known.forget(),
        // SAFETY: the caller promises an event.
        libc::EPOLL_CTL_ADD => begin(fd, known, unsafe { event.read_unaligned() }.u64),
        _ => {}
    }
}

fn begin(fd: c_int, known: &Known, index: u64) {
    known.forget();
    let brought_by = known.brought_by.swap(0, Relaxed);
    let Some(place) = usize::try_from(index).ok().and_then(|index| WAITED_FOR.get(index)) else {
        return;
    };
    place.store(fd.wrapping_add(1), Relaxed);
    known.index.store(index as u32, Relaxed);
    let sent_over = SENT_OVER.swap(0, Relaxed);
    if sent_over > 0 && pipe_of(fd) == Some(SENT.load(Relaxed)) {
        known.socket.store(sent_over, Relaxed);
        known.has_requests.store(true, Relaxed);
    } else {
        known.socket.store(brought_by, Relaxed);
    }
}

/// Looks at what the server is about to be told: a process that vanishes has its say first.
pub(crate) fn attend(events: &mut [libc::epoll_event]) {
    if !is_server() {
        return;
    }
    for at in 0..events.len() {
        let Some(&libc::epoll_event { events: what, u64: index }) = events.get(at) else { return };
        if what & (libc::EPOLLHUP | libc::EPOLLERR) as u32 == 0 {
            continue;
        }
        let Some(fd) = waited_for(index) else { continue };
        match decide(fd) {
            Decision::Nothing => {}
            Decision::Later => put(events, at, 0, index),
            Decision::LastRequest(connection) => have_said(events, at, connection),
        }
    }
}

/// What comes of a connection that was closed.
enum Decision {
    /// What Wine does.
    Nothing,
    /// It is told of again.
    Later,
    /// A request is read through this connection first.
    LastRequest(c_int),
}

fn decide(fd: c_int) -> Decision {
    let Some(closed) = known(fd) else { return Decision::Nothing };
    let socket = closed.socket.load(Relaxed);
    let concerns_process = fd == socket || closed.has_requests.load(Relaxed);
    if socket <= 0 || !concerns_process || closed.ends_alone.load(Relaxed) {
        return Decision::Nothing;
    }
    let Some(process) = known(socket) else { return Decision::Nothing };
    learn(socket);
    if TERMINATE.load(Relaxed) == 0 || process.has_asked.load(Relaxed) {
        return Decision::Nothing;
    }
    if fd != socket && !is_hung_up(socket) {
        return if is_early(closed) { Decision::Later } else { Decision::Nothing };
    }
    let ours = if fd == socket { connection_of(socket) } else { Some(fd) };
    match ours.filter(|fd| known(*fd).is_some_and(can_say)) {
        Some(connection) => {
            process.has_asked.store(true, Relaxed);
            Decision::LastRequest(connection)
        }
        None => Decision::Nothing,
    }
}

/// Whether a request can be read through it next, and its thread has not had its say.
fn can_say(known: &Known) -> bool {
    let is_between = known.has_requests.load(Relaxed) && known.rest.load(Relaxed) == 0;
    is_between && !known.ends_alone.load(Relaxed)
}

fn connections_of(socket: c_int) -> impl Iterator<Item = (usize, &'static Known)> {
    let is_its = move |known: &Known| {
        known.socket.load(Relaxed) == socket && known.has_requests.load(Relaxed)
    };
    KNOWN.iter().enumerate().filter(move |(_, known)| is_its(known))
}

fn connection_of(socket: c_int) -> Option<c_int> {
    let (fd, _) = connections_of(socket).find(|(_, known)| can_say(known))?;
    c_int::try_from(fd).ok()
}

/// Takes the number of the request to end from a process that has ended with it.
fn learn(socket: c_int) {
    if TERMINATE.load(Relaxed) != 0 {
        return;
    }
    let mut candidates = connections_of(socket).map(|(_, known)| known.candidate.load(Relaxed));
    if let Some(number) = candidates.find(|number| *number != 0) {
        TERMINATE.store(number, Relaxed);
    }
}

/// Whether a process whose connection is closed may be about to close its socket.
fn is_early(closed: &Known) -> bool {
    let now = system::now();
    let _ = closed.since.compare_exchange(0, now, Relaxed, Relaxed);
    now.wrapping_sub(closed.since.load(Relaxed)) < CLOSING
}

fn is_hung_up(fd: c_int) -> bool {
    let mut interest = libc::pollfd { fd, events: 0, revents: 0 };
    let arguments = [&raw mut interest as c_long, 1, 0, 0, 0, 0];
    // SAFETY: the structure lives until the call returns, which waits for nothing.
    let ready = unsafe { system::call(libc::SYS_poll, arguments) };
    ready > 0 && interest.revents & libc::POLLHUP != 0
}

/// Has the server read from `connection` where it would have been told of an end.
fn have_said(events: &mut [libc::epoll_event], at: usize, connection: c_int) {
    let Some(known) = known(connection) else { return };
    let index = u64::from(known.index.load(Relaxed));
    known.has_last.store(true, Relaxed);
    let own = events.iter().position(|event| { event.u64 } == index);
    if own.is_some_and(|own| own != at) {
        put(events, at, 0, events.get(at).map_or(0, |event| event.u64));
    }
    put(events, own.unwrap_or(at), libc::EPOLLIN as u32, index);
}

fn put(events: &mut [libc::epoll_event], at: usize, what: u32, index: u64) {
    if let Some(event) = events.get_mut(at) {
        *event = libc::epoll_event { events: what, u64: index };
    }
}

/// The request that a process which has vanished is to have sent through this connection.
pub(crate) fn last_request(fd: c_int) -> Option<[u32; 16]> {
    let known = known(fd).filter(|_| is_server())?;
    if !known.has_last.swap(false, Relaxed) {
        return None;
    }
    let mut request = [0; 16];
    let [number, _, _, _, code, ..] = &mut request;
    *number = TERMINATE.load(Relaxed).wrapping_sub(1);
    *code = VANISHED;
    Some(request)
}

/// Whether what the server has read belongs to a request whose beginning it has read before; `result` is
/// what came of it.
pub(crate) fn is_rest(fd: c_int, result: c_long) -> bool {
    let Some(known) = known(fd).filter(|_| is_server()) else { return false };
    let rest = known.rest.load(Relaxed);
    known.rest.store(rest.saturating_sub(result.max(0) as u32), Relaxed);
    rest > 0
}

/// The server has read this request, or its beginning. Says whether it is to be another one.
pub(crate) fn note_request(fd: c_int, request: &mut [u32; 16]) -> bool {
    let Some(known) = known(fd).filter(|_| is_server()) else { return false };
    known.has_requests.store(true, Relaxed);
    let [number, size, answer, handle, code, ..] = request;
    known.rest.store(*size, Relaxed);
    known.candidate.store(0, Relaxed);
    let is_plain = *size == 0 && *answer == 0;
    known.ends_alone.store(is_plain && *handle == THIS_THREAD, Relaxed);
    let is_own = *handle == 0 || *handle == THIS_PROCESS;
    let is_terminate = TERMINATE.load(Relaxed) == number.wrapping_add(1) && is_plain;
    let said = u64::from(*number) << 32 | u64::from(*code);
    let is_candidate =
        is_plain && *handle == THIS_PROCESS && known.first.load(Relaxed) == said && said != 0;
    if is_plain && *handle == 0 {
        known.first.store(said, Relaxed);
    }
    if is_candidate {
        known.candidate.store(number.wrapping_add(1), Relaxed);
    }
    ANSWERED.store(if is_terminate || is_candidate { fd } else { -1 }, Relaxed);
    let is_changed = is_terminate && !is_own && *code == 0;
    if is_changed {
        *code = VANISHED;
    }
    is_changed
}

/// The server answers; `own` is the first word behind the header.
pub(crate) fn note_answer(own: u32) {
    if !is_server() {
        return;
    }
    let Some(connection) = known(ANSWERED.swap(-1, Relaxed)) else { return };
    if own != 1 {
        connection.candidate.store(0, Relaxed);
    } else if TERMINATE.load(Relaxed) != 0
        && let Some(process) = known(connection.socket.load(Relaxed))
    {
        process.has_asked.store(true, Relaxed);
    }
}
