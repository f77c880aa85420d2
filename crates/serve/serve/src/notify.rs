//! What systemd is told by its services, and whether it is there.

use rustix::process::Pid;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

/// Whether systemd runs this machine, by the sign that it gives itself.
#[must_use]
pub fn systemd_runs_this_machine() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Tells systemd that this service is ready; does nothing where nobody asks.
///
/// # Errors
/// The system's.
pub fn ready() -> io::Result<()> {
    tell(b"READY=1")
}

/// Tells systemd that another process goes on with this service; does nothing where nobody asks.
///
/// # Errors
/// The system's.
pub fn main_process(process: Pid) -> io::Result<()> {
    tell(format!("MAINPID={}", process.as_raw_nonzero()).as_bytes())
}

fn tell(state: &[u8]) -> io::Result<()> {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match address.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&address)?,
    };
    // With a new socket each time: a service that can open nothing any more serves nobody, and is not
    // said to live.
    UnixDatagram::unbound()?.send_to_addr(state, &address).map(drop)
}

/// Tells systemd again and again that this service lives, for as long as its tasks get their turn; is
/// done at once where nobody asks.
pub async fn stay_alive() {
    let microseconds = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
    let Some(microseconds) = microseconds.filter(|it| *it > 0) else { return };
    // Twice within the time, as systemd asks for.
    let mut interval = tokio::time::interval(Duration::from_micros(microseconds) / 2);
    loop {
        interval.tick().await;
        if let Err(error) = tell(b"WATCHDOG=1") {
            tracing::warn!(%error, "systemd cannot be told that this lives");
        }
    }
}
