//! The init of `winterop shell`'s instance: it serves interop requests as long as the instance is used,
//! then it ends and takes its sockets with it.

use crate::namespace::is_shared_with_others;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use winterop_interop::admit::OfInstance;
use winterop_interop::handoff::HostLink;
use winterop_interop::server::serve;
use winterop_places::names::{HOST_LOG, KEEPER_LINK, SHARED_SOCKET, socket_name};
use winterop_serve::background::{announce, let_go, terminated};
use winterop_serve::options::{OptionError, OptionReader, OptionWriter, obey};
use winterop_serve::socket::ListeningSocket;
use winterop_serve::starting::HostAddress;

/// How often an init whose first process has ended looks whether others still live in the instance.
/// The kernel has no event for it.
const LEFTOVER_CHECK: Duration = Duration::from_secs(1);

/// How an instance's init is told what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where its socket goes, under its own pid.
    pub socket_directory: PathBuf,
    /// The host's socket.
    pub host_socket: PathBuf,
    /// The process for which the instance was made.
    pub first_process: Option<u32>,
    /// How to start the host.
    pub host_command: Vec<OsString>,
    /// The socket of the instance's keeper, which starts the host and tells it of the instance.
    pub keeper: Option<PathBuf>,
}

impl Options {
    /// The command line that [`Options::parse`] reads.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<OsString> {
        let keeper = self.keeper.as_ref();
        let first_process = self.first_process.map(|pid| pid.to_string());
        OptionWriter::default()
            .value("--socket-directory", &self.socket_directory)
            .value("--host-socket", &self.host_socket)
            .optional("--first-process", first_process)
            .optional("--keeper-socket", keeper)
            .rest("--host", &self.host_command)
    }

    /// Reads what [`Options::to_arguments`] wrote: this is no interface for people.
    ///
    /// # Errors
    /// The option that is not known, or has no value.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let mut reader = OptionReader::new(arguments);
        while let Some(option) = reader.option() {
            match &*option {
                "--socket-directory" => options.socket_directory = reader.value()?.into(),
                "--host-socket" => options.host_socket = reader.value()?.into(),
                "--keeper-socket" => options.keeper = Some(reader.value()?.into()),
                "--first-process" => options.first_process = Some(reader.number()?),
                "--host" => options.host_command = reader.rest(),
                _ => return Err(reader.unknown()),
            }
        }
        Ok(options)
    }
}

/// Runs an instance's init with the process's arguments; tells on standard output when it serves.
#[must_use]
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    let arguments = arguments.iter().skip(1).cloned().map(OsString::from_vec);
    obey(Options::parse(arguments), start)
}

fn start(options: &Options) -> io::Result<()> {
    // Into the background, so that it is nobody's child: a command that waits for its children must
    // not wait for this one. In a session of its own it does not end with a terminal.
    if let winterop_sys::Fork::Parent(_) = winterop_sys::fork()? {
        return Ok(());
    }
    let _ = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve_instance(options))
}

async fn serve_instance(options: &Options) -> io::Result<()> {
    let own = std::process::id();
    let path = options.socket_directory.join(socket_name(own));
    let mut socket = ListeningSocket::bind(&path).map_err(io::Error::other)?;
    if own != 1 {
        socket.also_known_as(&options.socket_directory.join(SHARED_SOCKET))?;
    }
    let Some(listener) = socket.take_descriptor() else { return Ok(()) };
    let address = HostAddress {
        socket: options.host_socket.clone(),
        command: options.host_command.clone(),
        keeper: options.keeper.clone(),
        ..HostAddress::default()
    };
    if let Some(keeper) = &options.keeper {
        // Whoever starts the host in this instance asks the keeper, too.
        std::os::unix::fs::symlink(keeper, options.socket_directory.join(KEEPER_LINK))?;
    }
    // Before anybody is told that this init serves: from then on the first process may end, and its
    // pid be another's.
    let first_process = options.first_process.map(process_descriptor);
    let done = end_of_use(own, first_process);
    let_go(&options.host_socket.with_file_name(HOST_LOG));
    announce(&path)?;
    serve(listener, OfInstance::Own(Arc::new(HostLink::new(address))), Arc::default(), done).await
}

/// Is done when the instance is not used any more: a signal, or the first process and all others
/// that live in the instance have ended.
async fn end_of_use(own: u32, first_process: Option<Option<OwnedFd>>) {
    let ended = async {
        match first_process {
            Some(Some(process)) => wait_for_end(process).await,
            // It has ended already.
            Some(None) => {}
            None => std::future::pending().await,
        }
        while is_shared_with_others(own) {
            tokio::time::sleep(LEFTOVER_CHECK).await;
        }
    };
    tokio::select! {
        () = ended => {}
        () = terminated() => {}
    }
}

/// A descriptor of the process; `None` where it is gone.
fn process_descriptor(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::NONBLOCK).ok()
}

/// Waits on a thread of its own: the runtime's own wait for such descriptors is on its way out.
async fn wait_for_end(process: OwnedFd) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        use rustix::event::{PollFd, PollFlags, poll};
        // A pidfd can be read when its process has ended. No deadline: that may take days.
        while let Err(rustix::io::Errno::INTR) =
            poll(&mut [PollFd::new(&process, PollFlags::IN)], None)
        {}
        // Nobody waits any more where this init ends first.
        let _ = sender.send(());
    });
    let _ = receiver.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_a_command_line() {
        let options = Options {
            socket_directory: "/run/WSL".into(),
            host_socket: "/run/user/1000/winterop/interop".into(),
            first_process: Some(42),
            host_command: vec!["/usr/bin/winterop".into(), "--odd".into()],
            keeper: Some("/run/user/1000/winterop/keeper-42".into()),
        };
        assert_eq!(Options::parse(options.to_arguments()), Ok(options));
        assert!(Options::parse(["--what".into(), "x".into()]).is_err());
        assert!(Options::parse(["--host-socket".into()]).is_err());
    }
}
