//! Threads that read what may hang: for a moment each, and one for each process that hangs.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long reading one may take; it takes well below a millisecond.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many threads may hang. Where they do nothing is read any more until one does not.
const MOST_HANGING: usize = 64;

/// Stack of a thread that reads; it makes a few calls.
const STACK: usize = 64 * 1024;

/// A process: its pid and its begin.
type Key = (i32, u64);

/// Threads that read what may hang.
pub(crate) struct Readers<T>(Mutex<ReaderState<T>>);

struct ReaderState<T> {
    /// One that has nothing to do.
    idle: Option<Arc<Desk<T>>>,
    /// What threads hang with: processes, by their pid and their begin.
    hanging: BTreeSet<Key>,
}

/// Where a reader is given its work, and leaves what came of it.
struct Desk<T> {
    paper: Mutex<Paper<T>>,
    turned: Condvar,
}

/// What lies there.
enum Paper<T> {
    /// Nothing: the reader waits.
    Nothing,
    /// What is to be done, and for which process.
    Work(Key, Box<dyn FnOnce() -> T + Send>),
    /// It is being done.
    Doing,
    /// What came of it.
    Done(T),
    /// Nobody wants it any more: the reader ends.
    Left,
}

impl<T: Send + 'static> Readers<T> {
    /// Nobody reads yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(ReaderState { idle: None, hanging: BTreeSet::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, ReaderState<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `work` done for a process; none where it takes too long, as it does for one with which a thread
    /// hangs already.
    pub(crate) fn read(
        &'static self,
        key: Key,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let desk = {
            let mut state = self.lock();
            if state.hanging.contains(&key) || state.hanging.len() >= MOST_HANGING {
                return None;
            }
            state.idle.take()
        };
        let desk = match desk {
            Some(desk) => desk,
            None => self.hire()?,
        };
        let mut paper = desk.lock();
        *paper = Paper::Work(key, Box::new(work));
        desk.turned.notify_all();
        let is_done = |paper: &mut Paper<T>| !matches!(paper, Paper::Done(_));
        let waited = desk.turned.wait_timeout_while(paper, PATIENCE, is_done);
        paper = waited.unwrap_or_else(PoisonError::into_inner).0;
        match std::mem::replace(&mut *paper, Paper::Left) {
            Paper::Done(done) => {
                *paper = Paper::Nothing;
                drop(paper);
                let before = self.lock().idle.replace(desk);
                // Two were busy at the same time; one waits for the next.
                if let Some(before) = before {
                    before.leave();
                }
                Some(done)
            }
            // It takes its process from the list when it is done, for which it needs the paper.
            Paper::Doing => {
                self.lock().hanging.insert(key);
                None
            }
            // It did not even begin: the machine is busy.
            _ => {
                desk.turned.notify_all();
                None
            }
        }
    }

    /// A reader of its own.
    fn hire(&'static self) -> Option<Arc<Desk<T>>> {
        let desk = Arc::new(Desk { paper: Mutex::new(Paper::Nothing), turned: Condvar::new() });
        let own = Arc::clone(&desk);
        let hired = thread::Builder::new().name("reader".into()).stack_size(STACK);
        match hired.spawn(move || own.serve(self)) {
            Ok(_) => Some(desk),
            Err(error) => {
                tracing::warn!(%error, "no thread to look at processes with");
                None
            }
        }
    }
}

impl<T: Send + 'static> Desk<T> {
    fn lock(&self) -> MutexGuard<'_, Paper<T>> {
        self.paper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody wants anything of this reader any more.
    fn leave(&self) {
        *self.lock() = Paper::Left;
        self.turned.notify_all();
    }

    /// Does what it is given, until nobody wants it.
    fn serve(&self, readers: &'static Readers<T>) {
        let mut paper = self.lock();
        loop {
            // No deadline: there is nothing to do.
            let is_idle = |paper: &mut Paper<T>| matches!(paper, Paper::Nothing | Paper::Done(_));
            let waited = self.turned.wait_while(paper, is_idle);
            paper = waited.unwrap_or_else(PoisonError::into_inner);
            let Paper::Work(key, work) = std::mem::replace(&mut *paper, Paper::Left) else {
                return;
            };
            *paper = Paper::Doing;
            drop(paper);
            let done = work();
            paper = self.lock();
            if matches!(*paper, Paper::Left) {
                readers.lock().hanging.remove(&key);
                return;
            }
            *paper = Paper::Done(done);
            self.turned.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Work that hangs as long as the sender is there.
    fn hangs() -> (mpsc::Sender<()>, impl FnOnce() -> u32 + Send + 'static) {
        let (holder, held) = mpsc::channel::<()>();
        let work = move || {
            let _ = held.recv();
            7
        };
        (holder, work)
    }

    #[test]
    fn what_hangs_is_waited_for_once_and_not_begun_again_before_it_is_done() {
        static READERS: Readers<u32> = Readers::new();
        assert_eq!(READERS.read((1, 1), || 5), Some(5));
        let (holder, work) = hangs();
        assert_eq!(READERS.read((1, 1), work), None);
        // Whoever has its pid later is another one.
        assert_eq!(READERS.read((1, 1), || panic!("it hangs already")), None);
        assert_eq!(READERS.read((1, 2), || 6), Some(6));
        drop(holder);
        while READERS.read((1, 1), || 5) != Some(5) {
            thread::yield_now();
        }
        assert!(READERS.lock().hanging.is_empty());
    }

    #[test]
    fn no_more_than_so_many_hang() {
        static READERS: Readers<u32> = Readers::new();
        // As if they did, which takes its time.
        READERS.lock().hanging.extend((0..MOST_HANGING as u64).map(|begin| (1, begin)));
        assert_eq!(READERS.read((2, 0), || panic!("a thread for it")), None);
        READERS.lock().hanging.remove(&(1, 0));
        assert_eq!(READERS.read((2, 0), || 5), Some(5));
    }
}
