//! A server in the background: how it says that it serves, and how it is told to end.

use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// Tells whoever started this server, on standard output, that it serves, and where. Nothing is said there
/// any more from then on.
///
/// # Errors
/// The system's.
pub fn announce(path: &Path) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(path.as_os_str().as_bytes())?;
    output.write_all(b"\n")?;
    output.flush()?;
    // Whoever reads it waits for the end of it too.
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null)?;
    Ok(())
}

/// Is done when this process is told to end.
pub async fn terminated() {
    let stream = |kind| signal(kind).ok();
    let (Some(mut terminate), Some(mut interrupt), Some(mut hangup)) = (
        stream(SignalKind::terminate()),
        stream(SignalKind::interrupt()),
        stream(SignalKind::hangup()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
}
