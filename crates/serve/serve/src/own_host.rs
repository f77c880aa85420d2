//! The host of this process's own user: where it is, whether it runs, its start and its end.

use crate::presence::{Presence, presence, server};
use crate::starting::{HostAddress, HostError, start};
use crate::wait::until_readable;
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, geteuid, pidfd_send_signal};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use winterop_channel::Inbox;
use winterop_channel::unix::{connect_path, receive, send};
use winterop_places::names::{KEEPER_LINK, SOCKET_DIRECTORY};
use winterop_places::{program, user};
use winterop_sys::{is_own_user, system_error};
use winterop_wire::{ErrorNotice, Header, Message, MessageType, Prepare, Tag};
use winterop_words::{Failure, Words};

/// How long a host may take that was told to end: it ends Wine, and with it all programs.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// What came of telling the host to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It has ended.
    Now,
    /// It did not run.
    Before,
}

/// How others start this user's host.
///
/// # Errors
/// In words: there is no place for its socket.
pub fn address() -> Result<HostAddress, Words> {
    Ok(HostAddress {
        socket: socket()?,
        command: vec![program::own()?.into_os_string()],
        ..HostAddress::default()
    })
}

fn socket() -> Result<PathBuf, Words> {
    Ok(user::host_socket()?)
}

/// Starts the host where none serves.
///
/// In an instance its keeper does, which also tells the host of it.
///
/// # Errors
/// In words.
pub fn ensure() -> Result<(), Words> {
    let address = HostAddress { keeper: keeper(), ..address()? };
    if address.keeper.is_some() {
        return Ok(start(&address, None)?);
    }
    match present(&address.socket)? {
        Presence::Answers(_) => Ok(()),
        Presence::Nobody => Ok(start(&address, None)?),
        Presence::Silent(_) | Presence::Foreign(_) => {
            Err(HostError::Silent(address.socket).words())
        }
    }
}

/// The socket of the keeper of the instance that this process lives in.
fn keeper() -> Option<PathBuf> {
    let link = Path::new(SOCKET_DIRECTORY).join(KEEPER_LINK);
    let status = std::fs::symlink_metadata(&link).ok()?;
    let is_own = status.uid() == geteuid().as_raw();
    std::fs::read_link(link).ok().filter(|keeper| is_own && keeper.exists())
}

/// The process of the host that runs; one that does not answer does too.
///
/// # Errors
/// In words: nobody can say.
pub fn running() -> Result<Option<Pid>, Words> {
    match present(&socket()?)? {
        Presence::Nobody => Ok(None),
        Presence::Answers(peer) | Presence::Silent(peer) | Presence::Foreign(peer) => {
            Ok(Pid::from_raw(peer.pid))
        }
    }
}

/// How long a host may be silent that gets the Windows side ready: it says every 3 s that it goes on.
const SILENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Has the host get the Windows side ready, and waits for that. `tell` hears now and then that it goes on.
///
/// # Errors
/// In words: it cannot be had, or nobody can say.
pub fn prepare(tell: &dyn Fn(&dyn Display)) -> Result<(), Words> {
    let socket = socket()?;
    let not_ready = |error: &dyn Display| Failure::WindowsNotReady { error }.words();
    let connection = connect_path(socket.as_os_str().as_bytes());
    let connection = connection.map_err(|error| unreachable(&socket, error))?;
    let mut wish = Vec::new();
    // A message of fixed size always fits.
    let _ = Prepare.encode(&Header::plain(MessageType::PREPARE, 1), &mut wish);
    send(&connection, &wish, &[]).map_err(|error| unreachable(&socket, error))?;
    let mut inbox = Inbox::default();
    loop {
        let frame = receive(&connection, &mut inbox, Some(SILENCE)).map_err(|e| not_ready(&e))?;
        let message = Message::parse(&frame.bytes).map_err(|error| not_ready(&error))?;
        if message.header.message_type == MessageType::HOST_HELLO {
            return Ok(());
        }
        let notice = ErrorNotice::decode(&message).map_err(|error| not_ready(&error))?;
        let text = notice.extensions.get(Tag::ERROR_TEXT).unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        match notice.extensions.get(Tag::ERROR_STATUS) {
            Some(_) => return Err(not_ready(&text)),
            None => tell(&text),
        }
    }
}

fn present(socket: &Path) -> Result<Presence, Words> {
    presence(socket).map_err(|error| unreachable(socket, error))
}

fn unreachable(socket: &Path, error: Errno) -> Words {
    let error = system_error(error);
    Failure::HostUnreachable { socket: &socket.display(), error: &error }.words()
}

/// Ends the host, and the Wine that it runs with everything in it; waits until it has ended.
///
/// # Errors
/// In words: it is another's, cannot be told to end from here, or does not end.
pub fn stop() -> Result<Stopped, Words> {
    let socket = socket()?;
    let (presence, process) = server(&socket).map_err(|error| unreachable(&socket, error))?;
    let peer = match presence {
        Presence::Nobody => return Ok(Stopped::Before),
        Presence::Answers(peer) | Presence::Silent(peer) | Presence::Foreign(peer) => peer,
    };
    let (socket, pid) = (&socket.display(), &peer.pid);
    if !is_own_user(peer.uid, geteuid().as_raw()) {
        return Err(Failure::HostOfAnother { socket, user: &peer.uid }.words());
    }
    // Its pid alone would not do: it may be another's before the signal is there.
    let process = process.ok_or_else(|| Failure::HostUnseen { socket, pid }.words())?;
    let not_told = |error| Failure::HostNotTold { pid, error: &system_error(error) }.words();
    match pidfd_send_signal(&process, Signal::INT) {
        // It has ended by itself meanwhile.
        Ok(()) | Err(Errno::SRCH) => {}
        Err(Errno::INVAL) => return Err(Failure::HostElsewhere {}.words()),
        Err(error) => return Err(not_told(error)),
    }
    match until_readable(&process, Instant::now() + END_PATIENCE) {
        Ok(true) => Ok(Stopped::Now),
        Ok(false) => Err(Failure::HostDoesNotEnd { pid }.words()),
        Err(error) => Err(not_told(error)),
    }
}
