//! The starter: a process that starts programs for a host, because it has none of what peers have
//! passed.
//!
//! A program that is started gets a copy of every descriptor there is, and closes those that are not its
//! own; to close a file on a FUSE file system may never end. So where the host itself started a program,
//! a file that somebody else has passed could hold it up. The starter holds nothing. It forks for each
//! program a process that takes the program's own descriptors from the host, and becomes it. To the
//! kernel that process is the host's child.
//!
//! Where the starter is gone the host starts programs itself, as well as that can be done.

use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Pid;
use rustix::thread::{sched_getaffinity, sched_setaffinity};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use winterop_channel::Inbox;
use winterop_channel::unix::{Read, read_into, receive, send};
use winterop_sys::{CStrings, Directory, Fork, Spawn, SpawnError};

/// The name under which the starter runs.
pub const NAME: &str = "winterop-starter";

/// What is to be started.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The path to execute.
    pub program: &'a [u8],
    /// Its argv.
    pub arguments: Vec<Vec<u8>>,
    /// Its whole environment, but for what tells it of `report`.
    pub environment: Vec<Vec<u8>>,
    /// Its descriptors 0, 1 and 2; `None` is closed in the program.
    pub standard: [Option<BorrowedFd<'a>>; 3],
    /// A descriptor that it gets besides, and the variable that says its number.
    pub report: Option<(&'a str, BorrowedFd<'a>)>,
    /// The directory to start in.
    pub directory: Option<BorrowedFd<'a>>,
    /// The process whose processors it may use.
    pub caller: i32,
}

/// The host's side.
#[derive(Debug)]
pub struct Starter {
    control: Mutex<OwnedFd>,
    // It ends when the control connection does, and is waited for then.
    process: Child,
}

impl Starter {
    /// Starts `program`, which is the starter under the name [`NAME`].
    ///
    /// # Errors
    /// The system's.
    pub fn start(program: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (control, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let mut command = Command::new(program);
        command.arg0(NAME).stdin(theirs).stdout(Stdio::null());
        Ok(Self { control: Mutex::new(control), process: command.spawn()? })
    }

    /// Starts a program as this process's child, and returns once it runs.
    ///
    /// # Errors
    /// The system's; `EPIPE` where the starter is gone.
    pub fn spawn(&self, plan: &Plan<'_>) -> Result<Pid, Errno> {
        let flags = SocketFlags::CLOEXEC;
        let (own, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        self.pass(theirs)?;
        let (message, attached) = encode(plan);
        send(&own, &message, &attached)?;
        match answer(&own)? {
            Answer { pid: Some(pid), error: None } => Ok(pid),
            Answer { pid, error } => {
                if let Some(pid) = pid {
                    let _ =
                        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                }
                Err(error.unwrap_or(Errno::PIPE))
            }
        }
    }

    /// Gives the starter the connection on which the program's own process is told what to become.
    fn pass(&self, connection: OwnedFd) -> Result<(), Errno> {
        let control = self.control.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        send(&*control, &header(0), &[connection.as_fd()])
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        let control = self.control.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = rustix::net::shutdown(control, rustix::net::Shutdown::Both);
        let _ = self.process.wait();
    }
}

/// What the program's process says of itself: its pid, and an error if it did not become the program.
#[derive(Debug, Default)]
struct Answer {
    pid: Option<Pid>,
    error: Option<Errno>,
}

/// Reads up to the end, which comes when the program runs.
fn answer(connection: &OwnedFd) -> Result<Answer, Errno> {
    let mut bytes = [0; 8];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(connection, rest) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(Errno::INTR) => {}
            // What it was sent was not read to the end.
            Err(Errno::CONNRESET) => break,
            Err(error) => return Err(error),
        }
    }
    let number = |at: usize| bytes.get(at..at + 4).and_then(|it| it.try_into().ok());
    let [pid, error] = [number(0), number(4)].map(|it| it.map_or(0, i32::from_ne_bytes));
    let error = (length == 8).then(|| Errno::from_raw_os_error(error));
    Ok(Answer { pid: Pid::from_raw(pid).filter(|_| length >= 4), error })
}

/// The bytes of a message's header, as all of the protocol's have one.
const HEADER: usize = 16;
/// A type that never leaves host and starter.
const KIND: u32 = 0x5749_0100;

/// The header of a message with a body of this size.
fn header(body: usize) -> Vec<u8> {
    let size = u32::try_from(HEADER + body).unwrap_or(u32::MAX);
    let mut bytes = [KIND.to_le_bytes(), size.to_le_bytes()].concat();
    bytes.resize(HEADER, 0);
    bytes
}

/// Which descriptor is what, in the order in which they travel.
const DIRECTORY: u8 = 3;
const REPORT: u8 = 4;

fn encode<'a>(plan: &'a Plan<'_>) -> (Vec<u8>, Vec<BorrowedFd<'a>>) {
    let mut attached = Vec::new();
    let mut roles = Vec::new();
    let mut attach = |role: u8, descriptor: Option<BorrowedFd<'a>>| {
        if let Some(descriptor) = descriptor {
            attached.push(descriptor);
            roles.push(role);
        }
    };
    for (role, descriptor) in (0..).zip(plan.standard) {
        attach(role, descriptor);
    }
    attach(DIRECTORY, plan.directory);
    attach(REPORT, plan.report.map(|(_, descriptor)| descriptor));
    let name = plan.report.map_or("", |(name, _)| name).as_bytes();
    let mut body = plan.caller.to_le_bytes().to_vec();
    put_list(&mut body, [&*roles, plan.program, name]);
    put_list(&mut body, plan.arguments.iter().map(Vec::as_slice));
    put_list(&mut body, plan.environment.iter().map(Vec::as_slice));
    let mut message = header(body.len());
    message.extend_from_slice(&body);
    (message, attached)
}

fn put_list<'a>(out: &mut Vec<u8>, list: impl IntoIterator<Item = &'a [u8]>) {
    let entries: Vec<&[u8]> = list.into_iter().collect();
    out.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    for entry in entries {
        out.extend_from_slice(&(entry.len() as u64).to_le_bytes());
        out.extend_from_slice(entry);
    }
}

/// What an encoded plan says.
struct Decoded {
    caller: i32,
    roles: Vec<u8>,
    program: Vec<u8>,
    report: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
}

fn decode(message: &[u8]) -> Option<Decoded> {
    let mut rest = message.get(HEADER..)?;
    let caller = i32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?);
    let [roles, program, report] = take_list(&mut rest)?.try_into().ok()?;
    let arguments = take_list(&mut rest)?;
    let environment = take_list(&mut rest)?;
    Some(Decoded { caller, roles, program, report, arguments, environment })
}

fn take_list(rest: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let number = |rest: &mut &[u8]| {
        let bytes = rest.split_off(..8)?;
        usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()
    };
    let count = number(rest)?;
    let mut list = Vec::new();
    for _ in 0..count {
        let length = number(rest)?;
        list.push(rest.split_off(..length)?.to_vec());
    }
    Some(list)
}

/// Runs the starter, with the host's connection as standard input, until the host ends.
#[must_use]
pub fn run() -> ExitCode {
    let Some(control) = winterop_sys::take_inherited(0) else { return ExitCode::FAILURE };
    let _ = rustix::process::setsid();
    let mut inbox = Inbox::default();
    loop {
        // No deadline: the host starts programs when it is asked to.
        match read_into(&control, &mut inbox) {
            Ok(Read::Data(_)) => {}
            _ => return ExitCode::SUCCESS,
        }
        while let Ok(Some(frame)) = inbox.next_frame() {
            for connection in frame.descriptors {
                match winterop_sys::fork_sibling() {
                    Ok(Fork::Child) => become_what_is_told(&connection),
                    Ok(Fork::Parent(_)) => {}
                    // The host reads the end of the connection.
                    Err(error) => eprintln!("{NAME}: {}", winterop_sys::system_error(error)),
                }
            }
        }
    }
}

/// In the program's process: takes what it is to be from the host, and becomes it.
fn become_what_is_told(connection: &OwnedFd) -> ! {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let _ = rustix::io::write(connection, &own.to_ne_bytes());
    let error = match receive(connection, &mut Inbox::default(), None) {
        Ok(frame) => match decode(&frame.bytes) {
            Some(decoded) => become_program(decoded, frame.descriptors),
            None => Errno::INVAL,
        },
        Err(_) => Errno::PIPE,
    };
    let _ = rustix::io::write(connection, &error.raw_os_error().to_ne_bytes());
    winterop_sys::exit(127)
}

fn become_program(decoded: Decoded, descriptors: Vec<OwnedFd>) -> Errno {
    let of = |role: u8| {
        let at = decoded.roles.iter().position(|it| *it == role)?;
        descriptors.get(at).map(AsFd::as_fd)
    };
    let report = of(REPORT);
    let mut environment = decoded.environment;
    if let Some(report) = report {
        let number = report.as_raw_fd().to_string();
        environment.push([&decoded.report, &b"="[..], number.as_bytes()].concat());
    }
    // One that is gone, or cannot be seen from here, changes nothing.
    if let Some(processors) =
        Pid::from_raw(decoded.caller).and_then(|caller| sched_getaffinity(Some(caller)).ok())
    {
        let _ = sched_setaffinity(None, &processors);
    }
    let SpawnError { error, .. } = winterop_sys::become_program(&Spawn {
        program: &decoded.program,
        arguments: &CStrings::new(decoded.arguments.iter().map(Vec::as_slice)),
        environment: &CStrings::new(environment.iter().map(Vec::as_slice)),
        standard: [of(0), of(1), of(2)],
        inherited: report,
        directory: of(DIRECTORY).map(Directory::Open),
        login: None,
    });
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_arrives_as_it_was_sent() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let plan = Plan {
            program: b"/bin/sh",
            arguments: vec![b"sh".to_vec(), b"".to_vec(), b"a\n\xFF".to_vec()],
            environment: vec![b"A=".to_vec()],
            standard: [None, Some(null.as_fd()), None],
            report: Some(("R", null.as_fd())),
            directory: None,
            caller: -7,
        };
        let (message, attached) = encode(&plan);
        assert_eq!(attached.len(), 2);
        let mut inbox = Inbox::default();
        inbox.push(&message, []).unwrap();
        assert_eq!(inbox.next_frame().unwrap().unwrap().bytes, message);
        let decoded = decode(&message).unwrap();
        assert_eq!((decoded.caller, &*decoded.roles), (-7, &[1, REPORT][..]));
        assert_eq!((&*decoded.program, &*decoded.report), (&b"/bin/sh"[..], &b"R"[..]));
        assert_eq!((decoded.arguments, decoded.environment), (plan.arguments, plan.environment));
        for end in 0..message.len() {
            assert!(decode(&message[..end]).is_none());
        }
    }
}
