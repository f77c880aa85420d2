//! Finds the Windows libraries of this process, and changes what they import and export.
//!
//! The layouts are Windows' own for 64-bit processes: the process block is 0x60 behind the thread
//! block, the loader's data 0x18 behind that, and 0x10 into those is the list of libraries in the
//! order of loading, the program first. An entry has the library's address at 0x30, its size at 0x40
//! and its name at 0x58. What is in a library [`Image`] reads.

use core::arch::asm;
use core::ffi::c_void;
use core::mem::transmute;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::image::Image;

/// More libraries than any process has: where the list does not end.
const MOST: u32 = 100_000;

/// A page that may be read and written, in Windows' numbers.
const PAGE_READWRITE: u32 = 4;

type Protect = unsafe extern "win64" fn(isize, *mut *mut c_void, *mut usize, u32, *mut u32) -> i32;

/// A program or library that the Windows loader has loaded.
#[derive(Clone, Copy)]
pub(crate) struct Module {
    base: *const u8,
    size: usize,
}

/// The library with this name, in lower case.
///
/// # Safety
/// Windows code runs in this thread: its GS base is a thread block, and the loader's list is whole. The
/// library is used only as long as it is loaded.
pub(crate) unsafe fn find(name: &[u8]) -> Option<Module> {
    // SAFETY: the entry is one of the loader's list.
    let is_wanted = |entry| unsafe { is_named(entry, name) };
    // SAFETY: the caller's promise.
    unsafe { entry_where(is_wanted) }
}

/// The program.
///
/// # Safety
/// As for [`find`].
pub(crate) unsafe fn first() -> Option<Module> {
    // SAFETY: the caller's promise.
    unsafe { entry_where(|_| true) }
}

/// The program, if it has this name, in lower case.
///
/// # Safety
/// As for [`find`].
pub(crate) unsafe fn program(name: &[u8]) -> Option<Module> {
    let mut is_first = true;
    // SAFETY: the entry is one of the loader's list.
    let is_wanted = |entry| core::mem::take(&mut is_first) && unsafe { is_named(entry, name) };
    // SAFETY: the caller's promise.
    unsafe { entry_where(is_wanted) }
}

/// The first entry of the loader's list that is wanted.
///
/// # Safety
/// As for [`find`]; `is_wanted` is given entries of the list.
unsafe fn entry_where(mut is_wanted: impl FnMut(*const u8) -> bool) -> Option<Module> {
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
        if is_wanted(entry) {
            // SAFETY: as above.
            let base = unsafe { at::<*const u8>(entry, 0x30) };
            // SAFETY: as above.
            let size = unsafe { at::<u32>(entry, 0x40) };
            return Some(Module { base, size: size as usize });
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

impl Module {
    /// Whether it is one of Wine's own.
    pub(crate) fn is_builtin(self) -> bool {
        // SAFETY: nothing writes there meanwhile: the loader is done with it.
        unsafe { self.image() }.is_builtin()
    }

    /// The address of what it exports under `name`.
    pub(crate) fn export(self, name: &[u8]) -> Option<*const c_void> {
        // SAFETY: as above.
        let export = unsafe { self.image() }.export(name)?;
        Some(self.base.wrapping_add(export.place).cast())
    }

    /// Its bytes, for the moment.
    ///
    /// # Safety
    /// Nothing writes where it is read while it is used.
    unsafe fn image<'a>(self) -> Image<'a> {
        // SAFETY: the loader has mapped as many bytes, and `find` asks that they stay.
        Image::new(unsafe { core::slice::from_raw_parts(self.base, self.size) })
    }
}

/// What is called in the place of a function.
pub(crate) struct Replacement<'a> {
    pub(crate) ours: *const c_void,
    /// Takes the function, before ours is called for the first time.
    pub(crate) original: &'a AtomicPtr<c_void>,
}

/// Changes the tables of libraries.
#[derive(Clone, Copy)]
pub(crate) struct Writer {
    protect: Protect,
}

impl Writer {
    /// With what ntdll has for it, which keeps Wine's own notes of each page's protection right.
    pub(crate) fn new(ntdll: Module) -> Option<Self> {
        let protect = ntdll.export(b"NtProtectVirtualMemory")?;
        // SAFETY: the documented type of this function.
        Some(Self { protect: unsafe { transmute::<*const c_void, Protect>(protect) } })
    }

    /// Has `module` call a function of ours where it calls `function` of `library`.
    ///
    /// # Safety
    /// Ours has the function's type. No other thread runs in the module yet.
    pub(crate) unsafe fn replace_import(
        self,
        module: Module,
        library: &[u8],
        function: &[u8],
        replacement: Replacement<'_>,
    ) {
        // SAFETY: nothing writes there meanwhile.
        let Some(place) = (unsafe { module.image() }).import(library, function) else { return };
        let place = module.base.wrapping_add(place).cast_mut().cast::<*const c_void>();
        // SAFETY: an address in the module's table.
        let original = unsafe { place.read_unaligned() };
        if !original.is_null() {
            replacement.original.store(original.cast_mut(), Ordering::Relaxed);
            // SAFETY: as above; the caller's promise.
            unsafe { self.write(place, replacement.ours) };
        }
    }

    /// Has `module` export what it exports under `name` under one that ends in `last` instead.
    ///
    /// # Safety
    /// The order of the names stays right. No other thread looks for names meanwhile.
    pub(crate) unsafe fn rename_export(self, module: Module, name: &[u8], last: u8) {
        // SAFETY: nothing writes there meanwhile.
        let Some(export) = (unsafe { module.image() }).export(name) else { return };
        let end = export.name.wrapping_add(name.len()).wrapping_sub(1);
        // SAFETY: the last character of the name, in the module's table.
        unsafe { self.write(module.base.wrapping_add(end).cast_mut(), last) };
    }

    /// Writes where writing is not allowed.
    ///
    /// # Safety
    /// `place` is in a module, and nothing else reads it meanwhile.
    unsafe fn write<T>(self, place: *mut T, value: T) {
        const THIS_PROCESS: isize = -1;
        let (mut page, mut size, mut before) = (place.cast::<c_void>(), size_of::<T>(), 0);
        // SAFETY: the pages of tables hold nothing that is executed.
        let status = unsafe {
            (self.protect)(
                THIS_PROCESS,
                &raw mut page,
                &raw mut size,
                PAGE_READWRITE,
                &raw mut before,
            )
        };
        if status < 0 {
            return;
        }
        // SAFETY: it can be written now.
        unsafe { place.write_unaligned(value) };
        // SAFETY: as it was before.
        unsafe {
            (self.protect)(THIS_PROCESS, &raw mut page, &raw mut size, before, &raw mut before)
        };
    }
}

/// # Safety
/// `base + offset` is valid for reading a `T`, and every bit pattern is one.
unsafe fn at<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: the caller's promise.
    unsafe { base.wrapping_add(offset).cast::<T>().read_unaligned() }
}
