//! The way from an interop server to the user's host: one connection, made again when it is lost,
//! to a host that is started when there is none.

use crate::presence::{Presence, presence_of};
pub use crate::starting::{HostAddress, Owner, start};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use tokio::sync::Mutex;
use winterop_channel::asynchronous::Channel;
use winterop_channel::unix::connect_path;
use winterop_sys::{PeerCredentials, peer_credentials};
use winterop_wire::{EncodeError, HandOff, Header, MessageType};
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
    /// The request is too large to be wrapped.
    Encode(#[from] EncodeError),
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
            Self::Encode(error) => {
                Failure::RequestTooLong { program: &"the program", error }.words()
            }
        }
    }
}

/// The server's side of the connection to the host.
#[derive(Debug)]
pub struct HostLink {
    address: HostAddress,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    channel: Option<Channel>,
    counter: u32,
}

impl HostLink {
    /// A link that connects when it is first used.
    #[must_use]
    pub fn new(address: HostAddress) -> Self {
        Self { address, state: Mutex::default() }
    }

    /// Whether it leads to the host at `socket`.
    #[must_use]
    pub fn leads_to(&self, socket: &Path) -> bool {
        self.address.socket == socket
    }

    /// Hands over a client: who it is, its whole request, its connection and its descriptors.
    ///
    /// A host that ended since the last request is replaced by a new one, once.
    ///
    /// # Errors
    /// A [`HandOffError`]; the host has not seen the request then.
    pub async fn hand_off(
        &self,
        peer: PeerCredentials,
        request: &[u8],
        client: BorrowedFd<'_>,
        descriptors: &[OwnedFd],
    ) -> Result<(), HandOffError> {
        let mut state = self.state.lock().await;
        state.counter = state.counter.wrapping_add(1);
        let mut bytes = Vec::with_capacity(request.len() + 32);
        HandOff { pid: peer.pid.cast_unsigned(), uid: peer.uid, gid: peer.gid, request }
            .encode(&Header::plain(MessageType::HAND_OFF, state.counter), &mut bytes)?;
        let attached: Vec<BorrowedFd<'_>> =
            [client].into_iter().chain(descriptors.iter().map(AsFd::as_fd)).collect();
        if let Some(channel) = &state.channel {
            if channel.send(&bytes, &attached).await.is_ok() {
                return Ok(());
            }
            state.channel = None;
        }
        let channel = self.connect().await?;
        channel.send(&bytes, &attached).await?;
        state.channel = Some(channel);
        Ok(())
    }

    /// Connects to the host; starts it where nobody serves.
    async fn connect(&self) -> Result<Channel, HandOffError> {
        let address = self.address.clone();
        let found = tokio::task::spawn_blocking(move || find_or_start(&address));
        found.await.map_err(io::Error::other)??;
        let socket = connect_path(self.address.socket.as_os_str().as_bytes())
            .map_err(|_| HandOffError::Silent(self.address.socket.clone()))?;
        // Whoever answered may have gone, and another have come.
        let peer = peer_credentials(socket.as_fd()).map_err(io::Error::from)?;
        match self.address.user() {
            Some(user) if user != peer.uid => Err(self.address.squatted(peer)),
            _ => Ok(Channel::new(socket)?),
        }
    }
}

/// Starts the host where nobody serves. One that is about to end is waited for: it would take the
/// request and do nothing.
fn find_or_start(address: &HostAddress) -> Result<(), HandOffError> {
    match presence_of(address.user(), &address.socket) {
        Ok(Presence::Answers(_)) => Ok(()),
        Ok(Presence::Foreign(peer)) => Err(address.squatted(peer)),
        Ok(Presence::Silent(_)) => Err(HandOffError::Silent(address.socket.clone())),
        Ok(Presence::Nobody) | Err(_) => start(address),
    }
}
