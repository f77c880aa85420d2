//! `wsl.exe`: runs a Linux program for a Windows program, through Winterop's `wsl` on the Linux side.
//!
//! Wine starts Linux programs too, but gives whoever asked no handle to wait for, lets go of the
//! standard error that was wanted, and passes every variable. So `wsl` is told where to report: it
//! connects to a port of the loopback interface, which only who knows the token in the environment
//! may use, and tells there how the program ended. A standard error that is no console comes the
//! same way. Which variables the program gets, by `WSLENV`, is decided on the Linux side.
//!
//! # What goes over a connection
//! The token, 32 bytes; a byte that says what follows: `s`, then 4 bytes, little-endian, the exit
//! status, once there is one; or `e`, then standard error until it ends.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::windows::io::AsRawHandle as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use windows_sys::Win32::System::Console::GetConsoleMode;
use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;

use crate::arguments::{Arguments, Interrupts, Relay};
use crate::process::Process;
use crate::standard::Connections;
use crate::{end, fail, interrupt, status_for};

/// The link to the Linux program, beside `wsl.exe` itself; the host keeps it.
const LINUX_PROGRAM: &str = "\\winterop-wsl";
/// Where to report: `PORT TOKEN`, and ` stderr` where standard error is to come over the port.
const VARIABLE: &str = "WINTEROP_WINDOWS_CALLER";
/// How long the Linux side may take to connect.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may take to show its token.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// Whether this program was called as `wsl`.
pub(crate) fn is_wanted(name: &[u16]) -> bool {
    let stem = |name: &str| {
        let file = name.rsplit(['\\', '/']).next().unwrap_or_default().to_ascii_lowercase();
        file.strip_suffix(".exe").unwrap_or(&file) == "wsl"
    };
    let own = std::env::current_exe().unwrap_or_default();
    stem(&String::from_utf16_lossy(name)) || stem(&own.to_string_lossy())
}

/// Runs `wsl` with what stands behind our own name on the command line, and ends as it ends.
pub(crate) fn run(rest: &[u16]) -> ! {
    match report_of(rest) {
        Ok(status) => end(status),
        Err(error) => fail(126, error),
    }
}

fn report_of(rest: &[u16]) -> io::Result<u32> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let token = token();
    let with_errors = !is_console_or_nothing();
    let errors = if with_errors { " stderr" } else { "" };
    let value = format!("{} {token}{errors}", listener.local_addr()?.port());
    // SAFETY: on Windows the call is safe in itself, and no other thread runs yet.
    unsafe { std::env::set_var(VARIABLE, value) };
    interrupt::install(Interrupts::Shared)?;
    start(rest);
    let (connected, connections) = channel();
    thread::spawn(move || accept(&listener, token.as_bytes(), &connected));
    wait(&connections, with_errors)
}

/// 128 bits that nobody can guess, as 32 digits: a keyed hash whose keys Windows drew.
fn token() -> String {
    let draw = || RandomState::new().hash_one("winterop");
    format!("{:016x}{:016x}", draw(), draw())
}

/// A console's standard error is the terminal's, and the Linux program has that itself.
fn is_console_or_nothing() -> bool {
    let handle = io::stderr().as_raw_handle();
    let mut mode = 0;
    // SAFETY: the mode has its place; the call refuses what is no console's handle.
    handle.is_null() || unsafe { GetConsoleMode(handle, &mut mode) } != 0
}

fn start(rest: &[u16]) {
    let application = match system_directory() {
        Ok(directory) => directory.into_iter().chain(LINUX_PROGRAM.encode_utf16()).collect(),
        Err(error) => fail(126, format_args!("cannot find Windows' own directory: {error}")),
    };
    let command_line = "wsl ".encode_utf16().chain(rest.iter().copied()).collect();
    let none = Some(false);
    let relay = Relay { stdin: none, stdout: none, stderr: none, merged: false };
    let interrupts = Interrupts::Shared;
    let arguments =
        Arguments { relay, interrupts, application: Some(application), command_line };
    let started = Connections::make(relay)
        .and_then(|connections| Process::start(&arguments, &connections));
    if let Err(error) = started {
        let words = "cannot start Winterop's wsl on the Linux side; `winterop host stop` there, and \
                     the next launch, make its link anew";
        fail(status_for(&error), format_args!("{words}: {error}"));
    }
}

fn system_directory() -> io::Result<Vec<u16>> {
    let mut name = vec![0; 1024];
    // SAFETY: the buffer has the length that is given.
    let length = unsafe { GetSystemDirectoryW(name.as_mut_ptr(), name.len() as u32) } as usize;
    if length == 0 || length >= name.len() {
        return Err(io::Error::last_os_error());
    }
    name.truncate(length);
    Ok(name)
}

/// Takes connections, and hands on those that know the token. Ends with the process.
fn accept(listener: &TcpListener, token: &[u8], connected: &Sender<(u8, TcpStream)>) {
    for stream in listener.incoming().flatten() {
        let (token, connected) = (token.to_vec(), connected.clone());
        // One that says nothing holds up nobody else.
        thread::spawn(move || {
            if let Ok(connection) = introduced(stream, &token) {
                // Nobody waits any more: then nothing is lost.
                let _ = connected.send(connection);
            }
        });
    }
}

fn introduced(mut stream: TcpStream, token: &[u8]) -> io::Result<(u8, TcpStream)> {
    stream.set_read_timeout(Some(INTRODUCTION))?;
    let mut said = vec![0; token.len() + 1];
    stream.read_exact(&mut said)?;
    stream.set_read_timeout(None)?;
    match said.split_last() {
        Some((kind, said)) if said == token => Ok((*kind, stream)),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Waits for the exit status, and until standard error is delivered.
fn wait(connections: &Receiver<(u8, TcpStream)>, with_errors: bool) -> io::Result<u32> {
    let (mut status, mut errors) = (None, None);
    while status.is_none() || (with_errors && errors.is_none()) {
        let silent = |_| io::Error::other("Winterop's wsl on the Linux side does not report");
        match connections.recv_timeout(PATIENCE).map_err(silent)? {
            (b's', stream) => status = Some(stream),
            (b'e', stream) => errors = Some(thread::spawn(move || copy_errors(stream))),
            _ => {}
        }
    }
    let code = status.map_or(Ok(1), read_status);
    if let Some(errors) = errors {
        // What it could not write nobody can be told.
        let _ = errors.join();
    }
    code
}

fn copy_errors(mut stream: TcpStream) {
    // The reader is gone: the writer learns of it as the connection closes.
    let _ = io::copy(&mut stream, &mut io::stderr());
}

/// The exit status. It has no deadline: the program takes what it takes.
fn read_status(mut stream: TcpStream) -> io::Result<u32> {
    let mut code = [0; 4];
    let lost = |_| io::Error::other("Winterop's wsl on the Linux side was ended");
    stream.read_exact(&mut code).map_err(lost)?;
    Ok(u32::from_le_bytes(code))
}
