//! The uid that stands for everybody who has none here.

use core::sync::atomic::{AtomicU32, Ordering};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Where the kernel says which uid it shows for one that has no mapping.
const OVERFLOW_UID: &str = "/proc/sys/kernel/overflowuid";

/// What it is unless root has changed it.
const USUAL: u32 = 65534;

/// No uid: -1 is nobody's.
const UNKNOWN: u32 = u32::MAX;

static KNOWN: AtomicU32 = AtomicU32::new(UNKNOWN);

/// The uid that the kernel shows for one that has no mapping in this user namespace. It is read once.
///
/// Whoever has it may be anybody: two processes that both show it have nothing in common, and so it
/// is never a reason to take a peer for one's own user.
#[must_use]
pub fn unmapped_user() -> u32 {
    let known = KNOWN.load(Ordering::Relaxed);
    if known != UNKNOWN {
        return known;
    }
    let read = read().unwrap_or(USUAL);
    KNOWN.store(read, Ordering::Relaxed);
    read
}

/// Whether `uid`, at the other end of a socket or of a file, is `own`: the same, and not the one that
/// stands for everybody who has none here.
#[must_use]
pub fn is_own_user(uid: u32, own: u32) -> bool {
    uid == own && uid != unmapped_user()
}

fn read() -> Option<u32> {
    let file = rustix::fs::open(OVERFLOW_UID, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let file = file.ok()?;
    let mut text = [0; 16];
    let count = loop {
        match rustix::io::read(&file, &mut text) {
            Err(Errno::INTR) => {}
            count => break count.ok()?,
        }
    };
    core::str::from_utf8(text.get(..count)?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_uid_here_is_nobodys_own_user() {
        let unmapped = unmapped_user();
        assert_eq!(Some(unmapped), read());
        assert!(!is_own_user(unmapped, unmapped));
        assert!(is_own_user(7, 7) && !is_own_user(7, 8) && !is_own_user(unmapped, 7));
    }
}
