//! The way from an interop server to the user's host: one connection, made again when it is lost,
//! to a host that is started when there is none.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard};
use winterop_channel::asynchronous::Channel;
use winterop_channel::unix::connect_within;
use winterop_serve::Starter;
use winterop_serve::presence::{Presence, presence_of};
use winterop_serve::starting::{HostAddress, HostError, start};
use winterop_sys::{is_own_user, not_received, peer_credentials};
use winterop_wire::{Extensions, HandOff, Header, MessageType, Tag};
use winterop_words::{Failure, Words};

/// Why a request did not reach the host.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum HandOffError {
    /// There is no host.
    Host(#[from] HostError),
    /// The connection broke.
    Broken(#[from] io::Error),
    /// The client's connection cannot be passed on.
    Client(io::Error),
    /// It keeps clients that it does not take, on connections of before.
    Keeps(PathBuf),
    /// Whose host it is cannot serve.
    NotServed(Box<Words>),
    /// It could not be reached a moment ago.
    Before(Box<Words>),
}

impl HandOffError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Host(error) => error.words(),
            Self::Keeps(socket) => Failure::HostKeeps { socket: &socket.display() }.words(),
            Self::Broken(error) => Failure::HostConnection { error }.words(),
            Self::Client(error) => Failure::NotPassedOn { error }.words(),
            Self::NotServed(words) | Self::Before(words) => (**words).clone(),
        }
    }
}

/// How many bytes the kernel keeps of hand-overs that a host has not taken: some 64 of them. They are
/// connections in flight, of which the kernel lets a user have as many as files open.
const IN_FLIGHT: usize = 24 * 1024;

/// How many broken connections to a host there may be on which something is in flight. A host that has
/// ended keeps none; one could be shut down, kept, and another one filled.
const MOST_KEPT: usize = 1;

/// For how long a host that does not start, or does not answer, is not tried again.
const REST: Duration = Duration::from_millis(500);

/// How long a host that answers may leave a connection unaccepted.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a host is to be found, looked up each time it is looked for: that may change, and may block.
type Locate = dyn Fn() -> Result<HostAddress, HandOffError> + Send + Sync;

/// The server's side of the connection to the host.
pub struct HostLink {
    locate: Arc<Locate>,
    /// With each hand-over goes what the host answers clients with.
    message: Vec<u8>,
    /// What starts it, where this process serves many.
    starter: Option<Arc<Starter>>,
    state: Arc<Mutex<State>>,
    /// How often a host was looked for, up to the end. Counted while `state` is held.
    attempts: Arc<AtomicU64>,
}

impl std::fmt::Debug for HostLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostLink").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    channel: Option<Channel>,
    /// Broken ones whose host may not have taken what it was sent. What they have in flight can be seen
    /// only as long as they are there.
    kept: Vec<Channel>,
    /// The last attempt to reach the host, where that failed.
    failed: Option<Failed>,
}

/// An attempt to reach a host that failed.
#[derive(Debug)]
struct Failed {
    when: Instant,
    why: Words,
    /// Whether it took its time, and so is not to be made again at once.
    is_slow: bool,
}

impl Failed {
    fn new(error: &HandOffError) -> Self {
        let is_slow =
            matches!(error, HandOffError::Host(HostError::Start { .. } | HostError::Silent(_)));
        Self { when: Instant::now(), why: error.words(), is_slow }
    }

    fn still_counts(&self) -> bool {
        self.is_slow && self.when.elapsed() < REST
    }
}

impl HostLink {
    /// A link that connects when it is first used. Its host answers clients with this process's own
    /// variables of WSL's.
    #[must_use]
    pub fn new(address: HostAddress) -> Self {
        Self::of(hand_off(&own_variables()), None, move || Ok(address.clone()))
    }

    /// A link to the host of a user of the machine, of whom this process knows nothing more. `locate`
    /// may block.
    #[must_use]
    pub fn of_machine(
        starter: Option<Arc<Starter>>,
        locate: impl Fn() -> Result<HostAddress, HandOffError> + Send + Sync + 'static,
    ) -> Self {
        Self::of(hand_off(&[]), starter, locate)
    }

    fn of(
        message: Vec<u8>,
        starter: Option<Arc<Starter>>,
        locate: impl Fn() -> Result<HostAddress, HandOffError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            locate: Arc::new(locate),
            message,
            starter,
            state: Arc::default(),
            attempts: Arc::default(),
        }
    }

    /// Hands over a client: its connection, on which nothing was read.
    ///
    /// A host that ended since the last one is replaced by a new one, once. Waits as long as the host
    /// does not take what it was sent before; to give up is safe at any moment. Whoever comes while a host
    /// is being looked for shares what becomes of that, and waits no longer than for that.
    ///
    /// # Errors
    /// A [`HandOffError`]; the host has not seen the client then.
    pub async fn hand_off(&self, client: BorrowedFd<'_>) -> Result<(), HandOffError> {
        let attempts = self.attempts.load(Ordering::Acquire);
        let state = Arc::clone(&self.state).lock_owned().await;
        if let Some(channel) = &state.channel {
            match self.pass(channel, client).await {
                // `connect` closes it: what its host has sent on it may not be closable.
                Err(HandOffError::Broken(_)) => {}
                passed => return passed,
            }
        }
        let has_waited_for_one = self.attempts.load(Ordering::Acquire) != attempts;
        if let Some(failed) = &state.failed
            && (has_waited_for_one || failed.still_counts())
        {
            return Err(HandOffError::Before(Box::new(failed.why.clone())));
        }
        let state = self.connect(state).await?;
        match &state.channel {
            Some(channel) => self.pass(channel, client).await,
            None => Err(HandOffError::Broken(io::ErrorKind::NotConnected.into())),
        }
    }

    async fn pass(&self, channel: &Channel, client: BorrowedFd<'_>) -> Result<(), HandOffError> {
        channel.send(&self.message, &[client]).await.map_err(|error| {
            match Errno::from_io_error(&error) {
                Some(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => {
                    HandOffError::Broken(error)
                }
                // The connection to the host is as it was: a client that cannot be passed on is this
                // client's trouble alone.
                _ => HandOffError::Client(error),
            }
        })
    }

    /// Connects to the host, and starts it where nobody serves. Others wait meanwhile, and whoever
    /// gives up does not stop it: it is not begun again for each.
    async fn connect(
        &self,
        mut state: OwnedMutexGuard<State>,
    ) -> Result<OwnedMutexGuard<State>, HandOffError> {
        let locate = Arc::clone(&self.locate);
        let (broken, starter) = (state.channel.take(), self.starter.clone());
        let attempts = Arc::clone(&self.attempts);
        state.kept.extend(broken);
        let mut kept = std::mem::take(&mut state.kept);
        let connecting = tokio::spawn(async move {
            let connecting = tokio::task::spawn_blocking(move || {
                // Here they are closed: what a host has sent back on one may not be closable.
                kept.retain(has_something_in_flight);
                let connected = match kept.len() > MOST_KEPT {
                    true => locate().and_then(|address| Err(HandOffError::Keeps(address.socket))),
                    false => locate().and_then(|address| reach(&address, starter.as_deref())),
                };
                (kept, connected)
            });
            let (kept, connected) = connecting.await.map_err(io::Error::other)?;
            state.kept = kept;
            attempts.fetch_add(1, Ordering::Release);
            match connected.and_then(|socket| Ok(Channel::new(socket)?)) {
                Ok(channel) => {
                    (state.channel, state.failed) = (Some(channel), None);
                    Ok(state)
                }
                Err(error) => {
                    state.failed = Some(Failed::new(&error));
                    Err(error)
                }
            }
        });
        connecting.await.map_err(io::Error::other)?
    }
}

/// Whether clients are in flight on a connection: sent, not taken, and not lost with the host.
fn has_something_in_flight(channel: &Channel) -> bool {
    not_received(channel.as_fd()).is_ok_and(|bytes| bytes > 0)
}

/// A hand-over with these variables of the server's.
fn hand_off(variables: &[u8]) -> Vec<u8> {
    let mut extensions = Extensions::new();
    if !variables.is_empty() {
        extensions.push(Tag::SERVER_VARIABLES, variables);
    }
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::HAND_OFF, 1);
    if let Err(error) = (HandOff { extensions }).encode(&header, &mut bytes) {
        // They are bounded, and have no more items than fit.
        tracing::error!(%error, "a hand-over");
    }
    bytes
}

/// The most bytes of a server's variables; more would only fill the queue to the host.
const LONGEST_VARIABLES: usize = 4096;

/// WSL's own variables of this process, with which a distribution's server answers.
fn own_variables() -> Vec<u8> {
    let ours = std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"WSL"));
    let mut list = Vec::new();
    for (name, value) in ours {
        let entry = [name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat();
        if list.len() + entry.len() <= LONGEST_VARIABLES {
            list.extend_from_slice(&entry);
        }
    }
    list
}

/// A connection to the host; it is started where nobody serves. Blocks, for some seconds at most.
pub(crate) fn reach(
    address: &HostAddress,
    starter: Option<&Starter>,
) -> Result<OwnedFd, HandOffError> {
    find_or_start(address, starter)?;
    let socket = connect_within(address.socket.as_os_str().as_bytes(), PATIENCE)
        .map_err(|_| HostError::Silent(address.socket.clone()))?;
    // Whoever answered may have gone, and another have come.
    let peer = peer_credentials(socket.as_fd()).map_err(io::Error::from)?;
    if address.user().is_some_and(|user| !is_own_user(peer.uid, user)) {
        return Err(address.squatted(peer).into());
    }
    set_socket_send_buffer_size(&socket, IN_FLIGHT).map_err(io::Error::from)?;
    Ok(socket)
}

/// Starts the host where nobody serves. One that is about to end is waited for: it would take the
/// request and do nothing.
fn find_or_start(address: &HostAddress, starter: Option<&Starter>) -> Result<(), HostError> {
    if address.keeper.is_some() {
        // A host that does not know this instance would serve nobody in it.
        match start(address, starter) {
            // Without its keeper the instance goes on with the host that knows it.
            Err(HostError::NotRunning(_)) => {}
            asked => return asked,
        }
    }
    match presence_of(address.user(), &address.socket) {
        Ok(Presence::Answers(_)) => Ok(()),
        Ok(Presence::Foreign(peer)) => Err(address.squatted(peer)),
        // Or as many wait for it already as can.
        Ok(Presence::Silent(_)) | Err(Errno::TIMEDOUT) => {
            Err(HostError::Silent(address.socket.clone()))
        }
        Ok(Presence::Nobody) | Err(_) => start(address, starter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvFlags, Shutdown, recv, shutdown, sockopt::set_socket_linger};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::thread;
    use tempfile::TempDir;
    use winterop_channel::Inbox;
    use winterop_channel::unix::{receive, send, send_some};
    use winterop_serve::queries;

    /// What a test waits for at most before it counts as failed.
    const HANGS: Duration = Duration::from_secs(60);

    /// A host that answers whoever asks whether it is there, and leaves everything else to the test.
    struct FakeHost {
        folder: TempDir,
        links: mpsc::Receiver<UnixStream>,
    }

    impl FakeHost {
        fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(folder.path().join("interop")).unwrap();
            let (sender, links) = mpsc::channel();
            thread::spawn(move || {
                for connection in listener.incoming().map_while(Result::ok) {
                    // Whoever only asks closes its side without a word.
                    match recv(&connection, &mut [0], RecvFlags::PEEK) {
                        Ok((_, 1)) => drop(sender.send(connection)),
                        _ => queries::tell_presence(&connection),
                    }
                }
            });
            Self { folder, links }
        }

        fn link(&self) -> HostLink {
            let socket = self.folder.path().join("interop");
            HostLink::new(HostAddress { socket, ..HostAddress::default() })
        }

        /// The server's next connection, on which something lies.
        fn connection(&self) -> UnixStream {
            self.links.recv_timeout(HANGS).unwrap()
        }
    }

    /// Takes one client that was handed over.
    fn take(connection: &UnixStream, inbox: &mut Inbox) -> OwnedFd {
        let frame = receive(connection, inbox, None).unwrap();
        frame.descriptors.into_iter().next().unwrap()
    }

    /// Hands a client over; false where that has to wait.
    async fn passes(link: &HostLink) -> bool {
        let (client, _) = UnixStream::pair().unwrap();
        // Only that nothing is waited for is asked.
        tokio::task::yield_now().await;
        match tokio::time::timeout(Duration::ZERO, link.hand_off(client.as_fd())).await {
            Ok(handed) => handed.map(|()| true).unwrap(),
            Err(_) => false,
        }
    }

    async fn hand_over(link: &HostLink) -> Result<(), HandOffError> {
        let (client, _) = UnixStream::pair().unwrap();
        link.hand_off(client.as_fd()).await
    }

    #[tokio::test]
    async fn a_client_that_cannot_be_passed_on_ends_alone_and_the_link_stays() {
        let host = FakeHost::start();
        let link = host.link();
        hand_over(&link).await.unwrap();
        let connection = host.connection();
        // More sockets are in flight than this user may have: who may have any number is nobody here.
        let mut rights = capabilities(None).unwrap();
        rights.effective -= CapabilitySet::SYS_RESOURCE | CapabilitySet::SYS_ADMIN;
        set_capabilities(None, rights).unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        send(&ours, b"x", &[ours.as_fd()]).unwrap();
        let (client, _) = UnixStream::pair().unwrap();
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).unwrap();
        let handed = link.hand_off(client.as_fd()).await;
        setrlimit(Resource::Nofile, limit).unwrap();
        let Err(HandOffError::Client(error)) = handed else { panic!("{handed:?}") };
        assert_eq!(Errno::from_io_error(&error), Some(Errno::TOOMANYREFS));
        // The next one goes the same way.
        hand_over(&link).await.unwrap();
        let mut inbox = Inbox::default();
        take(&connection, &mut inbox);
        take(&connection, &mut inbox);
        assert!(host.links.try_recv().is_err(), "the host was connected to again");
    }

    #[tokio::test]
    async fn a_host_that_takes_nothing_has_few_clients_in_flight() {
        let host = FakeHost::start();
        let link = host.link();
        hand_over(&link).await.unwrap();
        let mut sent = 1;
        while passes(&link).await {
            sent += 1;
        }
        assert!((32..=130).contains(&sent), "{sent} are in flight");
        // As soon as it takes them there is room again.
        let connection = host.connection();
        let mut inbox = Inbox::default();
        (0..sent).for_each(|_| drop(take(&connection, &mut inbox)));
        hand_over(&link).await.unwrap();
        take(&connection, &mut inbox);
    }

    #[tokio::test]
    async fn a_host_that_shuts_down_and_keeps_its_connections_has_few_clients_in_flight() {
        let host = FakeHost::start();
        let link = host.link();
        let mut kept = Vec::new();
        let refused = loop {
            assert!(kept.len() < 8, "each connection that it keeps has clients in flight");
            match hand_over(&link).await {
                Ok(()) => {
                    let connection = host.connection();
                    // The server cannot send there any more; what it has sent stays.
                    shutdown(&connection, Shutdown::Read).unwrap();
                    kept.push(connection);
                }
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, HandOffError::Keeps(_)), "{refused}");
        assert_eq!(kept.len(), MOST_KEPT + 1);
        // That it takes them, or closes one, is enough.
        take(&kept[0], &mut Inbox::default());
        hand_over(&link).await.unwrap();
        let connection = host.connection();
        shutdown(&connection, Shutdown::Both).unwrap();
        assert!(matches!(hand_over(&link).await, Err(HandOffError::Keeps(_))));
        drop(connection);
        hand_over(&link).await.unwrap();
    }

    /// Sends a socket whose last descriptor is not closed before its peer has read what nobody reads.
    fn send_what_lingers(connection: &UnixStream) -> TcpStream {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut lingering = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let (silent, _) = server.accept().unwrap();
        set_socket_linger(&lingering, Some(Duration::from_secs(3600))).unwrap();
        lingering.set_nonblocking(true).unwrap();
        while lingering.write(&[0; 65536]).is_ok() {}
        send_some(connection, b"x", &[lingering.as_fd()]).unwrap();
        silent
    }

    #[test]
    fn what_a_host_has_sent_back_and_cannot_be_closed_holds_up_nobody_else() {
        let (told, hears) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap();
            runtime.block_on(async {
                let (host, other) = (FakeHost::start(), FakeHost::start());
                let (link, link_of_other) = (host.link(), other.link());
                hand_over(&link).await.unwrap();
                let connection = host.connection();
                let silent = send_what_lingers(&connection);
                drop(connection);
                // What is closed there is waited for by this user's launches alone.
                let (closing, closed) = tokio::sync::oneshot::channel();
                tokio::spawn(async move {
                    let _ = closing.send(hand_over(&link).await.is_ok());
                });
                tokio::task::yield_now().await;
                hand_over(&link_of_other).await.unwrap();
                other.connection();
                // It hung, or this would show nothing.
                let mut closed = closed;
                told.send(closed.try_recv().is_err()).unwrap();
                drop(silent);
            });
        });
        assert_eq!(hears.recv_timeout(HANGS), Ok(true));
    }

    #[tokio::test]
    async fn who_waits_while_a_host_is_not_reached_waits_for_no_turn_of_their_own() {
        // Each look for the host lasts until something is said here, or nothing can be any more.
        let (goes_on, waits) = mpsc::channel::<()>();
        let (waits, looks) =
            (Arc::new(std::sync::Mutex::new(waits)), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&looks);
        let link = Arc::new(HostLink::of_machine(None, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = waits.lock().unwrap().recv();
            Err(HandOffError::Keeps(PathBuf::from("/run/winterop/interop")))
        }));
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let link = Arc::clone(&link);
                tokio::spawn(async move { hand_over(&link).await })
            })
            .collect();
        // On this one thread all of them have come by then.
        while looks.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        drop(goes_on);
        for client in clients {
            let refused = client.await.unwrap().unwrap_err();
            assert!(refused.to_string().contains("/run/winterop/interop"), "{refused}");
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1, "the host was looked for again and again");
        // Who comes later has it looked for anew.
        hand_over(&link).await.unwrap_err();
        assert_eq!(looks.load(Ordering::Relaxed), 2);
    }
}
