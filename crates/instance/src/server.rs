//! The interop server: takes one request from each interpreter that connects and hands it, with its
//! descriptors and the connection itself, to the user's host.
//!
//! A task serves each connection. A peer that sends rubbish, nothing, or half a request harms nobody
//! else, and the server is out of a launch's way as soon as it has handed it over.

use crate::distribution::init::answer_query;
use crate::handoff::HostLink;
use crate::machine::users::{NotServed, Place, Users};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::getuid;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use winterop_audit::Record;
use winterop_channel::Frame;
use winterop_channel::asynchronous::Channel;
use winterop_channel::unix::ReceiveError;
use winterop_settings::machine::AuditSetting;
use winterop_settings::{Off, Switches};
use winterop_sys::{PeerCredentials, peer_credentials};
use winterop_wire::{CreateProcess, CreateProcessResponse, Header, Message, MessageType, Tag};
use winterop_words::{Failure, Words};

/// How long a peer may take to send its request.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// How many connections are served at the same time; more wait in the socket's queue.
const MAX_CONNECTIONS: usize = 512;

/// Whom a server serves, and by which host.
#[derive(Clone, Debug)]
pub enum Service {
    /// Its own user, by the user's host.
    Own(Arc<HostLink>),
    /// Every user of an instance: all of them are the one user outside, by the user's own
    /// subordinate ids.
    Everyone(Arc<HostLink>),
    /// Every user of the machine, each by their own host.
    Users(Arc<Users>),
}

impl Service {
    /// Whom the servers of the instance that this process lives in serve. Where its root is the
    /// machine's root its other users are the machine's too, and nobody becomes another here.
    #[must_use]
    pub fn of_instance(link: Arc<HostLink>) -> Self {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let outside = map.split_whitespace().nth(1);
        match outside {
            Some(id) if id != "0" => Self::Everyone(link),
            _ => Self::Own(link),
        }
    }

    /// Lets a peer in, and says by which host it is served.
    fn admit(&self, peer: PeerCredentials, connection: BorrowedFd<'_>) -> Result<Guest, Refusal> {
        let own = getuid().as_raw();
        match self {
            Self::Own(_) if peer.uid != own => Err(Refusal::ForeignPeer { own, peer: peer.uid }),
            Self::Own(link) | Self::Everyone(link) => Ok(Guest::of(link)),
            Self::Users(users) => Ok(users.admit(peer, connection)?),
        }
    }

    /// Writes a refusal of the machine's init into the audit log, where root wants one. `request` is
    /// what the peer has asked, if it came to that.
    fn write_down(
        &self,
        switches: &Switches,
        peer: PeerCredentials,
        request: &[u8],
        refusal: &Refusal,
    ) {
        let Self::Users(_) = self else { return };
        let setting = switches.settings().map_or(AuditSetting::Off, |settings| settings.audit);
        if setting == AuditSetting::Off {
            return;
        }
        let program = program_of(request);
        let (uid, pid) = (peer.uid, peer.pid);
        let record = Record::ended(uid, pid, &program, "refused", Duration::ZERO)
            .refused(&refusal.words().to_string());
        let audit = winterop_audit::of_machine();
        let Some(lines) = audit.take(&record) else { return };
        // A file may block.
        tokio::task::spawn_blocking(move || audit.put(setting, &lines));
    }
}

/// The program that a request names, for people; nothing where it names none.
fn program_of(request: &[u8]) -> String {
    let Ok(message) = Message::parse(request) else { return String::new() };
    let Ok(CreateProcess { common, .. }) = CreateProcess::decode(&message) else {
        return String::new();
    };
    let path = common.extensions.get(Tag::LINUX_EXECUTABLE).unwrap_or(common.filename);
    String::from_utf8_lossy(path).into_owned()
}

/// A peer that was let in.
#[derive(Debug)]
pub struct Guest {
    /// The way to its host.
    pub link: Arc<HostLink>,
    /// Its place among those that are served at the same time.
    pub place: Option<Place>,
}

impl Guest {
    fn of(link: &Arc<HostLink>) -> Self {
        Self { link: Arc::clone(link), place: None }
    }
}

/// Serves connections on `listener`, as far as the switches let it, until `until` is done.
///
/// # Errors
/// The system's, where the listener itself is broken; never for what a peer did.
pub async fn serve(
    listener: OwnedFd,
    service: Service,
    switches: Arc<Switches>,
    until: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = self::listener(listener)?;
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::pin!(until);
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
        let connection = tokio::select! {
            connection = accept(&listener) => connection?,
            () = &mut until => return Ok(()),
        };
        let (service, switches) = (service.clone(), Arc::clone(&switches));
        tokio::spawn(async move {
            let uid = peer_credentials(connection.as_fd()).map_or(u32::MAX, |peer| peer.uid);
            if let Err(error) = attend(connection, &service, &switches).await
                && let Some(before) = winterop_audit::may_log(uid)
            {
                let left_out = before.left_out;
                tracing::info!(%error, uid, left_out, "a connection ended without a launch");
            }
            drop(slot);
        });
    }
}

/// Makes a listening socket wait for connections without holding a thread.
///
/// # Errors
/// The system's.
pub fn listener(socket: OwnedFd) -> io::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Accepts the next connection. What only one peer or a full table is to blame for is waited out.
///
/// # Errors
/// The system's, where the listener itself is broken.
pub async fn accept(listener: &UnixListener) -> io::Result<Channel> {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => return Ok(connection.into()),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::INTR | Errno::CONNABORTED) => {}
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                    tracing::warn!(%error, "no descriptors are left; waiting for some to be closed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                _ => return Err(error),
            },
        }
    }
}

/// Why a connection did not become a launch.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The peer may not use this server.
    #[error("a peer of uid {peer} came to the server of uid {own}")]
    ForeignPeer {
        /// Whom it serves.
        own: u32,
        /// Who asked.
        peer: u32,
    },
    /// The machine's init does not serve the peer.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// Windows programs are switched off.
    #[error(transparent)]
    Off(#[from] Off),
    /// No request came in time.
    #[error("no whole request came within {} s", REQUEST_DEADLINE.as_secs())]
    Late,
    /// What came is no message.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The message is not understood.
    #[error("the request is no message: {0}")]
    Decode(#[from] winterop_wire::DecodeError),
    /// It is a message that this server does not serve.
    #[error("{0} is not served here; interop servers take {create}", create = MessageType::CREATE_PROCESS)]
    Unserved(MessageType),
    /// The host did not take it.
    #[error(transparent)]
    Host(#[from] crate::handoff::HandOffError),
    /// The system refused something.
    #[error("the connection cannot be served: {0}")]
    System(#[from] io::Error),
}

impl Refusal {
    /// What the peer is told.
    fn words(&self) -> Words {
        let wrong = |error: &dyn Display| Failure::WrongRequest { error }.words();
        match self {
            Self::ForeignPeer { own, peer } => Failure::ForeignServer { own, peer }.words(),
            Self::NotServed(reason) => reason.words(),
            Self::Off(off) => off.words(),
            Self::Late => Failure::NoRequest { seconds: &REQUEST_DEADLINE.as_secs() }.words(),
            Self::Host(error) => error.words(),
            Self::System(error) => Failure::ServerFailed { error }.words(),
            error @ (Self::Receive(_) | Self::Decode(_) | Self::Unserved(_)) => wrong(error),
        }
    }
}

/// Serves one connection: a request, or a refusal with words.
async fn attend(
    mut channel: Channel,
    service: &Service,
    switches: &Switches,
) -> Result<(), Refusal> {
    let peer = peer_credentials(channel.as_fd()).map_err(io::Error::from)?;
    let taken = match service.admit(peer, channel.as_fd()) {
        Ok(guest) => take_request(&mut channel).await.map(|frame| Some((guest, frame?))),
        Err(refusal) => Err(refusal),
    };
    let refusal = match taken {
        Ok(None) => return Ok(()),
        Ok(Some((guest, frame))) => {
            let result = match switches.check() {
                Ok(()) => {
                    let descriptors = &frame.descriptors;
                    let handed =
                        guest.link.hand_off(peer, &frame.bytes, channel.as_fd(), descriptors);
                    handed.await.map_err(Refusal::from)
                }
                Err(off) => Err(Refusal::from(off)),
            };
            let Frame { descriptors, bytes } = frame;
            if let Err(refusal) = &result {
                refuse(&channel, refusal).await;
                service.write_down(switches, peer, &bytes, refusal);
            }
            close_aside(descriptors, channel);
            return result;
        }
        Err(refusal) => refusal,
    };
    refuse(&channel, &refusal).await;
    service.write_down(switches, peer, &[], &refusal);
    Err(refusal)
}

/// Receives the one request; `None` for a peer that connected and went away again, as whoever probes
/// a socket does.
///
/// Questions that come before it, or instead of it, are answered.
async fn take_request(channel: &mut Channel) -> Result<Option<Frame>, Refusal> {
    loop {
        let received = tokio::time::timeout(REQUEST_DEADLINE, channel.receive()).await;
        let Some(frame) = received.map_err(|_| Refusal::Late)?? else { return Ok(None) };
        let message = Message::parse(&frame.bytes)?;
        let kind = message.header.message_type;
        if kind == MessageType::CREATE_PROCESS {
            return Ok(Some(frame));
        }
        let mut answer = Vec::new();
        answer_query(&message, &mut answer).ok_or(Refusal::Unserved(kind))?;
        channel.send(&answer, &[]).await?;
    }
}

/// Closes what a client has passed, off the accept loop: closing a file on a FUSE file system asks a
/// server that may never answer.
fn close_aside(descriptors: Vec<OwnedFd>, channel: Channel) {
    drop(channel);
    if !descriptors.is_empty() {
        tokio::task::spawn_blocking(move || drop(descriptors));
    }
}

/// Answers with words instead of silence.
async fn refuse(channel: &Channel, refusal: &Refusal) {
    let words = refusal.words();
    let (errno, status) = (words.kind.errno(), words.kind.status());
    let text = words.to_string();
    let response = CreateProcessResponse::refusal(errno, &text, status);
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1);
    if response.encode(&header, &mut bytes).is_ok() {
        // A peer that does not read its refusal is not waited for.
        let sent = tokio::time::timeout(Duration::from_secs(1), channel.send(&bytes, &[])).await;
        if let Ok(Err(error)) = sent {
            tracing::debug!(%error, "a refusal was not read");
        }
    }
}
