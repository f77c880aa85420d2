//! Looks at what may never answer: whether another build is to go on in the host's place, and whether
//! anything still depends on it. It is a thread of its own that hangs then, and nobody waits for long.

use crate::build::Build;
use crate::client::Places;
use crate::tree;
use rustix::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a look may take. As long as a late one goes on there is no other.
const LOOKING: Duration = Duration::from_secs(1);

/// What was seen.
#[derive(Debug)]
pub enum Outlook {
    /// This is still the build that is to serve.
    Current,
    /// Another one is to go on, when nothing depends on this one any more; or nobody knows.
    Busy,
    /// Nothing depends on this one, and another one is to go on.
    Replaced {
        /// Its program; none where it is not to be started from here.
        successor: Option<OwnedFd>,
    },
}

/// Who looks.
#[derive(Debug)]
pub struct Lookout {
    build: Arc<Build>,
    places: Arc<Places>,
    looks: Looks<Outlook>,
}

impl Lookout {
    /// Looks at what lies in the place of `build`, and at who has `places`.
    #[must_use]
    pub fn new(build: Build, places: Arc<Places>) -> Self {
        Self { build: Arc::new(build), places, looks: Looks { late: None } }
    }

    /// Looks; what is not seen in time counts as busy.
    pub async fn look(&mut self) -> Outlook {
        let (build, places) = (Arc::clone(&self.build), Arc::clone(&self.places));
        self.looks.look(move || outlook(&build, &places)).await.unwrap_or(Outlook::Busy)
    }
}

fn outlook(build: &Build, places: &Places) -> Outlook {
    if !build.is_replaced() {
        return Outlook::Current;
    }
    // Whoever has come meanwhile counts, too.
    if !places.are_free() || tree::is_any_left(std::process::id()) || !places.are_free() {
        return Outlook::Busy;
    }
    Outlook::Replaced { successor: build.successor() }
}

/// Looks, of which one is made at a time.
#[derive(Debug)]
struct Looks<T> {
    late: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Looks<T> {
    /// What `look` sees; none where it takes too long, or the last one still does.
    async fn look(&mut self, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if self.late.as_ref().is_some_and(|late| !late.is_finished()) {
            return None;
        }
        let mut looking = tokio::task::spawn_blocking(look);
        self.late = None;
        match tokio::time::timeout(LOOKING, &mut looking).await {
            Ok(seen) => seen.ok(),
            Err(_) => {
                tracing::warn!("whether another build is to go on cannot be seen");
                self.late = Some(looking);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_look_that_hangs_is_not_waited_for_and_there_is_no_other_until_it_ends() {
        let mut looks = Looks { late: None };
        let (holder, held) = mpsc::channel::<()>();
        let hangs = move || {
            let _ = held.recv();
            1
        };
        assert_eq!(looks.look(hangs).await, None);
        assert_eq!(looks.look(|| panic!("two look at the same time")).await, None);
        drop(holder);
        while looks.late.as_ref().is_some_and(|late| !late.is_finished()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(looks.look(|| 2).await, Some(2));
    }
}
