//! Sockets that servers listen on: made so that a dead leftover is replaced and a living one is not,
//! and removed on every way out.

use crate::presence::{Presence, presence};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, getsockname, listen, socket_with,
};
use std::fs::TryLockError;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use winterop_channel::unix::connect_path;
use winterop_words::{Failure, Words};

/// How many connections may wait to be accepted. 64 launches at once are a common build's. Whoever comes
/// when it is full waits for room; one who fills it makes others wait behind no more than these.
const BACKLOG: i32 = 128;

/// How long another may take that replaces a leftover beside us: it waits for a server's answer.
const LOCK_PATIENCE: Duration = Duration::from_secs(4);

/// How long to wait before the lock is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

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

impl From<SocketError> for Words {
    fn from(error: SocketError) -> Self {
        error.words()
    }
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
        let mut directory = Directory::of(path)?;
        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                directory.lock()?;
                replace_leftover(path, || bind(&socket, &address))?;
            }
            result => result.map_err(failed)?,
        }
        listen(&socket, BACKLOG).map_err(failed)?;
        // Until then it looks like one that nobody serves.
        drop(directory);
        Ok(Self { descriptor: Some(socket), path: path.to_owned(), links: Vec::new() })
    }

    /// Takes over a socket that another process of this user's has made at `path`, and still listens. Who
    /// connects from now on is told that this process serves.
    ///
    /// # Errors
    /// A [`SocketError`]: it is no socket that listens there.
    pub fn taken_over(socket: OwnedFd, path: &Path) -> Result<Self, SocketError> {
        let failed =
            |error: Errno| SocketError::System { path: path.to_owned(), source: error.into() };
        let address = SocketAddrUnix::try_from(getsockname(&socket).map_err(failed)?);
        let is_there = address.is_ok_and(|it| it.path_bytes() == Some(path.as_os_str().as_bytes()));
        if !is_there || !socket_acceptconn(&socket).map_err(failed)? {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        // The kernel notes who listens.
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

/// Binds where the file of a socket lies that nobody serves; in a locked directory, or of two that were
/// started at once the second would remove what the first has just made.
fn replace_leftover(
    path: &Path,
    bind: impl FnOnce() -> rustix::io::Result<()>,
) -> Result<(), SocketError> {
    remove_leftover(path)?;
    bind().map_err(|error| match error {
        // Somebody came who found no leftover.
        Errno::ADDRINUSE => SocketError::InUse(path.to_owned()),
        error => SocketError::System { path: path.to_owned(), source: error.into() },
    })
}

/// The directory of a socket that is being made, locked where several may make the same one.
struct Directory<'a> {
    file: std::fs::File,
    is_locked: bool,
    socket: &'a Path,
}

impl<'a> Directory<'a> {
    /// Opens the directory of `socket`. One that nobody else can read is locked at once. In others the
    /// names are those of processes, of which no two make the same, and whoever can read it could hold
    /// the lock.
    fn of(socket: &'a Path) -> Result<Self, SocketError> {
        use std::os::unix::fs::MetadataExt as _;
        let failed = |source| SocketError::System { path: socket.to_owned(), source };
        let file = std::fs::File::open(socket.parent().unwrap_or(Path::new("/")));
        let file = file.map_err(failed)?;
        let is_private = file.metadata().map_err(failed)?.mode() & 0o077 == 0;
        let mut directory = Self { file, is_locked: false, socket };
        if is_private {
            directory.lock()?;
        }
        Ok(directory)
    }

    /// Locks it, until it is dropped. Whoever can read it can hold the lock too, so the wait has an end.
    fn lock(&mut self) -> Result<(), SocketError> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        while !self.is_locked {
            match self.file.try_lock() {
                Ok(()) => self.is_locked = true,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(error) => {
                    let (path, source) = (self.socket.to_owned(), error.into());
                    return Err(SocketError::System { path, source });
                }
            }
        }
        Ok(())
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
    match presence(path) {
        Ok(Presence::Nobody) => match std::fs::remove_file(path) {
            // Its server has ended just now, and has taken it along.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(failed),
        },
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
    fn of_many_that_replace_a_leftover_one_listens() {
        use std::os::unix::fs::PermissionsExt as _;
        // In one that others can read no two make the same name.
        let private = std::fs::Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().permissions(private).tempdir().unwrap();
        let path = directory.path().join("7_interop");
        for _ in 0..50 {
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            let together = std::sync::Barrier::new(4);
            let one = || {
                together.wait();
                let mut socket = ListeningSocket::bind(&path);
                let listener = socket.as_mut().ok().and_then(ListeningSocket::take_descriptor);
                let server = listener.map(|listener| std::thread::spawn(|| answer(listener)));
                together.wait();
                if let Some(server) = server {
                    // Whoever says something ends it.
                    let end = connect_path(path.as_os_str().as_bytes()).unwrap_or_else(|error| {
                        panic!("{error}, and its server has ended: {}", server.is_finished())
                    });
                    rustix::io::write(&end, b"x").unwrap();
                    server.join().unwrap();
                }
                socket.map(drop)
            };
            let bound: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let listening = bound.iter().filter(|bound| bound.is_ok()).count();
            assert_eq!(listening, 1, "{bound:?}");
            assert!(!path.exists());
        }
    }

    /// Answers questions whether anybody serves, until somebody says something.
    fn answer(listener: OwnedFd) {
        use std::io::Read as _;
        let listener = std::os::unix::net::UnixListener::from(listener);
        listener.set_nonblocking(false).unwrap();
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            match connection.read(&mut [0]) {
                Ok(0) => crate::queries::tell_presence(&connection),
                Ok(_) => return,
                Err(error) => panic!("the server ends for {error}"),
            }
        }
    }

    #[test]
    fn a_socket_is_taken_over_by_who_was_given_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("interop");
        let first = ListeningSocket::bind(&path).unwrap();
        let given = first.leave_file().unwrap();
        let wrong = ListeningSocket::taken_over(given.try_clone().unwrap(), Path::new("/other"));
        assert!(matches!(wrong, Err(SocketError::NotASocket(_))));
        let (pair, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(ListeningSocket::taken_over(pair.into(), &path).is_err());
        let second = ListeningSocket::taken_over(given, &path).unwrap();
        connect_path(path.as_os_str().as_bytes()).unwrap();
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
