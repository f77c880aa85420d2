//! Whether what is to be written fits on the disk.

use crate::archive::Piece;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// What a file and each of its pieces takes at least, in bytes, and what may be written until the disk
/// is asked again.
const LEAST: u64 = 4096;
const ASK_AFTER: u64 = 64 << 20;

/// The disk's free space, of which some is left to others.
pub(super) struct Space {
    /// How many bytes may still be used.
    pub(super) free: u64,
    taken: u64,
}

impl Space {
    /// Looks at the disk of `root`.
    pub(super) fn of(root: &OwnedFd) -> Result<Self, Errno> {
        let mut space = Self { free: 0, taken: 0 };
        space.ask(root)?;
        Ok(space)
    }

    /// Takes some for what has `size` bytes on the disk and a name; says whether there is as much.
    pub(super) fn take(&mut self, size: u64, root: &OwnedFd) -> Result<bool, Errno> {
        let takes = size.saturating_add(LEAST);
        let taken = self.taken.saturating_add(takes);
        if taken > ASK_AFTER || taken > self.free {
            self.ask(root)?;
        }
        self.taken = self.taken.saturating_add(takes);
        Ok(self.taken <= self.free)
    }

    fn ask(&mut self, root: &OwnedFd) -> Result<(), Errno> {
        let status = rustix::fs::fstatvfs(root)?;
        let size = status.f_blocks.saturating_mul(status.f_frsize);
        let left_to_others = (size / 100).min(1 << 30);
        let free = match size {
            // A file system that does not say.
            0 => u64::MAX,
            _ => status.f_bavail.saturating_mul(status.f_frsize).saturating_sub(left_to_others),
        };
        *self = Self { free, taken: 0 };
        Ok(())
    }
}

/// What pieces take on a disk of blocks: a byte takes a whole one, which those beside it share.
pub(super) fn on_disk(pieces: &[Piece]) -> u64 {
    let (mut end, mut blocks) = (0, 0_u64);
    for piece in pieces {
        let first = (piece.offset / LEAST).max(end);
        end = piece.offset.saturating_add(piece.length).div_ceil(LEAST).max(first);
        blocks = blocks.saturating_add(end - first);
    }
    blocks.saturating_mul(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_bytes_take_whole_blocks() {
        let piece = |offset, length| Piece { offset, length };
        assert_eq!(on_disk(&[]), 0);
        assert_eq!(on_disk(&[piece(0, 1), piece(2, 1), piece(4095, 2)]), 8192);
        let scattered: Vec<_> = (0..1000).map(|n| piece(n << 20, 1)).collect();
        assert_eq!(on_disk(&scattered), 4096 * 1000);
        assert_eq!(on_disk(&[piece(u64::MAX - 1, 1)]), 4096);
    }
}
