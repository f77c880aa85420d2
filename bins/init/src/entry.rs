//! The entry point of the static build: starts the interpreter without libc's start-up.
//!
//! libc's own start-up costs more than everything else the interpreter does (CPUID traps in virtual
//! machines, relocations of string functions, a dozen page faults more). So the kernel enters here:
//! if this process is the interpreter it runs at once, on three things that libc would have brought:
//! a thread-local block (a panic needs one), an allocator that never frees, and string functions
//! that need no choice at run time. Any other part jumps to libc's `_start` with the stack as the
//! kernel left it.

use crate::part::{Part, auxiliary};
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::alloc::System;
use winterop_interpreter::{CallerEnvironment, Start};

core::arch::global_asm!(
    ".globl winterop_entry",
    ".type winterop_entry, @function",
    "winterop_entry:",
    "mov r12, rsp",
    "mov r13, rdx",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {decide}",
    "mov rsp, r12",
    "mov rdx, r13",
    "jmp _start",
    decide = sym decide,
);

/// Becomes the interpreter, or returns where this process has another part.
///
/// # Safety
/// `stack` is the stack pointer with which the kernel entered the program.
unsafe extern "C" fn decide(stack: *const usize) {
    // SAFETY: the caller's contract.
    let words = unsafe { InitialStack::read(stack) };
    let auxiliary = auxiliary(words.auxiliary());
    // Without an allocator yet: two arguments are all that the decision needs.
    let mut first = [&[][..]; 2];
    let mut count = 0;
    for (slot, argument) in first.iter_mut().zip(words.arguments()) {
        *slot = argument;
        count += 1;
    }
    if Part::of(first.get(..count).unwrap_or_default(), auxiliary.flags) != Part::Interpreter {
        return;
    }
    WITHOUT_LIBC.store(true, Ordering::Relaxed);
    // SAFETY: libc has not run and no code has used thread-local storage yet.
    unsafe { thread_local_block(&words) };
    let start = Start {
        arguments: words.arguments().collect(),
        environment: CallerEnvironment::new(words.environment()),
        auxiliary,
    };
    winterop_interpreter::end(winterop_interpreter::interpret(&start))
}

/// What the kernel puts on the stack: argc, argv, null, environment, null, auxiliary vector.
struct InitialStack {
    arguments: *const *const c_char,
    environment: *const *const c_char,
    auxiliary: *const [usize; 2],
}

impl InitialStack {
    /// # Safety
    /// `stack` is the stack pointer at entry.
    unsafe fn read(stack: *const usize) -> Self {
        // SAFETY: argc stands at the stack pointer.
        let count = unsafe { stack.read() };
        // SAFETY: argv begins behind argc.
        let arguments = unsafe { stack.add(1) }.cast::<*const c_char>();
        // SAFETY: the environment begins behind argv's null.
        let environment = unsafe { arguments.add(count + 1) };
        let mut end = environment;
        // SAFETY: the environment ends with a null.
        while !unsafe { end.read() }.is_null() {
            // SAFETY: not yet at the null.
            end = unsafe { end.add(1) };
        }
        // SAFETY: the auxiliary vector begins behind the environment's null.
        let auxiliary = unsafe { end.add(1) }.cast();
        Self { arguments, environment, auxiliary }
    }

    fn arguments(&self) -> impl Iterator<Item = &'static [u8]> {
        strings(self.arguments)
    }

    fn environment(&self) -> impl Iterator<Item = &'static [u8]> {
        strings(self.environment)
    }

    fn auxiliary(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut at = self.auxiliary;
        core::iter::from_fn(move || {
            // SAFETY: the vector ends with a pair whose key is 0, and is not read beyond it.
            let [key, value] = unsafe { at.read() };
            if key == 0 {
                return None;
            }
            // SAFETY: a pair with another key is followed by one more.
            at = unsafe { at.add(1) };
            Some((key, value))
        })
    }
}

/// The strings of a list that ends with a null pointer and lives as long as the process.
fn strings(mut list: *const *const c_char) -> impl Iterator<Item = &'static [u8]> {
    core::iter::from_fn(move || {
        // SAFETY: the kernel's lists end with a null and are not read beyond it.
        let string = unsafe { list.read() };
        if string.is_null() {
            return None;
        }
        // SAFETY: an entry that is not null is followed by one more.
        list = unsafe { list.add(1) };
        // SAFETY: the entries are C strings on the initial stack.
        Some(unsafe { CStr::from_ptr(string) }.to_bytes())
    })
}

const AT_PHDR: usize = 3;
const AT_PHNUM: usize = 5;
const PT_TLS: u32 = 7;
const ARCH_SET_FS: usize = 0x1002;
const SYS_ARCH_PRCTL: usize = 158;

/// An ELF program header of a 64-bit program.
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    file_size: u64,
    memory_size: u64,
    alignment: u64,
}

/// Room for the thread-local variables and, at its end, the thread control block.
#[repr(C, align(64))]
struct ThreadBlock(UnsafeCell<[u8; THREAD_BLOCK]>);
const THREAD_BLOCK: usize = 8192;
/// What libc keeps behind the thread pointer; more than its `struct pthread` has.
const CONTROL_BLOCK: usize = 4096;
// As `thread-block.ld` has it, by which a program with larger ones is not linked.
const _: () = assert!(THREAD_BLOCK - CONTROL_BLOCK == 4096);

// SAFETY: used by one thread, before there are others.
unsafe impl Sync for ThreadBlock {}
static THREAD: ThreadBlock = ThreadBlock(UnsafeCell::new([0; THREAD_BLOCK]));

/// Sets the thread pointer to a block with the program's initial thread-local variables, as the
/// x86-64 ABI lays them out: below the pointer, which points to itself.
///
/// # Safety
/// To be called once, before any thread-local variable is used.
unsafe fn thread_local_block(words: &InitialStack) {
    let value = |wanted| words.auxiliary().find(|(key, _)| *key == wanted).map(|(_, value)| value);
    let (Some(headers), Some(count)) = (value(AT_PHDR), value(AT_PHNUM)) else { return };
    // SAFETY: the kernel says where the program headers are mapped, and how many.
    let headers = unsafe { core::slice::from_raw_parts(headers as *const ProgramHeader, count) };
    let Some(template) = headers.iter().find(|header| header.kind == PT_TLS) else { return };
    let size = (template.memory_size as usize).next_multiple_of(template.alignment.max(1) as usize);
    if size > THREAD_BLOCK - CONTROL_BLOCK {
        return;
    }
    // SAFETY: inside the block.
    let pointer = unsafe { THREAD.0.get().cast::<u8>().add(THREAD_BLOCK - CONTROL_BLOCK) };
    // SAFETY: `size` bytes below the pointer are inside the block.
    let variables = unsafe { pointer.sub(size) };
    let source = template.address as *const u8;
    // SAFETY: the template is mapped with the program (not position-independent) at its address.
    unsafe { ptr::copy_nonoverlapping(source, variables, template.file_size as usize) };
    // SAFETY: aligned to 64, inside the block.
    unsafe { pointer.cast::<usize>().write(pointer as usize) };
    // SAFETY: the block lives as long as the process.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") SYS_ARCH_PRCTL => _,
            in("rdi") ARCH_SET_FS,
            in("rsi") pointer,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
}

/// Whether this process runs without libc: then memory comes from [`Arena`].
static WITHOUT_LIBC: AtomicBool = AtomicBool::new(false);

/// The process's allocator: libc's, or in the interpreter one that hands memory out and never takes
/// it back, because the process ends soon.
struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// The first memory that the interpreter uses; pages that are not touched cost nothing.
#[repr(C, align(4096))]
struct Arena(UnsafeCell<[u8; ARENA]>);
const ARENA: usize = 256 * 1024;

// SAFETY: pieces are handed out by an atomic counter, each to one owner.
unsafe impl Sync for Arena {}
static MEMORY: Arena = Arena(UnsafeCell::new([0; ARENA]));
static USED: AtomicUsize = AtomicUsize::new(0);

impl Arena {
    fn allocate(&self, layout: Layout) -> *mut u8 {
        let start = USED.load(Ordering::Relaxed).next_multiple_of(layout.align().min(4096));
        let end = start.saturating_add(layout.size());
        if end > ARENA || layout.align() > 4096 {
            return from_kernel(layout);
        }
        USED.store(end, Ordering::Relaxed);
        // SAFETY: start is inside the arena.
        unsafe { self.0.get().cast::<u8>().add(start) }
    }
}

/// Memory for what the arena has no room for: a request near the protocol's limit.
fn from_kernel(layout: Layout) -> *mut u8 {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    if layout.align() > 4096 {
        return ptr::null_mut();
    }
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new private mapping replaces nothing.
    let mapped =
        unsafe { mmap_anonymous(ptr::null_mut(), layout.size(), protection, MapFlags::PRIVATE) };
    mapped.map_or(ptr::null_mut(), <*mut _>::cast)
}

// SAFETY: every piece that the arena hands out is its own, large enough and aligned; the rest is
// libc's allocator. One process uses only one of the two.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if WITHOUT_LIBC.load(Ordering::Relaxed) {
            return MEMORY.allocate(layout);
        }
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !WITHOUT_LIBC.load(Ordering::Relaxed) {
            // SAFETY: the caller's contract; it came from the same allocator.
            unsafe { System.dealloc(pointer, layout) };
        }
    }
}

// The string functions that compiled code calls. libc's static ones are chosen by relocations that
// its start-up applies, so that before it they cannot be called; these stand in for them in the
// whole program. `rep movsb` and `rep stosb` are the fast way on every x86-64 of the last ten years.

/// # Safety
/// As C's `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's contract.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") count => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// # Safety
/// As C's `memmove`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // SAFETY: copying upwards does not overwrite what is still to be read.
        return unsafe { memcpy(to, from, count) };
    }
    // SAFETY: the caller's contract; downwards, from the last byte on.
    unsafe {
        core::arch::asm!(
            "std",
            "rep movsb",
            "cld",
            inout("rcx") count => _,
            inout("rdi") to.wrapping_add(count).wrapping_sub(1) => _,
            inout("rsi") from.wrapping_add(count).wrapping_sub(1) => _,
            options(nostack),
        );
    }
    to
}

/// # Safety
/// As C's `memset`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: c_int, count: usize) -> *mut u8 {
    // SAFETY: the caller's contract.
    unsafe {
        core::arch::asm!(
            "rep stosb",
            inout("rcx") count => _,
            inout("rdi") to => _,
            in("al") value as u8,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// # Safety
/// As C's `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> c_int {
    let mut at = 0;
    while at < count {
        // SAFETY: it has `count` bytes.
        let a = unsafe { left.wrapping_add(at).read() };
        // SAFETY: it has `count` bytes.
        let b = unsafe { right.wrapping_add(at).read() };
        if a != b {
            return c_int::from(a) - c_int::from(b);
        }
        at += 1;
    }
    0
}

/// # Safety
/// As C's `bcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { memcmp(left, right, count) }
}

/// # Safety
/// As C's `strlen`.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: a C string ends with a NUL, and is not read beyond it.
    while unsafe { string.wrapping_add(length).read() } != 0 {
        length += 1;
    }
    length
}
