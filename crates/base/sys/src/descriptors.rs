//! Which descriptors the programs that this process starts get: those that are named, and no other.

use alloc::vec::Vec;
use core::mem::MaybeUninit;
use rustix::fd::{AsRawFd as _, OwnedFd, RawFd};
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::{Errno, FdFlags};

/// The first descriptor that is no standard one.
pub(crate) const FIRST: RawFd = 3;

const CLOSE_RANGE_CLOEXEC: usize = 4;

/// Makes every descriptor above the standard ones close-on-exec. It allocates nothing, so that a child
/// of a process with threads may call it.
///
/// # Errors
/// The system's: before Linux 5.11 where `/proc` cannot be read.
pub fn keep_to_self() -> Result<(), Errno> {
    match close_range(FIRST, CLOSE_RANGE_CLOEXEC) {
        Ok(()) => Ok(()),
        // The kernel does not know it, or a filter of system calls does not let it through.
        Err(_) => each(mark),
    }
}

/// Closes every descriptor above the standard ones, for what goes on when whoever started it has
/// ended: it would keep their pipes open and their files locked.
///
/// To be called when a program begins: nothing in it may own a descriptor yet.
///
/// # Errors
/// Those of [`keep_to_self`]; what is left open no program that is started gets.
pub fn close_inherited() -> Result<(), Errno> {
    keep_to_self()?;
    // All of them are kept from others by now, so it is only their owners who could miss an end.
    let _ = close_range(FIRST, 0);
    Ok(())
}

/// Has something stand at each standard descriptor that is closed, which fails like a closed one when it
/// is read or written. So nothing that is opened later gets its number and is taken for somebody's input
/// or output, here or in the program that this process becomes: to Wine's loader and its server, whatever
/// the numbers are open on is the program's.
///
/// It allocates nothing, so that a child of a process with threads may call it.
pub fn occupy_closed_standard() {
    for _ in (0..FIRST).filter(|number| crate::inherited(*number).is_none()) {
        // The lowest free number is taken; where none can be had nothing else can be opened either.
        if let Ok(descriptor) = open_for_nothing() {
            core::mem::forget(descriptor);
        }
    }
}

/// A file that can be asked what it is, and no more.
fn open_for_nothing() -> Result<OwnedFd, Errno> {
    let open = |path: &core::ffi::CStr| rustix::fs::open(path, OFlags::PATH, Mode::empty());
    // A small root may have no devices.
    open(c"/dev/null").or_else(|_| open(c"/"))
}

/// The descriptors above the standard ones that this program was given by whoever started it, for the
/// program that it becomes.
#[derive(Debug, Default)]
pub struct Inherited(Vec<RawFd>);

impl Inherited {
    /// Keeps them from every program that is started meanwhile. To be called when a program begins.
    ///
    /// # Errors
    /// Those of [`keep_to_self`].
    pub fn withhold() -> Result<Self, Errno> {
        let mut given = Vec::new();
        // Without `/proc` nobody knows which there are: then none is given on.
        let _ = each(|number| {
            let is_given = flags(number)?.is_empty();
            given.extend(Some(number).filter(|_| is_given));
            Ok(())
        });
        keep_to_self()?;
        Ok(Self(given))
    }

    /// Lets the next program have them, as if this one had not been in between.
    pub fn give_back(&self) {
        for number in &self.0 {
            if let Some(descriptor) = crate::inherited(*number) {
                let _ = rustix::io::fcntl_setfd(descriptor, FdFlags::empty());
            }
        }
    }
}

fn close_range(first: RawFd, flags: usize) -> Result<(), Errno> {
    let arguments = [first.unsigned_abs() as usize, u32::MAX as usize, flags, 0, 0];
    // SAFETY: it either marks descriptors, or closes those that nobody owns yet, as its caller says.
    crate::checked(unsafe { crate::syscall(crate::number::CLOSE_RANGE, arguments) }).map(drop)
}

fn flags(number: RawFd) -> Result<FdFlags, Errno> {
    rustix::io::fcntl_getfd(crate::inherited(number).ok_or(Errno::BADF)?)
}

fn mark(number: RawFd) -> Result<(), Errno> {
    let descriptor = crate::inherited(number).ok_or(Errno::BADF)?;
    rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)
}

/// Goes through the descriptors above the standard ones, the one for looking left out.
fn each(mut visit: impl FnMut(RawFd) -> Result<(), Errno>) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(c"/proc/self/fd", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(&folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let name = entry?;
        let number = name.file_name().to_str().ok().and_then(|text| text.parse().ok());
        let is_meant = |number: &RawFd| *number >= FIRST && *number != folder.as_raw_fd();
        if let Some(number) = number.filter(is_meant) {
            visit(number)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::open;

    /// A descriptor that every program would get.
    fn passed_on() -> OwnedFd {
        open(c"/dev/null", OFlags::RDONLY, Mode::empty()).unwrap()
    }

    fn is_kept(descriptor: &OwnedFd) -> bool {
        flags(descriptor.as_raw_fd()).unwrap() == FdFlags::CLOEXEC
    }

    // One test, because it changes what belongs to the whole process.
    #[test]
    fn what_was_inherited_is_kept_from_programs_until_it_is_given_back() {
        let descriptors = [passed_on(), passed_on()];
        let own = open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let inherited = Inherited::withhold().unwrap();
        assert!(descriptors.iter().all(is_kept));
        inherited.give_back();
        assert!(!descriptors.iter().any(is_kept));
        // Only what was given to this program is given on.
        assert!(is_kept(&own));
        // As where the kernel does not have the call.
        each(mark).unwrap();
        assert!(descriptors.iter().all(is_kept));
    }
}
