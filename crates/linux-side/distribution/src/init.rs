//! Process 1 of an instance: reaps, starts session leaders, serves interop requests, and ends the
//! instance when it is not used any more.
//!
//! Messages come on the socket `control` in the instance's directory, as many connections as anybody
//! opens, each from the instance's own user: initialize, create session, the queries, terminate
//! instance. Port fields are 0: where a virtual machine would have the other side connect to a port,
//! the answer carries the connection.

use crate::boot::{mount_table_of_file_systems, run_shell, wait_for_systemd};
use crate::drives::Drives;
use crate::ending::{end_everything, end_sessions, end_systemd, has_session_processes};
use crate::interop_server::{self, Found};
use crate::outside::{Outside, host_address};
use crate::plan::InstancePlan;
use crate::process;
use crate::reaper::reap;
use crate::systemd::FirstProcess;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, getuid};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;
use winterop_accounts as accounts;
use winterop_accounts::release::Release;
use winterop_channel::Promise;
use winterop_channel::asynchronous::Channel;
use winterop_places::inside::Directory;
use winterop_places::names::{SESSION_LEADER, SHARED_SOCKET, SOCKET_DIRECTORY, socket_name};
use winterop_serve::socket::ListeningSocket;
use winterop_serve::{Listener, queries};
use winterop_settings::{Switches, WslConf};
use winterop_sys::{CStrings, Closed, Spawn, is_own_user, peer_credentials, spawn};
use winterop_wire::{
    CreateSessionResponse, DecodeError, EncodeError, ErrorNotice, Header, InitializeResponse,
    Message, MessageType, TerminateInstance, TransactionResult,
};

/// How long an instance waits for its first session.
const FIRST_SESSION: Duration = Duration::from_secs(15);

/// How often an instance without sessions looks whether something that a crashed session leader has
/// left is still there. The kernel has no event for it.
const LEFTOVER_CHECK: Duration = Duration::from_secs(1);

/// What stands ready when process 1 has built the root.
#[derive(Debug)]
pub(crate) struct BuiltRoot {
    pub(crate) conf: WslConf,
    pub(crate) drives: Drives,
    pub(crate) outside: Outside,
    pub(crate) first: FirstProcess,
}

/// Serves until the instance ends; `ready` is called once it does.
///
/// # Errors
/// The system's, where it cannot serve.
pub(crate) fn serve(
    plan: &InstancePlan,
    prepared: BuiltRoot,
    control: OwnedFd,
    ready: impl FnOnce(),
) -> io::Result<()> {
    match prepared.first {
        FirstProcess::Systemd => wait_for_systemd(&prepared.conf),
        FirstProcess::Init => mount_table_of_file_systems(&prepared.conf),
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let init = Arc::new(Init::new(plan, prepared));
        init.run(control, ready).await
    })
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// It is not understood.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The answer has no room.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The session cannot begin.
    #[error("a session leader cannot be started: {0}")]
    Leader(io::Error),
    /// Another kind of request.
    #[error("{0} is not served here")]
    NotServed(MessageType),
}

#[derive(Debug)]
struct Init {
    name: String,
    conf: WslConf,
    /// The name of the host's socket in its directory.
    host_socket: PathBuf,
    outside: Outside,
    idle: Duration,
    first: FirstProcess,
    state: Mutex<State>,
    changed: Notify,
}

/// What decides whether the instance goes on.
#[derive(Debug)]
struct State {
    drives: Drives,
    leaders: HashSet<Pid>,
    /// Until when the instance waits for a session where none runs.
    idle_until: Instant,
    terminating: bool,
}

impl Init {
    fn new(plan: &InstancePlan, prepared: BuiltRoot) -> Self {
        let BuiltRoot { conf, drives, outside, first } = prepared;
        let state = State {
            drives,
            leaders: HashSet::new(),
            // Whoever has it started wants a session.
            idle_until: Instant::now() + plan.idle.max(FIRST_SESSION),
            terminating: false,
        };
        Self {
            name: plan.name.clone(),
            conf,
            host_socket: plan.host.socket.file_name().unwrap_or_default().into(),
            outside,
            idle: plan.idle,
            first,
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, control: OwnedFd, ready: impl FnOnce()) -> io::Result<()> {
        let mut children = signal(SignalKind::child())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let listener = Listener::new(control)?;
        let switches = Arc::new(Switches::default());
        let interop = self.interop_server(&switches)?;
        ready();
        self.start_boot_command();
        let mut is_told = false;
        loop {
            let deadline = self.next_look();
            tokio::select! {
                connection = listener.accept() => {
                    tokio::spawn(Arc::clone(&self).attend(connection?.into()));
                }
                _ = children.recv() => self.reap(),
                _ = terminated.recv() => {
                    is_told = true;
                    break;
                }
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
            if self.is_over() {
                break;
            }
        }
        match self.first {
            FirstProcess::Systemd => {
                end_sessions(&mut children).await;
                if !is_told {
                    end_systemd(&mut terminated).await;
                }
            }
            FirstProcess::Init => end_everything(&mut children).await,
        }
        drop(interop);
        Ok(())
    }

    /// The instance's own interop server. Where systemd is process 1, this process is not, and so has
    /// another number in its socket's name than the one that all look for.
    fn interop_server(&self, switches: &Arc<Switches>) -> io::Result<Option<ListeningSocket>> {
        let outside = &self.outside;
        let address = host_address(&outside.runtime, &outside.directory, &self.host_socket);
        let found = match self.first {
            FirstProcess::Systemd => Found::ByAll,
            FirstProcess::Init => Found::ByProcess,
        };
        interop_server::start(address, Arc::clone(switches), found)
    }

    fn start_boot_command(&self) {
        let Some(command) = &self.conf.boot.command else { return };
        let environment = process::environment_of_boot(&self.name);
        if let Err(error) = run_shell(command, &environment) {
            tracing::error!(%error, command, "the boot command does not run");
        }
    }

    fn reap(&self) {
        for (pid, status) in reap().ended {
            let mut state = self.state();
            if state.leaders.remove(&pid) {
                state.idle_until = Instant::now() + self.idle;
                drop(state);
                remove_leftover(pid);
                tracing::debug!(pid = pid.as_raw_nonzero(), ?status, "a session has ended");
            }
        }
    }

    /// When to look next whether the instance is still used.
    fn next_look(&self) -> Instant {
        let state = self.state();
        let now = Instant::now();
        match state.leaders.is_empty() {
            false => now + Duration::from_secs(3600),
            true => state.idle_until.max(now + LEFTOVER_CHECK),
        }
    }

    fn is_over(&self) -> bool {
        let mut state = self.state();
        let is_idle = state.leaders.is_empty() && state.idle_until <= Instant::now();
        if is_idle && !has_session_processes() {
            state.terminating = true;
        }
        state.terminating
    }

    /// Serves one connection of the control socket.
    async fn attend(self: Arc<Self>, mut channel: Channel) {
        // In a map of one id the user outside is root inside, as this process is.
        let own = getuid().as_raw();
        if !peer_credentials(channel.as_fd()).is_ok_and(|peer| is_own_user(peer.uid, own)) {
            return;
        }
        while let Ok(Some(frame)) = channel.receive().await {
            if self.state().terminating {
                // Whoever asks starts another instance then.
                return;
            }
            let answer = match Message::parse(&frame.bytes) {
                Ok(message) => self.answer(&message),
                Err(error) => Err(error.into()),
            };
            let refused = |error: Unanswered| ErrorNotice::message(&error.to_string(), None);
            let (bytes, promise) = answer.unwrap_or_else(|error| (refused(error), None));
            let attached = promise.as_ref().and_then(Promise::attached);
            let attached: Vec<_> = attached.map(AsFd::as_fd).into_iter().collect();
            if channel.send(&bytes, &attached).await.is_err() {
                return;
            }
            if self.state().terminating {
                self.changed.notify_one();
            }
        }
    }

    fn answer(
        &self,
        message: &Message<'_>,
    ) -> Result<(Vec<u8>, Option<Promise<OwnedFd>>), Unanswered> {
        let mut bytes = Vec::new();
        let kind = message.header.message_type;
        let header = Header::plain(kind, message.header.transaction_id);
        match kind {
            MessageType::INITIALIZE => self.describe(&header, &mut bytes)?,
            MessageType::CREATE_SESSION => {
                let (leader, connection) = self.start_leader().map_err(Unanswered::Leader)?;
                tracing::debug!(pid = leader.as_raw_nonzero(), "a session begins");
                let promise = Promise::Attached(connection);
                let response = CreateSessionResponse { port: promise.port() };
                response.encode(&header, &mut bytes)?;
                return Ok((bytes, Some(promise)));
            }
            MessageType::TERMINATE_INSTANCE => {
                let wanted = TerminateInstance::decode(message)?;
                let ends = self.terminate(wanted.force);
                TransactionResult::Bool(ends).encode(&header, &mut bytes)?;
            }
            _ => queries::answer(message, queries::own_variable, &mut bytes)
                .ok_or(Unanswered::NotServed(kind))?,
        }
        Ok((bytes, None))
    }

    /// Answers `initialize`: what kind of instance this is.
    fn describe(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let accounts = accounts::Accounts::read();
        let default = self.conf.user.default.as_ref();
        let default = default.and_then(|name| accounts.by_name(name.as_bytes()));
        let default = default.unwrap_or_else(accounts::Account::root).user;
        let root = Directory::root();
        let release = root.map(|root| Release::in_root(&root)).unwrap_or_default();
        let namespace = rustix::fs::stat("/proc/self/ns/pid").map_or(0, |status| status.st_ino);
        let has_server = Path::new(SOCKET_DIRECTORY).join(SHARED_SOCKET).exists();
        InitializeResponse {
            plan9_port: 0,
            default_uid: default,
            interop_port: if has_server { 0 } else { InitializeResponse::INTEROP_OFF },
            systemd: self.first == FirstProcess::Systemd,
            pid_namespace: namespace,
            flavour: release.id.as_deref().map(str::as_bytes),
            version: release.version.as_deref().map(str::as_bytes),
        }
        .encode(header, out)
    }

    /// Starts a session leader, and returns the other end of its connection.
    ///
    /// It executes this binary again instead of only forking: a fork of a process with a runtime
    /// and threads has their locks in whatever state they were.
    fn start_leader(&self) -> io::Result<(Pid, OwnedFd)> {
        self.state().drives.add();
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let directory = self.outside.directory.as_raw_fd().to_string();
        let arguments = [
            SESSION_LEADER.as_bytes(),
            self.name.as_bytes(),
            self.host_socket.as_os_str().as_encoded_bytes(),
            directory.as_bytes(),
        ];
        let log = std::env::var("WINTEROP_LOG").map(|filter| format!("WINTEROP_LOG={filter}"));
        let environment = log.iter().map(String::as_bytes);
        let stderr = io::stderr();
        let pid = spawn(&Spawn {
            program: b"/proc/self/exe",
            arguments: &CStrings::new(arguments),
            environment: &CStrings::new(environment),
            standard: [
                Some(theirs.as_fd()),
                Some(self.outside.runtime.as_fd()),
                Some(stderr.as_fd()),
            ],
            closed: Closed::Stays,
            inherited: Some(self.outside.directory.as_fd()),
            directory: None,
            login: None,
        })
        .map_err(|error| io::Error::from(error.error))?;
        self.state().leaders.insert(pid);
        Ok((pid, ours))
    }

    /// Whether the instance ends now: always by force, else only where no session runs.
    fn terminate(&self, force: bool) -> bool {
        let mut state = self.state();
        if force || state.leaders.is_empty() {
            state.terminating = true;
        }
        state.terminating
    }
}

/// The socket of a session leader that was killed.
fn remove_leftover(leader: Pid) {
    let name = socket_name(leader.as_raw_nonzero());
    // Its own end has removed it mostly.
    let _ = std::fs::remove_file(Path::new(SOCKET_DIRECTORY).join(name));
}
