//! Accepting connections: what one peer or a full table is to blame for does not end the listener.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// How long to wait for descriptors to be closed where none is left.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening unix socket.
#[derive(Debug)]
pub struct Listener(UnixListener);

impl Listener {
    /// Takes a listening socket over; it is switched to non-blocking.
    ///
    /// # Errors
    /// The system's, where it cannot be waited for.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(Self(UnixListener::from_std(listener)?))
    }

    /// Where it is in the file system; none where it is not.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.0.local_addr().ok()?.as_pathname().map(ToOwned::to_owned)
    }

    /// Accepts the next connection: nothing of it is read. Cancel-safe.
    ///
    /// # Errors
    /// The system's, where the listener itself is broken.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            match self.0.accept().await {
                Ok((connection, _)) => return Ok(connection),
                Err(error) => wait_out(error).await?,
            }
        }
    }
}

/// Waits until it makes sense to try again, or says that it never will.
async fn wait_out(error: io::Error) -> io::Result<()> {
    match Errno::from_io_error(&error) {
        Some(Errno::INTR | Errno::CONNABORTED) => Ok(()),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
            tracing::warn!(%error, "no descriptors are left; waiting for some to be closed");
            tokio::time::sleep(PAUSE).await;
            Ok(())
        }
        _ => Err(error),
    }
}
