//! Finds out which interpreter the kernel starts: has it started for a file of two letters, and looks
//! at the process when it asks for a launch.
//!
//! Flag `F` makes the kernel keep the file that was there at registration, and shows it nowhere. What
//! it starts is that file. The interpreter is told by `WSL_INTEROP` to ask here; whoever connects is
//! known by its pid, and gets no answer.

use crate::finding::Mishap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd as _};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use winterop_places::user;
use winterop_serve::socket::ListeningSocket;

/// How long the interpreter may take from exec to its request; it takes a millisecond.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// The interpreter that the kernel has started.
pub(crate) struct Held {
    /// Its name, with ` (deleted)` where that is another file's by now.
    pub name: String,
    content: Vec<u8>,
}

impl Held {
    /// Whether it has the content of this file.
    pub(crate) fn is_same_as(&self, file: &Path) -> bool {
        fs::read(file).is_ok_and(|content| content == self.content)
    }
}

/// Has the kernel start the interpreter for a program that begins with `head`.
pub(crate) fn interpreter(head: &[u8]) -> Result<Held, Mishap> {
    let folder = user::runtime()?;
    let path = folder.join(format!("doctor-{}", std::process::id()));
    let mut socket = ListeningSocket::bind(&path)?;
    let listener = socket.take_descriptor().ok_or("the socket is gone")?;
    let program = memory(head).map_err(failed("a file to start cannot be made"))?;
    let name = format!("/proc/self/fd/{}", program.as_raw_fd());
    let child = Command::new(name)
        .env("WSL_INTEROP", &path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Ended(child.map_err(failed("exec"))?);
    let held = look(&listener, &mut child.0);
    drop(child);
    held
}

fn failed<E: Display>(what: &str) -> impl FnOnce(E) -> String + '_ {
    move |error| format!("{what}: {error}")
}

/// Ends the process with the probe.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file in memory that the child can name; nothing has to be writable or executable for it.
fn memory(head: &[u8]) -> Result<File, Errno> {
    let made = memfd_create("doctor.exe", MemfdFlags::EXEC);
    // Linux before 6.3 knows no such flag, and makes them executable.
    let made = made.or_else(|_| memfd_create("doctor.exe", MemfdFlags::empty()))?;
    let mut file = File::from(made);
    file.write_all(head).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(file)
}

fn look(listener: impl AsFd, child: &mut Child) -> Result<Held, Mishap> {
    let mut interest = [PollFd::new(&listener, PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut interest, Some(&PATIENCE)))? == 0 {
        return Err(format!("nothing came of it in {} s{}", PATIENCE.tv_sec, ended(child)).into());
    }
    let connection = rustix::net::accept(&listener)?;
    let pid = winterop_sys::peer_credentials(connection.as_fd())?.pid;
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    let name = fs::read_link(&exe).map_err(failed("the interpreter cannot be looked at"))?;
    let content = fs::read(&exe).map_err(failed("the interpreter cannot be read"))?;
    Ok(Held { name: name.display().to_string(), content })
}

fn ended(child: &mut Child) -> String {
    match child.try_wait() {
        Ok(Some(status)) => format!(" ({status})"),
        _ => String::new(),
    }
}
