//! A server that misbehaves: for faults that a real one cannot be made to show.

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use winterop_channel::Inbox;
use winterop_channel::unix::receive;

/// A server on a socket of its own that serves one connection as it is told.
pub struct FakeServer {
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// Listens at `path` and does `serve` with the first connection.
    pub fn new(path: PathBuf, serve: impl FnOnce(UnixStream) + Send + 'static) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || {
            if let Ok((connection, _)) = listener.accept() {
                serve(connection);
            }
        });
        Self { path, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        // Wakes a server that nobody came to.
        drop(UnixStream::connect(&self.path));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Takes the client's request off a connection.
pub fn take_request(connection: &UnixStream) {
    receive(connection, &mut Inbox::default(), None).unwrap();
}

/// Sends raw bytes to the socket at `path` and returns what comes back until it is closed.
pub fn send_raw(path: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut connection = UnixStream::connect(path).unwrap();
    // A server may refuse before it has read all.
    let _ = connection.write_all(bytes);
    let _ = connection.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    answer
}

/// Makes a socket file at `path` that nobody serves, as a killed server leaves one.
pub fn leave_dead_socket(path: &Path) {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
}
