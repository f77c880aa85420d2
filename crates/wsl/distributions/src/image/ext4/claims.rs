//! Which blocks belong to a file that was met already.

use crate::image::error::{ImageError, wrong};
use std::collections::BTreeMap;

/// Ranges of blocks: where each begins, and where it ends.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<u64, u64>);

impl Claims {
    /// Takes some blocks.
    ///
    /// # Errors
    /// Where one of them is taken.
    pub(super) fn take(&mut self, mut begin: u64, count: u64) -> Result<(), ImageError> {
        let Some(mut end) = begin.checked_add(count).filter(|end| *end > begin) else {
            return wrong("a piece of a file has no length; check it with `e2fsck`");
        };
        let before = self.0.range(..=begin).next_back().map(|(begin, end)| (*begin, *end));
        let next = self.0.range(begin..).next().map(|(begin, end)| (*begin, *end));
        if before.is_some_and(|(_, its_end)| its_end > begin)
            || next.is_some_and(|(its_begin, _)| its_begin < end)
        {
            return wrong("one block belongs to two files; check it with `e2fsck`");
        }
        if let Some((its_begin, _)) = before.filter(|(_, its_end)| *its_end == begin) {
            begin = its_begin;
        }
        if let Some((its_begin, its_end)) = next.filter(|(its_begin, _)| *its_begin == end) {
            self.0.remove(&its_begin);
            end = its_end;
        }
        self.0.insert(begin, end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_taken_once() {
        let mut claims = Claims::default();
        for (begin, count) in [(10, 5), (20, 5), (15, 5), (9, 1), (25, 1)] {
            claims.take(begin, count).unwrap();
        }
        assert_eq!(claims.0, BTreeMap::from([(9, 26)]));
        for (begin, count) in
            [(9, 1), (25, 1), (0, 10), (0, 100), (12, 2), (25, 9), (3, 0), (u64::MAX, 2)]
        {
            assert!(claims.take(begin, count).is_err(), "{begin} {count}");
        }
        claims.take(26, 1).unwrap();
        claims.take(0, 9).unwrap();
    }
}
