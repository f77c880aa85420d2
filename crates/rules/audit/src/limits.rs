//! How much of one user is written down: what is kept of all others must not be pushed out by it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What one user may have written at once: 256 KiB.
const AT_ONCE: u64 = 256 << 10;

/// What comes back of it each second: one MiB in a day.
const EACH_SECOND: u64 = 12;

/// The same for all users together: who has many uids, such as by subordinate ids, is many users. A
/// day's worth is no more than a sixth of what is kept.
const ALL_AT_ONCE: u64 = 4 << 20;
const ALL_EACH_SECOND: u64 = 128;

/// How many users are told apart; those that come then share what is for all others.
const MOST: usize = 1024;

/// Who is not told apart any more.
const OTHERS: u32 = u32::MAX;

/// How much each user may still have written.
#[derive(Debug)]
pub struct Limits(Mutex<State>);

#[derive(Debug)]
struct State {
    users: HashMap<u32, Bucket>,
    all: Bucket,
}

/// What may be written, and how many texts were left out.
#[derive(Debug)]
struct Bucket {
    left: u64,
    filled: Instant,
    left_out: u64,
}

/// A text that may be written, and what is to be said before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many of this user's texts were left out since the last one that was written.
    pub left_out: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let all = Bucket { left: ALL_AT_ONCE, filled: Instant::now(), left_out: 0 };
        Self(Mutex::new(State { users: HashMap::new(), all }))
    }
}

impl Limits {
    /// Takes `bytes` of what a user may have written; `None` where the text is to be left out.
    pub fn take(&self, uid: u32, bytes: u64) -> Option<Taken> {
        self.take_at(uid, bytes, Instant::now())
    }

    fn take_at(&self, uid: u32, bytes: u64, now: Instant) -> Option<Taken> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { users, all } = &mut *state;
        if users.len() >= MOST && !users.contains_key(&uid) {
            // Whoever has everything back may as well come anew.
            users.retain(|_, bucket| !bucket.is_full(now));
        }
        let is_known = users.contains_key(&uid) || users.len() < MOST;
        let key = if is_known { uid } else { OTHERS };
        let fresh = || Bucket { left: AT_ONCE, filled: now, left_out: 0 };
        let bucket = users.entry(key).or_insert_with(fresh);
        bucket.fill(now, EACH_SECOND, AT_ONCE);
        all.fill(now, ALL_EACH_SECOND, ALL_AT_ONCE);
        if bucket.left < bytes || all.left < bytes {
            bucket.left_out = bucket.left_out.saturating_add(1);
            return None;
        }
        bucket.left -= bytes;
        all.left -= bytes;
        Some(Taken { left_out: std::mem::take(&mut bucket.left_out) })
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant, each_second: u64, most: u64) {
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        if seconds > 0 {
            self.left = most.min(self.left.saturating_add(seconds.saturating_mul(each_second)));
            self.filled += Duration::from_secs(seconds);
        }
    }

    fn is_full(&self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        self.left_out == 0
            && self.left.saturating_add(seconds.saturating_mul(EACH_SECOND)) >= AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_has_a_share_and_what_was_left_out_is_counted() {
        let (limits, start) = (Limits::default(), Instant::now());
        let take = |uid, second| limits.take_at(uid, 1024, start + Duration::from_secs(second));
        let written = (0..10_000).filter(|_| take(7, 0).is_some()).count();
        assert_eq!(written as u64, AT_ONCE / 1024);
        assert_eq!(take(8, 0), Some(Taken { left_out: 0 }));
        assert_eq!(take(7, 1), None);
        let left_out = 10_001 - AT_ONCE / 1024;
        assert_eq!(take(7, 100), Some(Taken { left_out }));
        assert_eq!(take(7, 300), Some(Taken { left_out: 0 }));
    }

    #[test]
    fn many_uids_of_one_user_have_no_more_than_everybodys_share() {
        let (limits, start) = (Limits::default(), Instant::now());
        let written =
            (0..100_000).filter(|uid| limits.take_at(*uid, 1024, start).is_some()).count();
        assert!(written as u64 <= ALL_AT_ONCE / 1024, "{written}");
        assert!(limits.0.lock().unwrap().users.len() <= MOST + 1);
        // A day later there is room again, for those who came first too.
        let later = start + Duration::from_secs(86_400);
        assert!(limits.take_at(3, 1024, later).is_some());
    }
}
