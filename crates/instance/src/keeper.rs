//! What keepers do: the one process of an instance that stays outside.
//!
//! A keeper tells the user's host which instance is the user's, starts the host where there is none, and
//! does both again for whoever connects to its socket: an instance's servers do before they connect to
//! a host, because that may be another one by then. A connection can do nothing else, so it does no
//! harm that anybody can make one who sees the socket.
//!
//! A distribution's keeper also makes it ([`crate::distribution::keeper`]); that of a shell is here.

use crate::handoff::{HandOffError, HostAddress, reach};
use crate::role::announce;
use crate::socket::ListeningSocket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use winterop_channel::Inbox;
use winterop_channel::unix::{receive, send};
use winterop_sys::Fork;
use winterop_wire::{Header, Instance, Message, MessageType};

/// How a shell's keeper is called: `init --keeper --socket PATH --host-socket PATH --host PROGRAM ARGS`.
pub const OPTION: &str = "--keeper";

/// How long a host may take to note an instance.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Tells the user's host that whoever lives where the process of a pidfd lives is the user's own. The
/// host is started where there is none. Blocks, for some seconds at most.
///
/// # Errors
/// A [`HandOffError`]: there is no host, or it does not believe this process.
pub fn introduce(address: &HostAddress, process: BorrowedFd<'_>) -> Result<(), HandOffError> {
    let outside = HostAddress { keeper: None, ..address.clone() };
    let host = reach(&outside, None)?;
    send_instance(host.as_fd(), process).map_err(|error| HandOffError::Broken(error.into()))?;
    let broken = |error: String| HandOffError::Broken(io::Error::other(error));
    let frame = receive(&host, &mut Inbox::default(), Some(PATIENCE));
    let frame = frame.map_err(|error| broken(error.to_string()))?;
    let answer = Message::parse(&frame.bytes).map_err(|error| broken(error.to_string()))?;
    match answer.header.message_type {
        MessageType::HOST_HELLO => Ok(()),
        _ => Err(broken("the host does not take this instance for the user's own".to_owned())),
    }
}

/// Names an instance: a header alone, and a process of it.
///
/// # Errors
/// The system's.
pub fn send_instance(to: BorrowedFd<'_>, process: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut bytes = Vec::new();
    // A message of fixed size always fits.
    let _ = Instance.encode(&Header::plain(MessageType::INSTANCE, 1), &mut bytes);
    send(to, &bytes, &[process])
}

/// Serves a keeper's socket until the process ends that the instance lives by.
pub fn keep(address: &HostAddress, process: &OwnedFd, listener: BorrowedFd<'_>) {
    loop {
        let mut interest =
            [PollFd::new(process, PollFlags::IN), PollFd::new(&listener, PollFlags::IN)];
        // No deadline: that may take days.
        match poll(&mut interest, None) {
            Err(Errno::INTR) => continue,
            Err(_) => break,
            Ok(_) => {}
        }
        let [end, wish] = interest.map(|it| it.revents().contains(PollFlags::IN));
        if wish {
            fulfil(address, process, listener);
        }
        if end {
            break;
        }
    }
}

fn fulfil(address: &HostAddress, process: &OwnedFd, listener: BorrowedFd<'_>) {
    let Ok(connection) = accept_with(listener, SocketFlags::CLOEXEC) else { return };
    match introduce(address, process.as_fd()) {
        // Whoever asked may be gone. Without the byte the other side knows that there is no host.
        Ok(()) => drop(rustix::io::write(&connection, b".")),
        Err(error) => tracing::warn!(%error, "the host does not know this instance"),
    }
}

/// How a shell's keeper is told what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where it listens.
    pub socket: PathBuf,
    /// The host's socket.
    pub host_socket: PathBuf,
    /// How to start the host.
    pub host_command: Vec<OsString>,
}

impl Options {
    /// The command line that [`Options::parse`] reads, without the program.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            OPTION.into(),
            "--socket".into(),
            self.socket.clone().into(),
            "--host-socket".into(),
            self.host_socket.clone().into(),
            "--host".into(),
        ];
        arguments.extend(self.host_command.iter().cloned());
        arguments
    }

    /// Reads the process's arguments, the program's name and [`OPTION`] included.
    ///
    /// # Errors
    /// The option that is not known, or has no value.
    pub fn parse(arguments: &[Vec<u8>]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.iter().skip(2).cloned().map(OsString::from_vec);
        while let Some(option) = arguments.next() {
            let name = option.to_string_lossy().into_owned();
            if name == "--host" {
                options.host_command = arguments.by_ref().collect();
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} has no value"))?;
            match &*name {
                "--socket" => options.socket = value.into(),
                "--host-socket" => options.host_socket = value.into(),
                _ => return Err(format!("{name} is not an option of a keeper")),
            }
        }
        Ok(options)
    }
}

/// Runs a shell's keeper: it says on standard output where it listens, learns on standard input which
/// process the instance lives by, answers there when the host knows it, and keeps it then.
#[must_use]
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    let result =
        Options::parse(arguments).map_err(io::Error::other).and_then(|options| start(&options));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("init: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options) -> io::Result<()> {
    let mut socket = ListeningSocket::bind(&options.socket).map_err(io::Error::other)?;
    let maker = winterop_sys::take_inherited(0).ok_or(io::ErrorKind::NotConnected)?;
    // Nobody's child, and of no terminal's session.
    if let Fork::Parent(_) = winterop_sys::fork()? {
        std::mem::forget(socket);
        return Ok(());
    }
    let _ = rustix::process::setsid();
    let Some(listener) = socket.take_descriptor() else { return Ok(()) };
    announce(&options.socket)?;
    let address = HostAddress {
        socket: options.host_socket.clone(),
        command: options.host_command.clone(),
        ..HostAddress::default()
    };
    let Some(process) = named_process(&maker) else { return Ok(()) };
    if introduce(&address, process.as_fd()).is_ok() {
        let _ = rustix::io::write(&maker, b".");
    }
    drop(maker);
    keep(&address, &process, listener.as_fd());
    Ok(())
}

/// The process that the instance's maker names. No deadline: it makes the instance first; where it ends
/// instead there is none to keep.
fn named_process(maker: &OwnedFd) -> Option<OwnedFd> {
    let frame = receive(maker, &mut Inbox::default(), None);
    frame.ok()?.descriptors.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_a_command_line() {
        let options = Options {
            socket: "/run/user/1000/winterop/keeper-7".into(),
            host_socket: "/run/user/1000/winterop/interop".into(),
            host_command: vec!["/usr/bin/winterop".into(), "--odd".into()],
        };
        let mut arguments = vec![b"init".to_vec()];
        arguments.extend(options.to_arguments().into_iter().map(OsString::into_vec));
        assert_eq!(Options::parse(&arguments), Ok(options));
        let odd: Vec<_> = ["init", OPTION, "--what", "x"].map(|it| it.as_bytes().to_vec()).into();
        assert!(Options::parse(&odd).is_err());
    }
}
