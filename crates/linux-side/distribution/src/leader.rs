//! A session leader: owns one console, creates the session's Linux processes, and serves their
//! Windows launches at `/run/WSL/PID_interop`.
//!
//! It is the parent of everything in its session: processes whose own parents end become its
//! children again, whichever session or process group they went to. So it knows when the session is
//! over: when whoever asked for it has closed the connection and no child is left. Until then its
//! interop server is there, and a `wsl` that ends or is killed takes nothing with it that a launch
//! needs.
//!
//! **Messages.** On the session's connection: create process (type 1), with the descriptors that
//! are no console, and roles that say which. The answer is a result (u32, the port) that promises the
//! process's own connection ([`Transport`]): here it is attached, and the port 0. The controlling side of
//! its terminal follows where it has one. What cannot be created is answered with words. On the process's connection go signals one
//! way, and the exit status the other, which is sent back as its acknowledgement. Window sizes are
//! set on the terminal itself.

use crate::interop_server::{self, Found};
use crate::outside::host_address;
use crate::process::{Problem, Started, create};
use crate::reaper::{everybody_else, reap, signal_if};
use crate::transport::{Attached, Transport};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Pid, Signal, getpgid, kill_process_group};
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use winterop_channel::asynchronous::{Channel, Stream};
use winterop_channel::{Frame, Promise};
use winterop_serve::socket::ListeningSocket;
use winterop_wire::{
    CreateLinuxProcess, ErrorNotice, ExitStatus, Header, Message, MessageType,
    Signal as SignalMessage, TransactionResult,
};

/// How long whoever waits for an exit status may take to acknowledge it.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(5);

/// Runs a session leader with the process's arguments: the distribution's name, the name of the
/// host's socket, the descriptor of the instance's directory. The session's connection is descriptor
/// 0, the directory with the host's socket 1.
#[must_use]
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    match prepare(arguments).and_then(lead) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "a session could not be served");
            ExitCode::FAILURE
        }
    }
}

/// What a session leader is started with.
#[derive(Debug)]
struct LeaderStart {
    name: String,
    host_socket: PathBuf,
    connection: OwnedFd,
    runtime: OwnedFd,
    directory: OwnedFd,
}

fn prepare(arguments: &[Vec<u8>]) -> io::Result<LeaderStart> {
    let [_, name, socket, directory] = arguments else {
        return Err(io::Error::other("a session leader is started by an instance's init"));
    };
    let directory = std::str::from_utf8(directory).ok().and_then(|text| text.parse().ok());
    // Copies, so that the standard descriptors can be what they are elsewhere.
    let copy = |number| {
        let taken = winterop_sys::take_inherited(number);
        let taken = taken.ok_or_else(|| io::Error::other(format!("descriptor {number} is closed")));
        taken.and_then(|taken| Ok(rustix::io::fcntl_dupfd_cloexec(&taken, 3)?))
    };
    let start = LeaderStart {
        name: String::from_utf8_lossy(name).into_owned(),
        host_socket: PathBuf::from(OsString::from_vec(socket.clone())),
        connection: copy(0)?,
        runtime: copy(1)?,
        directory: copy(directory.ok_or_else(|| io::Error::other("no directory"))?)?,
    };
    for _ in 0..2 {
        // The lowest free numbers, 0 and 1.
        std::mem::forget(std::fs::File::options().read(true).write(true).open("/dev/null")?);
    }
    Ok(start)
}

fn lead(start: LeaderStart) -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut children = signal(SignalKind::child())?;
        let socket = interop_server(&start)?;
        let session = Arc::new(Session {
            name: start.name,
            transport: Attached,
            server: socket.as_ref().map(|socket| socket.path().to_owned()),
            processes: Mutex::default(),
        });
        let mut requests = Channel::new(start.connection)?;
        let mut is_open = true;
        loop {
            tokio::select! {
                received = requests.receive(), if is_open => match received {
                    Ok(Some(frame)) => session.answer(&requests, frame).await,
                    Ok(None) | Err(_) => is_open = false,
                },
                _ = children.recv() => {}
            }
            let any_left = session.reap();
            if !is_open && !any_left {
                break;
            }
        }
        session.settled().await;
        drop(socket);
        Ok(())
    })
}

/// The session's interop server.
fn interop_server(start: &LeaderStart) -> io::Result<Option<ListeningSocket>> {
    let address = host_address(&start.runtime, &start.directory, &start.host_socket);
    interop_server::start(address, Arc::default(), Found::ByProcess)
}

#[derive(Debug)]
struct Session<T> {
    name: String,
    /// How the connections of processes come to be.
    transport: T,
    server: Option<PathBuf>,
    processes: Mutex<Processes>,
}

#[derive(Debug, Default)]
struct Processes {
    /// Who waits for which process.
    waiting: HashMap<Pid, oneshot::Sender<i32>>,
    /// The tasks that tell exit statuses.
    telling: Vec<tokio::task::JoinHandle<()>>,
}

impl<T: Transport> Session<T> {
    fn processes(&self) -> std::sync::MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what has ended; whether any child is left.
    fn reap(&self) -> bool {
        let reaped = reap();
        for (pid, status) in reaped.ended {
            if let Some(waiting) = self.processes().waiting.remove(&pid) {
                // Whoever waited may be gone.
                let _ = waiting.send(winterop_sys::status_of(status));
            }
        }
        reaped.any_left
    }

    /// Waits until every exit status is told.
    async fn settled(&self) {
        let telling = std::mem::take(&mut self.processes().telling);
        for task in telling {
            let _ = task.await;
        }
    }

    async fn answer(self: &Arc<Self>, requests: &Channel, frame: Frame) {
        match self.create(frame) {
            Ok((control, terminal)) => {
                let mut bytes = Vec::new();
                let header = Header::plain(MessageType::RESULT_U32, 1);
                // A number has room in every message.
                let _ = TransactionResult::U32(control.port()).encode(&header, &mut bytes);
                let attached: Vec<_> = [control.attached(), terminal.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(AsFd::as_fd)
                    .collect();
                // Where nobody is left to hear it, the process's connection closes here, and that
                // hangs it up.
                let _ = requests.send(&bytes, &attached).await;
            }
            Err(problem) => {
                let bytes = ErrorNotice::message(&problem.text, Some(problem.status));
                let _ = requests.send(&bytes, &[]).await;
            }
        }
    }

    /// Creates a process. Returns the promise of its connection, and its terminal.
    fn create(
        self: &Arc<Self>,
        frame: Frame,
    ) -> Result<(Promise<OwnedFd>, Option<OwnedFd>), Problem> {
        let Frame { bytes, descriptors } = frame;
        let unread = |error: winterop_wire::DecodeError| Problem::usage(error.to_string());
        let message = Message::parse(&bytes).map_err(unread)?;
        let request = CreateLinuxProcess::decode(&message).map_err(unread)?.process;
        let (promise, control) = self
            .transport
            .promise()
            .map_err(|error| Problem::usage(format!("its connection cannot be made: {error}")))?;
        let Started { pid, terminal } =
            create(&self.name, self.server.as_deref(), &request, descriptors)?;
        let (sender, ended) = oneshot::channel();
        let has_terminal = terminal.is_some();
        let task = tokio::spawn(follow(control, pid, ended, has_terminal));
        let mut processes = self.processes();
        processes.waiting.insert(pid, sender);
        processes.telling.retain(|task| !task.is_finished());
        processes.telling.push(task);
        Ok((promise, terminal))
    }
}

/// Follows one process: signals from whoever waits for it, their end, its own end.
async fn follow<S: Stream>(
    control: impl Future<Output = io::Result<Channel<S>>>,
    pid: Pid,
    mut ended: oneshot::Receiver<i32>,
    has_terminal: bool,
) {
    // Who does not come for it is gone, like one that has closed it.
    let mut control = control.await.ok();
    if control.is_none() && ended.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        hang_up(pid);
    }
    let code = loop {
        let received = async {
            match &mut control {
                Some(control) => control.receive().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // First of all: the process was waited for then, and its pid, which is its group's number
            // too, may be another's. Whoever waits for processes does so on this thread. So up to the
            // next `await` a process that was not seen to end has its pid, ended or not; and a group's
            // number belongs to nobody else as long as its leader has that. No descriptor is needed for
            // this, which stands for a group from Linux 6.9 on only.
            biased;
            code = &mut ended => break code.unwrap_or(1),
            received = received => match received {
                Ok(Some(frame)) => pass_on(&frame.bytes, pid),
                Ok(None) | Err(_) => {
                    control = None;
                    // The kernel does it where the terminal's controlling side was closed.
                    if !has_terminal {
                        hang_up(pid);
                    }
                }
            },
        }
    };
    if let Some(mut control) = control {
        tell_end(&mut control, code).await;
    }
}

async fn tell_end<S: Stream>(control: &mut Channel<S>, code: i32) {
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::EXIT_STATUS, 1);
    if ExitStatus::new(code).encode(&header, &mut bytes).is_err()
        || control.send_bytes(&bytes).await.is_err()
    {
        return;
    }
    let _ = tokio::time::timeout(ACKNOWLEDGEMENT, control.receive()).await;
}

/// Sends a signal to the process and what it runs in the foreground.
fn pass_on(bytes: &[u8], pid: Pid) {
    let Ok(message) = Message::parse(bytes) else { return };
    if let Ok(SignalMessage { number }) = SignalMessage::decode(&message)
        && let Some(signal) = Signal::from_named_raw(number)
    {
        // The process is the leader of its group, and of its session.
        let _ = kill_process_group(pid, signal);
    }
}

/// Does what the end of a terminal does: SIGHUP to the process and its group. A shell without job
/// control starts background processes in its own group, with SIGINT ignored: they are spared.
fn hang_up(pid: Pid) {
    let is_concerned = |other: Pid| {
        other == pid || (getpgid(Some(other)) == Ok(pid) && !ignores(other, Signal::INT))
    };
    for process in everybody_else() {
        signal_if(process, || is_concerned(process), &[Signal::HUP, Signal::CONT]);
    }
}

fn ignores(pid: Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    let status = status.unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let bit = signal.as_raw().unsigned_abs().saturating_sub(1);
    mask & 1_u64.checked_shl(bit).unwrap_or(0) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::pin::Pin;
    use std::process::{Command, Stdio};
    use tokio::net::{TcpListener, TcpStream};
    use winterop_channel::asynchronous::Bytes;

    fn a_signal(number: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = Header::plain(MessageType::SIGNAL, 1);
        SignalMessage { number }.encode(&header, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn whoever_has_the_pid_of_a_process_that_has_ended_is_neither_signalled_nor_hung_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // What has its pid by now, and leads a group.
        let mut other = Command::new("cat");
        other.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut other = other.spawn().unwrap();
        let pid = Pid::from_child(&other);
        for round in 0..64 {
            let (sender, ended) = oneshot::channel();
            sender.send(7).unwrap();
            runtime.block_on(async {
                let (promise, ours) = Attached.promise().unwrap();
                let Promise::Attached(theirs) = promise else { panic!("{promise:?}") };
                let theirs = if round % 2 == 0 {
                    let theirs = Channel::new(theirs).unwrap();
                    theirs.send(&a_signal(Signal::TERM.as_raw()), &[]).await.unwrap();
                    Some(theirs)
                } else {
                    drop(theirs);
                    None
                };
                let followed = follow(ours, pid, ended, false);
                // It waits for an acknowledgement of the end, or for that of the connection.
                let hear = async {
                    if let Some(mut theirs) = theirs {
                        let _ = theirs.receive().await;
                    }
                };
                tokio::join!(followed, hear);
            });
        }
        assert_eq!(other.try_wait().unwrap(), None);
        drop(other.stdin.take());
        assert!(other.wait().unwrap().success());
    }

    /// A transport that answers with a port and carries bytes alone, as that of a virtual machine does.
    struct Ports;

    impl Transport for Ports {
        type Stream = Bytes<TcpStream>;
        type Control = Pin<Box<dyn Future<Output = io::Result<Channel<Self::Stream>>> + Send>>;

        fn promise(&self) -> io::Result<(Promise<OwnedFd>, Self::Control)> {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            let port = NonZeroU32::new(listener.local_addr()?.port().into());
            let port = port.ok_or(io::ErrorKind::AddrNotAvailable)?;
            let accepted = async move {
                let listener = TcpListener::from_std(listener)?;
                let accepted = tokio::time::timeout(Duration::from_secs(30), listener.accept());
                Ok(Channel::over(Bytes(accepted.await??.0)))
            };
            Ok((Promise::Port(port), Box::pin(accepted)))
        }
    }

    /// Follows a process over a transport: it is told a signal, and tells its end.
    async fn a_signal_and_an_end_over<T: Transport, S: Stream>(
        transport: T,
        connect: impl AsyncFnOnce(Promise<OwnedFd>) -> Channel<S>,
    ) {
        let mut process = Command::new("cat");
        process.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut process = process.spawn().unwrap();
        let (promise, control) = transport.promise().unwrap();
        let (sender, ended) = oneshot::channel();
        let followed = follow(control, Pid::from_child(&process), ended, false);
        let other = async move {
            let mut theirs = connect(promise).await;
            theirs.send_bytes(&a_signal(Signal::TERM.as_raw())).await.unwrap();
            let waited = tokio::task::spawn_blocking(move || process.wait().unwrap());
            assert_eq!(waited.await.unwrap().signal(), Some(Signal::TERM.as_raw()));
            sender.send(143).unwrap();
            let frame = theirs.receive().await.unwrap().unwrap();
            let told = ExitStatus::decode(&Message::parse(&frame.bytes).unwrap()).unwrap();
            assert_eq!(told.code, 143);
            theirs.send_bytes(&frame.bytes).await.unwrap();
        };
        tokio::join!(followed, other);
    }

    #[tokio::test]
    async fn a_process_is_followed_alike_over_what_is_attached_and_over_a_port() {
        a_signal_and_an_end_over(Attached, async |promise| match promise {
            Promise::Attached(theirs) => Channel::new(theirs).unwrap(),
            Promise::Port(port) => panic!("port {port}"),
        })
        .await;
        a_signal_and_an_end_over(Ports, async |promise| {
            let port = u16::try_from(promise.port()).unwrap();
            Channel::over(Bytes(TcpStream::connect(("127.0.0.1", port)).await.unwrap()))
        })
        .await;
    }
}
