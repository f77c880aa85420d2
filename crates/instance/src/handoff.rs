//! The way from an interop server to the user's host: one connection, made again when it is lost,
//! to a host that is started when there is none.

use crate::presence::{Presence, presence_of};
pub use crate::starting::{HostAddress, Owner, start};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard};
use winterop_channel::asynchronous::Channel;
use winterop_channel::unix::connect_path;
use winterop_serve::Starter;
use winterop_sys::{is_own_user, peer_credentials};
use winterop_wire::{Extensions, HandOff, Header, MessageType, Tag};
use winterop_words::{Failure, Words};

/// Why a request did not reach the host.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum HandOffError {
    /// Nobody listens and no way to start it is known.
    NotRunning(PathBuf),
    /// Its program could not be started.
    Start {
        /// What was to be started.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It was started and does not listen.
    Silent(PathBuf),
    /// Somebody else serves the socket.
    Squatted {
        /// The socket.
        socket: PathBuf,
        /// Who serves it.
        owner: u32,
        /// Who should.
        user: u32,
    },
    /// The connection broke.
    Broken(#[from] io::Error),
    /// The client's connection cannot be passed on.
    Client(io::Error),
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
            Self::NotRunning(socket) => {
                Failure::HostNotRunning { socket: &socket.display() }.words()
            }
            Self::Start { program, source } => {
                Failure::HostNotStarted { program: &program.display(), error: source }.words()
            }
            Self::Silent(socket) => Failure::HostSilent { socket: &socket.display() }.words(),
            Self::Squatted { socket, owner, user } => {
                Failure::SquattedHost { socket: &socket.display(), owner, user }.words()
            }
            Self::Broken(error) => Failure::HostConnection { error }.words(),
            Self::Client(error) => Failure::NotPassedOn { error }.words(),
            Self::NotServed(words) | Self::Before(words) => (**words).clone(),
        }
    }
}

/// How many bytes the kernel keeps of hand-overs that a host has not taken: some 64 of them. They are
/// connections in flight, of which the kernel lets a user have as many as files open.
const IN_FLIGHT: usize = 24 * 1024;

/// For how long a host that does not start, or does not answer, is not tried again.
const REST: Duration = Duration::from_millis(500);

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
}

impl std::fmt::Debug for HostLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostLink").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    channel: Option<Channel>,
    /// When the host could not be reached, and why.
    failed: Option<(Instant, Words)>,
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
        Self { locate: Arc::new(locate), message, starter, state: Arc::default() }
    }

    /// Hands over a client: its connection, on which nothing was read.
    ///
    /// A host that ended since the last one is replaced by a new one, once. Waits as long as the host
    /// does not take what it was sent before; to give up is safe at any moment.
    ///
    /// # Errors
    /// A [`HandOffError`]; the host has not seen the client then.
    pub async fn hand_off(&self, client: BorrowedFd<'_>) -> Result<(), HandOffError> {
        let state = Arc::clone(&self.state).lock_owned().await;
        if let Some(channel) = &state.channel {
            match self.pass(channel, client).await {
                // `connect` closes it: what its host has sent on it may not be closable.
                Err(HandOffError::Broken(_)) => {}
                passed => return passed,
            }
        }
        if let Some((when, words)) = &state.failed
            && when.elapsed() < REST
        {
            return Err(HandOffError::Before(Box::new(words.clone())));
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
        let connecting = tokio::spawn(async move {
            let connected = tokio::task::spawn_blocking(move || {
                drop(broken);
                reach(&locate()?, starter.as_deref())
            });
            let connected = connected.await.map_err(io::Error::other)?;
            match connected.and_then(|socket| Ok(Channel::new(socket)?)) {
                Ok(channel) => {
                    *state = State { channel: Some(channel), failed: None };
                    Ok(state)
                }
                Err(error) => {
                    if matches!(error, HandOffError::Start { .. } | HandOffError::Silent(_)) {
                        state.failed = Some((Instant::now(), error.words()));
                    }
                    Err(error)
                }
            }
        });
        connecting.await.map_err(io::Error::other)?
    }
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
    let socket = connect_path(address.socket.as_os_str().as_bytes())
        .map_err(|_| HandOffError::Silent(address.socket.clone()))?;
    // Whoever answered may have gone, and another have come.
    let peer = peer_credentials(socket.as_fd()).map_err(io::Error::from)?;
    if address.user().is_some_and(|user| !is_own_user(peer.uid, user)) {
        return Err(address.squatted(peer));
    }
    set_socket_send_buffer_size(&socket, IN_FLIGHT).map_err(io::Error::from)?;
    Ok(socket)
}

/// Starts the host where nobody serves. One that is about to end is waited for: it would take the
/// request and do nothing.
fn find_or_start(address: &HostAddress, starter: Option<&Starter>) -> Result<(), HandOffError> {
    if address.keeper.is_some() {
        // A host that does not know this instance would serve nobody in it.
        match start(address, starter) {
            // Without its keeper the instance goes on with the host that knows it.
            Err(HandOffError::NotRunning(_)) => {}
            asked => return asked,
        }
    }
    match presence_of(address.user(), &address.socket) {
        Ok(Presence::Answers(_)) => Ok(()),
        Ok(Presence::Foreign(peer)) => Err(address.squatted(peer)),
        Ok(Presence::Silent(_)) => Err(HandOffError::Silent(address.socket.clone())),
        Ok(Presence::Nobody) | Err(_) => start(address, starter),
    }
}
