//! The few system calls that rustix leaves to libc: signals, fork, exec, exit, and who a peer is.
//!
//! They are made directly because the interpreter runs before libc is initialised: nothing here
//! needs thread-local storage. With the entry point of `init` and the preloaded library this is the
//! project's only unsafe code for Linux.
#![expect(unsafe_code, reason = "the system calls that rustix leaves to libc are made here")]
#![no_std]

extern crate alloc;

mod descriptors;
mod ended;
mod errors;
mod sharing;
mod spawn;
mod text;
mod unmapped;

pub use descriptors::{Inherited, close_inherited, keep_to_self, occupy_closed_standard};
pub use ended::{status_of, status_of_signal};
pub use errors::system_error;
pub use sharing::fork_sharing;
pub use spawn::{Closed, Directory, Login, Spawn, SpawnError, Step, become_program, spawn};
pub use text::{CStrings, c_string};
pub use unmapped::{is_own_user, unmapped_user};

use core::ffi::CStr;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const RT_SIGACTION: usize = 13;
    pub(super) const GETSOCKOPT: usize = 55;
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const CLONE: usize = 56;
    pub(super) const EXECVE: usize = 59;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const SIGNALFD4: usize = 289;
    pub(super) const TGKILL: usize = 234;
    pub(super) const CLOSE_RANGE: usize = 436;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const SIGNALFD4: usize = 74;
    pub(super) const TGKILL: usize = 131;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const RT_SIGACTION: usize = 134;
    pub(super) const GETSOCKOPT: usize = 209;
    pub(super) const RT_SIGPROCMASK: usize = 135;
    pub(super) const CLONE: usize = 220;
    pub(super) const EXECVE: usize = 221;
    pub(super) const CLOSE_RANGE: usize = 436;
}

/// Makes one system call; the result is negative for an error.
///
/// # Safety
/// The caller keeps to the contract of that system call.
#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: usize, arguments: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: the kernel preserves all registers but rax, rcx and r11; the call itself is the
    // caller's contract.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Makes one system call; the result is negative for an error.
///
/// # Safety
/// The caller keeps to the contract of that system call.
#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: usize, arguments: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: the kernel preserves all registers but x0; the call itself is the caller's contract.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            options(nostack),
        );
    }
    result
}

fn checked(result: isize) -> Result<usize, Errno> {
    usize::try_from(result)
        .map_err(|_| Errno::from_raw_os_error(i32::try_from(-result).unwrap_or(i32::MAX)))
}

/// A set of signals, as the kernel lays it out: bit N-1 stands for signal N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// The set of `signals`.
    #[must_use]
    pub fn of(signals: &[Signal]) -> Self {
        Self(signals.iter().fold(0, |set, signal| set | Self::bit(*signal)))
    }

    fn bit(signal: Signal) -> u64 {
        1_u64.checked_shl(signal.as_raw().unsigned_abs().wrapping_sub(1)).unwrap_or(0)
    }

    /// Whether `signal` is in the set.
    #[must_use]
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// This set without the signals of `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

const SIG_BLOCK: usize = 0;
const SIG_SETMASK: usize = 2;

fn change_mask(how: usize, set: SignalSet) -> SignalSet {
    let mut before = SignalSet(0);
    let arguments =
        [how, (&raw const set) as usize, (&raw mut before) as usize, size_of::<SignalSet>(), 0];
    // SAFETY: both pointers name live sets of the size given. The call cannot fail then.
    let _ = unsafe { syscall(number::RT_SIGPROCMASK, arguments) };
    before
}

/// Blocks `set` in addition to what is blocked, and returns the mask as it was.
pub fn block(set: SignalSet) -> SignalSet {
    change_mask(SIG_BLOCK, set)
}

/// Sets the mask of blocked signals.
pub fn restore_mask(mask: SignalSet) {
    change_mask(SIG_SETMASK, mask);
}

/// The kernel's `struct sigaction`.
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;

/// Gives `signal` its default action again.
pub fn reset_action(signal: Signal) {
    set_action(signal.as_raw(), SIG_DFL);
}

/// Makes this process ignore `signal`.
pub fn ignore(signal: Signal) {
    set_action(signal.as_raw(), SIG_IGN);
}

/// The last signal's number.
const LAST_SIGNAL: i32 = 64;

/// Gives what this process ignores its default action again, and lets everything through that it blocks.
/// SIGPIPE stays: for that one Rust's start-up code has chosen.
pub fn ignore_and_block_no_signal() {
    for number in (1..=LAST_SIGNAL).filter(|number| *number != Signal::PIPE.as_raw()) {
        if has_action(number, SIG_IGN) {
            set_action(number, SIG_DFL);
        }
    }
    restore_mask(SignalSet::of(&[]));
}

fn set_action(signal: i32, handler: usize) {
    let action = KernelAction { handler, ..KernelAction::default() };
    let arguments = [signal as usize, (&raw const action) as usize, 0, size_of::<u64>(), 0];
    // SAFETY: the action is live and installs no handler.
    let _ = unsafe { syscall(number::RT_SIGACTION, arguments) };
}

/// Whether `signal` is ignored by this process.
#[must_use]
pub fn is_ignored(signal: Signal) -> bool {
    has_action(signal.as_raw(), SIG_IGN)
}

fn has_action(signal: i32, handler: usize) -> bool {
    let mut action = KernelAction::default();
    let arguments = [signal as usize, 0, (&raw mut action) as usize, size_of::<u64>(), 0];
    // SAFETY: the kernel writes one action into the live struct.
    let result = unsafe { syscall(number::RT_SIGACTION, arguments) };
    result == 0 && action.handler == handler
}

const SFD_CLOEXEC: usize = 0o2_000_000;
const SFD_NONBLOCK: usize = 0o4_000;

/// Opens a descriptor that reports the blocked signals of `set` as they arrive.
///
/// # Errors
/// The system's: no descriptors left, no memory.
pub fn signal_descriptor(set: SignalSet) -> Result<OwnedFd, Errno> {
    let arguments = [
        usize::MAX,
        (&raw const set) as usize,
        size_of::<SignalSet>(),
        SFD_CLOEXEC | SFD_NONBLOCK,
        0,
    ];
    // SAFETY: the set is live and of the size given; -1 asks for a new descriptor.
    let descriptor = checked(unsafe { syscall(number::SIGNALFD4, arguments) })?;
    let descriptor = RawFd::try_from(descriptor).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just opened it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Kinds of namespaces that [`unshare`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces(UnshareFlags);

impl Namespaces {
    /// A new user namespace.
    pub const USER: Self = Self(UnshareFlags::NEWUSER);
    /// A new mount namespace.
    pub const MOUNT: Self = Self(UnshareFlags::NEWNS);
    /// A new pid namespace; the next child is its process 1.
    pub const PID: Self = Self(UnshareFlags::NEWPID);
    /// A new namespace of the host's name.
    pub const UTS: Self = Self(UnshareFlags::NEWUTS);
    /// A new namespace of System V IPC and message queues.
    pub const IPC: Self = Self(UnshareFlags::NEWIPC);
    /// A new cgroup namespace.
    pub const CGROUP: Self = Self(UnshareFlags::NEWCGROUP);
}

impl core::ops::BitOr for Namespaces {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Moves this process into new namespaces.
///
/// # Errors
/// `EPERM`, `ENOSPC` or `EUSERS` where the system denies them; `EINVAL` for a user namespace where
/// the process has more than one thread.
pub fn unshare(namespaces: Namespaces) -> Result<(), Errno> {
    // SAFETY: only the flag for descriptor tables is dangerous, and this type cannot hold it.
    unsafe { rustix::thread::unshare_unsafe(namespaces.0) }
}

/// Which of the two processes this is, after [`fork`].
pub enum Fork {
    /// The new process.
    Child,
    /// The one that called; the child's id.
    Parent(Pid),
}

/// Makes a child process with a copy of this one's memory.
///
/// The child may only make system calls and end; the interpreter has one thread and no libc state,
/// which makes even more harmless, but [`exec`] is all it needs.
///
/// # Errors
/// The system's: a limit on processes, no memory.
pub fn fork() -> Result<Fork, Errno> {
    let flags = Signal::CHILD.as_raw() as usize;
    // SAFETY: no CLONE_VM and no stack given: the child goes on with its own copy of everything.
    let result = checked(unsafe { syscall(number::CLONE, [flags, 0, 0, 0, 0]) })?;
    let child = i32::try_from(result).ok().and_then(Pid::from_raw);
    Ok(child.map_or(Fork::Child, Fork::Parent))
}

const CLONE_PARENT: usize = 0x8000;

/// Makes a process like [`fork`], which is a child not of this process but of its parent.
///
/// # Errors
/// Those of [`fork`]; `EINVAL` for the first process of a pid namespace.
pub fn fork_sibling() -> Result<Fork, Errno> {
    let flags = CLONE_PARENT | Signal::CHILD.as_raw() as usize;
    // SAFETY: as for `fork`.
    let result = checked(unsafe { syscall(number::CLONE, [flags, 0, 0, 0, 0]) })?;
    let child = i32::try_from(result).ok().and_then(Pid::from_raw);
    Ok(child.map_or(Fork::Child, Fork::Parent))
}

/// Replaces this process by `program`; returns only if that failed.
pub fn exec(program: &CStr, arguments: &CStrings, environment: &CStrings) -> Errno {
    let arguments = [
        program.as_ptr() as usize,
        arguments.as_pointers() as usize,
        environment.as_pointers() as usize,
        0,
        0,
    ];
    // SAFETY: program is a C string, and both lists are arrays of C strings ended by a null.
    let result = unsafe { syscall(number::EXECVE, arguments) };
    Errno::from_raw_os_error(i32::try_from(-result).unwrap_or(i32::MAX))
}

/// The real-time signal of this number as the kernel counts them, 32 to 64; `None` for another.
#[must_use]
pub fn real_time_signal(number: i32) -> Option<Signal> {
    if !(32..=64).contains(&number) {
        return None;
    }
    // SAFETY: it is a number that the kernel has a signal for. The C library keeps the first two for
    // itself; sending them to others is no matter of this process's.
    Some(unsafe { Signal::from_raw_unchecked(number) })
}

/// Sends `signal` to one thread of a process.
///
/// # Errors
/// `ESRCH` where there is no such thread; `EPERM` for another user's.
pub fn interrupt(process: Pid, thread: Pid, signal: Signal) -> Result<(), Errno> {
    let number = |id: Pid| id.as_raw_nonzero().get() as usize;
    let arguments = [number(process), number(thread), signal.as_raw() as usize, 0, 0];
    // SAFETY: the call takes three numbers.
    checked(unsafe { syscall(number::TGKILL, arguments) })?;
    Ok(())
}

/// Ends this process with `status`, at once.
pub fn exit(status: u8) -> ! {
    loop {
        // SAFETY: ends the process.
        unsafe { syscall(number::EXIT_GROUP, [usize::from(status), 0, 0, 0, 0]) };
    }
}

/// Borrows a descriptor of which only the number is known, if it is open.
///
/// For the standard descriptors and what the kernel passed: they stay open as long as the process.
#[must_use]
pub fn inherited(descriptor: RawFd) -> Option<BorrowedFd<'static>> {
    if descriptor < 0 {
        return None;
    }
    // SAFETY: the number is not negative; if nothing is open behind it, the next call says so.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    rustix::io::fcntl_getfd(descriptor).is_ok().then_some(descriptor)
}

/// Takes over a descriptor that was open when the program began, so that it can be closed.
#[must_use]
pub fn take_inherited(descriptor: RawFd) -> Option<OwnedFd> {
    let descriptor = inherited(descriptor)?.as_raw_fd();
    // SAFETY: it was handed to this process at its start and nothing here owns it; what borrows it
    // by number finds it closed afterwards, which every call reports.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Who is at the other end of a unix socket, as the kernel noted it when the connection was made.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCredentials {
    /// The process; 0 where it lives in a pid namespace that cannot be seen from here.
    pub pid: i32,
    /// The effective user id, as mapped into this user namespace; [`unmapped_user`] where it has no mapping.
    pub uid: u32,
    /// The effective group id, likewise.
    pub gid: u32,
}

const SOL_SOCKET: usize = 1;
const SO_PEERCRED: usize = 17;
const SO_PEERPIDFD: usize = 77;

/// Says who is at the other end of `socket`.
///
/// rustix has this call too, but its type has no room for the pid 0.
///
/// # Errors
/// The system's: not a socket, not a unix socket.
pub fn peer_credentials(socket: BorrowedFd<'_>) -> Result<PeerCredentials, Errno> {
    let mut credentials = PeerCredentials::default();
    socket_option(socket, SO_PEERCRED, &mut credentials)?;
    Ok(credentials)
}

/// Opens a descriptor that stands for the process at the other end of `socket`, even if its pid is
/// given to another one.
///
/// # Errors
/// `ENOPROTOOPT` before Linux 6.5; `ESRCH` or `ENODATA` where the process is gone.
pub fn peer_process(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let mut descriptor: RawFd = -1;
    socket_option(socket, SO_PEERPIDFD, &mut descriptor)?;
    if descriptor < 0 {
        return Err(Errno::SRCH);
    }
    // SAFETY: the kernel has just opened it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// What Linux calls SIOCOUTQ for sockets.
const TIOCOUTQ: rustix::ioctl::Opcode = 0x5411;

/// How much memory is taken by what was sent on a unix socket and has not been received. Shut down or
/// not, that is 0 only when its peer has received all of it, or has closed its side for good.
///
/// # Errors
/// The system's, for what is no socket.
pub fn not_received(socket: BorrowedFd<'_>) -> Result<usize, Errno> {
    // SAFETY: the request writes one `int`.
    let request = unsafe { rustix::ioctl::Getter::<TIOCOUTQ, core::ffi::c_int>::new() };
    // SAFETY: it changes nothing of the socket.
    let bytes = unsafe { rustix::ioctl::ioctl(socket, request) }?;
    Ok(usize::try_from(bytes).unwrap_or_default())
}

/// Reads an option of SOL_SOCKET; `T` is one of this file's plain types, valid for any bytes.
fn socket_option<T: Copy>(
    socket: BorrowedFd<'_>,
    option: usize,
    value: &mut T,
) -> Result<(), Errno> {
    let mut length = u32::try_from(size_of::<T>()).map_err(|_| Errno::INVAL)?;
    let arguments = [
        socket.as_raw_fd() as usize,
        SOL_SOCKET,
        option,
        (&raw mut *value) as usize,
        (&raw mut length) as usize,
    ];
    // SAFETY: the kernel writes at most `length` bytes into the live value.
    checked(unsafe { syscall(number::GETSOCKOPT, arguments) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use rustix::fd::AsFd;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn a_peer_of_our_own_is_ourselves() {
        let (ours, _theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        let peer = peer_credentials(ours.as_fd()).unwrap();
        assert_eq!(peer.pid, rustix::process::getpid().as_raw_nonzero().get());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    }

    #[test]
    fn a_child_runs_another_program_and_its_exit_is_seen() {
        let arguments = CStrings::new([&b"sh"[..], b"-c", b"exit 7"]);
        let child = match fork().unwrap() {
            Fork::Child => {
                exec(c"/bin/sh", &arguments, &CStrings::new([]));
                exit(99)
            }
            Fork::Parent(child) => child,
        };
        let options = rustix::process::WaitOptions::empty();
        let (_, status) = rustix::process::waitpid(Some(child), options).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(7));
    }

    #[test]
    fn sets_hold_what_they_were_made_of() {
        let set = SignalSet::of(&[Signal::INT, Signal::CHILD]);
        assert!(set.contains(Signal::INT) && set.contains(Signal::CHILD));
        assert!(!set.contains(Signal::TERM));
        assert!(!set.without(SignalSet::of(&[Signal::INT])).contains(Signal::INT));
    }
}
