//! Sockets that servers listen on: made so that a dead leftover is replaced and a living one is not,
//! and removed on every way out.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use winterop_channel::unix::connect_path;
use winterop_words::{Failure, Words};

/// How many connections may wait to be accepted. 64 launches at once are a common build's.
const BACKLOG: i32 = 1024;

/// Why a server could not get its socket.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum SocketError {
    /// A living server has it.
    InUse(PathBuf),
    /// Something that is no socket bears the name.
    NotASocket(PathBuf),
    /// The system refused.
    System {
        /// Where it was to be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl SocketError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::InUse(path) => Failure::SocketInUse { path: &path.display() }.words(),
            Self::NotASocket(path) => Failure::NotASocket { path: &path.display() }.words(),
            Self::System { path, source } => {
                Failure::SocketRefused { path: &path.display(), error: source }.words()
            }
        }
    }
}

/// A listening socket whose file goes with it.
#[derive(Debug)]
pub struct ListeningSocket {
    descriptor: Option<OwnedFd>,
    path: PathBuf,
    links: Vec<PathBuf>,
}

impl ListeningSocket {
    /// Listens at `path`; a socket that nobody serves any more is replaced.
    ///
    /// # Errors
    /// A [`SocketError`]; an existing file that is no socket is left alone.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed =
            |error: Errno| SocketError::System { path: path.to_owned(), source: error.into() };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
        let address = SocketAddrUnix::new(path).map_err(failed)?;
        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                remove_leftover(path)?;
                bind(&socket, &address).map_err(failed)?;
            }
            result => result.map_err(failed)?,
        }
        listen(&socket, BACKLOG).map_err(failed)?;
        Ok(Self { descriptor: Some(socket), path: path.to_owned(), links: Vec::new() })
    }

    /// Makes `link` a symbolic link to this socket, as long as it exists. A link to a dead socket is
    /// replaced.
    ///
    /// # Errors
    /// The system's; `EEXIST` where `link` is something else or leads to a living server.
    pub fn also_known_as(&mut self, link: &Path) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        if std::fs::symlink_metadata(link).is_ok_and(|status| status.is_symlink())
            && connect_path(link.as_os_str().as_bytes()).is_err()
        {
            std::fs::remove_file(link)?;
        }
        std::os::unix::fs::symlink(name, link)?;
        self.links.push(link.to_owned());
        Ok(())
    }

    /// Gives the descriptor out, once; the file stays until this is dropped.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }

    /// Gives the descriptor out and leaves the file, which another process removes.
    #[must_use]
    pub fn leave_file(mut self) -> Option<OwnedFd> {
        let descriptor = self.descriptor.take();
        std::mem::forget(self);
        descriptor
    }

    /// What it listens on, until the descriptor is taken.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ListeningSocket {
    fn drop(&mut self) {
        for path in self.links.iter().chain([&self.path]) {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes the file of a socket that nobody serves.
fn remove_leftover(path: &Path) -> Result<(), SocketError> {
    use std::os::unix::fs::FileTypeExt as _;
    let failed = |source| SocketError::System { path: path.to_owned(), source };
    let status = std::fs::symlink_metadata(path).map_err(failed)?;
    if !status.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match connect_path(path.as_os_str().as_bytes()) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(failed),
        _ => Err(SocketError::InUse(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_leftover_is_replaced_and_a_living_server_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("7_interop");
        let mut first = ListeningSocket::bind(&path).unwrap();
        assert!(matches!(ListeningSocket::bind(&path), Err(SocketError::InUse(_))));
        // A server that was killed leaves its file behind.
        drop(first.take_descriptor());
        std::mem::forget(first);
        assert!(path.exists());
        let second = ListeningSocket::bind(&path).unwrap();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(ListeningSocket::bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_link_goes_with_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("1_interop");
        std::os::unix::fs::symlink("gone_interop", &link).unwrap();
        let mut socket = ListeningSocket::bind(&directory.path().join("9_interop")).unwrap();
        socket.also_known_as(&link).unwrap();
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("9_interop"));
        drop(socket);
        assert!(std::fs::symlink_metadata(&link).is_err());
    }
}
