//! What those come to who connect to a host's own socket: a flood of them, and who passes what nobody wants.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use winterop_channel::asynchronous::Channel;
use winterop_host::client::MOST_SERVERS;
use winterop_host::launcher::{Act, Ended, Placed, RunningProgram, Work};
use winterop_host::request::LaunchRequest;
use winterop_host::unix::ExitReport;
use winterop_host::{
    Admission, Audit, Build, Host, Interface, Launched, Launcher, Mark, RefusedLaunch, Served,
};
use winterop_serve::Listener;
use winterop_serve::socket::ListeningSocket;
use winterop_settings::{Policy, Settings, SwitchPlaces, Switches};
use winterop_wire::{
    CommonBlock, CreateProcess, CreateProcessResponse, ExitStatus, Extensions, HandOff, Header,
    Instance, Message, MessageType,
};
use winterop_words::Failure;

/// How long is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// No launch gets as far as this.
#[derive(Debug)]
struct Nothing;

impl Launcher for Nothing {
    fn launch(&self, _: LaunchRequest, _: &Mark) -> Result<Launched, RefusedLaunch> {
        Err(Failure::NoCommand {}.into())
    }

    fn find(&self, _: &[u8]) -> Result<Option<PathBuf>, RefusedLaunch> {
        Ok(None)
    }

    fn still_preparing(&self) -> &'static str {
        ""
    }

    fn warm_up(&self, _: &mut dyn FnMut(&str)) -> Result<(), RefusedLaunch> {
        Ok(())
    }

    fn shut_down(&self) {}
}

/// Each launch becomes a program that runs until it is ended.
#[derive(Debug)]
struct Endless(mpsc::UnboundedSender<Act>);

/// A program that runs until it is ended; it says what is done to it.
#[derive(Debug)]
struct EndlessProgram {
    told: mpsc::UnboundedSender<Act>,
    ended: watch::Sender<bool>,
}

impl RunningProgram for EndlessProgram {
    fn ended(&mut self) -> Ended<'_> {
        let mut ended = self.ended.subscribe();
        Box::pin(async move { ended.wait_for(|ended| *ended).await.map_or(1, |_| 7) })
    }

    fn act(&self, act: Act) -> Work {
        let (told, ended) = (self.told.clone(), self.ended.clone());
        Box::new(move || {
            told.send(act).unwrap();
            ended.send_replace(act == Act::End);
        })
    }

    fn take_report(&mut self) -> Option<ExitReport> {
        None
    }
}

impl Launcher for Endless {
    fn launch(&self, _: LaunchRequest, _: &Mark) -> Result<Launched, RefusedLaunch> {
        let program = EndlessProgram { told: self.0.clone(), ended: watch::Sender::new(false) };
        let placed = Placed::Running(Box::new(program));
        Ok(Launched { placed, interface: Interface::Console, warnings: Vec::new() })
    }

    fn find(&self, _: &[u8]) -> Result<Option<PathBuf>, RefusedLaunch> {
        Ok(None)
    }

    fn still_preparing(&self) -> &'static str {
        ""
    }

    fn warm_up(&self, _: &mut dyn FnMut(&str)) -> Result<(), RefusedLaunch> {
        Ok(())
    }

    fn shut_down(&self) {}
}

/// A host in a folder of its own.
fn host(folder: &Path, launcher: impl Launcher + 'static) -> Arc<Host> {
    let switches = SwitchPlaces {
        directory: folder.to_owned(),
        wsl_conf: folder.join("wsl.conf"),
        prefix: None,
    };
    let admission = Admission {
        switches: Arc::new(Switches::new(switches)),
        policy: Arc::new(Policy::new(folder)),
        sandboxes: false,
    };
    let audit = Audit::new(folder.join("audit.log"), rustix::process::geteuid().as_raw());
    Host::new(Arc::new(launcher), &Settings::default(), admission, audit).unwrap()
}

/// A host that serves.
struct Serving {
    socket: PathBuf,
    end: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<Served>>,
    _listening: ListeningSocket,
    folder: TempDir,
}

impl Serving {
    fn start(launcher: impl Launcher + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("interop");
        let mut listening = ListeningSocket::bind(&socket).unwrap();
        let listener = Listener::new(listening.take_descriptor().unwrap()).unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let host = host(folder.path(), launcher);
        // As long as nothing lies there it is the build that is to serve.
        let build = Build::own(&folder.path().canonicalize().unwrap().join("program")).unwrap();
        let serving = tokio::spawn(async move {
            let ended = async { drop(ended.await) };
            host.serve(&listener, build, None, ended).await
        });
        Self { socket, end, serving, _listening: listening, folder }
    }

    /// Puts another program in the place of the host's.
    fn replace(&self) {
        std::fs::write(self.folder.path().join("program"), "another build").unwrap();
    }

    async fn end(self) {
        drop(self.end);
        assert!(matches!(self.serving.await.unwrap().unwrap(), Served::ToTheEnd));
    }
}

async fn connected(socket: &Path) -> Channel {
    Channel::from(UnixStream::connect(socket).await.unwrap())
}

/// Names an instance; whether that was answered.
async fn is_answered(channel: &mut Channel, process: &OwnedFd) -> bool {
    let mut bytes = Vec::new();
    Instance.encode(&Header::plain(MessageType::INSTANCE, 1), &mut bytes).unwrap();
    // The other side may have closed it.
    channel.send(&bytes, &[process.as_fd()]).await.is_ok()
        && channel.receive().await.is_ok_and(|frame| frame.is_some())
}

/// Whether the other side has closed a connection.
fn is_closed(channel: &Channel) -> bool {
    let mut interest = [PollFd::new(channel, PollFlags::IN)];
    poll(&mut interest, Some(&Timespec::default())).unwrap();
    interest[0].revents().contains(PollFlags::HUP)
}

#[tokio::test]
async fn servers_that_keep_their_connections_are_no_more_than_so_many() {
    let host = Serving::start(Nothing);
    let socket = &host.socket;
    let own = Pid::from_raw(std::process::id().cast_signed()).unwrap();
    let own = pidfd_open(own, PidfdFlags::empty()).unwrap();
    let mut kept = Vec::new();
    for _ in 0..MOST_SERVERS {
        let mut server = connected(socket).await;
        assert!(is_answered(&mut server, &own).await);
        kept.push(server);
    }
    // Whoever comes now is answered too, but not kept.
    for _ in 0..2 {
        let mut server = connected(socket).await;
        assert!(is_answered(&mut server, &own).await);
        let closed = tokio::time::timeout(PATIENCE, server.receive()).await;
        assert!(closed.expect("it is kept").unwrap().is_none());
    }
    assert!(!kept.iter().any(is_closed));
    // One that leaves makes room, as soon as it was seen to leave.
    drop(kept.pop());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut server = connected(socket).await;
        if is_answered(&mut server, &own).await && is_answered(&mut server, &own).await {
            break;
        }
        assert!(Instant::now() < deadline, "nobody is kept any more");
    }
    host.end().await;
}

/// A launch of a program that there need not be.
fn request() -> Vec<u8> {
    let common = CommonBlock {
        filename: b"Z:\\endless.exe",
        arguments: vec![b"endless.exe"],
        environment: Some(vec![b"WSLENV="]),
        ..CommonBlock::default()
    };
    let message = CreateProcess { standard_ids: [0; 3], common };
    let mut bytes = Vec::new();
    message.encode(&Header::request(MessageType::CREATE_PROCESS), &mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn who_passes_something_while_their_program_runs_has_one_thing_closed_and_their_program_ended()
 {
    let (told, mut hears) = mpsc::unbounded_channel();
    let host = Serving::start(Endless(told));
    let mut client = connected(&host.socket).await;
    client.send(&request(), &[]).await.unwrap();
    let answer = client.receive().await.unwrap().unwrap();
    let message = Message::parse(&answer.bytes).unwrap();
    assert_eq!(CreateProcessResponse::decode(&message).unwrap().result, 0);
    // A message without anything is none of the host's business.
    let mut junk = Vec::new();
    Instance.encode(&Header::plain(MessageType::INSTANCE, 1), &mut junk).unwrap();
    client.send(&junk, &[]).await.unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    client.send(&junk, &[null.as_fd()]).await.unwrap();
    let act = tokio::time::timeout(PATIENCE, hears.recv()).await.expect("it goes on");
    assert_eq!(act, Some(Act::End));
    let end = client.receive().await.unwrap().unwrap();
    let end = ExitStatus::decode(&Message::parse(&end.bytes).unwrap()).unwrap();
    assert_eq!(end.code, 7);
    host.end().await;
}

/// Hands a client over; its other side.
async fn hand_over(server: &Channel) -> std::io::Result<Channel> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut bytes = Vec::new();
    let message = HandOff { extensions: Extensions::new() };
    message.encode(&Header::plain(MessageType::HAND_OFF, 1), &mut bytes).unwrap();
    server.send(&bytes, &[theirs.as_fd()]).await?;
    Ok(Channel::from(ours))
}

/// Whether a client that was handed over is served: it is answered that somebody serves.
async fn is_served(mut client: Channel) -> bool {
    shutdown(&client, Shutdown::Write).unwrap();
    let answer =
        tokio::time::timeout(PATIENCE, client.receive()).await.expect("an answer or an end");
    answer.is_ok_and(|frame| frame.is_some())
}

#[tokio::test]
async fn what_a_server_has_handed_over_is_served_also_where_it_is_not_kept() {
    let host = Serving::start(Nothing);
    let own = Pid::from_raw(std::process::id().cast_signed()).unwrap();
    let own = pidfd_open(own, PidfdFlags::empty()).unwrap();
    let mut kept = Vec::new();
    for _ in 0..MOST_SERVERS {
        let mut server = connected(&host.socket).await;
        assert!(is_answered(&mut server, &own).await);
        kept.push(server);
    }
    let server = connected(&host.socket).await;
    // Nothing is read before this waits.
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(hand_over(&server).await.unwrap());
    }
    for client in clients {
        assert!(is_served(client).await);
    }
    // What comes later is not lost without a word.
    while hand_over(&server).await.is_ok() {
        tokio::task::yield_now().await;
    }
    host.end().await;
}

#[tokio::test]
async fn servers_are_told_to_leave_before_another_build_goes_on() {
    let host = Serving::start(Nothing);
    let own = Pid::from_raw(std::process::id().cast_signed()).unwrap();
    let own = pidfd_open(own, PidfdFlags::empty()).unwrap();
    let mut server = connected(&host.socket).await;
    assert!(is_answered(&mut server, &own).await);
    host.replace();
    let client = hand_over(&server).await.unwrap();
    let asking = connected(&host.socket).await;
    assert!(is_served(client).await);
    drop(asking);
    // Whoever connects when nothing depends on it any more is the other build's.
    let (_end, socket) = (host.end, host.socket);
    let last = tokio::spawn(async move {
        loop {
            drop(connected(&socket).await);
            tokio::task::yield_now().await;
        }
    });
    let served = tokio::time::timeout(PATIENCE, host.serving).await.expect("it goes on");
    last.abort();
    assert!(matches!(served.unwrap().unwrap(), Served::Outdated { .. }));
    assert!(hand_over(&server).await.is_err(), "what is sent now nobody reads");
}
