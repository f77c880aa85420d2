//! The keeper of `winterop shell`: the one process of the instance that stays outside. What keepers do is
//! [`winterop_interop::keeper`]'s.

use rustix::fd::{AsFd as _, OwnedFd};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use winterop_channel::Inbox;
use winterop_channel::unix::receive;
use winterop_interop::keeper::{introduce, keep};
use winterop_places::names::HOST_LOG;
use winterop_serve::background::{announce, let_go};
use winterop_serve::options::{OptionError, OptionReader, OptionWriter, obey};
use winterop_serve::socket::ListeningSocket;
use winterop_serve::starting::HostAddress;
use winterop_sys::Fork;

/// How a shell's keeper is called: `init --keeper --socket PATH --host-socket PATH --host PROGRAM ARGS`.
pub const KEEPER_OPTION: &str = "--keeper";

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
        OptionWriter::default()
            .flag(KEEPER_OPTION)
            .value("--socket", &self.socket)
            .value("--host-socket", &self.host_socket)
            .rest("--host", &self.host_command)
    }

    /// Reads the process's arguments, the program's name and [`KEEPER_OPTION`] included.
    ///
    /// # Errors
    /// The option that is not known, or has no value.
    pub fn parse(arguments: &[Vec<u8>]) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let mut reader =
            OptionReader::new(arguments.iter().skip(2).cloned().map(OsString::from_vec));
        while let Some(option) = reader.option() {
            match &*option {
                "--socket" => options.socket = reader.value()?.into(),
                "--host-socket" => options.host_socket = reader.value()?.into(),
                "--host" => options.host_command = reader.rest(),
                _ => return Err(reader.unknown()),
            }
        }
        Ok(options)
    }
}

/// Runs a shell's keeper: it says on standard output where it listens, learns on standard input which
/// process the instance lives by, answers there when the host knows it, and keeps it then.
#[must_use]
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    obey(Options::parse(arguments), start)
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
    let_go(&options.host_socket.with_file_name(HOST_LOG));
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
        let odd: Vec<_> =
            ["init", KEEPER_OPTION, "--what", "x"].map(|it| it.as_bytes().to_vec()).into();
        assert!(Options::parse(&odd).is_err());
    }
}
