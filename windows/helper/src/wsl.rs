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

use std::collections::VecDeque;
use std::ffi::OsString;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::windows::ffi::OsStringExt as _;
use std::os::windows::io::AsRawHandle as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

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
/// What stands behind our own name, as it was written: Wine gives a Linux program words.
const LINE_VARIABLE: &str = "WINTEROP_WINDOWS_LINE";
/// How long the Linux side may take to connect.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may take to show its token.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// How many may be about to show it.
const MOST_STRANGERS: usize = 16;
/// How long to wait before looking whether they have.
const PAUSE: Duration = Duration::from_millis(2);
/// The bytes of a token.
const TOKEN: usize = 32;
/// Linux's table of connections, by the name that Wine has for Linux's files.
const CONNECTIONS: &str = r"\\?\unix\proc\net\tcp";

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
    let digits = <[u8; TOKEN]>::try_from(token.as_bytes()).map_err(io::Error::other)?;
    let errors = if with_errors { " stderr" } else { "" };
    let value = format!("{} {token}{errors}", listener.local_addr()?.port());
    // SAFETY: on Windows the call is safe in itself, and no other thread runs yet.
    unsafe { std::env::set_var(VARIABLE, value) };
    // SAFETY: the same.
    unsafe { std::env::set_var(LINE_VARIABLE, OsString::from_wide(rest)) };
    interrupt::install(Interrupts::Shared)?;
    start(rest);
    let (connected, connections) = channel();
    thread::spawn(move || accept(&listener, &digits, &connected));
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
    let arguments = Arguments { relay, interrupts, application: Some(application), command_line };
    let started =
        Connections::make(relay).and_then(|connections| Process::start(&arguments, &connections));
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
///
/// Any process of the machine can connect. It holds up nobody and costs nothing but its place here: no
/// thread is made for it, and of too many that say nothing the oldest goes.
fn accept(listener: &TcpListener, token: &[u8; TOKEN], connected: &Sender<(u8, TcpStream)>) {
    let mut strangers = VecDeque::new();
    loop {
        // While somebody has yet to show the token nothing here may wait for the next one.
        let _ = listener.set_nonblocking(!strangers.is_empty());
        match listener.accept() {
            Ok((stream, peer)) if is_own(listener, peer) => {
                strangers.extend(Stranger::new(stream));
                if strangers.len() > MOST_STRANGERS {
                    strangers.pop_front();
                }
            }
            Ok(_) => {}
            Err(_) => thread::sleep(PAUSE),
        }
        let look = |stranger: Stranger| match stranger.look(token) {
            Look::Wait(stranger) => Some(stranger),
            Look::Drop => None,
            Look::Known(kind, stream) => {
                // Nobody waits any more: then nothing is lost.
                let _ = connected.send((kind, stream));
                None
            }
        };
        strangers = strangers.into_iter().filter_map(look).collect();
    }
}

/// A connection that has not shown its token.
struct Stranger {
    stream: TcpStream,
    said: [u8; TOKEN + 1],
    length: usize,
    since: Instant,
}

/// What has become of a stranger.
enum Look {
    Wait(Stranger),
    Drop,
    Known(u8, TcpStream),
}

impl Stranger {
    fn new(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        Some(Self { stream, said: [0; TOKEN + 1], length: 0, since: Instant::now() })
    }

    /// Reads what it has said meanwhile. It is judged by the whole token alone: whoever were told after
    /// each byte that it is wrong would soon know all of them.
    fn look(mut self, token: &[u8; TOKEN]) -> Look {
        while self.length < self.said.len() {
            match self.stream.read(&mut self.said[self.length..]) {
                Ok(0) => return Look::Drop,
                Ok(count) => self.length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let is_late = self.since.elapsed() > INTRODUCTION;
                    return if is_late { Look::Drop } else { Look::Wait(self) };
                }
                Err(_) => return Look::Drop,
            }
        }
        let [said @ .., kind] = self.said;
        match is_same(&said, token) && self.stream.set_nonblocking(false).is_ok() {
            true => Look::Known(kind, self.stream),
            false => Look::Drop,
        }
    }
}

/// Compares in a time that says nothing of where two differ.
fn is_same(left: &[u8; TOKEN], right: &[u8; TOKEN]) -> bool {
    let differ = |all: u8, (left, right): (&u8, &u8)| all | (left ^ right);
    std::hint::black_box(left.iter().zip(right).fold(0, differ)) == 0
}

/// Whether the process at the other end is of the same user, as Linux has it. Where its table cannot be
/// read the token alone decides.
fn is_own(listener: &TcpListener, peer: SocketAddr) -> bool {
    let Ok(own) = listener.local_addr() else { return false };
    let Ok(table) = std::fs::read_to_string(CONNECTIONS) else { return true };
    let mut owner = None;
    let mut caller = None;
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(remote), Some(state), Some(user)) =
            (words.get(1), words.get(2), words.get(3), words.get(7))
        else {
            continue;
        };
        let ends_in = |address: &str, port: u16| address.ends_with(&format!(":{port:04X}"));
        if *state == "0A" && ends_in(local, own.port()) {
            owner = Some((*user).to_owned());
        } else if ends_in(local, peer.port()) && ends_in(remote, own.port()) {
            caller = Some((*user).to_owned());
        }
    }
    // One that is gone already has no line; then there is nobody to be heard.
    owner.is_none() || owner == caller
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
