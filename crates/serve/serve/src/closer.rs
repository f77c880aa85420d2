//! Closing what may block: descriptors that others have passed, and connections on which such ones lie
//! unread.
//!
//! To close a file on a FUSE file system asks a server that may never answer; to close a socket that
//! lingers waits for its peer. So nobody who serves others closes such things: they are given to a
//! thread. When it hangs it is interrupted, and where that does not help, another takes its place.
//! How many can hang is bounded by the places that go with what is closed: they are free again only
//! afterwards.

use rustix::process::{Pid, getpid};
use rustix::thread::gettid;
use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long closing one thing may take before somebody looks after it.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long it may take at least, however much waits.
const LEAST_PATIENCE: Duration = Duration::from_millis(1);

/// Stack of a thread that closes; it makes one call.
const STACK: usize = 64 * 1024;

/// The most threads at a time. Whatever hangs has a place of its user's, so there are never as many.
const MOST_THREADS: usize = 1024;

/// Something to be closed, with whatever is to be free again afterwards.
type Item = Box<dyn Any + Send>;

/// Closes things aside. Its threads end with the last copy, as soon as all is closed.
#[derive(Clone)]
pub struct Closer(Arc<Last>);

/// What all copies of a closer have.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.lock().has_ended = true;
        self.0.work.notify_all();
        self.0.waiting.notify_all();
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to close.
    work: Condvar,
    /// Something waits while the worker is busy.
    waiting: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    /// Which thread is the worker. Another one that finds itself replaced ends.
    worker: u64,
    /// Whether the worker closes something now, and in which thread.
    busy: Option<Pid>,
    /// How many things the workers have taken up.
    taken: u64,
    threads: usize,
    /// Nothing more comes.
    has_ended: bool,
}

/// What interrupts a thread that hangs: its handler does nothing, but what waits is told of it.
const INTERRUPTION: SignalKind = SignalKind::user_defined1();

impl Closer {
    /// Starts the threads. A runtime of tokio's must be there.
    ///
    /// # Errors
    /// The system's, where no thread or no handler can be had.
    pub fn new() -> std::io::Result<Self> {
        // Without a handler the signal would end the process. It stays for as long as that runs.
        let _ = signal(INTERRUPTION)?;
        let shared = Arc::new(Shared::default());
        let state = shared.lock();
        start_worker(&shared, state)?;
        let watched = Arc::clone(&shared);
        thread::Builder::new().name("closing".into()).stack_size(STACK).spawn(move || {
            watch(&watched);
        })?;
        Ok(Self(Arc::new(Last(shared))))
    }

    /// Drops `item`, some time, on another thread.
    pub fn close(&self, item: impl Send + 'static) {
        let shared = &self.0.0;
        let mut state = shared.lock();
        state.queue.push_back(Box::new(item));
        match state.busy {
            None => shared.work.notify_one(),
            Some(_) => shared.waiting.notify_one(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_worker(shared: &Arc<Shared>, mut state: MutexGuard<'_, State>) -> std::io::Result<()> {
    let (number, working) = (state.worker + 1, Arc::clone(shared));
    let name = "closer".to_owned();
    thread::Builder::new().name(name).stack_size(STACK).spawn(move || work(&working, number))?;
    state.worker = number;
    state.busy = None;
    state.threads += 1;
    Ok(())
}

/// Closes one thing after the other, until another thread does so instead.
fn work(shared: &Shared, number: u64) {
    let mut state = shared.lock();
    while state.worker == number {
        let Some(item) = state.queue.pop_front() else {
            if state.has_ended {
                break;
            }
            // No deadline: there is nothing to do.
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        state.busy = Some(gettid());
        state.taken += 1;
        if !state.queue.is_empty() {
            shared.waiting.notify_one();
        }
        drop(state);
        drop(item);
        state = shared.lock();
        if state.worker == number {
            state.busy = None;
        }
    }
    state.threads -= 1;
    // Nobody has to be looked after any more.
    shared.waiting.notify_all();
}

/// Looks after a worker that is busy while something waits.
fn watch(shared: &Arc<Shared>) {
    let mut state = shared.lock();
    let mut interrupted = None;
    loop {
        if state.has_ended && state.queue.is_empty() {
            return;
        }
        if state.queue.is_empty() || state.busy.is_none() {
            // No deadline: nobody waits for the worker.
            state = shared.waiting.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let seen = state.taken;
        // The more wait, the sooner: each could hold up all others. One that is replaced too soon costs
        // no more than a thread.
        let waiting = u32::try_from(state.queue.len()).unwrap_or(u32::MAX).max(1);
        let patience = (PATIENCE / waiting).max(LEAST_PATIENCE);
        state = shared
            .waiting
            .wait_timeout_while(state, patience, |state| state.taken == seen)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        let Some(thread) = state.busy.filter(|_| state.taken == seen) else { continue };
        if interrupted != Some(seen) {
            interrupted = Some(seen);
            // One that is done by now has a handler, too.
            let _ = winterop_sys::interrupt(getpid(), thread, rustix::process::Signal::USR1);
        } else if state.threads < MOST_THREADS {
            tracing::warn!("something that a peer has passed cannot be closed");
            if let Err(error) = start_worker(shared, state) {
                tracing::error!(%error, "no thread to close with");
            }
            state = shared.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;

    /// Blocks its thread when it is dropped, as long as the sender of its channel is there.
    struct Stuck(mpsc::Receiver<()>);

    impl Drop for Stuck {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    struct Tells(mpsc::Sender<u32>, u32);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(self.1);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_closed_holds_up_nothing_else() {
        let closer = Closer::new().unwrap();
        let (told, hears) = mpsc::channel();
        let holders: Vec<_> = (0..3)
            .map(|number| {
                let (holder, held) = mpsc::channel();
                closer.close(Stuck(held));
                closer.close(Tells(told.clone(), number));
                holder
            })
            .collect();
        let mut heard: Vec<u32> = (0..3).map(|_| hears.recv().unwrap()).collect();
        heard.sort_unstable();
        assert_eq!(heard, [0, 1, 2]);
        // Those that hung end when they can, and one worker is left.
        drop(holders);
        while closer.0.0.lock().threads > 1 {
            thread::yield_now();
        }
        closer.close(Tells(told, 9));
        assert_eq!(hears.recv(), Ok(9));
    }

    #[tokio::test]
    async fn its_threads_end_with_the_last_copy_when_all_is_closed() {
        let closer = Closer::new().unwrap();
        let shared = Arc::clone(&closer.0.0);
        let (told, hears) = mpsc::channel();
        let (holder, held) = mpsc::channel();
        closer.close(Stuck(held));
        closer.close(Tells(told, 1));
        drop(closer.clone());
        drop(closer);
        assert_eq!(hears.recv(), Ok(1));
        drop(holder);
        while Arc::strong_count(&shared) > 1 {
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn an_unread_connection_with_a_lingering_socket_is_interrupted() {
        let closer = Closer::new().unwrap();
        let (told, hears) = mpsc::channel();
        for number in 0..20 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            // Its peer reads nothing, so what was written cannot leave; to close it waits an hour.
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut lingering = TcpStream::connect(server.local_addr().unwrap()).unwrap();
            let (silent, _) = server.accept().unwrap();
            let hour = Some(Duration::from_secs(3600));
            rustix::net::sockopt::set_socket_linger(&lingering, hour).unwrap();
            lingering.set_nonblocking(true).unwrap();
            while lingering.write(&[0; 65536]).is_ok() {}
            pass(&theirs, &lingering);
            drop(lingering);
            closer.close((ours, Tells(told.clone(), number)));
            drop(theirs);
            std::mem::forget(silent);
        }
        closer.close(Tells(told, 20));
        let heard: Vec<u32> = (0..21).map(|_| hears.recv().unwrap()).collect();
        assert_eq!(heard, (0..21).collect::<Vec<_>>());
        while closer.0.0.lock().threads > 1 {
            thread::yield_now();
        }
    }

    fn pass(socket: &UnixStream, descriptor: &TcpStream) {
        use rustix::fd::AsFd as _;
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let descriptors = [descriptor.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let bytes = [std::io::IoSlice::new(b"x")];
        sendmsg(socket, &bytes, &mut ancillary, SendFlags::empty()).unwrap();
    }
}
