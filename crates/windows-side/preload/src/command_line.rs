//! Puts an exact command line into the Windows process.
//!
//! Wine makes the process's parameters (`RTL_USER_PROCESS_PARAMETERS`) and then, as its last call
//! before Windows code, sets the thread's GS base to the thread block with `arch_prctl`. From there
//! the way is fixed by Windows itself, for 64-bit programs: thread block + 0x60 is the process
//! block, that + 0x20 the parameters, those + 0x70 the command line, a `UNICODE_STRING` (length in
//! bytes, room in bytes, pointer at + 8).

use core::ffi::{CStr, c_long};
use core::ptr::{self, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The command line in UTF-16 with a final NUL, until it is put in place.
static LINE: AtomicPtr<u16> = AtomicPtr::new(null_mut());
/// Its length in bytes, without the NUL.
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// `arch_prctl`'s code for setting the GS base.
const ARCH_SET_GS: c_long = 0x1001;

/// The longest one in UTF-16 units: the length in bytes with the NUL is a 16-bit number.
const LONGEST: usize = 32_766;

/// Keeps the command line, in memory of its own.
pub(crate) fn prepare(text: Option<&CStr>) {
    let Some(text) = text else { return };
    let bytes = text.to_bytes();
    // No UTF-8 text has more UTF-16 units than bytes.
    let room = bytes.len().wrapping_add(1).wrapping_mul(2);
    let (protection, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice.
    let memory = unsafe { libc::mmap(null_mut(), room, protection, kind, -1, 0) };
    if memory == libc::MAP_FAILED {
        return;
    }
    let line = memory.cast::<u16>();
    let mut length = 0usize;
    for unit in Units::new(bytes).take(LONGEST) {
        // SAFETY: there are at most as many units as bytes, for which there is room.
        unsafe { line.wrapping_add(length).write(unit) };
        length = length.wrapping_add(1);
    }
    LENGTH.store(length.wrapping_mul(2), Ordering::Relaxed);
    LINE.store(line, Ordering::Release);
}

/// Looks at a system call that Wine makes through libc, and puts the command line in place when it
/// is the one. Says whether it is.
pub(crate) fn before_system_call(number: c_long, operation: c_long, address: c_long) -> bool {
    if number != libc::SYS_arch_prctl || operation != ARCH_SET_GS {
        return false;
    }
    let line = LINE.swap(null_mut(), Ordering::Acquire);
    if !line.is_null() {
        // SAFETY: Wine passes a thread block that is set up.
        unsafe { put(address as *const u8, line, LENGTH.load(Ordering::Relaxed) as u16) };
    }
    true
}

/// Whether the process that is about to begin ignores Ctrl-C, at the system call that
/// [`before_system_call`] has known: the lowest bit of a number 0x18 behind the parameters' begin.
pub(crate) fn ignores_interrupt(address: c_long) -> bool {
    // SAFETY: Wine passes a thread block that is set up.
    let parameters = unsafe { parameters_of(address as *const u8) };
    // SAFETY: inside of the parameters.
    parameters
        .is_some_and(|it| unsafe { it.wrapping_add(0x18).cast::<u32>().read_unaligned() } & 1 != 0)
}

/// # Safety
/// `thread_block` is a Windows thread block whose process block and parameters are set up.
unsafe fn parameters_of(thread_block: *const u8) -> Option<*const u8> {
    // SAFETY: the caller's promise.
    let process_block = unsafe { pointer_at(thread_block, 0x60) };
    if process_block.is_null() {
        return None;
    }
    // SAFETY: as above.
    let parameters = unsafe { pointer_at(process_block, 0x20) };
    (!parameters.is_null()).then_some(parameters)
}

/// # Safety
/// `thread_block` is a Windows thread block whose process block and parameters are set up, and no
/// other thread uses them yet.
unsafe fn put(thread_block: *const u8, line: *mut u16, length: u16) {
    // SAFETY: the caller's promise.
    let Some(parameters) = (unsafe { parameters_of(thread_block) }) else { return };
    let text = parameters.wrapping_add(0x70).cast_mut();
    let room = length.wrapping_add(2);
    // SAFETY: inside of the parameters; the string's length field.
    unsafe { ptr::write_unaligned(text.cast::<u16>(), length) };
    // SAFETY: inside of the parameters; the string's room field.
    unsafe { ptr::write_unaligned(text.wrapping_add(2).cast::<u16>(), room) };
    // SAFETY: inside of the parameters; the string's pointer.
    unsafe { ptr::write_unaligned(text.wrapping_add(8).cast::<*mut u16>(), line) };
}

/// # Safety
/// `base + offset` is valid for reading a pointer.
unsafe fn pointer_at(base: *const u8, offset: usize) -> *const u8 {
    // SAFETY: the caller's promise.
    unsafe { ptr::read_unaligned(base.wrapping_add(offset).cast::<*const u8>()) }
}

/// The UTF-16 units of generalized UTF-8: surrogates may be encoded like any other character.
/// Bytes that are no UTF-8 come out as U+FFFD.
struct Units<'a> {
    bytes: &'a [u8],
    /// The second half of a pair, which comes next.
    low: Option<u16>,
}

impl<'a> Units<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, low: None }
    }

    fn decode(&mut self) -> Option<u32> {
        let low = |byte: u8| u32::from(byte & 0x3f);
        let continues = |byte: u8| byte & 0xc0 == 0x80;
        let (value, rest) = match *self.bytes {
            [] => return None,
            [a @ 0..0x80, ref rest @ ..] => (u32::from(a), rest),
            [a @ 0xc2..0xe0, b, ref rest @ ..] if continues(b) => {
                (u32::from(a & 0x1f) << 6 | low(b), rest)
            }
            [a @ 0xe0..0xf0, b, c, ref rest @ ..] if continues(b) && continues(c) => {
                (u32::from(a & 0x0f) << 12 | low(b) << 6 | low(c), rest)
            }
            [a @ 0xf0..0xf5, b, c, d, ref rest @ ..]
                if continues(b) && continues(c) && continues(d) =>
            {
                (u32::from(a & 0x07) << 18 | low(b) << 12 | low(c) << 6 | low(d), rest)
            }
            [_, ref rest @ ..] => (0xfffd, rest),
        };
        self.bytes = rest;
        Some(value)
    }
}

impl Iterator for Units<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if let Some(low) = self.low.take() {
            return Some(low);
        }
        let value = self.decode()?;
        if value < 0x1_0000 {
            return Some(value as u16);
        }
        let above = value.wrapping_sub(0x1_0000);
        self.low = Some(0xdc00 | (above & 0x3ff) as u16);
        Some(0xd800 | ((above >> 10) & 0x3ff) as u16)
    }
}
