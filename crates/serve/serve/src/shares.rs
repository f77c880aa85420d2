//! Shares: how much of what all need one user may hold at a time, and who is turned away when all of
//! it is taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// There is no place for one more of this user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{most} of uid {user}'s are being served already")]
pub struct Crowded {
    /// Whose share is used up.
    pub user: u32,
    /// How many places the user has.
    pub most: usize,
}

/// Places that users share: so many for each of them, and so many in all.
///
/// Where all are taken the user who holds most gives one back. So whoever holds few is served,
/// whatever others do. What was taken away may go on for a while, or hang: until its end it counts as
/// its user's, and no more than half as many as there are places may be on their way out.
#[derive(Debug)]
pub struct Shares {
    each: usize,
    all: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<u32, Vec<Arc<Notify>>>,
    /// How many are held.
    total: usize,
    /// How many were taken away from each user and are not given back yet.
    leaving: HashMap<u32, usize>,
}

impl Shares {
    /// `each` places for a user, `all` for everybody together.
    #[must_use]
    pub fn new(each: usize, all: usize) -> Arc<Self> {
        Arc::new(Self { each, all, state: Mutex::default() })
    }

    /// Takes a place for `user`.
    ///
    /// Where all places are taken, the longest-held one of whoever holds most is taken away from them.
    ///
    /// # Errors
    /// [`Crowded`] where the user's share is used up, nobody holds more than the user, or too many are on
    /// their way out already.
    pub fn enter(self: &Arc<Self>, user: u32) -> Result<HeldShare, Crowded> {
        let most_leaving = self.all.div_ceil(2);
        self.enter_or(user, |state, own| state.turn_away_somebody(own, most_leaving))
    }

    /// Takes a place for `user`, and from nobody.
    ///
    /// # Errors
    /// [`Crowded`] where the user's share is used up, or all places are taken.
    pub fn enter_quietly(self: &Arc<Self>, user: u32) -> Result<HeldShare, Crowded> {
        self.enter_or(user, |_, _| false)
    }

    fn enter_or(
        self: &Arc<Self>,
        user: u32,
        make_room: impl FnOnce(&mut State, usize) -> bool,
    ) -> Result<HeldShare, Crowded> {
        let mut state = self.lock();
        let own = state.of(user);
        if own >= self.each || (state.total >= self.all && !make_room(&mut state, own)) {
            return Err(Crowded { user, most: self.each });
        }
        let told = Arc::new(Notify::new());
        state.held.entry(user).or_default().push(Arc::clone(&told));
        state.total += 1;
        Ok(HeldShare { shares: Arc::clone(self), user, told })
    }

    /// Whether nobody holds a place.
    #[must_use]
    pub fn are_free(&self) -> bool {
        let state = self.lock();
        state.held.is_empty() && state.leaving.is_empty()
    }

    fn leave(&self, user: u32, told: &Arc<Notify>) {
        let mut state = self.lock();
        if !state.give_back(user, told) {
            state.has_left(user);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What counts as a user's.
    fn of(&self, user: u32) -> usize {
        let held = self.held.get(&user).map_or(0, Vec::len);
        held + self.leaving.get(&user).copied().unwrap_or_default()
    }

    /// Counts a place out; false for one that was taken away before.
    fn give_back(&mut self, user: u32, told: &Arc<Notify>) -> bool {
        let Some(held) = self.held.get_mut(&user) else { return false };
        let Some(at) = held.iter().position(|it| Arc::ptr_eq(it, told)) else { return false };
        // The order is that in which they were taken.
        held.remove(at);
        if held.is_empty() {
            self.held.remove(&user);
        }
        self.total -= 1;
        true
    }

    /// Counts out what was taken away from a user.
    fn has_left(&mut self, user: u32) {
        let Some(leaving) = self.leaving.get_mut(&user) else { return };
        *leaving = leaving.saturating_sub(1);
        if *leaving == 0 {
            self.leaving.remove(&user);
        }
    }

    /// Takes a place from whoever holds most, if that is more than `own`.
    fn turn_away_somebody(&mut self, own: usize, most_leaving: usize) -> bool {
        if self.leaving.values().sum::<usize>() >= most_leaving {
            return false;
        }
        let Some((user, count)) = self
            .held
            .iter()
            .map(|(user, held)| (*user, held.len()))
            .max_by_key(|(_, count)| *count)
        else {
            return false;
        };
        if count <= own {
            return false;
        }
        let Some(longest) = self.held.get(&user).and_then(|held| held.first()).cloned() else {
            return false;
        };
        self.give_back(user, &longest);
        *self.leaving.entry(user).or_default() += 1;
        longest.notify_one();
        true
    }
}

/// One place; it is free again when this is dropped.
#[derive(Debug)]
pub struct HeldShare {
    shares: Arc<Shares>,
    user: u32,
    told: Arc<Notify>,
}

impl HeldShare {
    /// Is done when the place was taken away for somebody who holds fewer.
    pub async fn taken_away(&self) {
        self.told.notified().await;
    }
}

impl Drop for HeldShare {
    fn drop(&mut self) {
        self.shares.leave(self.user, &self.told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(shares: &Arc<Shares>, user: u32, count: usize) -> Vec<HeldShare> {
        (0..count).map(|_| shares.enter(user).unwrap()).collect()
    }

    #[test]
    fn a_user_has_a_share_and_no_more() {
        let shares = Shares::new(3, 100);
        let places = many(&shares, 7, 3);
        assert_eq!(shares.enter(7).unwrap_err(), Crowded { user: 7, most: 3 });
        drop(shares.enter(8).unwrap());
        assert!(!shares.are_free());
        drop(places);
        assert!(shares.are_free());
        drop(many(&shares, 7, 3));
        let state = shares.lock();
        assert!(state.held.is_empty() && state.total == 0);
    }

    #[tokio::test]
    async fn the_largest_holder_is_the_one_who_is_turned_away() {
        let shares = Shares::new(8, 10);
        let greedy = many(&shares, 1, 8);
        let modest = many(&shares, 2, 2);
        // All are taken. Whoever holds most gets no more, and others get what was theirs.
        assert!(shares.enter(1).is_err());
        let third = shares.enter(3).unwrap();
        greedy[0].taken_away().await;
        let fourth = shares.enter(2).unwrap();
        greedy[1].taken_away().await;
        assert!(shares.enter(1).is_err());
        // What was taken away is not counted out twice.
        drop(greedy);
        assert_eq!(shares.lock().total, 4);
        drop((modest, third, fourth));
        assert_eq!(shares.lock().total, 0);
    }

    #[tokio::test]
    async fn whoever_holds_none_is_served_among_equals_too() {
        let shares = Shares::new(8, 3);
        let places: Vec<_> = (0..3).map(|user| shares.enter(user).unwrap()).collect();
        let fourth = shares.enter(3).unwrap();
        let told = taken_of(&places);
        assert_eq!(told, 1, "one of them was taken away");
        // Whoever has one is no better off than others.
        assert!(shares.enter(3).is_err());
        drop((places, fourth));
        assert!(shares.lock().leaving.is_empty());
    }

    /// How many of the places were taken away.
    fn taken_of(places: &[HeldShare]) -> usize {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let taken = |place: &&HeldShare| {
            std::pin::pin!(place.taken_away()).as_mut().poll(&mut context).is_ready()
        };
        places.iter().filter(taken).count()
    }

    #[test]
    fn what_was_taken_away_and_hangs_counts_until_its_end() {
        let shares = Shares::new(4, 6);
        let greedy = many(&shares, 1, 4);
        let modest = many(&shares, 2, 2);
        // Three of six may be on their way out, whoever asks for room.
        let new: Vec<_> = (3..6).map(|user| shares.enter(user).unwrap()).collect();
        assert_eq!(shares.enter(6).unwrap_err(), Crowded { user: 6, most: 4 });
        // What hangs is still the greedy one's.
        drop(new);
        assert!(shares.enter(1).is_err());
        drop(greedy);
        drop(many(&shares, 1, 4));
        drop(modest);
        let state = shares.lock();
        assert!(state.held.is_empty() && state.leaving.is_empty() && state.total == 0);
    }
}
