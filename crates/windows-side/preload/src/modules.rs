//! Finds the Windows libraries of this process, and what they export.
//!
//! The layouts are Windows' own for 64-bit processes: the process block is 0x60 behind the thread
//! block, the loader's data 0x18 behind that, and 0x10 into those is the list of libraries in the
//! order of loading. An entry has the library's address at 0x30 and its name at 0x58. The exports
//! stand in the PE header, as Microsoft's "PE Format" has them.

use core::arch::asm;
use core::ffi::c_void;

/// More libraries, or exported names, than any process has: where a list does not end.
const MOST: u32 = 100_000;

/// The address of the library with this name, in lower case.
///
/// # Safety
/// Windows code runs in this thread: its GS base is a thread block, and the loader's list is whole.
pub(crate) unsafe fn find(name: &[u8]) -> Option<*const u8> {
    let process_block: *const u8;
    // SAFETY: the caller's promise; reads one pointer.
    unsafe {
        asm!("mov {}, gs:[0x60]", out(reg) process_block, options(nostack, readonly, preserves_flags));
    }
    // SAFETY: the layouts above, here and below.
    let loader = unsafe { at::<*const u8>(process_block, 0x18) };
    if loader.is_null() {
        return None;
    }
    let head = loader.wrapping_add(0x10);
    // SAFETY: as above.
    let mut entry = unsafe { at::<*const u8>(head, 0) };
    for _ in 0..MOST {
        if entry == head || entry.is_null() {
            return None;
        }
        // SAFETY: as above.
        if unsafe { is_named(entry, name) } {
            // SAFETY: as above.
            return Some(unsafe { at::<*const u8>(entry, 0x30) });
        }
        // SAFETY: as above.
        entry = unsafe { at::<*const u8>(entry, 0) };
    }
    None
}

/// # Safety
/// `entry` is one of the loader's list.
unsafe fn is_named(entry: *const u8, name: &[u8]) -> bool {
    // SAFETY: the name's length in bytes.
    let length = unsafe { at::<u16>(entry, 0x58) };
    // SAFETY: the name's address.
    let text = unsafe { at::<*const u16>(entry, 0x60) };
    if usize::from(length) != name.len().wrapping_mul(2) || text.is_null() {
        return false;
    }
    name.iter().enumerate().all(|(index, byte)| {
        // SAFETY: inside of the name.
        let unit = unsafe { text.wrapping_add(index).read_unaligned() };
        u8::try_from(unit).is_ok_and(|unit| unit.to_ascii_lowercase() == *byte)
    })
}

/// The address of what a library exports under `name`.
///
/// # Safety
/// `base` is the address of a loaded 64-bit library.
pub(crate) unsafe fn export(base: *const u8, name: &[u8]) -> Option<*const c_void> {
    // SAFETY: the offset of the PE header, in the header of every library; so on below.
    let header = base.wrapping_add(unsafe { at::<u32>(base, 0x3c) } as usize);
    // SAFETY: the first entry of the table of directories, 24 + 112 bytes into the header.
    let directory = unsafe { at::<u32>(header, 136) };
    if directory == 0 {
        return None;
    }
    let directory = base.wrapping_add(directory as usize);
    let part = |offset| {
        // SAFETY: inside of the directory of exports.
        unsafe { at::<u32>(directory, offset) }
    };
    let table = |offset| base.wrapping_add(part(offset) as usize);
    let (count, functions, names, ordinals) = (part(0x18), table(0x1c), table(0x20), table(0x24));
    for index in 0..count.min(MOST) as usize {
        // SAFETY: inside of the table of names.
        let text = base.wrapping_add(unsafe { at::<u32>(names, index.wrapping_mul(4)) } as usize);
        // SAFETY: the text ends with 0.
        if unsafe { is_text(text, name) } {
            // SAFETY: inside of the table of ordinals.
            let ordinal = unsafe { at::<u16>(ordinals, index.wrapping_mul(2)) };
            // SAFETY: inside of the table of functions.
            let function = unsafe { at::<u32>(functions, usize::from(ordinal).wrapping_mul(4)) };
            return Some(base.wrapping_add(function as usize).cast());
        }
    }
    None
}

/// # Safety
/// `text` ends with 0.
unsafe fn is_text(text: *const u8, wanted: &[u8]) -> bool {
    for (index, byte) in wanted.iter().enumerate() {
        // SAFETY: all bytes before this one were not 0.
        if unsafe { text.wrapping_add(index).read() } != *byte {
            return false;
        }
    }
    // SAFETY: as above.
    unsafe { text.wrapping_add(wanted.len()).read() == 0 }
}

/// # Safety
/// `base + offset` is valid for reading a `T`, and every bit pattern is one.
unsafe fn at<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: the caller's promise.
    unsafe { base.wrapping_add(offset).cast::<T>().read_unaligned() }
}
