//! Names that all parts agree on, and that WSL has in the same places where it has them.

use alloc::format;
use alloc::string::String;
use core::fmt::Display;

/// Where the interpreter is, and init under the same name.
pub const INIT: &str = "/init";

/// Where the sockets of interop servers are.
pub const SOCKET_DIRECTORY: &str = "/run/WSL";

/// The name, beside the others, under which a launch that knows no process's server finds one: the
/// instance's, or the machine's.
pub const SHARED_SOCKET: &str = "1_interop";

/// What the name of a server's socket ends with, after the number of its process.
pub const SOCKET_SUFFIX: &str = "_interop";

/// The name of the socket that a process serves.
#[must_use]
pub fn socket_name(process: impl Display) -> String {
    format!("{process}{SOCKET_SUFFIX}")
}

/// The number of the process that serves a socket of this name; none where the name says none.
#[must_use]
pub fn process_of(socket_name: &str) -> Option<i32> {
    socket_name.strip_suffix(SOCKET_SUFFIX)?.parse().ok()
}

/// The name of the host's socket in the runtime directory; it is the user's own interop server too.
pub const HOST_SOCKET: &str = "interop";

/// The name, beside the host's socket, of the log of the host and of what serves `winterop shell`'s
/// instances.
pub const HOST_LOG: &str = "host.log";

/// The name by which the `init` binary is called as the leader of a session.
pub const SESSION_LEADER: &str = "session-leader";

/// Beside an instance's sockets, a link to the socket of its keeper.
pub const KEEPER_LINK: &str = "keeper";
