//! A child that borrows this process's memory until it is another program.
//!
//! A fork copies page tables, and both processes then pay a page fault for each page they write to:
//! 60 µs of a launch. Here the child runs on a stack of its own while the parent waits, as in libc's
//! `posix_spawn`. A stop signal that reaches the child in the few microseconds before it executes
//! stops both, until it is continued.

use core::convert::Infallible;
use rustix::io::Errno;
use rustix::process::Pid;

/// Makes a child process that runs `child` while this process waits, until `child` has executed
/// another program ([`exec`](crate::exec)) or ended ([`exit`](crate::exit)).
///
/// What `child` writes to memory this process sees afterwards; descriptors, the directory and signal
/// actions are the child's own. It has 32 KiB of stack: it should do little more than system calls. A
/// child that needs more ends with SIGSEGV, and has changed nothing below its stack.
///
/// # Errors
/// The system's: a limit on processes, no memory.
pub fn fork_sharing(mut child: impl FnMut() -> Infallible) -> Result<Pid, Errno> {
    start(&mut child)
}

/// Where the child's part is not written in this processor's language: an ordinary fork.
#[cfg(not(target_arch = "x86_64"))]
fn start(child: &mut impl FnMut() -> Infallible) -> Result<Pid, Errno> {
    match crate::fork()? {
        crate::Fork::Parent(process) => Ok(process),
        crate::Fork::Child => match child() {},
    }
}

/// The child's stack: 32 KiB above a page that nobody may touch. Nothing of it is touched before it is
/// used.
#[cfg(target_arch = "x86_64")]
struct Stack(*mut core::ffi::c_void);

#[cfg(target_arch = "x86_64")]
impl Stack {
    const GUARD: usize = 4096;
    const SIZE: usize = Self::GUARD + 32 * 1024;

    fn new() -> Result<Self, Errno> {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::STACK;
        // SAFETY: a new mapping where the kernel finds room replaces nothing.
        let lowest =
            unsafe { mmap_anonymous(core::ptr::null_mut(), Self::SIZE, protection, flags)? };
        let stack = Self(lowest);
        // SAFETY: the first page of the mapping, which nobody uses yet.
        unsafe { mprotect(lowest, Self::GUARD, MprotectFlags::empty())? };
        Ok(stack)
    }

    /// Where it begins: the address above it, aligned as a page is.
    fn top(&self) -> *mut core::ffi::c_void {
        self.0.wrapping_byte_add(Self::SIZE)
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and its child has other memory by now or has ended.
        let _ = unsafe { rustix::mm::munmap(self.0, Self::SIZE) };
    }
}

#[cfg(target_arch = "x86_64")]
fn start<F: FnMut() -> Infallible>(child: &mut F) -> Result<Pid, Errno> {
    const CLONE_VM: usize = 0x100;
    const CLONE_VFORK: usize = 0x4000;
    let flags = CLONE_VM | CLONE_VFORK | rustix::process::Signal::CHILD.as_raw() as usize;
    let stack = Stack::new()?;
    let result: isize;
    // SAFETY: the child never returns from `enter`, and runs on `stack`, which outlives it here:
    // CLONE_VFORK keeps this thread waiting until the child has memory of its own or has ended. So
    // `child` is used by one of the two at a time. The kernel preserves this thread's registers but
    // rax, rcx and r11.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") crate::number::CLONE => result,
            in("rdi") flags,
            in("rsi") stack.top(),
            in("rdx") 0,
            in("r10") 0,
            in("r8") 0,
            in("r12") core::ptr::from_mut(child),
            in("r13") enter::<F> as extern "C" fn(*mut F) -> !,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    drop(stack);
    let process = i32::try_from(crate::checked(result)?).ok().and_then(Pid::from_raw);
    process.ok_or(Errno::CHILD)
}

/// The child's first function.
#[cfg(target_arch = "x86_64")]
extern "C" fn enter<F: FnMut() -> Infallible>(child: *mut F) -> ! {
    // SAFETY: `start` passes its own reference and waits.
    let child = unsafe { &mut *child };
    match child() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CStrings, exec, exit};
    use rustix::process::{WaitOptions, waitpid};

    fn status_of(process: Pid) -> Option<i32> {
        let (_, status) = waitpid(Some(process), WaitOptions::empty()).unwrap()?;
        status.exit_status()
    }

    #[test]
    fn the_child_becomes_another_program() {
        let arguments = CStrings::new([&b"sh"[..], b"-c", b"exit 7"]);
        let environment = CStrings::new([]);
        let child = fork_sharing(|| {
            exec(c"/bin/sh", &arguments, &environment);
            exit(99)
        });
        assert_eq!(status_of(child.unwrap()), Some(7));
    }

    #[test]
    fn a_child_that_ends_instead_has_left_what_it_wrote() {
        let mut written = 0;
        let child = fork_sharing(|| {
            written = 42;
            exit(3)
        });
        assert_eq!(status_of(child.unwrap()), Some(3));
        assert_eq!(written, 42);
    }

    /// Uses a kilobyte of stack and more for each level.
    fn descend(levels: u32) {
        let block = [levels; 256];
        core::hint::black_box(&block);
        if levels > 0 {
            descend(levels - 1);
        }
        core::hint::black_box(&block);
    }

    #[test]
    fn a_child_with_too_little_stack_ends_and_changes_nothing_below_it() {
        let child = fork_sharing(|| {
            descend(8);
            exit(0)
        });
        assert_eq!(status_of(child.unwrap()), Some(0));
        let child = fork_sharing(|| {
            descend(40);
            exit(0)
        });
        let (_, status) = waitpid(Some(child.unwrap()), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.terminating_signal(), Some(rustix::process::Signal::SEGV.as_raw()));
    }
}
