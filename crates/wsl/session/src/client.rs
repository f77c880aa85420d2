//! What `wsl` does with an instance: start it, find it, ask for sessions, and create
//! processes in them. Calls block, each wait with a deadline but the one for a process's end.

use crate::connection::{Connection, OneKernel, Ports, redeem};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::Signal;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use winterop_channel::unix::{ReceiveError, connect_path};
use winterop_channel::{Frame, Promise};
use winterop_distribution::plan::{FAILED, InstancePlan, NOTE, READY};
use winterop_places::instance::{CONTROL, KEEPER};
use winterop_serve::Peer;
use winterop_wire::{
    CreateLinuxProcess, CreateSession, CreateSessionResponse, DecodeError, EncodeError,
    ErrorNotice, ExitStatus, Header, Initialize, InitializeResponse, LinuxProcess, Message,
    MessageType, Role, Signal as SignalMessage, Tag, TerminateInstance, TransactionResult,
};
use winterop_words::{Failure, Words};

/// How long an instance's init, or a session leader, may take to answer: it starts one process.
const ANSWER: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// How long to wait before looking again at what the kernel has no event for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// When an instance that is told to end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Whatever runs in it.
    Always,
    /// Only where it has no session.
    WhenIdle,
}

/// Why an instance or a session did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The keeper's program could not be started.
    #[error("{}", self.in_words())]
    Keeper {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no instance, for this reason.
    #[error("{}", self.in_words())]
    NoInstance(String),
    /// Nobody listens.
    #[error("{}", self.in_words())]
    NotRunning(PathBuf),
    /// The other side refused, in words of its own.
    #[error("{}", self.in_words())]
    Refused {
        /// The words.
        text: String,
        /// The status with which a command should end.
        status: u8,
    },
    /// No answer came.
    #[error("{}", self.in_words())]
    Receive(#[from] ReceiveError),
    /// The answer is not understood.
    #[error("{}", self.in_words())]
    Decode(#[from] DecodeError),
    /// The request has no room in a message.
    #[error("{}", self.in_words())]
    Encode(#[from] EncodeError),
    /// The answer came without its descriptors.
    #[error("{}", self.in_words())]
    NoConnection,
    /// The system refused.
    #[error("{}", self.in_words())]
    System(#[from] io::Error),
}

impl ClientError {
    /// What a person reads: the other side's own words, or ours.
    fn in_words(&self) -> String {
        match self {
            Self::Refused { text, .. } => text.clone(),
            ours => ours.words().to_string(),
        }
    }

    /// The error in words of ours.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Keeper { program, source } => {
                Failure::KeeperNotStarted { program: &program.display(), error: source }.words()
            }
            Self::NoInstance(reason) => Failure::NoInstance { reason }.words(),
            Self::NotRunning(socket) => {
                Failure::InstanceNotRunning { socket: &socket.display() }.words()
            }
            Self::Refused { text, .. } => Failure::DistributionRefuses { text }.words(),
            Self::Receive(error) => Failure::DistributionSilent { error }.words(),
            Self::Decode(error) => Failure::DistributionUnclear { error }.words(),
            Self::NoConnection => {
                let error = &"an answer came without its connection";
                Failure::DistributionUnclear { error }.words()
            }
            Self::Encode(error) => Failure::ProcessTooLong { error }.words(),
            Self::System(error) => Failure::DistributionLost { error }.words(),
        }
    }
}

impl From<rustix::io::Errno> for ClientError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::System(error.into())
    }
}

impl ClientError {
    /// Whether the instance has ended meanwhile, so that another one can be started.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let is_closed = matches!(self, Self::Receive(ReceiveError::Closed));
        is_closed || matches!(self, Self::NotRunning(_) | Self::System(_))
    }

    /// The status with which a command should end.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Refused { status, .. } => *status,
            _ => 1,
        }
    }
}

/// What a running instance says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The uid of the distribution's default user, as `wsl.conf` names it; 0 where it does not.
    pub default_user: u32,
    /// Whether it has an interop server.
    pub interop: bool,
    /// Whether systemd runs.
    pub systemd: bool,
    /// `ID` of its `/etc/os-release`.
    pub flavour: Option<String>,
    /// `VERSION_ID` of its `/etc/os-release`.
    pub version: Option<String>,
}

/// A running instance.
#[derive(Clone, Debug)]
pub struct Instance {
    directory: PathBuf,
}

impl Instance {
    /// Starts an instance; `init` is the static binary. Returns with it what it has to do without,
    /// in words. One that runs already is an error.
    ///
    /// # Errors
    /// [`ClientError::Keeper`] and [`ClientError::NoInstance`]; nothing is left behind then.
    pub fn start(init: &Path, plan: &InstancePlan) -> Result<(Self, Vec<String>), ClientError> {
        let failed = |source| ClientError::Keeper { program: init.to_owned(), source };
        let mut child = Command::new(init)
            .arg0("init")
            .args(plan.to_arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(open_log(&plan.log))
            .spawn()
            .map_err(failed)?;
        let mut text = String::new();
        let output = child.stdout.take();
        // It ends when the instance serves, or there is none: each step of the keeper's is bounded.
        let read = output.map_or(Ok(0), |mut output| output.read_to_string(&mut text));
        // What was spawned went into the background at once.
        let _ = child.wait();
        read.map_err(failed)?;
        let notes = text.lines().filter_map(|line| line.strip_prefix(NOTE)).map(str::to_owned);
        if text.lines().any(|line| line == READY) {
            return Ok((Self { directory: plan.directory.clone() }, notes.collect()));
        }
        let reason = text.lines().find_map(|line| line.strip_prefix(FAILED));
        let reason = reason.unwrap_or("its keeper ended without a word");
        Err(ClientError::NoInstance(reason.to_owned()))
    }

    /// The instance in this directory, whether it runs or not.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Finds the instance in this directory, if one runs.
    #[must_use]
    pub fn find(directory: &Path) -> Option<Self> {
        let instance = Self::at(directory);
        instance.connect().is_ok().then_some(instance)
    }

    fn connect(&self) -> Result<OwnedFd, ClientError> {
        let path = self.directory.join(CONTROL);
        let connected = connect_path(path.as_os_str().as_bytes());
        connected.map_err(|_| ClientError::NotRunning(path))
    }

    /// A descriptor of its init, which can be read when the instance has ended.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn process(&self) -> Result<OwnedFd, ClientError> {
        let connection = self.connect()?;
        // The kernel knows which process it is; its pid alone may be another's by now.
        let process = Peer::of(connection.as_fd()).ok().and_then(Peer::into_process);
        Ok(process.ok_or(rustix::io::Errno::SRCH)?)
    }

    /// Whether its files are those in `directory`.
    ///
    /// # Errors
    /// Where it does not run, or one of the two cannot be looked at.
    pub fn has_root(&self, directory: &Path) -> Result<bool, ClientError> {
        use std::os::unix::fs::MetadataExt as _;
        let connection = self.connect()?;
        let peer = Peer::of(connection.as_fd()).map_err(|_| rustix::io::Errno::SRCH)?;
        // Its root is a mount of the directory, which is the same file.
        let own = std::fs::metadata(format!("/proc/{}/root/", peer.credentials.pid))?;
        let other = std::fs::metadata(directory)?;
        // What `/proc` says is only true of a process that still is the one that serves.
        if !peer.lives() {
            return Err(rustix::io::Errno::SRCH.into());
        }
        Ok((own.dev(), own.ino()) == (other.dev(), other.ino()))
    }

    /// Asks what it is.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub fn initialize(&self, name: &str) -> Result<Facts, ClientError> {
        let mut bytes = Vec::new();
        let message = Initialize { distribution: Some(name.as_bytes()), ..Initialize::default() };
        message.encode(&Header::plain(MessageType::INITIALIZE, 1), &mut bytes)?;
        let frame = self.ask(&bytes)?;
        let response = InitializeResponse::decode(&answer(&frame)?)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Facts {
            default_user: response.default_uid,
            interop: response.interop_port != InitializeResponse::INTEROP_OFF,
            systemd: response.systemd,
            flavour: response.flavour.map(text),
            version: response.version.map(text),
        })
    }

    /// Begins a session.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub fn create_session(&self) -> Result<Session, ClientError> {
        let mut bytes = Vec::new();
        let header = Header::plain(MessageType::CREATE_SESSION, 1);
        CreateSession::default().encode(&header, &mut bytes)?;
        let frame = self.ask(&bytes)?;
        let port = CreateSessionResponse::decode(&answer(&frame)?)?.port;
        let promise = Promise::read(port, frame.descriptors.into_iter().next());
        let connection = redeem(promise.ok_or(ClientError::NoConnection)?, &OneKernel)?;
        Ok(Session::over(connection, Arc::new(OneKernel)))
    }

    /// Ends the instance. Says whether it ends.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub fn terminate(&self, ends: Ends) -> Result<bool, ClientError> {
        let mut bytes = Vec::new();
        let header = Header::plain(MessageType::TERMINATE_INSTANCE, 1);
        TerminateInstance { force: ends == Ends::Always }.encode(&header, &mut bytes)?;
        let frame = self.ask(&bytes)?;
        Ok(TransactionResult::decode(&answer(&frame)?)? == TransactionResult::Bool(true))
    }

    /// Waits until it has ended and its directory is gone, at most `patience`; says whether it is.
    ///
    /// # Errors
    /// The system's.
    pub fn wait_for_end(&self, patience: Duration) -> Result<bool, ClientError> {
        let deadline = Instant::now() + patience;
        if let Ok(process) = self.process() {
            let patience = Timespec {
                tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: patience.subsec_nanos().into(),
            };
            poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience))?;
        }
        // The keeper removes the directory next. Where it was killed nobody does.
        while self.directory.exists() && Instant::now() < deadline {
            if connect_path(self.directory.join(KEEPER).as_os_str().as_bytes()).is_err() {
                let _ = std::fs::remove_dir_all(&self.directory);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(!self.directory.exists())
    }

    fn ask(&self, message: &[u8]) -> Result<Frame, ClientError> {
        let mut connection = Connection::with_descriptors(self.connect()?);
        connection.send(message, &[])?;
        Ok(connection.receive(Some(ANSWER))?)
    }
}

/// The log; what cannot be opened is not written.
fn open_log(path: &Path) -> Stdio {
    let opened = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map_or_else(|_| Stdio::null(), Stdio::from)
}

/// An answer, unless it is a refusal.
fn answer(frame: &Frame) -> Result<Message<'_>, ClientError> {
    let message = Message::parse(&frame.bytes)?;
    if message.header.message_type != MessageType::ERROR_NOTICE {
        return Ok(message);
    }
    let extensions = ErrorNotice::decode(&message)?.extensions;
    let text = extensions.get(Tag::ERROR_TEXT).unwrap_or(b"it refuses, and does not say why");
    let status = extensions.get_u8(Tag::ERROR_STATUS).ok().flatten().filter(|it| *it != 0);
    let text = String::from_utf8_lossy(text).into_owned();
    Err(ClientError::Refused { text, status: status.unwrap_or(1) })
}

/// A session: the connection to its leader. Its processes outlive it where they were started to.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    /// How those of its processes are reached that are not attached to an answer.
    ports: Arc<dyn Ports>,
}

impl Session {
    /// The session whose leader is at the other end of `connection`.
    #[must_use]
    pub fn over(connection: Connection, ports: Arc<dyn Ports>) -> Self {
        Self { connection, ports }
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl Session {
    /// Creates a process. `standard` is what it gets as 0, 1 and 2 where `process` does not say that
    /// it is a console; `None` is closed.
    ///
    /// # Errors
    /// A [`ClientError`]; [`ClientError::Refused`] for what the request itself is to blame for.
    pub fn create_process(
        &mut self,
        process: &LinuxProcess<'_>,
        standard: [Option<BorrowedFd<'_>>; 3],
    ) -> Result<RunningProcess, ClientError> {
        let roles = [Role::Stdin, Role::Stdout, Role::Stderr];
        let passed: Vec<_> =
            standard.into_iter().zip(roles).filter_map(|(fd, role)| Some((fd?, role))).collect();
        let mut process = process.clone();
        process.extensions.push_roles(passed.iter().map(|(_, role)| *role));
        let mut bytes = Vec::new();
        let header = Header::plain(MessageType::CREATE_PROCESS, 1);
        CreateLinuxProcess { process, ..CreateLinuxProcess::default() }
            .encode(&header, &mut bytes)?;
        let attached: Vec<_> = passed.into_iter().map(|(descriptor, _)| descriptor).collect();
        self.connection.send(&bytes, &attached)?;
        let frame = self.connection.receive(Some(ANSWER))?;
        let TransactionResult::U32(port) = TransactionResult::decode(&answer(&frame)?)? else {
            return Err(ClientError::NoConnection);
        };
        let mut descriptors = frame.descriptors.into_iter();
        let promise = Promise::read(port, descriptors.next()).ok_or(ClientError::NoConnection)?;
        let control = redeem(promise, &*self.ports)?;
        Ok(RunningProcess { control, terminal: descriptors.next() })
    }
}

/// A process of a session. Whoever drops it before its end hangs it up.
#[derive(Debug)]
pub struct RunningProcess {
    control: Connection,
    terminal: Option<OwnedFd>,
}

impl AsFd for RunningProcess {
    /// Can be read when the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}

impl RunningProcess {
    /// The controlling side of its terminal, where one of its descriptors is a console.
    #[must_use]
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(AsFd::as_fd)
    }

    /// Sends a signal to it and what it runs in the foreground.
    ///
    /// # Errors
    /// The system's, where the session is gone.
    pub fn signal(&self, signal: Signal) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        let header = Header::plain(MessageType::SIGNAL, 1);
        SignalMessage { number: signal.as_raw() }.encode(&header, &mut bytes)?;
        Ok(self.control.send(&bytes, &[])?)
    }

    /// Waits for its end, as long as that takes, and returns its exit code: its status, or 128 and
    /// the number of the signal that ended it.
    ///
    /// # Errors
    /// A [`ClientError`]; a closed connection where the session leader was killed.
    pub fn wait(&mut self) -> Result<i32, ClientError> {
        let frame = self.control.receive(None)?;
        let status = ExitStatus::decode(&answer(&frame)?)?;
        // The acknowledgement is the message as it came. Who is not there needs none.
        let _ = self.control.send(&frame.bytes, &[]);
        Ok(status.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::num::NonZeroU32;
    use std::os::unix::net::UnixStream;
    use winterop_channel::{Inbox, plain};

    /// Ports of this machine's, whose connections carry bytes alone.
    #[derive(Debug)]
    struct Loopback;

    impl Ports for Loopback {
        fn connect(&self, port: NonZeroU32) -> rustix::io::Result<Connection> {
            let port = u16::try_from(port.get()).unwrap();
            let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            Ok(Connection::of_bytes(stream.into()))
        }
    }

    fn message(encode: impl FnOnce(&Header, &mut Vec<u8>) -> Result<(), EncodeError>) -> Vec<u8> {
        let mut bytes = Vec::new();
        // The type is filled in.
        encode(&Header::plain(MessageType::EXIT_STATUS, 1), &mut bytes).unwrap();
        bytes
    }

    /// Answers one request for a process with a port of its own, and then tells an end there.
    fn answer_with_a_port(leader: impl AsFd) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().into();
        plain::receive(&leader, &mut Inbox::default(), None).unwrap();
        let result = TransactionResult::U32(port);
        let header = Header::plain(MessageType::RESULT_U32, 1);
        let mut bytes = Vec::new();
        result.encode(&header, &mut bytes).unwrap();
        plain::send(&leader, &bytes).unwrap();
        let (process, _) = listener.accept().unwrap();
        let mut inbox = Inbox::default();
        let signal = plain::receive(&process, &mut inbox, None).unwrap();
        let signal = SignalMessage::decode(&Message::parse(&signal.bytes).unwrap()).unwrap();
        let end = message(|header, out| ExitStatus::new(128 + signal.number).encode(header, out));
        plain::send(&process, &end).unwrap();
        let acknowledged = plain::receive(&process, &mut inbox, None).unwrap();
        assert_eq!(acknowledged.bytes, end);
    }

    #[test]
    fn a_process_at_a_port_is_signalled_and_waited_for_like_one_that_is_attached() {
        let (ours, leader) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || answer_with_a_port(&leader));
            let connection = Connection::of_bytes(ours.into());
            let mut session = Session::over(connection, Arc::new(Loopback));
            let request = LinuxProcess { filename: b"/bin/cat", ..LinuxProcess::default() };
            let mut process = session.create_process(&request, [None; 3]).unwrap();
            assert!(process.terminal().is_none());
            process.signal(Signal::TERM).unwrap();
            assert_eq!(process.wait().unwrap(), 143);
        });
    }

    #[test]
    fn a_port_where_connections_are_attached_is_an_error() {
        let (ours, leader) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                plain::receive(&leader, &mut Inbox::default(), None).unwrap();
                let header = Header::plain(MessageType::RESULT_U32, 1);
                let mut bytes = Vec::new();
                TransactionResult::U32(7).encode(&header, &mut bytes).unwrap();
                plain::send(&leader, &bytes).unwrap();
            });
            let connection = Connection::with_descriptors(ours.into());
            let mut session = Session::over(connection, Arc::new(OneKernel));
            let asked = session.create_process(&LinuxProcess::default(), [None; 3]);
            assert!(matches!(asked, Err(ClientError::System(_))), "{asked:?}");
        });
    }
}
