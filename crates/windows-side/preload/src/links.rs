//! Has Wine's server remove and rename links, and not what they lead to.
//!
//! The server opens a file by its name, which follows links, and keeps what `realpath` says of that name.
//! When the last handle is closed it removes the file of the kept name; it renames that one too. Programs
//! that remove a link, as Windows lets them, would so lose what it leads to.
//!
//! Here `realpath` still gives the resolved name, by which programs learn where a file really is. Where
//! the last part of the name was a link, the name lies in memory of our own (a slot), with the link's
//! own name behind it. What is to be done with such a name is done with the link, as long as that leads
//! to the same file; else it fails.
//!
//! A directory must be empty to be removed, and a link to one always is: [`dup`] and [`readdir`] are what
//! the server looks for that with, one after the other.
//!
//! Programs that remove trees by handles alone, as Rust's `remove_dir_all` does, open a link itself to list
//! it, and what they find below a handle of it to remove it: the server would open what the link leads to.
//! Both wishes are refused ([`Wish`]).
//!
//! The server has one thread.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::mem::{MaybeUninit, transmute};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::{link_names, system};

/// The longest name, its NUL included.
const LONGEST: usize = libc::PATH_MAX as usize;

/// How many files may be open through links at once so that programs learn their resolved names too.
/// Links are removed and renamed all the same.
const SLOTS: usize = 8192;

/// How many descriptors are told apart; those above are not through a link.
const DESCRIPTORS: usize = 1 << 20;

/// The size of a slot: a resolved name and, as far behind its begin as the longest one, the link's own.
/// Each ends with NUL.
const SLOT: usize = 2 * LONGEST;

/// The slots, if this process is the server.
static ALL: AtomicPtr<u8> = AtomicPtr::new(null_mut());
/// A bit for each slot in use.
static USED: [AtomicU64; SLOTS / 64] = [const { AtomicU64::new(0) }; SLOTS / 64];
/// A bit for each descriptor that was opened through a link.
static THROUGH_LINK: [AtomicU64; DESCRIPTORS / 64] =
    [const { AtomicU64::new(0) }; DESCRIPTORS / 64];
/// The descriptor that is about to be looked through for whether a directory is empty, -1 for none.
static LOOKED_THROUGH: AtomicI32 = AtomicI32::new(-1);
/// Whether this process is in a directory that was opened through a link.
static IN_LINK: AtomicBool = AtomicBool::new(false);
/// A link was renamed just now: the server may be about to change its target's mode, by the new name.
static RENAMED: AtomicBool = AtomicBool::new(false);

/// What the server was asked for last, and by whom: the access and the options of opening a file, if it is
/// such a request.
static ASKED_BY: AtomicI32 = AtomicI32::new(-1);
static ACCESS: AtomicU32 = AtomicU32::new(0);
static OPTIONS: AtomicU32 = AtomicU32::new(0);
/// Whether the rest of that request has not been read yet.
static HAS_MORE: AtomicBool = AtomicBool::new(false);

type Realpath = unsafe extern "C" fn(*const c_char, *mut c_char) -> *mut c_char;
type Readdir = unsafe extern "C" fn(*mut libc::DIR) -> *mut libc::dirent;

unsafe extern "C" {
    /// libc's own `free`, under a name that nobody stands in front of.
    fn __libc_free(memory: *mut c_void);
}

/// This process is the server.
pub(crate) fn prepare() {
    let (protection, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let size = SLOT.wrapping_mul(SLOTS);
    let kind = kind | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice; what is not used costs nothing.
    let memory = unsafe { libc::mmap(null_mut(), size, protection, kind, -1, 0) };
    if memory != libc::MAP_FAILED {
        ALL.store(memory.cast(), Ordering::Relaxed);
    }
}

fn is_server() -> bool {
    !ALL.load(Ordering::Relaxed).is_null()
}

/// A bit of a table, if it has so many.
fn bit(table: &[AtomicU64], number: usize) -> Option<(&AtomicU64, u64)> {
    Some((table.get(number >> 6)?, 1_u64.wrapping_shl((number & 63) as u32)))
}

/// The number of the slot that begins at this address.
fn slot_number(address: *const c_char) -> Option<usize> {
    let all = ALL.load(Ordering::Relaxed) as usize;
    let offset = (address as usize).checked_sub(all).filter(|_| all != 0)?;
    let number = offset.checked_div(SLOT)?;
    (number < SLOTS && offset.is_multiple_of(SLOT)).then_some(number)
}

/// Where a slot begins.
fn slot(number: usize) -> *mut u8 {
    ALL.load(Ordering::Relaxed).wrapping_add(number.wrapping_mul(SLOT))
}

/// Takes a slot that is free.
fn take_slot() -> Option<*mut u8> {
    let (index, word) =
        USED.iter().enumerate().find(|(_, word)| word.load(Ordering::Relaxed) != u64::MAX)?;
    let free = word.load(Ordering::Relaxed).trailing_ones();
    word.fetch_or(1_u64.wrapping_shl(free), Ordering::Relaxed);
    Some(slot(index.wrapping_mul(64).wrapping_add(free as usize)))
}

/// The link's own name, if this is a resolved name in a slot.
fn link_of(path: *const c_char) -> Option<&'static CStr> {
    let link = slot(slot_number(path)?).wrapping_add(LONGEST);
    // SAFETY: whoever took the slot has put a text there that ends with NUL; the server has one thread.
    Some(unsafe { CStr::from_ptr(link.cast()) })
}

/// libc's `free`.
///
/// # Safety
/// As for libc's, or with the address of a slot.
pub(crate) unsafe fn free(memory: *mut c_void) {
    if let Some((word, bit)) =
        slot_number(memory.cast_const().cast()).and_then(|number| bit(&USED, number))
    {
        word.fetch_and(!bit, Ordering::Relaxed);
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { __libc_free(memory) };
}

/// libc's `realpath`.
///
/// # Safety
/// As for libc's.
pub(crate) unsafe fn realpath(path: *const c_char, room: *mut c_char) -> *mut c_char {
    static NEXT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
    RENAMED.store(false, Ordering::Relaxed);
    let next = next(&NEXT, c"realpath");
    if next.is_null() {
        system::finish(-c_long::from(libc::ENOSYS));
        return null_mut();
    }
    // SAFETY: libc's `realpath` has this type.
    let next = unsafe { transmute::<*mut c_void, Realpath>(next) };
    // SAFETY: the caller's promise.
    let resolved = unsafe { next(path, room) };
    if !is_server() || !room.is_null() || path.is_null() {
        return resolved;
    }
    // SAFETY: the caller's promise, and it is there.
    let text = unsafe { CStr::from_ptr(path) };
    if !is_link(text) {
        return resolved;
    }
    let slot = if resolved.is_null() { None } else { take_slot() };
    // Without a slot, or where a link that was moved leads nowhere now, its own name is its only one.
    let own = slot.map_or_else(
        // SAFETY: asks for memory, at least for the NUL.
        || unsafe { libc::calloc(text.count_bytes().wrapping_add(1), 1) }.cast::<u8>(),
        |slot| slot.wrapping_add(LONGEST),
    );
    if let Some(slot) = slot {
        // SAFETY: `realpath` has made it.
        let resolved = unsafe { CStr::from_ptr(resolved) };
        // SAFETY: the first half of a slot.
        unsafe { copy(resolved, slot) };
    }
    if !own.is_null() {
        // SAFETY: the second half of a slot, or as much memory as it needs.
        unsafe { copy(text, own) };
    }
    // SAFETY: `realpath` has made it, and nobody else has it.
    unsafe { __libc_free(resolved.cast()) };
    slot.unwrap_or(own).cast()
}

/// # Safety
/// `room` has room for the text, or for the longest name.
unsafe fn copy(text: &CStr, room: *mut u8) {
    let bytes = text.to_bytes_with_nul();
    let length = bytes.len().min(LONGEST);
    // SAFETY: the caller's promise; the kernel and `realpath` know no longer names.
    unsafe { room.copy_from_nonoverlapping(bytes.as_ptr(), length) };
}

/// Whether the last part of a name is a link that is somebody's own.
fn is_link(path: &CStr) -> bool {
    link_names::may_be_own(path.to_bytes()) && kind(path, false).is_some_and(|file| file.is_link())
}

/// What a file is, as far as it matters here.
#[derive(Clone, Copy)]
struct File {
    device: u64,
    inode: u64,
    mode: u32,
}

impl File {
    fn is_link(self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFLNK
    }

    fn is_same(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

fn kind(path: &CStr, follows: bool) -> Option<File> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    let flags = if follows { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    // SAFETY: a text, and room for the answer.
    let known =
        unsafe { libc::fstatat(libc::AT_FDCWD, path.as_ptr(), stat.as_mut_ptr(), flags) } == 0;
    // SAFETY: it was filled in.
    let stat = known.then(|| unsafe { stat.assume_init() })?;
    Some(File { device: stat.st_dev, inode: stat.st_ino, mode: stat.st_mode })
}

/// The link that is meant by a resolved name, if it still leads there; an error if not.
fn still_leads(resolved: *const c_char, link: &'static CStr) -> Result<&'static CStr, c_long> {
    // SAFETY: the text of a slot.
    let resolved = unsafe { CStr::from_ptr(resolved) };
    let target = kind(resolved, true);
    let leads = kind(link, true);
    let is_one = kind(link, false).is_some_and(File::is_link);
    let same = target.zip(leads).is_some_and(|(target, leads)| target.is_same(leads));
    if is_one && same { Ok(link) } else { Err(-c_long::from(libc::ENOENT)) }
}

/// libc's `unlink` and `rmdir`, by the number of the system call; the result is the kernel's.
///
/// # Safety
/// As for libc's.
pub(crate) unsafe fn remove(number: c_long, path: *const c_char) -> c_long {
    let Some(link) = link_of(path) else {
        // SAFETY: the caller's promise.
        return unsafe { system::call(number, [path as c_long, 0, 0, 0, 0, 0]) };
    };
    match still_leads(path, link) {
        // SAFETY: a text.
        Ok(link) => unsafe {
            system::call(libc::SYS_unlink, [link.as_ptr() as c_long, 0, 0, 0, 0, 0])
        },
        Err(error) => error,
    }
}

/// libc's `rename`; the result is the kernel's.
///
/// # Safety
/// As for libc's.
pub(crate) unsafe fn rename(from: *const c_char, to: *const c_char) -> c_long {
    let call = |from: *const c_char| {
        // SAFETY: the caller's promise.
        unsafe { system::call(libc::SYS_rename, [from as c_long, to as c_long, 0, 0, 0, 0]) }
    };
    let Some(link) = link_of(from) else { return call(from) };
    let result = still_leads(from, link).map_or_else(|error| error, |link| call(link.as_ptr()));
    RENAMED.store(result == 0, Ordering::Relaxed);
    result
}

/// libc's `fchmod`; the result is the kernel's.
///
/// A renamed file is executable if its new name says so. What a link leads to has kept its name.
pub(crate) fn change_mode(fd: c_int, mode: libc::mode_t) -> c_long {
    if RENAMED.load(Ordering::Relaxed) {
        return 0;
    }
    // SAFETY: takes numbers.
    unsafe { system::call(libc::SYS_fchmod, [fd.into(), mode.into(), 0, 0, 0, 0]) }
}

/// How a file is to be opened.
#[derive(Clone, Copy)]
struct Wish {
    access: u32,
    options: u32,
}

impl Wish {
    /// What was asked for last.
    fn last() -> Self {
        Self { access: ACCESS.load(Ordering::Relaxed), options: OPTIONS.load(Ordering::Relaxed) }
    }

    /// Whether it is by its own name, whatever it leads to. `CreateFile` of Wine 8 never wants that.
    fn is_itself(self) -> bool {
        const OPEN_REPARSE_POINT: u32 = 0x20_0000;
        self.options & OPEN_REPARSE_POINT != 0
    }

    fn lists(self) -> bool {
        self.access & 1 != 0
    }

    /// Whether something is to be removed, or listed to be removed next.
    fn empties(self) -> bool {
        const DELETE: u32 = 0x1_0000;
        self.lists() || self.access & DELETE != 0
    }
}

/// Notes what the server has read as a request: the numbers of its kind, of the bytes that follow and of
/// those wanted back, and then, if it is one to open a file, access, sharing, creation and options.
pub(crate) fn note_request(fd: c_int, request: &[u32; 16]) {
    if !is_server() || is_rest(fd) {
        return;
    }
    let &[_, size, _, access, _, _, options, ..] = request;
    ACCESS.store(access, Ordering::Relaxed);
    OPTIONS.store(options, Ordering::Relaxed);
    ASKED_BY.store(fd, Ordering::Relaxed);
    HAS_MORE.store(size != 0, Ordering::Relaxed);
}

/// Notes that the server has read something: it may be the rest of the last request. Says whether it is.
pub(crate) fn is_rest(fd: c_int) -> bool {
    ASKED_BY.load(Ordering::Relaxed) == fd && HAS_MORE.swap(false, Ordering::Relaxed)
}

/// libc's `open`; the result is the kernel's.
///
/// # Safety
/// As for libc's.
pub(crate) unsafe fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_long {
    let arguments = [libc::AT_FDCWD.into(), path as c_long, flags.into(), mode.into(), 0, 0];
    // SAFETY: the caller's promise.
    let call = || unsafe { system::call(libc::SYS_openat, arguments) };
    if !is_server() || path.is_null() {
        return call();
    }
    // SAFETY: the caller's promise.
    let path = unsafe { CStr::from_ptr(path) };
    let is_link = is_link(path);
    let wish = Wish::last();
    let is_below_link = IN_LINK.load(Ordering::Relaxed) && !path.to_bytes().starts_with(b"/");
    let is_refused = if is_below_link { wish.empties() } else { is_link && wish.lists() };
    if wish.is_itself() && is_refused {
        return -c_long::from(libc::EACCES);
    }
    let result = call();
    if let Ok(fd) = usize::try_from(result) {
        note(fd, is_link);
    }
    result
}

/// libc's `fchdir`; the result is the kernel's. The server goes where a name is to be looked up.
pub(crate) fn change_directory(fd: c_int) -> c_long {
    IN_LINK.store(is_through_link(fd), Ordering::Relaxed);
    // SAFETY: takes a number.
    unsafe { system::call(libc::SYS_fchdir, [fd.into(), 0, 0, 0, 0, 0]) }
}

fn is_through_link(fd: c_int) -> bool {
    let place = usize::try_from(fd).ok().and_then(|fd| bit(&THROUGH_LINK, fd));
    place.is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
}

fn note(fd: usize, is_through_link: bool) {
    let Some((word, bit)) = bit(&THROUGH_LINK, fd) else { return };
    if is_through_link {
        word.fetch_or(bit, Ordering::Relaxed);
    } else {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

/// libc's `dup`; the result is the kernel's.
pub(crate) fn dup(fd: c_int) -> c_long {
    // SAFETY: takes a number.
    let result = unsafe { system::call(libc::SYS_dup, [fd.into(), 0, 0, 0, 0, 0]) };
    let is_one = is_through_link(fd);
    LOOKED_THROUGH.store(if is_one { result as c_int } else { -1 }, Ordering::Relaxed);
    result
}

/// libc's `readdir`.
///
/// # Safety
/// As for libc's.
pub(crate) unsafe fn readdir(directory: *mut libc::DIR) -> *mut libc::dirent {
    static NEXT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
    let looked_through = LOOKED_THROUGH.load(Ordering::Relaxed);
    // SAFETY: the caller's promise.
    if looked_through >= 0 && is_server() && unsafe { libc::dirfd(directory) } == looked_through {
        LOOKED_THROUGH.store(-1, Ordering::Relaxed);
        return null_mut();
    }
    let next = next(&NEXT, c"readdir");
    if next.is_null() {
        system::finish(-c_long::from(libc::ENOSYS));
        return null_mut();
    }
    // SAFETY: libc's `readdir` has this type.
    let next = unsafe { transmute::<*mut c_void, Readdir>(next) };
    // SAFETY: the caller's promise.
    unsafe { next(directory) }
}

/// libc's own function of a name, looked up once.
fn next(known: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
    let found = known.load(Ordering::Relaxed);
    if !found.is_null() {
        return found;
    }
    // SAFETY: looks a name up; the name is a string.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    known.store(found, Ordering::Relaxed);
    found
}
