//! Checks of the sockets: the runtime directory, `/run/WSL`, and which server a launch would find.

use crate::context::Context;
use crate::finding::{Finding, allow, remove};
use rustix::fd::AsFd as _;
use rustix::io::Errno;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use winterop_channel::unix::connect_path;
use winterop_interpreter::discovery::Rejection;
use winterop_interpreter::{CallerEnvironment, discovery};
use winterop_places::names::{SOCKET_DIRECTORY, SOCKET_SUFFIX};
use winterop_places::user;
use winterop_shell::variables;
use winterop_sys::{is_own_user, peer_credentials, system_error, unmapped_user};

/// The most sockets that are tried one by one.
const MOST: usize = 200;

pub(crate) fn runtime_directory(context: &Context) -> Finding {
    let error = match user::runtime() {
        Ok(path) => return Finding::good(path.display().to_string()),
        Err(error) => error,
    };
    let finding = Finding::error(&error.words());
    let path = user::runtime_path();
    let is_own = |data: &Metadata| data.is_dir() && data.uid() == context.uid;
    if !fs::symlink_metadata(&path).is_ok_and(|data| is_own(&data)) {
        return finding;
    }
    let mend = allow("700", &path);
    finding
        .with_mend(&*mend)
        .with_fix(mend, move |_| Ok(fs::set_permissions(&path, Permissions::from_mode(0o700))?))
}

pub(crate) fn directory(context: &Context) -> Finding {
    let path = Path::new(SOCKET_DIRECTORY);
    let Ok(data) = fs::symlink_metadata(path) else {
        let says = format!("{SOCKET_DIRECTORY} is not there: only the user's own socket is tried");
        return if context.is_expected() {
            Finding::wrong(says, context.renew())
        } else {
            Finding::note(says)
        };
    };
    if !data.is_dir() {
        let what = if data.is_symlink() { "a link to elsewhere" } else { "no directory" };
        let says = format!("{SOCKET_DIRECTORY} is {what}");
        return Finding::wrong(says, format!("rm {SOCKET_DIRECTORY} (as root)"));
    }
    if let Some(finding) = wrong_rights(context, &data) {
        return finding;
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.as_os_str().as_bytes().ends_with(SOCKET_SUFFIX.as_bytes()))
        .take(MOST)
        .collect();
    entries.sort();
    let looks: Vec<Look> = entries.iter().map(|path| look(path)).collect();
    sum_up(looks)
}

fn wrong_rights(context: &Context, data: &Metadata) -> Option<Finding> {
    let (owner, mode) = (data.uid(), data.mode() & 0o7777);
    let is_right = owner == 0 || owner == unmapped_user() || is_own_user(owner, context.uid);
    if !is_right {
        let says =
            format!("{SOCKET_DIRECTORY} belongs to uid {owner}, who can put any socket there");
        return Some(Finding::wrong(says, format!("chown root: {SOCKET_DIRECTORY} (as root)")));
    }
    if mode & 0o022 == 0 {
        return None;
    }
    let says = format!("{SOCKET_DIRECTORY} can be written by others (mode {mode:04o})");
    let mend = format!("chmod 755 {SOCKET_DIRECTORY}");
    let finding = Finding::wrong(says, format!("{mend} (as root)"));
    if owner != context.uid {
        return Some(finding);
    }
    Some(finding.with_fix(mend, |_| {
        Ok(fs::set_permissions(SOCKET_DIRECTORY, Permissions::from_mode(0o755))?)
    }))
}

/// What a socket is.
enum Look {
    Served(String),
    /// Nobody serves it any more.
    Left(PathBuf),
    /// It is not what its name says.
    Odd(String, PathBuf),
}

fn look(path: &Path) -> Look {
    let name = path.file_name().unwrap_or_default().display().to_string();
    let odd = |why: String| Look::Odd(format!("{name} {why}"), path.to_owned());
    let Ok(data) = fs::metadata(path) else { return Look::Left(path.to_owned()) };
    if !data.file_type().is_socket() {
        return odd("is not a socket".to_owned());
    }
    let connection = match connect_path(path.as_os_str().as_bytes()) {
        Ok(connection) => connection,
        Err(Errno::CONNREFUSED | Errno::NOENT) => return Look::Left(path.to_owned()),
        Err(error) => return odd(format!("cannot be reached: {}", system_error(error))),
    };
    // As a launch looks at it.
    let peer = match discovery::check_server(&connection, path.as_os_str().as_bytes()) {
        Ok(peer) => peer,
        Err(Rejection::ForeignServer(uid)) => {
            let peer = peer_credentials(connection.as_fd()).unwrap_or_default();
            let pid = peer.pid;
            let who = format!("uid {uid} (process {pid}), who is neither you nor root");
            return odd(format!("is served by {who}"));
        }
        Err(Rejection::Impostor { actual, .. }) => {
            return odd(format!("is served by process {actual}, which its name does not say"));
        }
        Err(rejection) => return odd(format!("is not believed: {rejection}")),
    };
    let (uid, pid) = (peer.uid, peer.pid);
    Look::Served(format!("{name}: process {pid}, uid {uid}"))
}

fn sum_up(looks: Vec<Look>) -> Finding {
    let (mut served, mut left, mut odd) = (Vec::new(), Vec::new(), Vec::new());
    for look in looks {
        match look {
            Look::Served(says) => served.push(says),
            Look::Left(path) => left.push(path),
            Look::Odd(says, path) => odd.push((says, path)),
        }
    }
    if let Some((_, path)) = odd.first() {
        let says = format!("sockets in {SOCKET_DIRECTORY} that are passed over: {}", odd.len());
        let details = odd.iter().map(|(says, _)| says.clone());
        return Finding::wrong(says, format!("{} (as root)", remove(path))).with_details(details);
    }
    if let Some(first) = left.first() {
        let says =
            format!("sockets in {SOCKET_DIRECTORY} that nobody serves any more: {}", left.len());
        let details = left.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let finding = Finding::note(says).with_details(details).with_mend(remove(first));
        return finding.with_fix("removed sockets that nobody serves", move |_| {
            left.iter().try_for_each(|path| Ok(fs::remove_file(path)?))
        });
    }
    let says = match served.len() {
        0 => format!("{SOCKET_DIRECTORY} is in order, and nobody serves there"),
        _ => format!("{SOCKET_DIRECTORY} is in order: {}", served.join("; ")),
    };
    Finding::good(says)
}

/// Says which server a launch from here would find.
pub(crate) fn server(context: &Context) -> Finding {
    let variables = variables::own();
    let environment = CallerEnvironment::new(variables.iter().map(Vec::as_slice));
    let named = environment.non_empty(b"WSL_INTEROP");
    match discovery::find(&environment, false) {
        Ok(found) => {
            let peer = peer_credentials(found.connection.as_fd()).unwrap_or_default();
            let path = PathBuf::from(std::ffi::OsString::from_vec(found.path.clone()));
            let says = format!("{}, process {}, uid {}", path.display(), peer.pid, peer.uid);
            match named.filter(|named| *named != found.path) {
                None => Finding::good(says),
                Some(named) => {
                    let named = String::from_utf8_lossy(named);
                    let says =
                        format!("WSL_INTEROP names {named}, which cannot be used; instead: {says}");
                    Finding::note(says).with_mend("unset WSL_INTEROP")
                }
            }
        }
        Err(attempts) => {
            let tried = discovery::describe(&attempts);
            let tried = tried.lines().map(str::trim).filter(|line| !line.is_empty());
            let tried: Vec<String> = tried.map(str::to_owned).collect();
            let says = "no interop server answers";
            let finding = if context.is_expected() {
                Finding::wrong(says, context.renew())
            } else {
                Finding::note(format!(
                    "{says}; `winterop run` and `winterop shell` start what they need"
                ))
            };
            finding.with_details(tried)
        }
    }
}
