//! A server in the background: how it says that it serves, and how it is told to end.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
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
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null)?;
    Ok(())
}

/// Lets go of what others may wait for or want to unmount, and this server would keep as long as it lives:
/// the directory and the standard error of whoever started it. What it has to say from here on is appended
/// to `log`; what cannot be opened is not written.
pub fn let_go(log: &Path) {
    let _ = std::env::set_current_dir("/");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(log);
    let other = log.or_else(|_| OpenOptions::new().write(true).open("/dev/null"));
    match other {
        Ok(other) => drop(rustix::stdio::dup2_stderr(other)),
        // A root without devices: what is said goes nowhere either.
        Err(_) => drop(winterop_sys::take_inherited(2)),
    }
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
