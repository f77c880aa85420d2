//! Finds the interop server: which sockets to try, in which order, and whom to believe.
//!
//! `$WSL_INTEROP` is a hint. Whatever goes wrong with one candidate, the next is tried; only when
//! none is left does the user hear of it, with the list of what was tried.

use crate::start::{CallerEnvironment, base_name};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{getpid, getuid};
use rustix::thread::nanosleep;
use rustix::time::Timespec;
use winterop_channel::unix::connect_path;
use winterop_places::names::{SOCKET_DIRECTORY, SOCKET_SUFFIX, socket_name};
use winterop_sys::{PeerCredentials, is_own_user, peer_credentials, unmapped_user};

/// Sockets whose server is believed although its uid has no mapping here, one path a line.
const TRUSTED_SOCKETS: &str = "/etc/winterop/trusted-sockets";

/// The most parents that are asked for; a chain can only be longer by design.
const MAX_PARENTS: usize = 256;

/// Why a candidate was passed over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The system could not connect.
    #[error("{}", crate::words::system_error(*.0))]
    System(Errno),
    /// The machine's server lets this user in no more, or not now.
    #[error(
        "Permission denied (os error 13): too many of your connections to it, or connections that \
         cannot be closed; wait a moment, and look at the server's log if it stays so"
    )]
    ShutOut,
    /// The server runs as somebody who may not serve this user.
    #[error("its server runs as uid {0}, which is neither you nor root")]
    ForeignServer(u32),
    /// The server's uid has no mapping in this user namespace, so it may be anybody.
    #[error(
        "its server's user is not known in this user namespace, and {TRUSTED_SOCKETS} does not name it"
    )]
    UnknownServer,
    /// It is in the directory where each socket's name says the process that serves it, and says none.
    #[error("its name does not begin with the number of a process")]
    Nameless,
    /// The name says another process than the one that serves.
    #[error("its server is process {actual}, but the name says {named}")]
    Impostor {
        /// The pid in the socket's name.
        named: i32,
        /// The pid that the kernel reports.
        actual: i32,
    },
}

/// One candidate that was passed over.
#[derive(Debug)]
pub struct Attempt {
    /// The socket's path.
    pub path: Vec<u8>,
    /// Why it was not used.
    pub rejection: Rejection,
}

/// A server that was found and is believed.
#[derive(Debug)]
pub struct Found {
    /// The connection to it.
    pub connection: OwnedFd,
    /// The path under which it was found.
    pub path: Vec<u8>,
}

/// The sockets to try, in their order, computed one at a time: the first one is nearly always right,
/// and the chain of parents costs a read a step.
struct Candidates<'a> {
    environment: &'a CallerEnvironment<'a>,
    /// Whether the environment may steer us (not with AT_SECURE).
    trusts_environment: bool,
    step: Step,
}

enum Step {
    Variable,
    Process { pid: i32, left: usize },
    User,
    UserOfLogin,
    UserElsewhere,
    Instance,
    Done,
}

fn socket_of(pid: i32) -> Vec<u8> {
    format!("{SOCKET_DIRECTORY}/{}", socket_name(pid)).into_bytes()
}

impl Candidates<'_> {
    /// The user's own socket in the runtime directory that the environment names.
    fn named_socket(&self) -> Option<Vec<u8>> {
        let runtime = self.environment.non_empty(b"XDG_RUNTIME_DIR");
        let directory = runtime.filter(|it| self.trusts_environment && !is_anothers(it))?;
        Some([directory, b"/winterop/interop"].concat())
    }

    /// The user's own socket in the directory that a login makes.
    fn login_socket() -> Vec<u8> {
        format!("/run/user/{}/winterop/interop", getuid().as_raw()).into_bytes()
    }

    /// The user's own socket on a machine that makes no runtime directories.
    fn temporary_socket() -> Vec<u8> {
        format!("/tmp/winterop-{}/interop", getuid().as_raw()).into_bytes()
    }
}

/// Whether a directory is there and is not the user's own, closed to others: under a `sudo` that keeps
/// variables it is another user's, and the user's own server is elsewhere.
fn is_anothers(directory: &[u8]) -> bool {
    let status = rustix::fs::statat(CWD, directory, AtFlags::SYMLINK_NOFOLLOW);
    status.is_ok_and(|status| {
        status.st_uid != getuid().as_raw()
            || status.st_mode & 0o077 != 0
            || FileType::from_raw_mode(status.st_mode) != FileType::Directory
    })
}

impl Iterator for Candidates<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.step {
                Step::Variable => {
                    let own = getpid().as_raw_nonzero().get();
                    self.step = Step::Process { pid: own, left: MAX_PARENTS };
                    let variable = self.environment.non_empty(b"WSL_INTEROP");
                    if let Some(path) = variable.filter(|_| self.trusts_environment) {
                        return Some(path.to_vec());
                    }
                }
                Step::Process { pid, left } => {
                    self.step = match parent_of(pid).filter(|_| left > 0) {
                        // The instance's own socket is tried last, whoever is process 1.
                        Some(parent) if parent > 1 => Step::Process { pid: parent, left: left - 1 },
                        _ => Step::User,
                    };
                    return Some(socket_of(pid));
                }
                Step::User => {
                    self.step = Step::UserOfLogin;
                    if let Some(path) = self.named_socket() {
                        return Some(path);
                    }
                }
                Step::UserOfLogin => {
                    self.step = Step::UserElsewhere;
                    return Some(Self::login_socket());
                }
                Step::UserElsewhere => {
                    self.step = Step::Instance;
                    return Some(Self::temporary_socket());
                }
                Step::Instance => {
                    self.step = Step::Done;
                    return Some(socket_of(1));
                }
                Step::Done => return None,
            }
        }
    }
}

/// Finds a server that answers and may be believed.
///
/// # Errors
/// Everything that was tried, where nothing was right.
pub fn find(environment: &CallerEnvironment<'_>, secure: bool) -> Result<Found, Vec<Attempt>> {
    let candidates = Candidates { environment, trusts_environment: !secure, step: Step::Variable };
    let mut attempts: Vec<Attempt> = Vec::new();
    for path in candidates {
        if attempts.iter().any(|attempt| attempt.path == path) {
            continue;
        }
        match try_socket(&path) {
            Ok(connection) => return Ok(Found { connection, path }),
            Err(rejection) => attempts.push(Attempt { path, rejection }),
        }
    }
    Err(attempts)
}

/// How long to wait before whoever shut this user out for a moment is tried again.
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 400_000_000 };

fn try_socket(path: &[u8]) -> Result<OwnedFd, Rejection> {
    let is_machines = path == socket_of(1);
    let mut connected = connect_path(path);
    if is_machines && matches!(connected, Err(Errno::ACCESS)) {
        // Its mode lets everybody in; somebody else's haste may have been taken for this user's.
        let _ = nanosleep(&MOMENT);
        connected = connect_path(path);
    }
    let connection = connected.map_err(|error| match error {
        Errno::ACCESS if is_machines => Rejection::ShutOut,
        error => Rejection::System(error),
    })?;
    check_server(&connection, path)?;
    Ok(connection)
}

/// Checks that the server behind `connection`, made to `path`, may serve this user, and says who it
/// is: it runs as the user or as root, and in the directory of sockets it is the process that the
/// socket's name says.
///
/// # Errors
/// Why it is not believed.
pub fn check_server(connection: impl AsFd, path: &[u8]) -> Result<PeerCredentials, Rejection> {
    let peer = peer_credentials(connection.as_fd()).map_err(Rejection::System)?;
    check_user(peer.uid, getuid().as_raw(), || is_named_as_trusted(path))?;
    if is_in_directory(path) {
        check_name(named_process(path), peer.pid)?;
    }
    Ok(peer)
}

/// Whether a server of `uid` may serve `own`. Both may show as the uid that stands for everybody who
/// has no mapping here; that does not make them the same.
fn check_user(uid: u32, own: u32, is_trusted: impl FnOnce() -> bool) -> Result<(), Rejection> {
    if uid == 0 || is_own_user(uid, own) {
        return Ok(());
    }
    if uid != unmapped_user() {
        return Err(Rejection::ForeignServer(uid));
    }
    if is_trusted() { Ok(()) } else { Err(Rejection::UnknownServer) }
}

/// Whether the process `actual` is the one that the name says; 0 stands for one in a pid namespace
/// that this one cannot see.
fn check_name(named: Option<i32>, actual: i32) -> Result<(), Rejection> {
    match named {
        None => Err(Rejection::Nameless),
        Some(named) if actual != 0 && named != actual => Err(Rejection::Impostor { named, actual }),
        Some(_) => Ok(()),
    }
}

/// Whether a path leads into the directory of sockets, however it is written: the directory that it
/// is in is the same.
fn is_in_directory(path: &[u8]) -> bool {
    let name = base_name(path);
    let parent = path.get(..path.len().saturating_sub(name.len())).unwrap_or_default();
    let parent = if parent.is_empty() { &b"."[..] } else { parent };
    let (Ok(parent), Ok(directory)) =
        (rustix::fs::stat(parent), rustix::fs::stat(SOCKET_DIRECTORY))
    else {
        // Without the directory nothing is in it; by its name it is, whatever was there a moment ago.
        return path.starts_with(b"/run/WSL/");
    };
    (parent.st_dev, parent.st_ino) == (directory.st_dev, directory.st_ino)
}

/// The pid that the name of an interop socket says, links followed: `/run/WSL/1_interop` may be a
/// link to the socket of an init that is not process 1.
fn named_process(path: &[u8]) -> Option<i32> {
    match rustix::fs::readlink(path, Vec::new()) {
        Ok(target) => parse_socket_name(base_name(target.as_bytes())),
        Err(_) => parse_socket_name(base_name(path)),
    }
}

fn parse_socket_name(name: &[u8]) -> Option<i32> {
    parse_number(name.strip_suffix(SOCKET_SUFFIX.as_bytes())?).filter(|pid| *pid > 0)
}

fn parse_number(digits: &[u8]) -> Option<i32> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether the machine's administrator has named `path` as one whose server is believed although
/// its uid has no mapping in this user namespace.
///
/// Root shows as unmapped there as well, so the file must belong to root or to nobody known, and
/// nobody but its owner may write it.
fn is_named_as_trusted(path: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let Ok(file) = rustix::fs::open(TRUSTED_SOCKETS, flags, Mode::empty()) else { return false };
    let Ok(status) = rustix::fs::fstat(&file) else { return false };
    let is_roots = status.st_uid == 0 || status.st_uid == unmapped_user();
    if !is_roots || status.st_mode & 0o022 != 0 {
        return false;
    }
    let text = read_limited(&file, 64 * 1024);
    text.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == path)
}

/// The parent of process `pid`; `None` where it is gone or hidden.
fn parent_of(pid: i32) -> Option<i32> {
    let path = format!("/proc/{pid}/stat");
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    parse_parent(&read_limited(&file, 1024))
}

/// The parent's pid in the text of `/proc/P/stat`: the second field after the last `)`, because a
/// process may have any name, `a) S 1 (b` too.
fn parse_parent(stat: &[u8]) -> Option<i32> {
    let behind = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = stat.get(behind..)?.split(u8::is_ascii_whitespace).filter(|f| !f.is_empty());
    parse_number(fields.nth(1)?)
}

/// Reads a file of `/proc`, at most `limit` bytes of it.
pub(crate) fn read_limited(file: impl AsFd, limit: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut length = 0;
    loop {
        if length == text.len() {
            text.resize((length * 2).clamp(1024, limit), 0);
        }
        let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) else { break };
        match rustix::io::read(&file, rest) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    text.truncate(length);
    text
}

/// Says what was tried, one line each.
#[must_use]
pub fn describe(attempts: &[Attempt]) -> String {
    attempts.iter().fold(String::new(), |mut text, attempt| {
        let path = String::from_utf8_lossy(&attempt.path);
        text.push_str(&format!("\n  {path}: {}", attempt.rejection));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_names_with_parentheses_and_spaces() {
        for name in ["bash", "bash )", "(bash(", "bash with spaces", "a) S 1 (b", ") R 9 9"] {
            let stat = format!("77 ({name}) S 42 77 77 0 -1 4194304\n");
            assert_eq!(parse_parent(stat.as_bytes()), Some(42), "{name}");
        }
        for bad in ["", "77", "77 (x", "77 (x)", "77 (x) S", "77 (x) S z"] {
            assert_eq!(parse_parent(bad.as_bytes()), None, "{bad}");
        }
    }

    /// The candidates with a runtime directory of these rights, and its path.
    fn candidates(name: &str, mode: u32) -> (Vec<Vec<u8>>, Vec<u8>) {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = std::env::temp_dir().join(format!("winterop-{name}-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(mode).create(&path).unwrap();
        let path_bytes = path.as_os_str().as_encoded_bytes().to_vec();
        let variable = [b"XDG_RUNTIME_DIR=", path_bytes.as_slice()].concat();
        let environment = CallerEnvironment::new([&b"WSL_INTEROP=/x"[..], &variable]);
        let candidates = Candidates {
            environment: &environment,
            trusts_environment: true,
            step: Step::Variable,
        };
        let candidates = candidates.collect();
        std::fs::remove_dir(&path).unwrap();
        (candidates, path_bytes)
    }

    #[test]
    fn f3_the_order_is_variable_own_pid_parents_user_instance() {
        let (paths, runtime) = candidates("own", 0o700);
        let own = getpid().as_raw_nonzero().get();
        assert_eq!(paths[0], b"/x");
        assert_eq!(paths[1], socket_of(own));
        assert_eq!(paths[2], socket_of(parent_of(own).unwrap()));
        assert_eq!(paths[paths.len() - 4], [&runtime[..], b"/winterop/interop"].concat());
        assert!(paths[paths.len() - 3].starts_with(b"/run/user/"));
        assert!(paths[paths.len() - 2].starts_with(b"/tmp/winterop-"));
        assert_eq!(paths[paths.len() - 1], b"/run/WSL/1_interop");
    }

    #[test]
    fn a_runtime_directory_that_is_not_the_users_own_is_passed_over() {
        let (paths, runtime) = candidates("open", 0o755);
        assert!(!paths.iter().any(|path| path.starts_with(&runtime)));
        assert!(paths[paths.len() - 3].starts_with(b"/run/user/"));
        assert!(is_anothers(b"/tmp") && !is_anothers(b"/nowhere"));
    }

    #[test]
    fn with_at_secure_the_environment_does_not_steer() {
        let environment = CallerEnvironment::new([&b"WSL_INTEROP=/x"[..], b"XDG_RUNTIME_DIR=/r"]);
        let candidates = Candidates {
            environment: &environment,
            trusts_environment: false,
            step: Step::Variable,
        };
        for path in candidates {
            assert!(!path.starts_with(b"/x") && !path.starts_with(b"/r/"));
        }
    }

    #[test]
    fn who_has_no_uid_here_is_believed_only_where_root_says_so() {
        let unmapped = unmapped_user();
        let check = |uid, own| check_user(uid, own, || false);
        assert_eq!(check(unmapped, unmapped), Err(Rejection::UnknownServer));
        assert_eq!(check(unmapped, 1000), Err(Rejection::UnknownServer));
        assert_eq!(check(1001, 1000), Err(Rejection::ForeignServer(1001)));
        assert_eq!(check(1001, unmapped), Err(Rejection::ForeignServer(1001)));
        assert_eq!(check(0, unmapped), Ok(()));
        assert_eq!(check(1000, 1000), Ok(()));
        assert_eq!(check_user(unmapped, unmapped, || true), Ok(()));
    }

    #[test]
    fn a_name_without_a_pid_is_nobodys() {
        assert_eq!(check_name(None, 7), Err(Rejection::Nameless));
        // Nor where the server cannot be seen.
        assert_eq!(check_name(None, 0), Err(Rejection::Nameless));
        assert_eq!(check_name(Some(7), 7), Ok(()));
        assert_eq!(check_name(Some(7), 0), Ok(()));
        assert_eq!(check_name(Some(7), 8), Err(Rejection::Impostor { named: 7, actual: 8 }));
    }

    #[test]
    fn the_pid_of_a_socket_is_in_its_name() {
        assert_eq!(parse_socket_name(b"12_interop"), Some(12));
        assert_eq!(parse_socket_name(b"x_interop"), None);
        assert_eq!(parse_socket_name(b"12"), None);
        assert_eq!(parse_socket_name(b"-1_interop"), None);
        assert_eq!(parse_socket_name(b"0_interop"), None);
    }
}
