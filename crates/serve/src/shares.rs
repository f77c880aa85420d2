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
/// whatever others do.
#[derive(Debug)]
pub struct Shares {
    each: usize,
    all: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<u32, Vec<Arc<Notify>>>,
    total: usize,
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
    /// [`Crowded`] where the user's share is used up, or nobody holds more than the user.
    pub fn enter(self: &Arc<Self>, user: u32) -> Result<Place, Crowded> {
        self.enter_or(user, State::turn_away_somebody)
    }

    /// Takes a place for `user`, and from nobody.
    ///
    /// # Errors
    /// [`Crowded`] where the user's share is used up, or all places are taken.
    pub fn enter_quietly(self: &Arc<Self>, user: u32) -> Result<Place, Crowded> {
        self.enter_or(user, |_, _| false)
    }

    fn enter_or(
        self: &Arc<Self>,
        user: u32,
        make_room: impl FnOnce(&mut State, usize) -> bool,
    ) -> Result<Place, Crowded> {
        let mut state = self.lock();
        let own = state.held.get(&user).map_or(0, Vec::len);
        if own >= self.each || (state.total >= self.all && !make_room(&mut state, own)) {
            return Err(Crowded { user, most: self.each });
        }
        let told = Arc::new(Notify::new());
        state.held.entry(user).or_default().push(Arc::clone(&told));
        state.total += 1;
        Ok(Place { shares: Arc::clone(self), user, told })
    }

    fn leave(&self, user: u32, told: &Arc<Notify>) {
        let mut state = self.lock();
        let Some(held) = state.held.get_mut(&user) else { return };
        // One that was taken away has been counted out already.
        let Some(at) = held.iter().position(|it| Arc::ptr_eq(it, told)) else { return };
        held.swap_remove(at);
        if held.is_empty() {
            state.held.remove(&user);
        }
        state.total -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a place from whoever holds most, if that is more than `own`.
    fn turn_away_somebody(&mut self, own: usize) -> bool {
        let Some((user, count)) = self
            .held
            .iter()
            .map(|(user, held)| (*user, held.len()))
            .max_by_key(|(_, count)| *count)
        else {
            return false;
        };
        if count <= own.max(1) {
            return false;
        }
        let Some(held) = self.held.get_mut(&user) else { return false };
        held.remove(0).notify_one();
        self.total -= 1;
        true
    }
}

/// One place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    shares: Arc<Shares>,
    user: u32,
    told: Arc<Notify>,
}

impl Place {
    /// Is done when the place was taken away for somebody who holds fewer.
    pub async fn taken_away(&self) {
        self.told.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shares.leave(self.user, &self.told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(shares: &Arc<Shares>, user: u32, count: usize) -> Vec<Place> {
        (0..count).map(|_| shares.enter(user).unwrap()).collect()
    }

    #[test]
    fn a_user_has_a_share_and_no_more() {
        let shares = Shares::new(3, 100);
        let places = many(&shares, 7, 3);
        assert_eq!(shares.enter(7).unwrap_err(), Crowded { user: 7, most: 3 });
        drop(shares.enter(8).unwrap());
        drop(places);
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

    #[test]
    fn among_equals_nobody_is_turned_away() {
        let shares = Shares::new(8, 3);
        let places: Vec<_> = (0..3).map(|user| shares.enter(user).unwrap()).collect();
        assert!(shares.enter(3).is_err());
        drop(places);
    }
}
