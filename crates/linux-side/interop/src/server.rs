//! The interop server: finds out who has connected, and hands the connection, unread, to the host of
//! whom it is to be served by.
//!
//! Nothing that a peer sends is read here, and so none of it is held: what a request costs, its sender's
//! own host pays. A server decides by what the kernel says of a connection alone. A task serves each,
//! and is done as soon as the host has it.

use crate::admit::{Admit, Audience};
use crate::handoff::HandOffError;
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use winterop_accounts::Accounts;
use winterop_channel::unix::{keep_urgent_in_line, send_some};
use winterop_serve::{
    Closer, Crowded, Door, HeldShare, Listener, NotKnown, Pace, Peer, Shares, TooFast, TurnedAway,
    Who, queries,
};
use winterop_settings::{Off, Switches};
use winterop_sys::{PeerCredentials, peer_credentials};
use winterop_wire::{CreateProcessResponse, Header, MessageType};
use winterop_words::{Failure, Words};

/// How long a connection may take until its host has it, the host's start included.
const DEADLINE: Duration = Duration::from_secs(9);

/// How long a peer may take until it has begun to send its request.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// How many connections of one user are being handed over at the same time.
const MOST_OF_ONE: usize = 128;

/// How many of all users are. Each has two descriptors here.
const MOST_OF_ALL: usize = 1024;

/// The mode of a socket that every user may connect to: whom it serves it decides by who asks.
pub const MODE_FOR_ALL: u32 = 0o666;

/// Stands for whom not even the kernel knows: all of them together are one.
const NOBODY: u32 = u32::MAX;

/// After how many connections others get a turn, however many more there are.
const TURN: u32 = 16;

/// Serves connections on `listener`, as far as the switches let it, until `until` is done.
///
/// # Errors
/// The system's, where the listener itself is broken; never for what a peer did.
pub async fn serve(
    listener: OwnedFd,
    admit: impl Admit,
    switches: Arc<Switches>,
    until: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = Listener::new(listener)?;
    let is_for_all = admit.audience() == Audience::AllUsers;
    let file = listener.file().filter(|_| is_for_all);
    let door = Door::new(file, known_users);
    let pace = is_for_all.then(Pace::new);
    let sockets = admit.sockets().max(1);
    let server = Server {
        shares: Shares::new(MOST_OF_ONE / sockets, MOST_OF_ALL / sockets),
        admit,
        switches,
        closer: Closer::new()?,
        turned_away: TurnedAway::new(door)?,
        pace,
    };
    let server = Arc::new(server);
    tokio::pin!(until);
    let mut taken = 0_u32;
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection?,
            () = &mut until => return Ok(()),
        };
        server.take(connection);
        taken = taken.wrapping_add(1);
        if taken.is_multiple_of(TURN) {
            tokio::task::yield_now().await;
        }
    }
}

/// Whom the machine's own file knows.
fn known_users() -> Vec<u32> {
    Accounts::read().ids()
}

/// Why a connection was not handed over.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum Refusal {
    /// The peer is none of those whom this server serves.
    NotAdmitted(Box<Words>),
    /// It is not known who the peer is.
    NotKnown(#[from] NotKnown),
    /// The peer's user has more connections than one may have.
    Crowded(#[from] Crowded),
    /// The peer's user connects all the time.
    TooFast(#[from] TooFast),
    /// Windows programs are switched off.
    Off(#[from] Off),
    /// No request came in time.
    Mute,
    /// The host took too long.
    Late,
    /// The host did not take it.
    Host(#[from] HandOffError),
}

impl Refusal {
    /// What the peer is told.
    fn words(&self) -> Words {
        match self {
            Self::NotAdmitted(words) => (**words).clone(),
            Self::NotKnown(NotKnown::Gone) => Failure::CallerGone {}.words(),
            Self::NotKnown(NotKnown::System(error)) => {
                Failure::CallerUnknown { error: &winterop_sys::system_error(*error) }.words()
            }
            Self::Crowded(crowded) => Failure::TooMany { most: &crowded.most }.words(),
            Self::TooFast(it) => Failure::TooFast { each_second: &it.each_second }.words(),
            Self::Off(off) => off.words(),
            Self::Mute => Failure::NoRequest { seconds: &REQUEST_DEADLINE.as_secs() }.words(),
            Self::Late => Failure::HostBusy { seconds: &DEADLINE.as_secs() }.words(),
            Self::Host(error) => error.words(),
        }
    }
}

/// What serves connections.
#[derive(Debug)]
struct Server<A> {
    admit: A,
    switches: Arc<Switches>,
    shares: Arc<Shares>,
    closer: Closer,
    turned_away: TurnedAway,
    /// How fast users may connect, where that is not the same user's own concern.
    pace: Option<Pace>,
}

impl<A: Admit> Server<A> {
    /// Takes a new connection over: who it is of, and whether there is a place for it.
    fn take(self: &Arc<Self>, connection: UnixStream) {
        // The kernel knows whose it is of a process that has ended, too.
        let asked = peer_credentials(connection.as_fd());
        let credentials = asked.ok();
        let uid = credentials.map_or(NOBODY, |peer| peer.uid);
        let who = Who { uid, user: self.admit.accountable(uid) };
        let entered = self.enter(who).and_then(|place| {
            let peer = asked.map_err(NotKnown::from);
            let peer = peer.and_then(|credentials| Peer::with(credentials, connection.as_fd()));
            Ok((peer.map_err(|error| (error.into(), None))?, place))
        });
        match entered {
            Ok((peer, place)) => {
                tokio::spawn(Arc::clone(self).attend(connection, peer, who, place));
            }
            Err((refusal, place)) => self.refuse(connection, who, credentials, &refusal, place),
        }
    }

    fn enter(&self, who: Who) -> Result<HeldShare, (Refusal, Option<HeldShare>)> {
        if let Some(pace) = &self.pace
            && let Err(too_fast) = pace.count(who.user)
        {
            self.pause(who);
            return Err((TooFast { user: who.uid, ..too_fast }.into(), None));
        }
        let crowded = |crowded: Crowded| (Crowded { user: who.uid, ..crowded }.into(), None);
        self.shares.enter(who.user).map_err(crowded)
    }

    /// Keeps somebody out for a while: to look at their connections, even to refuse them, costs others
    /// time.
    fn pause(&self, who: Who) {
        let kept_out = self.turned_away.keep_out(who);
        tokio::spawn(async move {
            tokio::time::sleep(Pace::pause()).await;
            drop(kept_out);
        });
    }

    /// Serves one connection: it is handed over, or refused with words.
    async fn attend(
        self: Arc<Self>,
        connection: UnixStream,
        peer: Peer,
        who: Who,
        place: HeldShare,
    ) {
        let handed = tokio::select! {
            handed = self.hand_over(&connection, &peer) => handed,
            () = place.taken_away() => {
                Err(Crowded { user: peer.credentials.uid, most: MOST_OF_ONE }.into())
            }
            () = tokio::time::sleep(DEADLINE) => Err(Refusal::Late),
        };
        let credentials = Some(peer.credentials);
        match handed {
            // The host may have closed its own already, and this is the last then.
            Ok(()) => {
                self.turned_away.has_served(who);
                self.closer.close((connection, place));
            }
            Err(refusal) => self.refuse(connection, who, credentials, &refusal, Some(place)),
        }
    }

    async fn hand_over(&self, connection: &UnixStream, peer: &Peer) -> Result<(), Refusal> {
        let link = self.admit.admit(peer).await.map_err(Refusal::NotAdmitted)?;
        let sends = tokio::time::timeout(REQUEST_DEADLINE, sends_something(connection)).await;
        if !sends.map_err(|_| Refusal::Mute)? {
            queries::tell_presence(connection);
            return Ok(());
        }
        self.switches.check()?;
        Ok(link.hand_off(connection.as_fd()).await?)
    }

    /// Answers with words instead of silence, and closes aside what the peer has sent: its place is
    /// free when that is done.
    fn refuse(
        &self,
        connection: UnixStream,
        who: Who,
        credentials: Option<PeerCredentials>,
        refusal: &Refusal,
        place: Option<HeldShare>,
    ) {
        let uid = who.uid;
        if let Some(before) = winterop_audit::may_log(uid) {
            tracing::info!(%refusal, uid, left_out = before.left_out, "a connection is refused");
        }
        let words = refusal.words();
        answer(connection.as_fd(), &words);
        // Whoever still writes learns at once that nobody reads it.
        let _ = shutdown(&connection, Shutdown::Both);
        // The number of a process that has ended says nothing of anybody.
        if let Some(peer) = credentials.filter(|_| !matches!(refusal, Refusal::NotKnown(_))) {
            self.admit.write_down(&self.switches, peer, &words);
        }
        match place {
            // Nothing lies on it, and nothing can come any more: nothing of it hangs.
            _ if look(&connection) == Some(false) => {}
            Some(place) => self.closer.close((connection, place)),
            None => self.turned_away.close(connection, who),
        }
    }
}

/// Waits until a peer has sent something; false for one that has closed its side instead, as whoever
/// asks whether anybody serves does. Nothing is taken: one byte is looked at where it lies.
async fn sends_something(connection: &UnixStream) -> bool {
    loop {
        if let Some(sent) = look(connection) {
            return sent;
        }
        if connection.readable().await.is_err() {
            return true;
        }
        // Takes the readiness back where it was said too early.
        let _ = connection.try_io(Interest::READABLE, || match look(connection) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        });
    }
}

/// Whether something lies on a connection, or it has ended; none while neither is so. (FIONREAD tells
/// less: Linux 6.18 may say 0 for a moment of what can be read already.)
fn look(connection: &UnixStream) -> Option<bool> {
    keep_urgent_in_line(connection);
    match recv(connection, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, count)) => Some(count > 0),
        Err(Errno::AGAIN | Errno::INTR) => None,
        // Whoever it is handed to sees what is wrong with it.
        Err(_) => Some(true),
    }
}

/// Sends a refusal. Nothing else was sent on the connection, so it has room for it.
fn answer(connection: BorrowedFd<'_>, words: &Words) {
    let (errno, status) = (words.kind.errno(), words.kind.status());
    let text = words.to_string();
    let response = CreateProcessResponse::refusal(errno, &text, status);
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1);
    if response.encode(&header, &mut bytes).is_ok()
        && let Err(error) = send_some(connection, &bytes, &[])
    {
        tracing::debug!(%error, "a refusal was not read");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::HostLink;
    use rustix::net::SendFlags;
    use std::os::unix::net::UnixListener;
    use tokio::sync::mpsc;

    /// Lets nobody in before the test ends, and tells whose refusals are written down.
    #[derive(Debug)]
    struct Notes(mpsc::UnboundedSender<(u32, String)>);

    impl Admit for Notes {
        async fn admit(&self, _peer: &Peer) -> Result<Arc<HostLink>, Box<Words>> {
            std::future::pending().await
        }

        /// One place for each user.
        fn sockets(&self) -> usize {
            MOST_OF_ONE
        }

        fn write_down(&self, _switches: &Switches, peer: PeerCredentials, refusal: &Words) {
            let _ = self.0.send((peer.uid, refusal.plain().to_string()));
        }
    }

    #[tokio::test]
    async fn an_urgent_byte_lies_on_a_connection() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        rustix::net::send(&theirs, b"x", SendFlags::OOB).unwrap();
        rustix::net::shutdown(&ours, Shutdown::Both).unwrap();
        assert_eq!(look(&ours), Some(true));
    }

    #[tokio::test]
    async fn who_finds_no_place_is_written_down_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("7_interop");
        let listener = UnixListener::bind(&path).unwrap();
        let (notes, mut noted) = mpsc::unbounded_channel();
        let serving = serve(listener.into(), Notes(notes), Arc::default(), std::future::pending());
        let connecting = async {
            let _first = UnixStream::connect(&path).await.unwrap();
            let _second = UnixStream::connect(&path).await.unwrap();
            noted.recv().await.unwrap()
        };
        let (uid, text) = tokio::select! {
            served = serving => panic!("{served:?}"),
            noted = connecting => noted,
        };
        assert_eq!(uid, rustix::process::getuid().as_raw());
        assert!(text.contains("being handed over already"), "{text}");
    }
}
