//! Keeps Wine's console host from taking more of a terminal than its program wants.
//!
//! The host (`conhost.exe --unix`) reads whatever is typed, keeps it, and outlives its program by
//! some milliseconds; its server puts the terminal's modes back only after that. So what is typed
//! for the shell would be lost, and the shell's modes overwritten. In that one process:
//! - **Reading** gives the host a key, or the rest of a line, when its program asks for one
//!   ([`Demand`]), and only while the terminal is the program's ([`Turn`]). Before each byte it is
//!   looked whose turn it is: a byte that is there then was typed before the turn could end.
//! - **Modes** are set here, not by the server, and put back by the interpreter, which knows when.
//!   As the server is told of no terminal, it has the host look for events before each wait for
//!   the console's handle: that is how such a wait is noticed at all.
//! - **The key for the end of input** (`^D`, as the terminal has it) at the begin of a line that the
//!   program reads ends its input: the host is given an empty line, and the program nothing.
//! - **What is written** is followed ([`Follower`]) and noted where whoever puts the terminal back
//!   finds it. If nobody is left who could, because the interpreter was killed and its host had been
//!   before, it is done here.
//!
//! What the host does is read off the requests that it makes of its server, as `demand` says. In a
//! version of Wine where they look otherwise it reads as it likes, in its turn.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int, c_long, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use winterop_console::demand::{Code, Demand, Wanted};
use winterop_console::keys::{Key, Progress};
use winterop_console::screen::{Follower, Screen};
use winterop_console::shared::{self, Owner, SHOWN, Shown, TerminalModes, Turn};

use crate::system::{self, MESSAGE};

/// Whether this process is a console host with a terminal.
static IS_HOST: AtomicBool = AtomicBool::new(false);
/// The file that is shared with the interpreter, -1 if there is none.
static SHARED: AtomicI32 = AtomicI32::new(-1);
/// The interpreter's process, -1 if it is not known.
static INTERPRETER: AtomicI32 = AtomicI32::new(-1);
/// The terminal, opened once more so that reading does not block; -1 where that cannot be done.
static TERMINAL: AtomicI32 = AtomicI32::new(-1);
/// [`Wanted`], to wait for.
static WANTED: AtomicU32 = AtomicU32::new(KEY);
/// The process that was seen to have begun last.
static BEGUN: AtomicU32 = AtomicU32::new(0);
/// The number of the request for the next operation in this version of Wine, once it was seen.
static NUMBER: AtomicU32 = AtomicU32::new(NONE);
/// The number of this process's first thread's last request.
static LAST: AtomicU32 = AtomicU32::new(NONE);
/// The first thread is about to be given the input's mode.
static MODE_COMES: AtomicBool = AtomicBool::new(false);
/// How many bytes were typed before the terminal had the program's modes: there the key Enter has
/// come as a new line, and the end of input as 0.
static TYPED_BEFORE: AtomicU32 = AtomicU32::new(0);
/// A byte that was taken too early, and 256; 0 if there is none.
static PUSHED: AtomicU32 = AtomicU32::new(0);
/// If the next answer to a read is the end of input: how many bytes of it stay, and 1; else 0.
static ENDS_INPUT: AtomicU32 = AtomicU32::new(0);

static STATE: Guarded = Guarded {
    busy: AtomicBool::new(false),
    state: UnsafeCell::new(State {
        demand: Demand::new(),
        follower: Follower::new(),
        shown: Shown {
            modes: TerminalModes { input: 0, local: 0, output: 0 },
            screen: Screen::PLAIN,
        },
        before: None,
    }),
};

const NONE: u32 = u32::MAX;
const NOTHING: u32 = 0;
const KEY: u32 = 1;
const LINE: u32 = 2;
const LATE_KEY: u32 = 3;

/// How long to sleep until it is looked again whose turn it is, in milliseconds. That is only done
/// while the program wants a key and is in the background.
const AGAIN: c_int = 20;
/// What [`Wanted::LateKey`] calls a while, in milliseconds.
const WHILE: libc::time_t = 100;
/// How long the rest of a character may take, in milliseconds.
const REST: c_int = 100;
/// The longest key that is given to the host at once.
const LONGEST: usize = 1024;

struct State {
    demand: Demand,
    follower: Follower,
    /// What was noted in the file.
    shown: Shown,
    /// The terminal's modes before this process set any.
    before: Option<libc::termios>,
}

struct Guarded {
    busy: AtomicBool,
    state: UnsafeCell<State>,
}

// SAFETY: `with` lets one thread at a time have it.
unsafe impl Sync for Guarded {}

impl Guarded {
    /// Wine's own lock around a console's state keeps its threads apart; this one is for what lies
    /// outside of it, and is held for microseconds.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        while self.busy.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        // SAFETY: `busy` was false, so no other thread is here.
        let result = work(unsafe { &mut *self.state.get() });
        self.busy.store(false, Ordering::Release);
        result
    }
}

/// Notes that this process is the console host of a terminal, and opens the file that `shared`
/// names.
pub(crate) fn prepare(shared: Option<&CStr>) {
    IS_HOST.store(true, Ordering::Relaxed);
    // Reading from the background is an error then, and does not stop the host.
    // SAFETY: ignores a signal.
    unsafe { libc::signal(libc::SIGTTIN, libc::SIG_IGN) };
    let Some(path) = shared else { return };
    // SAFETY: the path is a string.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if fd < 0 {
        return;
    }
    let Some(owner) = owner_in(fd) else {
        // SAFETY: this function opened it.
        unsafe { libc::close(fd) };
        return;
    };
    let arguments = [c_long::from(owner.process), 0, 0, 0, 0, 0];
    // SAFETY: opens a descriptor; the process may be gone.
    let process = unsafe { system::call(libc::SYS_pidfd_open, arguments) };
    INTERPRETER.store(process.max(-1) as c_int, Ordering::Relaxed);
    SHARED.store(fd, Ordering::Relaxed);
}

fn is_host() -> bool {
    IS_HOST.load(Ordering::Relaxed)
}

/// Whether `fd` is a terminal.
fn modes_of(fd: c_int) -> Option<libc::termios> {
    let mut modes = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: there is room for the modes.
    let known = unsafe { libc::tcgetattr(fd, modes.as_mut_ptr()) } == 0;
    // SAFETY: they were filled in.
    known.then(|| unsafe { modes.assume_init() })
}

/// What the interpreter says; `None` if the file cannot be read.
fn owner_in(fd: c_int) -> Option<Owner> {
    let mut bytes = [0_u8; Owner::SIZE];
    let room = bytes.as_mut_ptr() as c_long;
    let arguments = [fd.into(), room, bytes.len() as c_long, 0, 0, 0];
    // SAFETY: there is room for as much as is asked for.
    let count = unsafe { system::call(libc::SYS_pread64, arguments) };
    (count == bytes.len() as c_long).then(|| Owner::from_bytes(&bytes)).flatten()
}

/// Who has the terminal now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Program,
    Shell,
    /// The interpreter has ended without giving it back.
    Nobody,
}

fn now() -> Now {
    let shared = SHARED.load(Ordering::Relaxed);
    // Without the file there is nobody to ask.
    let Some(owner) = owner_in(shared).filter(|_| shared >= 0) else { return Now::Program };
    if owner.turn == Turn::Shell {
        Now::Shell
    } else if is_ready(INTERPRETER.load(Ordering::Relaxed), 0) {
        Now::Nobody
    } else {
        Now::Program
    }
}

/// Whether there is something to be read from one of the two, or the process of one has ended;
/// waits for that for this many milliseconds, for ever if negative. Negative numbers are skipped.
fn wait_for(first: c_int, second: c_int, milliseconds: c_int) -> bool {
    let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut entries = [entry(first), entry(second)];
    let arguments = [entries.as_mut_ptr() as c_long, 2, milliseconds.into(), 0, 0, 0];
    // SAFETY: two entries, which live until the call returns.
    unsafe { system::call(libc::SYS_poll, arguments) > 0 }
}

fn is_ready(fd: c_int, milliseconds: c_int) -> bool {
    fd >= 0 && wait_for(fd, -1, milliseconds)
}

/// Reads from the terminal for the console host's thread that does nothing else; `None` if this is
/// another read.
///
/// # Safety
/// `buffer` is valid for writes of `length` bytes.
pub(crate) unsafe fn read(fd: c_int, buffer: *mut c_void, length: usize) -> Option<c_long> {
    if !is_host() || length < LONGEST || modes_of(fd).is_none() {
        return None;
    }
    open_again(fd);
    change(Demand::reads_again);
    // SAFETY: the caller's promise, and the length was looked at.
    let room = unsafe { core::slice::from_raw_parts_mut(buffer.cast::<u8>(), LONGEST) };
    let wanted = wait_until_wanted(fd);
    Some(match wanted {
        Err(error) => error,
        Ok((Wanted::Line, first)) => read_line(fd, room, first),
        Ok((_, first)) => read_key(fd, room, first),
    })
}

/// Opens the terminal once more, for reading without waiting: a key that somebody else has taken
/// after all must not make this wait for the next one, which would then be taken from them.
fn open_again(fd: c_int) {
    if TERMINAL.load(Ordering::Relaxed) >= 0 {
        return;
    }
    let mut path = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0";
    let mut number = fd.unsigned_abs();
    let digits = core::iter::from_fn(|| {
        let digit = (number % 10) as u8;
        number /= 10;
        Some(b'0'.wrapping_add(digit))
    });
    let count =
        fd.unsigned_abs().checked_ilog10().map_or(1, |power| power.wrapping_add(1)) as usize;
    let room = path.iter_mut().skip(14).take(count).rev();
    room.zip(digits).for_each(|(place, digit)| *place = digit);
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the path ends with NUL.
    let again = unsafe { libc::open(path.as_ptr().cast(), flags) };
    TERMINAL.store(again.max(-1), Ordering::Relaxed);
}

/// Waits until the program wants something and it is there; says what, and its first byte.
fn wait_until_wanted(fd: c_int) -> Result<(Wanted, u8), c_long> {
    loop {
        let wanted = match WANTED.load(Ordering::Acquire) {
            NOTHING => {
                sleep_until_wanted();
                continue;
            }
            LINE => Wanted::Line,
            _ => Wanted::Key,
        };
        if let Some(byte) = pushed() {
            return Ok((wanted, byte));
        }
        match now() {
            Now::Program => {}
            Now::Shell => {
                is_ready(INTERPRETER.load(Ordering::Relaxed), AGAIN);
                continue;
            }
            Now::Nobody => put_back_for_good(fd),
        }
        if !is_ready(fd, 0) {
            wait_for(fd, INTERPRETER.load(Ordering::Relaxed), -1);
            continue;
        }
        if WANTED.load(Ordering::Acquire) == LATE_KEY && !is_late() {
            continue;
        }
        // What is there now was typed before this looks once more.
        if WANTED.load(Ordering::Acquire) == NOTHING || now() != Now::Program {
            continue;
        }
        match read_byte(fd) {
            Ok(Some(byte)) => return Ok((wanted, byte)),
            Ok(None) => {}
            Err(error) => return Err(error),
        }
    }
}

fn pushed() -> Option<u8> {
    let pushed = PUSHED.swap(0, Ordering::Relaxed);
    (pushed != 0).then_some(pushed as u8)
}

/// Reads a byte if there is one; an error, or 0 at the terminal's end.
fn read_byte(fd: c_int) -> Result<Option<u8>, c_long> {
    let again = TERMINAL.load(Ordering::Relaxed);
    let mut byte = 0_u8;
    let from = if again >= 0 { again } else { fd };
    // SAFETY: there is room for one byte.
    let count = unsafe { system::read(from, (&raw mut byte).cast(), 1) };
    const AGAIN: c_long = -(libc::EAGAIN as c_long);
    const INTERRUPTED: c_long = -(libc::EINTR as c_long);
    // A read from the background.
    const REFUSED: c_long = -(libc::EIO as c_long);
    match count {
        1 => Ok(Some(as_typed(fd, byte))),
        AGAIN | INTERRUPTED => Ok(None),
        REFUSED if modes_of(fd).is_some() => {
            wait_for(-1, -1, self::AGAIN);
            Ok(None)
        }
        other => Err(other),
    }
}

/// The byte as it would have come in the program's modes.
fn as_typed(fd: c_int, byte: u8) -> u8 {
    let before = TYPED_BEFORE.load(Ordering::Relaxed);
    if before == 0 {
        return byte;
    }
    TYPED_BEFORE.store(before.wrapping_sub(1), Ordering::Relaxed);
    match byte {
        b'\n' => b'\r',
        0 => end_of_input(fd).unwrap_or(0),
        other => other,
    }
}

/// The terminal's key for the end of input.
fn end_of_input(fd: c_int) -> Option<u8> {
    let key = modes_of(fd)?.c_cc.get(libc::VEOF).copied();
    // 0 stands for no key.
    key.filter(|key| *key != 0)
}

/// Reads what belongs to the key that begins with `first`.
fn read_key(fd: c_int, room: &mut [u8], first: u8) -> c_long {
    let mut key = Key::new();
    let (mut byte, mut length) = (first, 0_usize);
    loop {
        if let Some(place) = room.get_mut(length) {
            *place = byte;
            length = length.wrapping_add(1);
        }
        let patience = match key.take(byte) {
            Progress::Whole => break,
            Progress::MayGoOn => 0,
            Progress::GoesOn => REST,
        };
        if length == room.len() || !is_ready(fd, patience) {
            break;
        }
        match read_byte(fd) {
            Ok(Some(next)) => byte = next,
            _ => break,
        }
    }
    change(Demand::took);
    length as c_long
}

/// Reads what is there of a line, up to a control character, which may be the line's end.
fn read_line(fd: c_int, room: &mut [u8], first: u8) -> c_long {
    if let Some(kept) = end_of_line_input(fd, first) {
        ENDS_INPUT.store(kept.wrapping_add(1), Ordering::Release);
        if let Some(place) = room.first_mut() {
            *place = b'\r';
        }
        return 1;
    }
    let (mut byte, mut length) = (first, 0_usize);
    loop {
        change(|demand| demand.typed(byte));
        if byte == 0x1b {
            // A key with which the line ends, or is edited.
            let rest = room.get_mut(length..).unwrap_or_default();
            let key = read_key(fd, rest, byte);
            return (length as c_long).wrapping_add(key);
        }
        if let Some(place) = room.get_mut(length) {
            // Both end a line, as in any shell.
            *place = if byte == b'\n' { b'\r' } else { byte };
            length = length.wrapping_add(1);
        }
        // Half a character must not be left in the terminal.
        let patience = if byte >= 0xc2 { REST } else { 0 };
        if byte < 0x20 || length == room.len() || !is_ready(fd, patience) {
            return length as c_long;
        }
        match read_byte(fd) {
            // What it means depends on what becomes of the line until here.
            Ok(Some(next)) if end_of_input(fd) == Some(next) => {
                PUSHED.store(u32::from(next) | 256, Ordering::Relaxed);
                return length as c_long;
            }
            Ok(Some(next)) => byte = next,
            _ => return length as c_long,
        }
    }
}

/// If this is the terminal's key for the end of input, at the begin of a line: how many bytes of the
/// answer to the read stay.
fn end_of_line_input(fd: c_int, byte: u8) -> Option<u32> {
    let is_one = end_of_input(fd) == Some(byte);
    is_one.then(|| STATE.with(|state| state.demand.at_empty_line())).flatten()
}

/// Changes what is wanted, and wakes the thread that waits for it.
fn change(how: impl FnOnce(&mut Demand)) {
    let wanted = STATE.with(|state| {
        how(&mut state.demand);
        state.demand.wanted()
    });
    if NUMBER.load(Ordering::Relaxed) == NONE {
        return;
    }
    let wanted = match wanted {
        Wanted::Nothing => NOTHING,
        Wanted::Key => KEY,
        Wanted::Line => LINE,
        Wanted::LateKey => LATE_KEY,
    };
    if WANTED.swap(wanted, Ordering::AcqRel) != wanted {
        futex(libc::FUTEX_WAKE, c_long::MAX >> 32, None);
    }
}

fn sleep_until_wanted() {
    futex(libc::FUTEX_WAIT, NOTHING.into(), None);
}

/// Whether nothing else is wanted for a while.
fn is_late() -> bool {
    let while_ = libc::timespec { tv_sec: 0, tv_nsec: WHILE.wrapping_mul(1_000_000) };
    futex(libc::FUTEX_WAIT, LATE_KEY.into(), Some(&while_)) == -c_long::from(libc::ETIMEDOUT)
}

fn futex(operation: c_int, value: c_long, patience: Option<&libc::timespec>) -> c_long {
    let private = c_long::from(operation | libc::FUTEX_PRIVATE_FLAG);
    let patience = patience.map_or(0, |time| &raw const *time as c_long);
    let arguments = [WANTED.as_ptr() as c_long, private, value, patience, 0, 0];
    // SAFETY: the word lives for ever, and the time until the call returns.
    unsafe { system::call(libc::SYS_futex, arguments) }
}

fn is_first_thread() -> bool {
    // SAFETY: no arguments, no effects.
    let thread = unsafe { system::call(libc::SYS_gettid, [0; 6]) };
    thread == system::pid().into()
}

/// Looks at a request to the server that carries no data.
pub(crate) fn note_request(request: &[u32; 16]) {
    if !is_host() {
        return;
    }
    let &[number, _, _, _, has_events, answers_read, ..] = request;
    if is_first_thread() {
        LAST.store(number, Ordering::Relaxed);
    }
    if number == NUMBER.load(Ordering::Relaxed) {
        change(|demand| demand.request(answers_read != 0, has_events != 0));
    }
}

/// Looks at an answer of the server.
pub(crate) fn note_answer(answer: &[u32; 16]) {
    if !is_host() || !is_first_thread() {
        return;
    }
    let &[error, size, code, is_output, ..] = answer;
    let code = Code(code);
    if error != 0 || !code.is_consoles() {
        return;
    }
    let last = LAST.load(Ordering::Relaxed);
    let known = NUMBER.compare_exchange(NONE, last, Ordering::Relaxed, Ordering::Relaxed);
    if known.is_err_and(|number| number != last) {
        return;
    }
    MODE_COMES.store(code == Code::SET_MODE && is_output == 0 && size == 4, Ordering::Relaxed);
    if code == Code::FLUSH {
        flush();
    }
    let has_begun = has_begun();
    change(|demand| {
        if has_begun {
            demand.begins();
        }
        demand.operation(code, is_output != 0);
    });
}

/// Says in the file that `path` names that this process has begun: the console host does not learn
/// of it otherwise.
pub(crate) fn begin(path: Option<&CStr>) {
    let Some(path) = path else { return };
    // SAFETY: the path is a string.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if fd < 0 {
        return;
    }
    if owner_in(fd).is_some() {
        let process = system::pid().to_ne_bytes();
        let at = process.as_ptr() as c_long;
        let arguments = [fd.into(), at, process.len() as c_long, shared::BEGUN as c_long, 0, 0];
        // SAFETY: the bytes live until the call returns.
        unsafe { system::call(libc::SYS_pwrite64, arguments) };
    }
    // SAFETY: this function opened it.
    unsafe { libc::close(fd) };
}

/// Whether a process has begun since this was asked last.
fn has_begun() -> bool {
    let mut process = [0_u8; 4];
    let room = process.as_mut_ptr() as c_long;
    let shared = SHARED.load(Ordering::Relaxed);
    let arguments = [shared.into(), room, process.len() as c_long, shared::BEGUN as c_long, 0, 0];
    // SAFETY: there is room for as much as is asked for.
    unsafe { system::call(libc::SYS_pread64, arguments) };
    let process = u32::from_ne_bytes(process);
    BEGUN.swap(process, Ordering::Relaxed) != process
}

/// Looks at four bytes that the server sends behind an answer: they may be the input's mode.
pub(crate) fn note_data(data: [u8; 4]) {
    if is_host() && is_first_thread() && MODE_COMES.swap(false, Ordering::Relaxed) {
        change(|demand| demand.set_mode(u32::from_ne_bytes(data)));
    }
}

/// Throws away what was typed and not read yet, as the program has asked.
fn flush() {
    let terminal = TERMINAL.load(Ordering::Relaxed);
    if terminal >= 0 && now() == Now::Program {
        // SAFETY: takes no pointer.
        unsafe { libc::tcflush(terminal, libc::TCIFLUSH) };
    }
}

/// Sends a request with data to the server, changed where it has to be; `None` if it goes as it is.
///
/// # Safety
/// `parts` is valid for `count` entries, which are valid themselves.
pub(crate) unsafe fn send(fd: c_int, parts: *const libc::iovec, count: c_int) -> Option<c_long> {
    if !is_host() || count < 2 {
        return None;
    }
    // SAFETY: the caller's promise.
    let parts = unsafe { core::slice::from_raw_parts(parts, count as usize) };
    let &[head, data, ..] = parts else { return None };
    if head.iov_len != MESSAGE {
        return None;
    }
    // SAFETY: as many bytes as were looked at; they may be unaligned.
    let mut request = unsafe { head.iov_base.cast::<[u32; 16]>().read_unaligned() };
    let &[number, size, _, code, _, answers_read, ..] = &request;
    if Code(code) == Code::SETUP_INPUT && size == 4 && data.iov_len == 4 {
        // SAFETY: four bytes, as was looked at.
        let handle = unsafe { data.iov_base.cast::<u32>().read_unaligned() };
        set_up(handle != 0);
        let none = 0_u32;
        let data = libc::iovec { iov_base: (&raw const none).cast_mut().cast(), iov_len: 4 };
        return Some(write_parts(fd, &[head, data]));
    }
    note_request(&request);
    let is_answer = number == NUMBER.load(Ordering::Relaxed) && answers_read != 0;
    let kept = if is_answer { ENDS_INPUT.swap(0, Ordering::AcqRel) } else { 0 };
    let kept = kept.checked_sub(1)?.min(data.iov_len as u32);
    if let Some(place) = request.get_mut(1) {
        *place = kept;
    }
    let head = libc::iovec { iov_base: request.as_mut_ptr().cast(), iov_len: MESSAGE };
    let data = libc::iovec { iov_len: kept as usize, ..data };
    let written = write_parts(fd, &[head, data]);
    let is_whole = written == (MESSAGE as c_long).wrapping_add(kept.into());
    // Wine looks whether everything was sent.
    Some(if is_whole { (MESSAGE as c_long).wrapping_add(size.into()) } else { written })
}

fn write_parts(fd: c_int, parts: &[libc::iovec]) -> c_long {
    let arguments = [fd.into(), parts.as_ptr() as c_long, parts.len() as c_long, 0, 0, 0];
    // SAFETY: the entries live until the call returns.
    unsafe { system::call(libc::SYS_writev, arguments) }
}

/// Sets the terminal's modes for reading, in the program's turn; or puts them back.
fn set_up(begins: bool) {
    let Some(fd) = (0..3).find(|fd| modes_of(*fd).is_some()) else { return };
    if !begins {
        if now() == Now::Program {
            put_modes_back(fd);
        }
        return;
    }
    while now() == Now::Shell {
        is_ready(INTERPRETER.load(Ordering::Relaxed), AGAIN);
    }
    let Some(before) = modes_of(fd) else { return };
    let mut modes = before;
    // As Wine's server does it (`IOCTL_CONDRV_SETUP_INPUT` in `server/console.c`).
    modes.c_lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::IEXTEN);
    modes.c_iflag &= !(libc::BRKINT | libc::ICRNL | libc::INPCK | libc::ISTRIP | libc::IXON);
    modes.c_cflag &= !(libc::CSIZE | libc::PARENB);
    modes.c_cflag |= libc::CS8;
    for (index, value) in [(libc::VMIN, 1), (libc::VTIME, 0)] {
        if let Some(place) = modes.c_cc.get_mut(index) {
            *place = value;
        }
    }
    // SAFETY: the modes are whole.
    if unsafe { libc::tcsetattr(fd, libc::TCSANOW, &raw const modes) } == 0 {
        STATE.with(|state| {
            state.before = Some(before);
            state.shown.modes =
                TerminalModes { input: modes.c_iflag, local: modes.c_lflag, output: modes.c_oflag };
            note_shown(&state.shown);
        });
        let mut typed: c_int = 0;
        // SAFETY: `typed` takes the result.
        unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut typed) };
        TYPED_BEFORE.store(typed.unsigned_abs(), Ordering::Relaxed);
    }
}

fn put_modes_back(fd: c_int) {
    if let Some(before) = STATE.with(|state| state.before) {
        // SAFETY: the modes are whole.
        unsafe { libc::tcsetattr(fd, libc::TCSANOW, &raw const before) };
    }
}

/// Follows what is about to be written to the terminal, and notes what has to be undone.
///
/// It is noted before it is written: undoing what was not done does no harm.
///
/// # Safety
/// `buffer` is valid for reads of `length` bytes.
pub(crate) unsafe fn follow(fd: c_int, buffer: *const c_void, length: usize) {
    if !is_host() || buffer.is_null() || modes_of(fd).is_none() {
        return;
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { core::slice::from_raw_parts(buffer.cast::<u8>(), length) };
    STATE.with(|state| {
        state.follower.follow(bytes);
        if state.shown.screen != *state.follower.screen() {
            state.shown.screen = *state.follower.screen();
            note_shown(&state.shown);
        }
    });
}

fn note_shown(shown: &Shown) {
    let shared = SHARED.load(Ordering::Relaxed);
    if shared >= 0 {
        let bytes = shown.to_bytes();
        let at = bytes.as_ptr() as c_long;
        let arguments = [shared.into(), at, bytes.len() as c_long, SHOWN as c_long, 0, 0];
        // SAFETY: the bytes live until the call returns.
        unsafe { system::call(libc::SYS_pwrite64, arguments) };
    }
}

/// Puts the terminal back because nobody else has, and never reads again.
fn put_back_for_good(fd: c_int) -> ! {
    // The host comes first, if there is one: it ends this process within its time.
    wait_for(-1, -1, 500);
    if modes_of(fd).is_some_and(|now| is_still_ours(&now)) {
        put_modes_back(fd);
    }
    let screen = STATE.with(|state| core::mem::take(&mut state.shown.screen));
    screen.undo(|part| {
        let arguments = [fd.into(), part.as_ptr() as c_long, part.len() as c_long, 0, 0, 0];
        // SAFETY: the bytes live until the call returns.
        unsafe { system::call(libc::SYS_write, arguments) };
    });
    loop {
        wait_for(-1, -1, -1);
    }
}

fn is_still_ours(now: &libc::termios) -> bool {
    let now = TerminalModes { input: now.c_iflag, local: now.c_lflag, output: now.c_oflag };
    STATE.with(|state| state.shown.modes == now)
}
