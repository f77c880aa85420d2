//! What a guest may say of how its program runs: a caller whom a rule lets in, from a container or
//! another user, and whose programs run as somebody else or where it cannot see.
//!
//! Variables steer programs, and nobody can list all that do. So the names are listed that steer
//! none, and a rule may add others (`variables`); everything else a guest has set is left out. What it
//! has asked for beside WSLENV goes the same way.

use crate::request::LaunchRequest;
use crate::variables::{may_be_passed, split};
use rustix::fd::BorrowedFd;
use rustix::net::getsockname;
use std::os::unix::ffi::OsStrExt as _;
use winterop_settings::machine::GUESTS;
use winterop_translate::groups;
use winterop_translate::wslenv;

/// Names that a guest may set: what a program may write to a terminal, and that nobody watches it.
const ALLOWED: [&[&[u8]]; 2] = [groups::TERMINAL, groups::CI];

/// Names that a rule's patterns never let through: the Windows side puts them before its own, or reads
/// them itself. What steers the loader and the C library no caller can set (`may_be_passed`).
const NEVER: [&[u8]; 6] = [b"PATH", b"PWD", b"HOME", b"QT_", b"VK_", b"WSLENV"];

/// Takes from a guest's request what would steer programs on this side. `variables` are the rule's
/// patterns.
pub fn restrict(request: &mut LaunchRequest, variables: &[String]) {
    let is_allowed = |name: &[u8]| is_allowed(name, variables);
    let is_kept =
        |entry: &Vec<u8>| split(entry).is_some_and(|(name, _)| is_allowed(name.as_bytes()));
    // Display, runtime directory, the Windows side's own messages, and what the settings pass: the host's user
    // has their own.
    request.linux_variables.clear();
    for list in [&mut request.raw_wslenv, &mut request.set] {
        list.retain(is_kept);
    }
    request.unset.retain(|name| is_allowed(name));
    for entry in &mut request.environment {
        if let Some(list) = entry.strip_prefix(b"WSLENV=") {
            *entry = [b"WSLENV=", &*listed(list, is_allowed)].concat();
        }
    }
    request.environment.retain(|entry| entry.starts_with(b"WSLENV=") || is_kept(entry));
}

/// A WSLENV with only what is allowed.
fn listed(wslenv: &[u8], is_allowed: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let is_kept = |entry: &&[u8]| wslenv::entries(entry).any(|listed| is_allowed(listed.name));
    wslenv.split(|byte| *byte == b':').filter(is_kept).collect::<Vec<_>>().join(&b':')
}

fn is_allowed(name: &[u8], patterns: &[String]) -> bool {
    let upper = name.to_ascii_uppercase();
    let is_never = NEVER.iter().any(|it| match it.strip_suffix(b"_") {
        Some(_) => upper.starts_with(it),
        None => upper == *it,
    });
    if is_never || !may_be_passed(&upper) {
        return false;
    }
    let is_named = |pattern: &String| match pattern.strip_suffix('*') {
        Some(start) => upper.starts_with(start.to_ascii_uppercase().as_bytes()),
        None => upper == pattern.to_ascii_uppercase().as_bytes(),
    };
    ALLOWED.into_iter().flatten().any(|known| *known == name) || patterns.iter().any(is_named)
}

/// Whether a client has come by a socket that only guests are given, whoever it is: the kernel says
/// where the socket listens that took its connection.
#[must_use]
pub fn came_by_guests_socket(connection: BorrowedFd<'_>) -> bool {
    let address = getsockname(connection).ok();
    let address = address.and_then(|it| rustix::net::SocketAddrUnix::try_from(it).ok());
    let path = address.as_ref().and_then(|address| address.path_bytes());
    path.and_then(|path| path.strip_prefix(GUESTS.as_bytes()))
        .is_some_and(|it| it.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd as _;

    fn list(entries: &[&str]) -> Vec<Vec<u8>> {
        entries.iter().map(|entry| entry.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_guests_variables_are_those_on_the_list() {
        let mut request = LaunchRequest {
            environment: list(&[
                "WSLENV=PATH/l:FOO:TERM/w:NODE_OPTIONS:BUILD_ID:BUILD_DIR/p:HOME:XDG_DATA_HOME/p",
                "PATH=\\\\x",
                "FOO=1",
                "TERM=xterm",
                "NODE_OPTIONS=--require evil",
                "BUILD_ID=7",
                "HOME=/evil",
                "Path=/evil",
                "wineprefix=/evil",
            ]),
            raw_wslenv: list(&["PATH=/x", "BUILD_DIR=/src", "XDG_DATA_HOME=/evil"]),
            linux_variables: list(&["DISPLAY=evil:0", "TERM=x", "http_proxy=evil"]),
            set: list(&["LD_PRELOAD=/evil", "NO_COLOR=1", "WINEDLLOVERRIDES=x", "PYTHONPATH=x"]),
            unset: list(&["CI", "WINEDEBUG"]),
            ..LaunchRequest::default()
        };
        restrict(&mut request, &["BUILD_*".into()]);
        let expected = list(&["WSLENV=TERM/w:BUILD_ID:BUILD_DIR/p", "TERM=xterm", "BUILD_ID=7"]);
        assert_eq!(request.environment, expected);
        assert_eq!(request.raw_wslenv, list(&["BUILD_DIR=/src"]));
        assert_eq!(request.set, list(&["NO_COLOR=1"]));
        assert_eq!(request.unset, list(&["CI"]));
        assert!(request.linux_variables.is_empty());
    }

    #[test]
    fn no_pattern_lets_a_guest_steer_this_side() {
        let patterns: Vec<String> =
            ["P*", "H*", "L*", "W*", "X*", "T*", "D*", "PATH", "Q*", "ld_*", "G*", "M*"]
                .map(String::from)
                .into();
        for name in [
            "PATH",
            "Path",
            "HOME",
            "LD_PRELOAD",
            "ld_library_path",
            "LC_ALL",
            "WINEPREFIX",
            "WineDebug",
            "WSLENV",
            "WINTEROP_X",
            "XDG_RUNTIME_DIR",
            "TMPDIR",
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "XAUTHORITY",
            "QT_PLUGIN_PATH",
            "PWD",
            "LANG",
            "GCONV_PATH",
            "MALLOC_PERTURB_",
            "GST_PLUGIN_PATH",
        ] {
            assert!(!is_allowed(name.as_bytes(), &patterns), "{name}");
        }
        assert!(is_allowed(b"PROJECT", &patterns));
    }

    #[test]
    fn the_socket_that_was_connected_to_says_who_is_a_guest() {
        use std::os::unix::net::{UnixListener, UnixStream};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1_interop");
        let listener = UnixListener::bind(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert!(!came_by_guests_socket(server.as_fd()));
        let address = getsockname(server.as_fd()).unwrap();
        let address = rustix::net::SocketAddrUnix::try_from(address).unwrap();
        assert_eq!(address.path_bytes(), Some(path.as_os_str().as_bytes()));
        let (pair, _other) = UnixStream::pair().unwrap();
        assert!(!came_by_guests_socket(pair.as_fd()));
    }
}
