//! Whoever is turned away without a place: closing their connections is bounded, too.

use crate::closer::Closer;
use crate::door::{Bar, Door, Reason, Who};
use crate::shares::Shares;
use std::io;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// How many connections of one user, and of all, are being closed at the same time.
const MOST_OF_ONE: usize = 64;
const MOST_OF_ALL: usize = 512;

/// Closes connections of users for whom there was no place. What hangs here holds up nobody who has one:
/// that is another closer's.
#[derive(Debug)]
pub struct TurnedAway {
    closer: Closer,
    places: Arc<Shares>,
    door: Door,
}

impl TurnedAway {
    /// Starts the threads. A runtime of tokio's must be there.
    ///
    /// # Errors
    /// Those of [`Closer::new`].
    pub fn new(door: Door) -> io::Result<Self> {
        let places = Shares::new(MOST_OF_ONE, MOST_OF_ALL);
        Ok(Self { closer: Closer::new()?, places, door })
    }

    /// Keeps somebody out for a while, who connects all the time.
    #[must_use]
    pub fn keep_out(&self, who: Who) -> Arc<Bar> {
        self.door.bar(who, Reason::TooFast)
    }

    /// Remembers that somebody was served.
    pub fn has_served(&self, who: Who) {
        self.door.has_served(who);
    }

    /// Closes somebody's connection. Where as many as may be hang already, they are shut out until this
    /// one is closed.
    pub fn close(&self, connection: impl Send + 'static, who: Who) {
        match self.places.enter_quietly(who.user) {
            Ok(place) => self.closer.close((connection, place)),
            Err(_) => self.closer.close((connection, self.door.bar(who, Reason::Hangs))),
        }
    }
}

/// Closes connections for which there was no place, where those who hand them over can be made to wait.
/// Each way by which they come has its own, so whoever fills one fills no other.
#[derive(Debug)]
pub struct Backlog {
    /// Most ways never need one.
    closer: OnceLock<Closer>,
    room: Arc<Semaphore>,
}

impl Backlog {
    /// Room for so many as hang at the same time.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { closer: OnceLock::new(), room: Arc::new(Semaphore::new(room)) }
    }

    /// Closes a connection, as soon as few enough others hang. No deadline: whoever sends more waits,
    /// and has one. A runtime of tokio's must be there.
    pub async fn close(&self, connection: impl Send + 'static) {
        // It is never closed, so this is no error.
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        if self.closer.get().is_none() {
            match Closer::new() {
                Ok(closer) => drop(self.closer.set(closer)),
                Err(error) => tracing::error!(%error, "what may hang is closed here"),
            }
        }
        if let Some(closer) = self.closer.get() {
            closer.close((connection, room));
        }
    }
}

impl Default for Backlog {
    fn default() -> Self {
        Self::new(MOST_OF_ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Hangs when it is closed, as long as its other side lives; then tells.
    struct Hangs(mpsc::Receiver<()>, mpsc::Sender<()>);

    impl Drop for Hangs {
        fn drop(&mut self) {
            let _ = self.0.recv();
            let _ = self.1.send(());
        }
    }

    fn has_list(file: &std::path::Path) -> bool {
        rustix::fs::getxattr(file, "system.posix_acl_access", &mut [0; 4096]).is_ok()
    }

    #[tokio::test]
    async fn whoever_has_too_many_that_hang_is_kept_out_until_they_do_not() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let file = folder.path().join("socket");
        let _ = std::os::unix::net::UnixListener::bind(&file).unwrap();
        let door = Door::new(Some(file.clone()), Vec::new);
        let turned_away = TurnedAway::new(door).unwrap();
        let (told, hears) = mpsc::channel();
        let mut holders = Vec::new();
        let mut close = || {
            let (holder, held) = mpsc::channel();
            turned_away.close(Hangs(held, told.clone()), Who { uid: 100_007, user: 7 });
            holders.push(holder);
        };
        (0..MOST_OF_ONE).for_each(|_| close());
        assert!(!has_list(&file));
        close();
        assert!(has_list(&file));
        // Another user's are closed all the same.
        let (done, is_done) = mpsc::channel();
        let (_, free) = mpsc::channel();
        turned_away.close(Hangs(free, done), Who { uid: 8, user: 8 });
        is_done.recv().unwrap();
        let count = holders.len();
        drop(holders);
        (0..count).for_each(|_| hears.recv().unwrap());
        while has_list(&file) {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn whoever_hands_over_more_than_can_be_closed_waits() {
        let backlog = Backlog::default();
        let (told, hears) = mpsc::channel();
        let mut holders = Vec::new();
        for _ in 0..MOST_OF_ONE {
            let (holder, held) = mpsc::channel();
            backlog.close(Hangs(held, told.clone())).await;
            holders.push(holder);
        }
        let (_, free) = mpsc::channel();
        let mut next = std::pin::pin!(backlog.close(Hangs(free, told.clone())));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending());
        drop(holders.pop());
        next.await;
        drop(holders);
        (0..=MOST_OF_ONE).for_each(|_| hears.recv().unwrap());
    }
}
