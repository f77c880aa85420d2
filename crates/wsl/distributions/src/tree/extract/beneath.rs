//! Opening what is below a directory, without being led out of it.

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

pub(super) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The longest name that is looked up at once, in bytes: the kernel takes 4,095.
const AT_ONCE: usize = 2048;

/// How often a look-up is tried again that somebody's renames have disturbed.
const TRIES: usize = 1000;

/// Opens what is below `from` without being led out of it.
fn open_beneath(from: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let name = if name.is_empty() { b"." } else { name };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(from, name, flags, Mode::empty(), resolve) {
            // Something was renamed meanwhile anywhere on the system.
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// The same as [`open_beneath`] for a name of any length, a part after the other; a link in a later part leads out of none
/// before it.
pub(super) fn open_long(
    root: BorrowedFd<'_>,
    mut name: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let mut above = None;
    loop {
        let from = above.as_ref().map_or(root, OwnedFd::as_fd);
        let slash = |part: &[u8]| part.iter().rposition(|byte| *byte == b'/');
        let end = name.get(..AT_ONCE).and_then(slash);
        match end.and_then(|end| name.split_at_checked(end)) {
            Some((part, rest)) => {
                above = Some(open_beneath(from, part, DIRECTORY)?);
                name = rest.strip_prefix(b"/").unwrap_or(rest);
            }
            None => return open_beneath(from, name, flags),
        }
    }
}
