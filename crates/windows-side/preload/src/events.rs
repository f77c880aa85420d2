//! Turns signals into the console events that Windows programs know.
//!
//! Wine makes a Ctrl-C of SIGINT, and lets everything else end the process at once. Here SIGQUIT
//! becomes Ctrl-Break, and SIGTERM and SIGHUP become a close. What was ignored when the process
//! began stays ignored. SIGWINCH, of which Wine knows nothing, gives the console the terminal's size
//! ([`size`]).
//!
//! # How
//! - Wine installs its handlers through libc's `sigaction`; that is where ours are put in.
//! - An event is a thread that runs kernelbase's `CtrlRoutine`, as for Wine's own Ctrl-C. A thread
//!   is made by a request to the server, and a thread that is in the middle of one must not make
//!   another. Wine blocks SIGHUP meanwhile but none of the others, so these are carried by a SIGHUP
//!   to the same thread.
//! - Wine's server ends threads with SIGQUIT. Those come from `tgkill` and go to Wine's handler.
//! - Before a program's first instruction, and after its libraries are loaded, [`set_up`] looks up
//!   what is needed and installs a handler of our own below all of the program's. It ends the process with `STATUS_CONTROL_C_EXIT` as Windows does; Wine's own would
//!   end it with 0, as if all were well.

use core::ffi::{c_int, c_void};
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::modules::Module;
use crate::{report, size, system};

/// Windows' numbers of the events.
const CTRL_C: u32 = 0;
const CTRL_BREAK: u32 = 1;
const CTRL_CLOSE: u32 = 2;
/// Ours: the terminal has another size.
const SIZE: u32 = 31;
/// Ours, added to an event of which the helper alone has heard: its program is to hear of it too.
const ALONE: u32 = 16;

/// The exit code of a process that an event ended.
const STATUS_CONTROL_C_EXIT: u32 = 0xC000_013A;

/// The signals that can be ignored from the start.
const SIGNALS: [c_int; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM];

/// A bit for each signal that was ignored when the process began.
static IGNORED: AtomicU32 = AtomicU32::new(0);
/// Whether our handlers are there.
static INSTALLED: AtomicBool = AtomicBool::new(false);
/// What the next SIGHUP carries, a bit for each event; 0 if it stands for itself.
static CARRIED: AtomicU32 = AtomicU32::new(0);
/// Wine's own handlers for SIGINT and SIGQUIT.
static WINE_INTERRUPT: AtomicUsize = AtomicUsize::new(0);
static WINE_QUIT: AtomicUsize = AtomicUsize::new(0);
/// Whether this is what the interpreter or the host has started, and whether that is the helper, which
/// stands between them and their program.
static IS_LAUNCHED: AtomicBool = AtomicBool::new(false);
static IS_HELPER: AtomicBool = AtomicBool::new(false);
/// Whether the program was started to ignore Ctrl-C.
static IGNORES_INTERRUPT: AtomicBool = AtomicBool::new(false);

/// `CtrlRoutine` of kernelbase, once it is known.
static ROUTINE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// `RtlExitUserProcess` of ntdll.
static EXIT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// `NtCreateThreadEx`, `NtClose` and `NtTerminateProcess` of Wine's Unix side.
static CREATE_THREAD: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static CLOSE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static TERMINATE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

type Handler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
type SetHandler = unsafe extern "win64" fn(extern "win64" fn(u32) -> i32, i32) -> i32;
type CreateThread = unsafe extern "win64" fn(
    *mut isize,
    u32,
    *const c_void,
    isize,
    *const c_void,
    usize,
    u32,
    usize,
    usize,
    usize,
    *const c_void,
) -> i32;

/// Ignores them all: Wine's console host is in its program's process group and gets what is meant for
/// the program, which has to find its console still there.
pub(crate) fn ignore_all() {
    for signal in SIGNALS {
        let mut action = no_action();
        action.sa_sigaction = libc::SIG_IGN;
        // SAFETY: sets one action.
        unsafe { system::sigaction(signal, &raw const action, null_mut()) };
    }
}

/// What a process is to its launch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The program that was launched.
    Program,
    /// The helper, which starts the program.
    Helper,
    /// What another Windows process has started.
    Child,
}

/// Notes what is ignored.
pub(crate) fn prepare(role: Role) {
    IS_LAUNCHED.store(role != Role::Child, Ordering::Relaxed);
    IS_HELPER.store(role == Role::Helper, Ordering::Relaxed);
    for signal in SIGNALS {
        let mut action = no_action();
        // SAFETY: writes one action.
        let known = unsafe { system::sigaction(signal, null(), &raw mut action) } == 0;
        if known && action.sa_sigaction == libc::SIG_IGN {
            IGNORED.fetch_or(1 << signal, Ordering::Relaxed);
        }
    }
}

/// The signals that become events, as the kernel has a set of them.
const HELD: u64 = bit_of(libc::SIGINT)
    | bit_of(libc::SIGQUIT)
    | bit_of(libc::SIGHUP)
    | bit_of(libc::SIGTERM)
    | bit_of(libc::SIGWINCH);

const fn bit_of(signal: c_int) -> u64 {
    1_u64.wrapping_shl(signal.unsigned_abs().wrapping_sub(1))
}

/// Before a fork: keeps back what would become an event, and returns what was kept back before.
///
/// The fork has the handlers, and its parent's connection to the server: what it did on a signal would be
/// done in its parent's name, in the middle of whatever its parent asks the server then.
pub(crate) fn hold() -> u64 {
    let mut before = 0;
    set_mask(libc::SIG_BLOCK, &HELD, Some(&mut before));
    before
}

/// Keeps back what was kept back before.
pub(crate) fn release(before: u64) {
    set_mask(libc::SIG_SETMASK, &before, None);
}

fn set_mask(how: c_int, set: &u64, before: Option<&mut u64>) {
    let before = before.map_or(null_mut(), core::ptr::from_mut);
    let set = core::ptr::from_ref(set);
    let arguments = [how.into(), set as _, before as _, size_of::<u64>() as _, 0, 0];
    // SAFETY: both sets live until the call returns.
    unsafe { system::call(libc::SYS_rt_sigprocmask, arguments) };
}

/// In a fork: what becomes an event in its parent ends it, or is ignored as it was from the start. What
/// it executes keeps the latter.
pub(crate) fn disown() {
    if !INSTALLED.load(Ordering::Relaxed) {
        return;
    }
    for signal in SIGNALS {
        let mut action = no_action();
        if is_ignored(signal) {
            action.sa_sigaction = libc::SIG_IGN;
        }
        // SAFETY: sets one action.
        unsafe { system::sigaction(signal, &raw const action, null_mut()) };
    }
}

fn no_action() -> libc::sigaction {
    // SAFETY: all zeros are a valid value of this plain structure.
    unsafe { core::mem::zeroed() }
}

fn is_ignored(signal: c_int) -> bool {
    IGNORED.load(Ordering::Relaxed) & (1 << signal) != 0
}

/// libc's `sigaction`, as far as it concerns the signals that become events.
///
/// # Safety
/// As for libc's.
pub(crate) unsafe fn install(
    signal: c_int,
    action: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    let is_one = signal == libc::SIGINT || signal == libc::SIGQUIT;
    // Wine's server, and what Wine forks for other programs, have no `ntdll.so`.
    if action.is_null() || !is_one || !find_unix_side() {
        // SAFETY: the caller's promise.
        return unsafe { system::sigaction(signal, action, old) };
    }
    // SAFETY: not null, so the caller promises an action.
    let wine = unsafe { action.read() };
    if wine.sa_sigaction == libc::SIG_IGN || wine.sa_sigaction == libc::SIG_DFL {
        // SAFETY: the caller's promise.
        return unsafe { system::sigaction(signal, action, old) };
    }
    let mut ours = wine;
    if signal == libc::SIGQUIT {
        WINE_QUIT.store(wine.sa_sigaction, Ordering::Relaxed);
        ours.sa_sigaction = quit as Handler as usize;
        // SAFETY: our handler has the form that the flags ask for, and only does what a handler may.
        return unsafe { system::sigaction(signal, &raw const ours, old) };
    }
    if !INSTALLED.swap(true, Ordering::Relaxed) {
        ours.sa_sigaction = hang_up as Handler as usize;
        // SAFETY: as above.
        unsafe { system::sigaction(libc::SIGHUP, &raw const ours, null_mut()) };
        if !is_ignored(libc::SIGTERM) {
            ours.sa_sigaction = terminate as Handler as usize;
            // SAFETY: as above.
            unsafe { system::sigaction(libc::SIGTERM, &raw const ours, null_mut()) };
        }
        // The program that was launched sees to the console that it shares with its children.
        if size::is_followed() {
            ours.sa_sigaction = resized as Handler as usize;
            // SAFETY: as above.
            unsafe { system::sigaction(libc::SIGWINCH, &raw const ours, null_mut()) };
        }
    }
    if is_ignored(libc::SIGINT) {
        return 0;
    }
    WINE_INTERRUPT.store(wine.sa_sigaction, Ordering::Relaxed);
    ours.sa_sigaction = interrupt as Handler as usize;
    // SAFETY: as above.
    unsafe { system::sigaction(signal, &raw const ours, old) }
}

/// Looks up the functions of Wine's Unix side; false where there is none.
fn find_unix_side() -> bool {
    if !CREATE_THREAD.load(Ordering::Relaxed).is_null() {
        return true;
    }
    let Some(create) = unix_function(c"NtCreateThreadEx") else { return false };
    let Some(close) = unix_function(c"NtClose") else { return false };
    let Some(terminate) = unix_function(c"NtTerminateProcess") else { return false };
    CLOSE.store(close, Ordering::Relaxed);
    TERMINATE.store(terminate, Ordering::Relaxed);
    CREATE_THREAD.store(create, Ordering::Relaxed);
    true
}

/// Whether Wine's Unix side is there, and its functions are known.
pub(crate) fn is_ready() -> bool {
    !CREATE_THREAD.load(Ordering::Relaxed).is_null()
}

/// A function of Wine's Unix side.
pub(crate) fn unix_function(name: &core::ffi::CStr) -> Option<*mut c_void> {
    // SAFETY: finds a library that is loaded already; loads nothing.
    let library = unsafe { libc::dlopen(c"ntdll.so".as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_NOW) };
    if library.is_null() {
        return None;
    }
    // SAFETY: the library is loaded and stays.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// A Ctrl-C: Wine's event, once the program can have events. Before that Wine would drop it, or end the
/// program with 0.
unsafe extern "C" fn interrupt(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    if ROUTINE.load(Ordering::Acquire).is_null() {
        if !IGNORES_INTERRUPT.load(Ordering::Relaxed) {
            end_by_event();
        }
        return;
    }
    if IS_LAUNCHED.load(Ordering::Relaxed) {
        // Wine's own drops it where there is no console, as in a graphical program.
        // SAFETY: the kernel passes what the flags of the action ask for.
        return raise(if unsafe { is_alone(signal, info) } { ALONE | CTRL_C } else { CTRL_C });
    }
    // SAFETY: the handler that Wine wanted for this very signal, with what the kernel passed.
    unsafe { pass_to(&WINE_INTERRUPT, signal, info, context) };
}

/// Whether the helper has heard of a signal and its program has not: what its parent has sent. Ctrl-C and
/// Ctrl-\ on a terminal the kernel sends to both; where the host is the parent, and so this process leads
/// a session, it sends these two to all that the launch has started.
///
/// # Safety
/// `info` is what the kernel passed.
unsafe fn is_alone(signal: c_int, info: *const libc::siginfo_t) -> bool {
    if !IS_HELPER.load(Ordering::Relaxed) {
        return false;
    }
    // SAFETY: no arguments, no effects, here and below.
    let parent = unsafe { system::call(libc::SYS_getppid, [0; 6]) };
    // SAFETY: as above.
    let session = unsafe { system::call(libc::SYS_getsid, [0; 6]) };
    let reached_all = (signal == libc::SIGINT || signal == libc::SIGQUIT)
        && session == core::ffi::c_long::from(system::pid());
    // SAFETY: the caller's promise.
    let info = unsafe { &*info };
    // SAFETY: a signal of this code has a sender.
    info.si_code == libc::SI_USER
        && core::ffi::c_long::from(unsafe { info.si_pid() }) == parent
        && !reached_all
}

/// Passes a signal to Wine's handler.
///
/// # Safety
/// `handler` is the one that Wine wanted for this signal, the rest what the kernel passed.
unsafe fn pass_to(
    handler: &AtomicUsize,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    let handler = handler.load(Ordering::Relaxed);
    if handler != 0 {
        // SAFETY: the caller's promise.
        let handler = unsafe { core::mem::transmute::<usize, Handler>(handler) };
        // SAFETY: as above.
        unsafe { handler(signal, info, context) };
    }
}

unsafe extern "C" fn quit(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes what the flags of the action ask for.
    let is_wines = unsafe { (*info).si_code } == libc::SI_TKILL;
    if !is_wines {
        if !is_ignored(libc::SIGQUIT) {
            // SAFETY: as above.
            carry(if unsafe { is_alone(signal, info) } { ALONE | CTRL_BREAK } else { CTRL_BREAK });
        }
        return;
    }
    // SAFETY: the handler that Wine wanted for this very signal, with what the kernel passed.
    unsafe { pass_to(&WINE_QUIT, signal, info, context) };
}

unsafe extern "C" fn terminate(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes what the flags of the action ask for.
    carry(if unsafe { is_alone(signal, info) } { ALONE | CTRL_CLOSE } else { CTRL_CLOSE });
}

unsafe extern "C" fn resized(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    carry(SIZE);
}

unsafe extern "C" fn hang_up(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let carried = CARRIED.swap(0, Ordering::Relaxed);
    if carried == 0 && !is_ignored(libc::SIGHUP) {
        // SAFETY: the kernel passes what the flags of the action ask for.
        raise(if unsafe { is_alone(signal, info) } { ALONE | CTRL_CLOSE } else { CTRL_CLOSE });
    }
    for event in [CTRL_BREAK, CTRL_CLOSE, ALONE | CTRL_BREAK, ALONE | CTRL_CLOSE] {
        if carried & bit(event) != 0 {
            raise(event);
        }
    }
    if carried & bit(SIZE) != 0 {
        raise_size();
    }
}

fn bit(event: u32) -> u32 {
    1_u32.wrapping_shl(event)
}

/// Sends this thread a SIGHUP that stands for `event`.
fn carry(event: u32) {
    CARRIED.fetch_or(bit(event), Ordering::Relaxed);
    let arguments = [system::pid().into(), system::thread().into(), libc::SIGHUP.into(), 0, 0, 0];
    // SAFETY: a signal to this thread, for which there is a handler.
    unsafe { system::call(libc::SYS_tgkill, arguments) };
}

/// Lets the program have an event, or ends it if it cannot have one yet.
fn raise(event: u32) {
    let routine = ROUTINE.load(Ordering::Acquire);
    if routine.is_null() {
        end_by_event();
    }
    start_thread(routine, event);
}

/// Ends the process as an event does that no handler has taken, its Windows parent's knowledge included.
///
/// The signals that lead here do not come in the middle of a request to the server.
fn end_by_event() -> ! {
    let terminate = TERMINATE.load(Ordering::Relaxed);
    if !terminate.is_null() {
        type Terminate = unsafe extern "win64" fn(isize, u32) -> i32;
        // SAFETY: Wine's function has this type; it is Windows' own.
        let terminate = unsafe { core::mem::transmute::<*mut c_void, Terminate>(terminate) };
        // SAFETY: ends this process, with libc's `_exit`.
        unsafe { terminate(-1, STATUS_CONTROL_C_EXIT) };
    }
    report::end(STATUS_CONTROL_C_EXIT as c_int);
    system::exit_group(STATUS_CONTROL_C_EXIT as c_int)
}

/// Gives the console the terminal's size, once that can be done: [`set_up`] looks at it too.
fn raise_size() {
    if !ROUTINE.load(Ordering::Acquire).is_null() {
        start_thread(size::apply as *const c_void, SIZE);
    }
}

/// Starts a thread of Windows code.
fn start_thread(routine: *const c_void, argument: u32) {
    let create = CREATE_THREAD.load(Ordering::Relaxed);
    let close = CLOSE.load(Ordering::Relaxed);
    if create.is_null() || close.is_null() {
        return;
    }
    // SAFETY: Wine's function has this type; it is Windows' own.
    let create = unsafe { core::mem::transmute::<*mut c_void, CreateThread>(create) };
    // SAFETY: as above.
    let close = unsafe {
        core::mem::transmute::<*mut c_void, unsafe extern "win64" fn(isize) -> i32>(close)
    };
    let (mut handle, all_access, this_process) = (0, 0x1f_ffff, -1);
    // SAFETY: the routine is the start of a thread and takes a number.
    let status = unsafe {
        create(
            &raw mut handle,
            all_access,
            null(),
            this_process,
            routine,
            argument as usize,
            0,
            0,
            0,
            0,
            null(),
        )
    };
    if status == 0 {
        // SAFETY: the handle was made just now and nobody else has it.
        unsafe { close(handle) };
    }
}

/// Notes whether the program was started to ignore Ctrl-C, at its first thread's last step before Windows
/// code.
pub(crate) fn begin(ignores_interrupt: bool) {
    IGNORES_INTERRUPT.fetch_or(ignores_interrupt, Ordering::Relaxed);
}

/// Looks up what events need of Windows, and puts our handler below all that the program will have.
/// Runs as Windows code, before the program begins.
pub(crate) fn set_up(kernelbase: Module, ntdll: Module) {
    let routine = kernelbase.export(b"CtrlRoutine");
    let set = kernelbase.export(b"SetConsoleCtrlHandler");
    let exit = ntdll.export(b"RtlExitUserProcess");
    let (Some(routine), Some(set), Some(exit)) = (routine, set, exit) else { return };
    EXIT.store(exit.cast_mut(), Ordering::Relaxed);
    // SAFETY: the documented type of this function.
    let set = unsafe { core::mem::transmute::<*const c_void, SetHandler>(set) };
    // SAFETY: our handler has the type that is asked for and stays.
    unsafe { set(last_resort, 1) };
    size::find(kernelbase);
    ROUTINE.store(routine.cast_mut(), Ordering::Release);
    if size::has_changed() {
        raise_size();
    }
}

/// The handler that is asked when the program has none, or all of its own have declined.
extern "win64" fn last_resort(_: u32) -> i32 {
    let exit = EXIT.load(Ordering::Relaxed);
    if exit.is_null() {
        return 0;
    }
    // SAFETY: the documented type of this function.
    let exit = unsafe { core::mem::transmute::<*mut c_void, extern "win64" fn(u32) -> i32>(exit) };
    exit(STATUS_CONTROL_C_EXIT)
}
