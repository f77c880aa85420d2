//! The start of a user's host: by whom, as whom, and until it listens.

use crate::accounts::Account;
use crate::handoff::HandOffError;
use rustix::fd::AsFd;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Gid, Pid, Uid, WaitOptions, waitpid};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use winterop_channel::unix::connect_path;
use winterop_sys::{CStrings, Directory, Login, PeerCredentials, Spawn, spawn};

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
    pub(crate) fn user(&self) -> Option<u32> {
        self.owner.as_ref().map(|owner| owner.account.user)
    }

    pub(crate) fn squatted(&self, peer: PeerCredentials) -> HandOffError {
        let user = self.user().unwrap_or_default();
        HandOffError::Squatted { socket: self.socket.clone(), owner: peer.uid, user }
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
