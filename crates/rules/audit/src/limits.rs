//! How much of one user is written down: what is kept of all others must not be pushed out by it.

use crate::bucket::{Bucket, Measure};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What one user may have written: 256 KiB at once, of which one MiB comes back in a day.
const OF_ONE: Measure = Measure { at_once: 256 << 10, each_second: 12 };

/// The same for all users together: who has many uids, such as by subordinate ids, is many users. A
/// day's worth is no more than a sixth of what is kept.
const OF_ALL: Measure = Measure { at_once: 4 << 20, each_second: 128 };

/// How many users are told apart; those that come then share what is for all others.
const MOST: usize = 1024;

/// Who is not told apart any more.
const OTHERS: u32 = u32::MAX;

/// How much each user may still have written.
#[derive(Debug)]
pub struct Limits(Mutex<State>);

#[derive(Debug)]
struct State {
    users: HashMap<u32, Share>,
    all: Bucket,
}

/// What one user may still have written, and how many texts were left out.
#[derive(Debug)]
struct Share {
    bucket: Bucket,
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
        let all = Bucket::full(OF_ALL, Instant::now());
        Self(Mutex::new(State { users: HashMap::new(), all }))
    }
}

impl Limits {
    /// Takes `bytes` of what a user may have written; `None` where the text is to be left out.
    pub fn take(&self, uid: u32, bytes: u64) -> Option<Taken> {
        self.take_at(uid, bytes, Instant::now())
    }

    fn take_at(&self, uid: u32, bytes: u64, now: Instant) -> Option<Taken> {
        // No text is that long.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { users, all } = &mut *state;
        if users.len() >= MOST && !users.contains_key(&uid) {
            users.retain(|_, share| share.left_out > 0 || !share.bucket.is_full(OF_ONE, now));
        }
        let is_known = users.contains_key(&uid) || users.len() < MOST;
        let key = if is_known { uid } else { OTHERS };
        let fresh = || Share { bucket: Bucket::full(OF_ONE, now), left_out: 0 };
        let share = users.entry(key).or_insert_with(fresh);
        let left = share.bucket.fill(OF_ONE, now).min(all.fill(OF_ALL, now));
        if left < f64::from(bytes) {
            share.left_out = share.left_out.saturating_add(1);
            return None;
        }
        share.bucket.take(bytes);
        all.take(bytes);
        Some(Taken { left_out: std::mem::take(&mut share.left_out) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_user_has_a_share_and_what_was_left_out_is_counted() {
        let (limits, start) = (Limits::default(), Instant::now());
        let take = |uid, second| limits.take_at(uid, 1024, start + Duration::from_secs(second));
        let written = (0..10_000).filter(|_| take(7, 0).is_some()).count();
        assert_eq!(written as u64, u64::from(OF_ONE.at_once) / 1024);
        assert_eq!(take(8, 0), Some(Taken { left_out: 0 }));
        assert_eq!(take(7, 1), None);
        let left_out = 10_001 - u64::from(OF_ONE.at_once) / 1024;
        assert_eq!(take(7, 100), Some(Taken { left_out }));
        assert_eq!(take(7, 300), Some(Taken { left_out: 0 }));
    }

    #[test]
    fn many_uids_of_one_user_have_no_more_than_everybodys_share() {
        let (limits, start) = (Limits::default(), Instant::now());
        let written =
            (0..100_000).filter(|uid| limits.take_at(*uid, 1024, start).is_some()).count();
        assert!(written as u64 <= u64::from(OF_ALL.at_once) / 1024, "{written}");
        assert!(limits.0.lock().unwrap().users.len() <= MOST + 1);
        // A day later there is room again, for those who came first too.
        let later = start + Duration::from_secs(86_400);
        assert!(limits.take_at(3, 1024, later).is_some());
    }
}
