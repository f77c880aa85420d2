//! Subordinate user ids: one user may have thousands, and must not count as thousands of users.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use winterop_accounts::subordinates::{Range, ranges};
use winterop_accounts::{Accounts, LARGEST, number};
use winterop_places::inside::Directory;

/// Where ranges of ids are given to users.
const FILE: &str = "etc/subuid";

/// How long what was read is taken to be so.
const FRESH: Duration = Duration::from_secs(1);

/// Whose the ids are that are nobody's account.
#[derive(Debug, Default)]
pub(crate) struct Subordinates(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    looked: Option<Instant>,
    /// What the files were when they were read.
    stamps: Vec<Option<Stamp>>,
    ranges: Ranges,
}

/// Tells one state of a file from another: inode, size, time of change.
type Stamp = (u64, u64, i64, i64);

impl Subordinates {
    /// The user to whom `uid` was given as one of many; none for an id that is a user's own.
    #[must_use]
    pub(crate) fn owner_of(&self, uid: u32) -> Option<u32> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.is_none_or(|when| when.elapsed() >= FRESH) {
            state.look();
        }
        state.ranges.owner_of(uid)
    }
}

impl State {
    fn look(&mut self) {
        self.looked = Some(Instant::now());
        let stamps = ["/etc/subuid", "/etc/passwd"].map(stamp).to_vec();
        if stamps == self.stamps {
            return;
        }
        // What cannot be read now, as without descriptors, is read the next time.
        let text = Directory::root().and_then(|root| root.begin(FILE, LARGEST));
        if let Ok(text) = text {
            self.ranges = Ranges::parse(&text.unwrap_or_default(), &Accounts::read());
            self.stamps = stamps;
        }
    }
}

fn stamp(file: &str) -> Option<Stamp> {
    let status = std::fs::metadata(file).ok()?;
    Some((status.ino(), status.size(), status.mtime(), status.mtime_nsec()))
}

/// What `/etc/subuid` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ranges {
    /// First id, number of ids, whose.
    ranges: Vec<(u32, u32, u32)>,
    /// Ids of accounts: they are their own, whatever ranges they are in.
    accounts: HashSet<u32>,
}

impl Ranges {
    fn parse(text: &[u8], accounts: &Accounts) -> Self {
        let whose = |range: Range<'_>| {
            let named = accounts.by_name(range.owner).map(|account| account.user);
            let owner = named.or_else(|| number(range.owner));
            // A user whom only name services know has all of the range as one.
            (range.first, range.count, owner.unwrap_or(range.first))
        };
        let ranges = ranges(text).map(whose).collect();
        Self { ranges, accounts: accounts.ids().into_iter().collect() }
    }

    fn owner_of(&self, uid: u32) -> Option<u32> {
        if self.accounts.contains(&uid) {
            return None;
        }
        let has = |(first, count, _): &&(u32, u32, u32)| {
            uid.checked_sub(*first).is_some_and(|distance| distance < *count)
        };
        let mut of_id = self.ranges.iter().filter(has);
        let (first, _, owner) = of_id.next()?;
        // What several have been given, or root to containers, is nobody's whom it should count to.
        let is_one_users = *owner != 0 && of_id.all(|(_, _, other)| other == owner);
        Some(if is_one_users { *owner } else { *first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_with_many_ids_counts_as_one() {
        let passwd = b"me:x:1000:1000::/home/me:\nodd:x:100005:5::/:\n";
        let accounts = Accounts::parse(passwd, b"");
        let text = b"root:500000:10\nyou:300000:10\nme:300005:10\n# ids\nme:100000:65536\n1001:165536:10\nlonely:200000:5\nme:x:1\n:::\nme:4294967290:99\n";
        let ranges = Ranges::parse(text, &accounts);
        for (uid, owner) in [
            (99_999, None),
            (100_000, Some(1000)),
            (165_535, Some(1000)),
            (165_536, Some(1001)),
            (165_546, None),
            (200_000, Some(200_000)),
            (200_004, Some(200_000)),
            (u32::MAX, Some(1000)),
            // What two have been given, or root, counts to none of them.
            (300_000, Some(300_000)),
            (300_005, Some(300_000)),
            (300_012, Some(1000)),
            (500_001, Some(500_000)),
            // Whoever has an account is a user all the same.
            (1000, None),
            (100_005, None),
        ] {
            assert_eq!(ranges.owner_of(uid), owner, "{uid}");
        }
    }
}
