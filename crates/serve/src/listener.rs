//! Accepting connections: what one peer or a full table is to blame for does not end the listener.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::io;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How long to wait for descriptors to be closed where none is left.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening unix socket whose connections nobody has read from.
#[derive(Debug)]
pub struct Listener(AsyncFd<OwnedFd>);

impl Listener {
    /// Takes a listening socket over; it is switched to non-blocking.
    ///
    /// # Errors
    /// The system's, where it cannot be waited for.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self(AsyncFd::with_interest(socket, Interest::READABLE)?))
    }

    /// Accepts the next connection: non-blocking, close-on-exec, nothing read.
    ///
    /// # Errors
    /// The system's, where the listener itself is broken.
    pub async fn accept(&self) -> io::Result<OwnedFd> {
        loop {
            let mut ready = self.0.readable().await?;
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match ready.try_io(|socket| Ok(accept_with(socket.get_ref(), flags)?)) {
                // Nobody is there yet.
                Err(_) => {}
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => wait_out(error).await?,
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
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
