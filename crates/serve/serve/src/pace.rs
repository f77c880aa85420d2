//! How fast one user's connections may come: what each costs is little, but whoever makes one after the
//! other all the time takes a processor from everybody.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use winterop_audit::{Bucket, Measure};

/// How many connections of one user a second is worth on each processor: many times of what it can
/// start in programs.
const EACH_SECOND: u32 = 200;

/// How many may come at once.
const AT_ONCE: u32 = 512;

/// The user's connections come faster than one user's may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("uid {user} connects more than {each_second} times a second")]
pub struct TooFast {
    /// Whose they are.
    pub user: u32,
    /// How many a second may come.
    pub each_second: u32,
}

/// Counts connections by user.
#[derive(Debug)]
pub struct Pace {
    /// Of connections.
    measure: Measure,
    users: Mutex<HashMap<u32, Bucket>>,
}

impl Pace {
    /// Nobody has connected yet; how fast they may is a matter of how many processors there are.
    #[must_use]
    pub fn new() -> Self {
        let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
        let each_second = EACH_SECOND.saturating_mul(count_of(&online).max(1));
        let measure = Measure { at_once: AT_ONCE, each_second };
        Self { measure, users: Mutex::default() }
    }

    /// Counts a connection of `user`'s.
    ///
    /// # Errors
    /// [`TooFast`].
    pub fn count(&self, user: u32) -> Result<(), TooFast> {
        self.count_at(user, Instant::now())
    }

    fn count_at(&self, user: u32, now: Instant) -> Result<(), TooFast> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if !users.contains_key(&user) {
            users.retain(|_, bucket| !bucket.is_full(self.measure, now));
        }
        let bucket = users.entry(user).or_insert_with(|| Bucket::full(self.measure, now));
        if bucket.fill(self.measure, now) < 1.0 {
            return Err(TooFast { user, each_second: self.measure.each_second });
        }
        bucket.take(1);
        Ok(())
    }

    /// How long whoever was too fast is to be kept out.
    #[must_use]
    pub fn pause() -> Duration {
        Duration::from_millis(250)
    }
}

/// How many numbers a list such as `0-3,5` has. Not those that this process may use: others have more.
fn count_of(list: &str) -> u32 {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.trim().split(',').filter_map(range).fold(0, u32::saturating_add)
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_processors_of_the_machine_count() {
        let counts = ["0\n", "0-3", "0-1,4,6-7\n", "", "x", "3-1"].map(count_of);
        assert_eq!(counts, [1, 4, 5, 0, 0, 0]);
    }

    #[test]
    fn one_user_who_connects_all_the_time_is_told_so_and_nobody_else() {
        let pace = Pace {
            measure: Measure { at_once: AT_ONCE, each_second: 100 },
            users: Mutex::default(),
        };
        let start = Instant::now();
        let let_in = |user, milliseconds| {
            let now = start + Duration::from_millis(milliseconds);
            (0..10_000).take_while(|_| pace.count_at(user, now).is_ok()).count()
        };
        let at_once = usize::try_from(AT_ONCE).unwrap();
        assert_eq!(let_in(7, 0), at_once);
        assert_eq!(let_in(7, 1000), 100);
        assert_eq!(let_in(8, 1000), at_once);
        assert_eq!(pace.count_at(7, start).unwrap_err(), TooFast { user: 7, each_second: 100 });
        // After a while it is as if they had never come.
        assert_eq!(let_in(9, 60_000), at_once);
        assert_eq!(pace.users.lock().unwrap().len(), 1);
    }
}
