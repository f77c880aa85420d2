//! What a flood of connections to a host's own socket comes to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use winterop_channel::asynchronous::Channel;
use winterop_host::client::MOST_SERVERS;
use winterop_host::request::LaunchRequest;
use winterop_host::{
    Admission, Audit, Build, Host, Launched, Launcher, Mark, RefusedLaunch, Served,
};
use winterop_serve::Listener;
use winterop_serve::socket::ListeningSocket;
use winterop_settings::{Policy, Settings, SwitchPlaces, Switches};
use winterop_wire::{Header, Instance, MessageType};
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

/// A host in a folder of its own.
fn host(folder: &Path) -> Arc<Host> {
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
    Host::new(Arc::new(Nothing), &Settings::default(), admission, audit).unwrap()
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
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("interop");
    let mut listening = ListeningSocket::bind(&socket).unwrap();
    let listener = Listener::new(listening.take_descriptor().unwrap()).unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let host = host(folder.path());
    let serving = tokio::spawn(async move {
        let program = std::env::current_exe().unwrap();
        let build = Build::own(&program).unwrap();
        let ended = async { drop(ended.await) };
        host.serve(&listener, &build, None, ended).await
    });
    let own = Pid::from_raw(std::process::id().cast_signed()).unwrap();
    let own = pidfd_open(own, PidfdFlags::empty()).unwrap();
    let mut kept = Vec::new();
    for _ in 0..MOST_SERVERS {
        let mut server = connected(&socket).await;
        assert!(is_answered(&mut server, &own).await);
        kept.push(server);
    }
    // Whoever comes now is answered too, but not kept.
    for _ in 0..2 {
        let mut server = connected(&socket).await;
        assert!(is_answered(&mut server, &own).await);
        let closed = tokio::time::timeout(PATIENCE, server.receive()).await;
        assert!(closed.expect("it is kept").unwrap().is_none());
    }
    assert!(!kept.iter().any(is_closed));
    // One that leaves makes room, as soon as it was seen to leave.
    drop(kept.pop());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut server = connected(&socket).await;
        if is_answered(&mut server, &own).await && is_answered(&mut server, &own).await {
            break;
        }
        assert!(Instant::now() < deadline, "nobody is kept any more");
    }
    drop(end);
    assert!(matches!(serving.await.unwrap().unwrap(), Served::ToTheEnd));
}
