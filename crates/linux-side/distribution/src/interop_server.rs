//! The interop servers of an instance: its init's, and one for each session.

use std::io;
use std::path::Path;
use std::sync::Arc;
use winterop_interop::{HostLink, OfInstance, serve};
use winterop_places::names::{SHARED_SOCKET, SOCKET_DIRECTORY, socket_name};
use winterop_serve::socket::ListeningSocket;
use winterop_serve::starting::HostAddress;
use winterop_settings::Switches;

/// Whether a server is found by those whose parents lead to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// By the number of its process alone.
    ByProcess,
    /// By the name that all look for, too.
    ByAll,
}

/// Serves this process's own socket, for as long as the runtime lives; the socket's file goes with what is
/// returned. None where Windows programs are switched off.
pub(crate) fn start(
    address: HostAddress,
    switches: Arc<Switches>,
    found: Found,
) -> io::Result<Option<ListeningSocket>> {
    if let Err(off) = switches.check() {
        tracing::info!(%off, "no interop server");
        return Ok(None);
    }
    let directory = Path::new(SOCKET_DIRECTORY);
    let path = directory.join(socket_name(std::process::id()));
    let mut socket = ListeningSocket::bind(&path).map_err(io::Error::other)?;
    open_to_all_users(&path)?;
    if found == Found::ByAll {
        socket.also_known_as(&directory.join(SHARED_SOCKET))?;
    }
    if let Some(listener) = socket.take_descriptor() {
        let users = OfInstance::of_this(Arc::new(HostLink::new(address)));
        tokio::spawn(async move {
            let never = std::future::pending();
            if let Err(error) = serve(listener, users, switches, never).await {
                tracing::error!(%error, "an interop server of the instance's has ended");
            }
        });
    }
    Ok(Some(socket))
}

/// Lets every user of the instance connect; who is served is the server's to say.
fn open_to_all_users(socket: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o777))
}
