//! The way from an interop server to the user's host: one connection, made again when it is lost,
//! to a host that is started when there is none.

use crate::accounts::Account;
use crate::presence::{Presence, presence_of};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::process::{Gid, Pid, Uid, WaitOptions, waitpid};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard};
use winterop_channel::asynchronous::Channel;
use winterop_channel::unix::connect_path;
use winterop_sys::{CStrings, Directory, Login, PeerCredentials, Spawn, peer_credentials, spawn};
use winterop_wire::{Extensions, HandOff, Header, MessageType, Tag};
use winterop_words::{Failure, Words};

/// How long a host may take from its start until it listens. It prepares nothing before that.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// Where the host listens and how to start it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAddress {
    /// Its socket.
    pub socket: PathBuf,
    /// The program and its arguments; the first is the program.
    pub command: Vec<std::ffi::OsString>,
    /// The socket of whoever starts it for us, where its program cannot be seen: inside a
    /// distribution, the instance's keeper.
    pub keeper: Option<PathBuf>,
    /// Whose host it is, where that is another user than this process's own.
    pub owner: Option<Owner>,
}

/// A user as whom a host is started, and who alone may serve its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub account: Account,
    /// All groups, the user's own first.
    pub groups: Vec<u32>,
    /// The host's whole environment, `NAME=VALUE`.
    pub environment: Vec<Vec<u8>>,
}

impl HostAddress {
    /// Who has to serve the socket; `None` where its directory lets nobody else do so.
    fn user(&self) -> Option<u32> {
        self.owner.as_ref().map(|owner| owner.account.user)
    }

    fn squatted(&self, peer: PeerCredentials) -> HandOffError {
        let user = self.user().unwrap_or_default();
        HandOffError::Squatted { socket: self.socket.clone(), owner: peer.uid, user }
    }
}

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
    NotServed(Words),
    /// It could not be reached a moment ago.
    Before(Words),
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
            Self::NotServed(words) | Self::Before(words) => words.clone(),
        }
    }
}

/// How many bytes the kernel keeps of hand-overs that a host has not taken: some 64 of them. They are
/// connections in flight, of which the kernel lets a user have as many as files open.
const IN_FLIGHT: usize = 24 * 1024;

/// For how long a host that could not be reached is not tried again.
const REST: Duration = Duration::from_millis(500);

/// Where a host is to be found, looked up each time it is looked for: that may change, and may block.
type Locate = dyn Fn() -> Result<HostAddress, HandOffError> + Send + Sync;

/// The server's side of the connection to the host.
pub struct HostLink {
    locate: Arc<Locate>,
    /// With each hand-over goes what the host answers clients with.
    message: Vec<u8>,
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
        Self::of(hand_off(&own_variables()), move || Ok(address.clone()))
    }

    /// A link to the host of a user of the machine, of whom this process knows nothing more. `locate`
    /// may block.
    #[must_use]
    pub fn of_machine(
        locate: impl Fn() -> Result<HostAddress, HandOffError> + Send + Sync + 'static,
    ) -> Self {
        Self::of(hand_off(&[]), locate)
    }

    fn of(
        message: Vec<u8>,
        locate: impl Fn() -> Result<HostAddress, HandOffError> + Send + Sync + 'static,
    ) -> Self {
        Self { locate: Arc::new(locate), message, state: Arc::default() }
    }

    /// Hands over a client: its connection, on which nothing was read.
    ///
    /// A host that ended since the last one is replaced by a new one, once. Waits as long as the host
    /// does not take what it was sent before; to give up is safe at any moment.
    ///
    /// # Errors
    /// A [`HandOffError`]; the host has not seen the client then.
    pub async fn hand_off(&self, client: BorrowedFd<'_>) -> Result<(), HandOffError> {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        if let Some(channel) = &state.channel {
            match self.pass(channel, client).await {
                Err(HandOffError::Broken(_)) => state.channel = None,
                passed => return passed,
            }
        }
        if let Some((when, words)) = &state.failed
            && when.elapsed() < REST
        {
            return Err(HandOffError::Before(words.clone()));
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
                Some(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => HandOffError::Broken(error),
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
        let connecting = tokio::spawn(async move {
            let connected = tokio::task::spawn_blocking(move || reach(&locate()?));
            let connected = connected.await.map_err(io::Error::other)?;
            match connected.and_then(|socket| Ok(Channel::new(socket)?)) {
                Ok(channel) => {
                    *state = State { channel: Some(channel), failed: None };
                    Ok(state)
                }
                Err(error) => {
                    state.failed = Some((Instant::now(), error.words()));
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
fn reach(address: &HostAddress) -> Result<OwnedFd, HandOffError> {
    find_or_start(address)?;
    let socket = connect_path(address.socket.as_os_str().as_bytes())
        .map_err(|_| HandOffError::Silent(address.socket.clone()))?;
    // Whoever answered may have gone, and another have come.
    let peer = peer_credentials(socket.as_fd()).map_err(io::Error::from)?;
    if address.user().is_some_and(|user| user != peer.uid) {
        return Err(address.squatted(peer));
    }
    set_socket_send_buffer_size(&socket, IN_FLIGHT).map_err(io::Error::from)?;
    Ok(socket)
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

/// Starts the host in a session of its own and waits until it listens.
///
/// Two that are started at once sort it out among themselves: the second finds the socket taken,
/// reports itself ready all the same, and ends.
///
/// # Errors
/// A [`HandOffError`].
pub fn start(address: &HostAddress) -> Result<(), HandOffError> {
    if let Some(keeper) = &address.keeper {
        return ask_keeper(keeper, address);
    }
    let Some((program, arguments)) = address.command.split_first() else {
        return Err(HandOffError::NotRunning(address.socket.clone()));
    };
    let failed = |source| HandOffError::Start { program: program.into(), source };
    let (reader, writer) = io::pipe().map_err(failed)?;
    if let Some(owner) = &address.owner {
        let child = start_as(owner, program, writer).map_err(failed)?;
        let heard = wait_for_byte(reader);
        let _ = waitpid(Some(child), WaitOptions::empty());
        return if heard { Ok(()) } else { Err(HandOffError::Silent(address.socket.clone())) };
    }
    let mut child = Command::new(program)
        .args(arguments)
        .arg0("wslhost")
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    // The host writes a byte when it listens, and closes the pipe if it ends before.
    let heard = wait_for_byte(reader);
    // It puts itself into the background: what was spawned here ends at once.
    let _ = child.wait();
    if heard { Ok(()) } else { Err(HandOffError::Silent(address.socket.clone())) }
}

/// Starts the host as its user, with nothing of this process's but `writer`, on which it says that it
/// listens.
fn start_as(owner: &Owner, program: &OsStr, writer: io::PipeWriter) -> io::Result<Pid> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let groups: Vec<Gid> = owner.groups.iter().copied().map(Gid::from_raw).collect();
    let started = spawn(&Spawn {
        program: program.as_bytes(),
        arguments: &CStrings::new([&b"wslhost"[..]]),
        environment: &CStrings::new(owner.environment.iter().map(Vec::as_slice)),
        standard: [Some(null.as_fd()), Some(writer.as_fd()), Some(null.as_fd())],
        inherited: None,
        directory: Some(Directory::Named(c"/")),
        login: Some(Login {
            user: Uid::from_raw(owner.account.user),
            group: Gid::from_raw(owner.account.group),
            groups: Some(&groups),
            terminal: None,
            umask: Mode::from_raw_mode(0o022),
            orphaned: None,
        }),
    });
    started.map_err(|error| Errno::from(error).into())
}

/// Has the keeper start it: a connection is the request, a byte the answer.
fn ask_keeper(keeper: &Path, address: &HostAddress) -> Result<(), HandOffError> {
    let Ok(connection) = connect_path(keeper.as_os_str().as_bytes()) else {
        return Err(HandOffError::NotRunning(address.socket.clone()));
    };
    let connection = std::os::unix::net::UnixStream::from(connection);
    match wait_for_byte(connection) {
        true => Ok(()),
        false => Err(HandOffError::Silent(address.socket.clone())),
    }
}

fn wait_for_byte(mut reader: impl io::Read + AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut interest = [PollFd::new(&reader, PollFlags::IN)];
    let patience = Timespec { tv_sec: START_PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    matches!(poll(&mut interest, Some(&patience)), Ok(1)) && matches!(reader.read(&mut [0]), Ok(1))
}
