//! The starter: a process that starts programs for whoever serves peers, because it has none of what
//! those have passed.
//!
//! A program that is started gets a copy of every descriptor there is, and closes those that are not its
//! own; to close a file on a FUSE file system may never end. So where a server itself started a
//! program, a file that somebody has passed could hold it up. The starter holds nothing. It forks for
//! each program a process that takes the program's own descriptors from the server, and becomes it. To
//! the kernel that process is the server's child.
//!
//! Where the starter is gone the server starts programs itself, as well as that can be done.

use crate::own_terms;
use crate::wait::until_readable;
use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Gid, Pid, Signal, Uid, WaitOptions, kill_process, waitpid};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use winterop_channel::Inbox;
use winterop_channel::unix::{Read, read_into, receive, send};
use winterop_sys::{CStrings, Closed, Directory, Fork, Login, Spawn, SpawnError};

/// The name under which the starter runs.
pub const NAME: &str = "winterop-starter";

/// How long a program may take until it runs, where somebody waits for it who serves others, too.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long the starter may take to take what is sent to it.
const LONGEST: Duration = Duration::from_secs(30);

/// As whom a program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsAs {
    /// The user.
    pub user: u32,
    /// The user's own group.
    pub group: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

impl RunsAs {
    fn to_ids(&self) -> Vec<[u8; 4]> {
        let own = [self.user, self.group];
        own.iter().chain(&self.groups).map(|id| id.to_le_bytes()).collect()
    }

    fn from_ids(ids: &[Vec<u8>]) -> Option<Self> {
        let id = |bytes: &Vec<u8>| Some(u32::from_le_bytes(bytes.as_slice().try_into().ok()?));
        let ids: Option<Vec<u32>> = ids.iter().map(id).collect();
        match ids?.as_slice() {
            [user, group, groups @ ..] => {
                Some(Self { user: *user, group: *group, groups: groups.to_vec() })
            }
            _ => None,
        }
    }
}

/// How many files a program may have open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenFiles {
    /// As many as programs usually may.
    #[default]
    Usual,
    /// As many as the system allows: it serves many others.
    Most,
}

/// What is to be started.
#[derive(Debug, Default)]
pub struct ProgramStart<'a> {
    /// The path to execute.
    pub program: &'a [u8],
    /// Its argv.
    pub arguments: Vec<Vec<u8>>,
    /// Its whole environment, but for what tells it of `report`.
    pub environment: Vec<Vec<u8>>,
    /// Its descriptors 0, 1 and 2; `None` fails in the program as a closed one does.
    pub standard: [Option<BorrowedFd<'a>>; 3],
    /// A descriptor that it gets besides, and the variable that says its number.
    pub report: Option<(&'a str, BorrowedFd<'a>)>,
    /// The directory to start in.
    pub directory: Option<BorrowedFd<'a>>,
    /// The process whose processors it may use, and whose umask it has; 0 for this process's own.
    pub caller: i32,
    /// How many files it may have open.
    pub open_files: OpenFiles,
    /// As whom it runs; `None` for this process's own user.
    pub runs_as: Option<RunsAs>,
    /// How long it may take until it runs. Without a limit a program is waited for that lies on a disk
    /// that does not answer.
    pub patience: Option<Duration>,
}

/// The server's side.
#[derive(Debug)]
pub struct Starter {
    control: Mutex<OwnedFd>,
    /// It ends when the control connection does, and is waited for then.
    process: Pid,
}

impl Starter {
    /// Starts `program`, which is the starter under the name [`NAME`].
    ///
    /// # Errors
    /// The system's.
    pub fn start(program: &Path) -> io::Result<Self> {
        let (control, theirs) = connection()?;
        set_socket_timeout(&control, Timeout::Send, Some(PATIENCE))?;
        let mut command = Command::new(program);
        // Whoever waits for the end of this process's output does not wait for the starter's.
        command.arg0(NAME).stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
        // Nobody else asks how it ended.
        let process = Pid::from_child(&command.spawn()?);
        Ok(Self { control: Mutex::new(control), process })
    }

    /// Starts a program as this process's child, and returns once it runs.
    ///
    /// # Errors
    /// The system's; `EPIPE` where the starter is gone, `ETIMEDOUT` for one that takes too long.
    pub fn spawn(&self, plan: &ProgramStart<'_>) -> Result<Pid, Errno> {
        let (own, theirs) = connection()?;
        // No time at all would stand for any time.
        let longest = plan.patience.unwrap_or(LONGEST).max(Duration::from_millis(1));
        set_socket_timeout(&own, Timeout::Send, Some(longest))?;
        self.pass(theirs)?;
        let (message, attached) = encode(plan);
        let deadline = plan.patience.map(|patience| Instant::now() + patience);
        match send(&own, &message, &attached).and_then(|()| answer(&own, deadline)) {
            Ok(Answer { pid: Some(pid), error: None }) => Ok(pid),
            Ok(Answer { pid: Some(pid), error: Some(error) }) if error != Errno::TIMEDOUT => {
                let _ = waitpid(Some(pid), WaitOptions::empty());
                Err(error)
            }
            Ok(Answer { pid, error }) => {
                bury(own, pid);
                Err(error.unwrap_or(Errno::PIPE))
            }
            Err(error) => {
                bury(own, None);
                Err(if error == Errno::AGAIN { Errno::TIMEDOUT } else { error })
            }
        }
    }

    /// Gives the starter the connection on which the program's own process is told what to become.
    fn pass(&self, connection: OwnedFd) -> Result<(), Errno> {
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        send(&*control, &header(0), &[connection.as_fd()])
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        let control = self.control.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = rustix::net::shutdown(control, rustix::net::Shutdown::Both);
        let _ = waitpid(Some(self.process), WaitOptions::empty());
    }
}

fn connection() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Starts a program by `starter`, or by this process itself where there is none any more.
///
/// # Errors
/// The system's.
pub fn start(starter: Option<&Starter>, plan: &ProgramStart<'_>) -> Result<Pid, Errno> {
    match starter.map(|starter| starter.spawn(plan)) {
        Some(Err(Errno::PIPE)) | None => start_here(plan),
        Some(started) => started,
    }
}

/// A program that was started, until somebody has waited for its end.
#[derive(Debug)]
pub struct StartedProgram {
    pid: Pid,
    ended: Option<ExitStatus>,
}

impl StartedProgram {
    /// Starts it, as [`start`] does.
    ///
    /// # Errors
    /// The system's.
    pub fn start(starter: Option<&Starter>, plan: &ProgramStart<'_>) -> io::Result<Self> {
        Ok(Self { pid: start(starter, plan)?, ended: None })
    }

    /// Its process; another one's, perhaps, as soon as it was waited for.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its status, if it has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.wait_with(WaitOptions::NOHANG)
    }

    /// Waits for its end. No deadline: whoever has one looks at its pidfd first.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.wait_with(WaitOptions::empty())
    }

    /// Ends it by force, if nobody has waited for it yet.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }

    fn wait_with(&mut self, options: WaitOptions) -> io::Result<Option<ExitStatus>> {
        while self.ended.is_none() {
            match waitpid(Some(self.pid), options) {
                Err(Errno::INTR) => {}
                Ok(None) => break,
                Ok(Some((_, status))) => self.ended = Some(ExitStatus::from_raw(status.as_raw())),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.ended)
    }
}

/// Starts it as this process's own child, without the starter.
fn start_here(plan: &ProgramStart<'_>) -> Result<Pid, Errno> {
    let mut environment = plan.environment.clone();
    if let Some((name, report)) = plan.report {
        environment.push(format!("{name}={}", report.as_raw_fd()).into_bytes());
    }
    let _processors = Processors::of_caller(plan.caller);
    let groups = plan.runs_as.as_ref().map(groups_of);
    winterop_sys::spawn(&Spawn {
        program: plan.program,
        arguments: &CStrings::new(plan.arguments.iter().map(Vec::as_slice)),
        environment: &CStrings::new(environment.iter().map(Vec::as_slice)),
        standard: plan.standard,
        closed: Closed::Occupied,
        inherited: plan.report.map(|(_, report)| report),
        directory: plan.directory.map(Directory::Open),
        login: plan.runs_as.as_ref().map(|it| login(it, groups.as_deref())),
    })
    .map_err(Errno::from)
}

fn groups_of(runs_as: &RunsAs) -> Vec<Gid> {
    runs_as.groups.iter().copied().map(Gid::from_raw).collect()
}

fn login<'a>(runs_as: &RunsAs, groups: Option<&'a [Gid]>) -> Login<'a> {
    Login {
        user: Uid::from_raw(runs_as.user),
        group: Gid::from_raw(runs_as.group),
        groups,
        terminal: None,
        umask: Mode::from_raw_mode(0o022),
        orphaned: None,
    }
}

/// Ends a process that did not become its program, and takes its end. That may hang: to close what it was
/// given, or to open its program, may take as long as somebody likes; and one that the starter has not
/// made yet says only later who it is.
fn bury(connection: OwnedFd, pid: Option<Pid>) {
    let work = move || {
        // No deadline: the connection ends with the process, or with the starter.
        let pid = pid.or_else(|| answer(&connection, None).ok().and_then(|answer| answer.pid));
        if let Some(pid) = pid {
            // Nobody has waited for it, so the pid is still its own.
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
    };
    let buried = std::thread::Builder::new().name("burying".into()).stack_size(64 * 1024);
    if let Err(error) = buried.spawn(work) {
        tracing::warn!(%error, "an ended process is left over");
    }
}

/// What the program's process says of itself: its pid, and an error if it did not become the program.
#[derive(Debug, Default)]
struct Answer {
    pid: Option<Pid>,
    error: Option<Errno>,
}

/// Reads up to the end, which comes when the program runs; until `deadline`, where there is one.
fn answer(connection: &OwnedFd, deadline: Option<Instant>) -> Result<Answer, Errno> {
    let mut bytes = [0; 8];
    let mut length = 0;
    let mut late = false;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        if let Some(deadline) = deadline
            && !until_readable(connection, deadline)?
        {
            late = true;
            break;
        }
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
    let error = error.or(late.then_some(Errno::TIMEDOUT));
    Ok(Answer { pid: Pid::from_raw(pid).filter(|_| length >= 4), error })
}

/// The bytes of a message's header, as all of the protocol's have one.
const HEADER: usize = 16;
/// A type that never leaves server and starter.
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

fn encode<'a>(plan: &'a ProgramStart<'_>) -> (Vec<u8>, Vec<BorrowedFd<'a>>) {
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
    body.push(u8::from(plan.open_files == OpenFiles::Most));
    put_list(&mut body, [&*roles, plan.program, name]);
    put_list(&mut body, plan.arguments.iter().map(Vec::as_slice));
    put_list(&mut body, plan.environment.iter().map(Vec::as_slice));
    let ids = plan.runs_as.as_ref().map(RunsAs::to_ids).unwrap_or_default();
    put_list(&mut body, ids.iter().map(<[u8; 4]>::as_slice));
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
    open_files: OpenFiles,
    roles: Vec<u8>,
    program: Vec<u8>,
    report: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    runs_as: Option<RunsAs>,
}

fn decode(message: &[u8]) -> Option<Decoded> {
    let mut rest = message.get(HEADER..)?;
    let caller = i32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?);
    let open_files = match rest.split_off_first()? {
        0 => OpenFiles::Usual,
        _ => OpenFiles::Most,
    };
    let [roles, program, report] = take_list(&mut rest)?.try_into().ok()?;
    let arguments = take_list(&mut rest)?;
    let environment = take_list(&mut rest)?;
    let ids = take_list(&mut rest)?;
    // Ids that make no sense must not leave a program with this process's own.
    let runs_as = if ids.is_empty() { None } else { Some(RunsAs::from_ids(&ids)?) };
    Some(Decoded { caller, open_files, roles, program, report, arguments, environment, runs_as })
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

/// Runs the starter, with the server's connection as standard input, until the server ends.
#[must_use]
pub fn run() -> ExitCode {
    let Some(control) = winterop_sys::take_inherited(0) else { return ExitCode::FAILURE };
    let _ = rustix::process::setsid();
    // What started it by a link has given it the link's.
    let _ = rustix::thread::set_name(c"winterop-start");
    let mut inbox = Inbox::default();
    loop {
        // No deadline: the server has programs started when it is asked to.
        match read_into(&control, &mut inbox) {
            Ok(Read::Data(_)) => {}
            _ => return ExitCode::SUCCESS,
        }
        while let Ok(Some(frame)) = inbox.next_frame() {
            for connection in frame.descriptors {
                match winterop_sys::fork_sibling() {
                    Ok(Fork::Child) => become_what_is_told(&connection),
                    // Where there is no process the server reads the end of the connection.
                    Ok(Fork::Parent(_)) | Err(_) => {}
                }
            }
        }
    }
}

/// In the program's process: takes what it is to be from the server, and becomes it.
fn become_what_is_told(connection: &OwnedFd) -> ! {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    if rustix::io::write(connection, &own.to_ne_bytes()).is_err() {
        // Whoever wanted it has given up.
        winterop_sys::exit(127);
    }
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
    std::mem::forget(Processors::of_caller(decoded.caller));
    if let Some(callers) = umask_of(decoded.caller) {
        rustix::process::umask(callers);
    }
    if decoded.open_files == OpenFiles::Most {
        // With fewer it serves fewer.
        let _ = own_terms::take_most_files();
    }
    let groups = decoded.runs_as.as_ref().map(groups_of);
    let SpawnError { error, .. } = winterop_sys::become_program(&Spawn {
        program: &decoded.program,
        arguments: &CStrings::new(decoded.arguments.iter().map(Vec::as_slice)),
        environment: &CStrings::new(environment.iter().map(Vec::as_slice)),
        standard: [of(0), of(1), of(2)],
        closed: Closed::Occupied,
        inherited: report,
        directory: of(DIRECTORY).map(Directory::Open),
        login: decoded.runs_as.as_ref().map(|it| login(it, groups.as_deref())),
    });
    error
}

/// The mode bits that new files of process `pid` do not have; none where it is gone or cannot be seen.
fn umask_of(pid: i32) -> Option<Mode> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let octal = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(octal.trim(), 8).ok().map(Mode::from_bits_truncate)
}

/// This thread on the processors of a caller, until it is dropped: what is started meanwhile is
/// confined as the caller is, and so are its threads.
struct Processors {
    own: Option<CpuSet>,
}

impl Processors {
    /// Takes over the processors of process `pid`. One that is gone, or is not visible from here,
    /// changes nothing.
    fn of_caller(pid: i32) -> Self {
        let caller = Pid::from_raw(pid).and_then(|pid| sched_getaffinity(Some(pid)).ok());
        let own = sched_getaffinity(None).ok();
        let differs = caller.zip(own).filter(|(caller, own)| caller != own);
        let changed = differs.filter(|(caller, _)| sched_setaffinity(None, caller).is_ok());
        Self { own: changed.map(|(_, own)| own) }
    }
}

impl Drop for Processors {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            // This thread had them a moment ago.
            let _ = sched_setaffinity(None, own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_arrives_as_it_was_sent() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let plan = ProgramStart {
            program: b"/bin/sh",
            arguments: vec![b"sh".to_vec(), b"".to_vec(), b"a\n\xFF".to_vec()],
            environment: vec![b"A=".to_vec()],
            standard: [None, Some(null.as_fd()), None],
            report: Some(("R", null.as_fd())),
            directory: None,
            caller: -7,
            open_files: OpenFiles::Most,
            runs_as: Some(RunsAs { user: 7, group: 8, groups: vec![8, 9] }),
            patience: None,
        };
        let (message, attached) = encode(&plan);
        assert_eq!(attached.len(), 2);
        let mut inbox: Inbox = Inbox::default();
        inbox.push(&message, []).unwrap();
        assert_eq!(inbox.next_frame().unwrap().unwrap().bytes, message);
        let decoded = decode(&message).unwrap();
        assert_eq!((decoded.caller, &*decoded.roles), (-7, &[1, REPORT][..]));
        assert_eq!(decoded.open_files, OpenFiles::Most);
        assert_eq!((&*decoded.program, &*decoded.report), (&b"/bin/sh"[..], &b"R"[..]));
        assert_eq!((decoded.arguments, decoded.environment), (plan.arguments, plan.environment));
        assert_eq!(decoded.runs_as, plan.runs_as);
        for end in 0..message.len() {
            assert!(decode(&message[..end]).is_none());
        }
    }

    /// A copy of this process as the starter.
    fn forked() -> Starter {
        let (control, theirs) = connection().unwrap();
        match winterop_sys::fork().unwrap() {
            Fork::Parent(process) => Starter { control: Mutex::new(control), process },
            Fork::Child => {
                rustix::stdio::dup2_stdin(&theirs).unwrap();
                winterop_sys::close_inherited().unwrap();
                let _ = run();
                winterop_sys::exit(0)
            }
        }
    }

    fn sh(script: &str) -> ProgramStart<'static> {
        let arguments = [b"sh", &b"-c"[..], script.as_bytes()].map(<[u8]>::to_vec).to_vec();
        ProgramStart { program: b"/bin/sh", arguments, ..ProgramStart::default() }
    }

    fn status(pid: Pid) -> Option<i32> {
        waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1.exit_status()
    }

    #[test]
    fn a_program_of_the_starters_is_a_child_with_what_it_was_given_alone() {
        let open = std::fs::File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
        let starter = forked();
        let script = format!("test -e /proc/self/fd/{} && exit 1; exit 7", open.as_raw_fd());
        assert_eq!(status(starter.spawn(&sh(&script)).unwrap()), Some(7));
        let missing = ProgramStart { program: b"/no/such/program", ..sh("") };
        assert_eq!(starter.spawn(&missing).unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn a_program_that_does_not_come_to_run_is_given_up() {
        let starter = forked();
        kill_process(starter.process, Signal::STOP).unwrap();
        let stopped = ProgramStart { patience: Some(Duration::ZERO), ..sh("exit 7") };
        assert_eq!(starter.spawn(&stopped).unwrap_err(), Errno::TIMEDOUT);
        kill_process(starter.process, Signal::CONT).unwrap();
        // What it starts later all the same is ended, and nothing of it is left.
        let children = || std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        while children().split_whitespace().count() > 1 {
            std::thread::yield_now();
        }
        // Others are started as before.
        assert_eq!(status(starter.spawn(&sh("exit 8")).unwrap()), Some(8));
    }
}
