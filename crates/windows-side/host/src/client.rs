//! A client of a host: its connection, who it is, and its place among others.
//!
//! Whatever a client has sent is closed aside, and its place is free again only when that is done: so
//! one who sends what cannot be closed is refused before long, and nobody else notices. Nothing more is
//! read of a client before what it has sent is closed: so a place is no more than a few things that hang.

use crate::admission::Caller;
use crate::entrance::{Entrance, Residence, Standing};
use crate::guests;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::net::{Shutdown, shutdown};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use winterop_channel::Frame;
use winterop_channel::asynchronous::Channel;
use winterop_channel::unix::ReceiveError;
use winterop_serve::{Closer, Crowded, HeldShare, Peer, Shares};

/// The largest request. What Windows can take fits into it several times.
pub const LARGEST_REQUEST: usize = 2 << 20;

/// How many connections of the user's own are being looked at at the same time, the launches on them
/// included.
const MOST_OWN: usize = 4096;

/// How many programs of the user's own run at the same time, and graphical ones and the like whose caller
/// still waits.
const MOST_RUNNING_OWN: usize = 8192;

/// How many connections are kept for servers that have said something, and may say more: each instance
/// has one.
pub const MOST_SERVERS: usize = 256;

/// How many of them are for the machine's init, which serves everybody: no other process takes these.
const MOST_OF_MACHINE: usize = 8;

/// How many launches of one guest's are being looked at at the same time, and of all guests. Each may
/// hold up a thread, and has up to sixteen descriptors.
pub const MOST_OF_GUEST: usize = 12;
const MOST_OF_GUESTS: usize = 36;

/// How many programs of one guest's run at the same time, and of all guests.
const MOST_RUNNING_OF_GUEST: usize = 64;
const MOST_RUNNING_OF_GUESTS: usize = 192;

/// The places for clients.
#[derive(Debug)]
pub struct Places {
    own: Arc<Shares>,
    guests: Arc<Shares>,
    running: Arc<Shares>,
    running_own: Arc<Shares>,
    servers: Arc<Shares>,
    machine: Arc<Shares>,
    closer: Closer,
}

impl Places {
    /// No place is taken yet.
    ///
    /// # Errors
    /// The system's, where nothing can be closed aside.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            own: Shares::new(MOST_OWN, MOST_OWN),
            guests: Shares::new(MOST_OF_GUEST, MOST_OF_GUESTS),
            running: Shares::new(MOST_RUNNING_OF_GUEST, MOST_RUNNING_OF_GUESTS),
            running_own: Shares::new(MOST_RUNNING_OWN, MOST_RUNNING_OWN),
            servers: Shares::new(MOST_SERVERS, MOST_SERVERS),
            machine: Shares::new(MOST_OF_MACHINE, MOST_OF_MACHINE),
            closer: Closer::new()?,
        })
    }

    /// Whether nobody is being looked at, and no program runs whose end is waited for.
    #[must_use]
    pub fn are_free(&self) -> bool {
        let all = [&self.own, &self.guests, &self.running, &self.running_own];
        all.into_iter().all(|shares| shares.are_free())
    }

    /// What closes things aside.
    #[must_use]
    pub fn closer(&self) -> &Closer {
        &self.closer
    }

    /// A place for a client that has connected.
    ///
    /// # Errors
    /// [`Crowded`].
    pub fn enter(&self, peer: &Peer, is_guest: bool) -> Result<HeldShare, Crowded> {
        let shares = if is_guest { &self.guests } else { &self.own };
        shares.enter(peer.credentials.uid)
    }

    /// A place for a program.
    ///
    /// # Errors
    /// [`Crowded`]; no program that runs is ended for another one.
    pub fn run(&self, peer: &Peer, is_guest: bool) -> Result<HeldShare, Crowded> {
        let shares = if is_guest { &self.running } else { &self.running_own };
        shares.enter_quietly(peer.credentials.uid)
    }

    /// A place for a server that may go on.
    ///
    /// # Errors
    /// [`Crowded`]; it can connect again.
    pub fn keep(&self, server: &Peer, standing: Standing) -> Result<HeldShare, Crowded> {
        let uid = server.credentials.uid;
        match standing {
            Standing::Machine | Standing::Root => self.machine.enter_quietly(uid),
            _ => self.servers.enter_quietly(uid),
        }
    }
}

/// How long it may take to close what nobody should have sent.
const SOON: Duration = Duration::from_secs(1);

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Who it is.
    pub peer: Peer,
    /// Where it lives.
    pub residence: Residence,
    /// Its connection; it is there until the client is dropped.
    channel: Option<Channel>,
    place: Option<Arc<HeldShare>>,
    closer: Closer,
    /// Taken for as long as something that it has sent is being closed.
    closing: Arc<Semaphore>,
}

impl Client {
    /// Takes a new connection over.
    #[must_use]
    pub fn new(
        channel: Channel,
        peer: Peer,
        residence: Residence,
        place: HeldShare,
        closer: &Closer,
    ) -> Self {
        let channel = Some(channel.up_to(LARGEST_REQUEST));
        let (place, closer) = (Some(Arc::new(place)), closer.clone());
        let closing = Arc::new(Semaphore::new(1));
        Self { peer, residence, channel, place, closer, closing }
    }

    /// Who it is, for the policy. The client itself knows of its process no more then than its ids.
    #[must_use]
    pub fn caller(&mut self, entrance: Entrance) -> Caller {
        let by_guests_socket =
            self.channel.as_ref().is_some_and(|it| guests::came_by_guests_socket(it.as_fd()));
        let peer = self.peer.take();
        Caller { peer, entrance, residence: self.residence, by_guests_socket }
    }

    /// The connection; none only while the client is dropped.
    #[must_use]
    pub fn channel(&self) -> Option<&Channel> {
        self.channel.as_ref()
    }

    /// The next message, as soon as what it has sent before is closed; none where the client has gone.
    /// Cancel-safe. No deadline: whoever sends what cannot be closed holds up their own connection.
    ///
    /// # Errors
    /// Those of [`Channel::receive`].
    pub async fn receive(&mut self) -> Result<Option<Frame>, ReceiveError> {
        // It is never closed, so this is no error.
        drop(self.closing.acquire().await);
        match &mut self.channel {
            Some(channel) => channel.receive().await,
            None => Ok(None),
        }
    }

    /// The next message of a client whose program runs: there is nothing more to pass. None where it has
    /// gone, and from one that passes something all the same. Cancel-safe.
    pub async fn receive_bare(&mut self) -> Option<Frame> {
        let frame = self.receive().await.ok().flatten()?;
        if frame.descriptors.is_empty() {
            return Some(frame);
        }
        self.close_aside(frame.descriptors);
        None
    }

    /// Sends a message; a client that is gone does not need it.
    ///
    /// # Errors
    /// The system's.
    pub async fn send(
        &self,
        bytes: &[u8],
        attached: &[rustix::fd::BorrowedFd<'_>],
    ) -> std::io::Result<()> {
        match &self.channel {
            Some(channel) => channel.send(bytes, attached).await,
            None => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    /// Takes nothing more from it: who sends sees it at once. What lies there already can still be read.
    pub fn shut_out(&self) {
        if let Some(channel) = &self.channel {
            // One that has gone sends nothing more either.
            let _ = shutdown(channel, Shutdown::Read);
        }
    }

    /// Its place, for what goes on when nobody looks at the client any more.
    #[must_use]
    pub fn place(&self) -> Option<Arc<HeldShare>> {
        self.place.clone()
    }

    /// Gives its place back for another one: among those whose programs run, or the servers that are
    /// kept.
    pub fn move_to(&mut self, place: HeldShare) {
        self.place = Some(Arc::new(place));
    }

    /// Is done when its place was taken away for somebody who holds fewer.
    pub async fn is_turned_away(place: Option<Arc<HeldShare>>) {
        match place {
            Some(place) => place.taken_away().await,
            None => std::future::pending().await,
        }
    }

    /// Closes what it has sent, aside.
    pub fn close_aside(&self, descriptors: Vec<OwnedFd>) {
        if !descriptors.is_empty() {
            self.closer.close((descriptors, self.place.clone(), self.is_closing()));
        }
    }

    /// Whether what it has sent is closed, or soon is.
    pub async fn closes_soon(&self) -> bool {
        tokio::time::timeout(SOON, self.closing.acquire()).await.is_ok()
    }

    /// Until this is dropped nothing more is read of it.
    fn is_closing(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.closing).try_acquire_owned().ok()
    }

    /// Drops something that holds what it has sent, aside.
    pub fn drop_aside(&self, held: impl Send + 'static) {
        self.closer.close((held, self.place.clone()));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // More may lie unread on it.
        self.closer.close((self.channel.take(), self.place.take()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn the_machines_init_has_places_that_no_other_process_takes() {
        let places = Places::new().unwrap();
        let (connection, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(connection.as_fd()).unwrap();
        let own: Vec<_> =
            std::iter::from_fn(|| places.keep(&peer, Standing::Own).ok()).take(4096).collect();
        assert_eq!(own.len(), MOST_SERVERS);
        assert!(places.keep(&peer, Standing::Instance(1)).is_err());
        places.keep(&peer, Standing::Machine).unwrap();
        places.keep(&peer, Standing::Root).unwrap();
    }
}
