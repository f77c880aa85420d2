//! The start of a user's host: by whom, as whom, and until it listens.
//!
//! The machine's init starts users' hosts. Where systemd runs the machine it has systemd start them, as
//! services in their users' slices: so a host has its user's limits and nothing of the init's, whose
//! own unit is sandboxed. Anywhere else they are forked.

use crate::Starter;
use crate::name_services::said_by;
use crate::notify;
use crate::own_terms;
use crate::starter::{self, ProgramStart, RunsAs};
use crate::wait::until_readable;
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use winterop_accounts::{Account, PATH};
use winterop_channel::unix::connect_path;
use winterop_sys::PeerCredentials;
use winterop_words::{Failure, Words};

/// How long a host may take from its start until it listens. It prepares nothing before that.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum HostError {
    /// Nobody listens and no way to start it is known.
    NotRunning(PathBuf),
    /// Its program could not be started.
    Start {
        /// What was to be started.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What this process starts may have too few files open, for good.
    Confined {
        /// How many.
        files: u64,
    },
    /// It was started and does not listen.
    Silent(PathBuf),
    /// Somebody else serves the socket.
    Squatted {
        /// The socket.
        socket: PathBuf,
        /// Who serves it.
        owner: u32,
        /// Who should.
        user: u32,
    },
}

impl From<HostError> for Words {
    fn from(error: HostError) -> Self {
        error.words()
    }
}

impl HostError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::NotRunning(socket) => {
                Failure::HostNotRunning { socket: &socket.display() }.words()
            }
            Self::Start { program, source } => {
                Failure::HostNotStarted { program: &program.display(), error: source }.words()
            }
            Self::Confined { files } => {
                Failure::HostConfined { files, wanted: &own_terms::USUAL_FILES }.words()
            }
            Self::Silent(socket) => Failure::HostSilent { socket: &socket.display() }.words(),
            Self::Squatted { socket, owner, user } => {
                Failure::SquattedHost { socket: &socket.display(), owner, user }.words()
            }
        }
    }
}

/// Where the host listens and how to start it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAddress {
    /// Its socket.
    pub socket: PathBuf,
    /// The program and its arguments; the first is the program.
    pub command: Vec<std::ffi::OsString>,
    /// The socket of whoever starts it for us, where its program cannot be seen: inside a
    /// distribution, the instance's keeper.
    pub keeper: Option<PathBuf>,
    /// Whose host it is, where that is another user than this process's own.
    pub owner: Option<Owner>,
}

/// A user as whom a host is started, and who alone may serve its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub account: Account,
    /// All groups, the user's own first.
    pub groups: Vec<u32>,
    /// The host's whole environment, `NAME=VALUE`.
    pub environment: Vec<Vec<u8>>,
}

impl HostAddress {
    /// Who has to serve the socket; `None` where its directory lets nobody else do so.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        self.owner.as_ref().map(|owner| owner.account.user)
    }

    /// The error for a socket that `peer` serves instead.
    #[must_use]
    pub fn squatted(&self, peer: PeerCredentials) -> HostError {
        let user = self.user().unwrap_or_default();
        HostError::Squatted { socket: self.socket.clone(), owner: peer.uid, user }
    }
}

/// Starts the host in a session of its own and waits until it listens.
///
/// Two that are started at once sort it out among themselves: the second finds the socket taken,
/// reports itself ready all the same, and ends.
///
/// What runs as another user is started by `starter`, where there is one.
///
/// # Errors
/// A [`HostError`].
pub fn start(address: &HostAddress, starter: Option<&Starter>) -> Result<(), HostError> {
    if let Some(keeper) = &address.keeper {
        return ask_keeper(keeper, address);
    }
    let Some((program, arguments)) = address.command.split_first() else {
        return Err(HostError::NotRunning(address.socket.clone()));
    };
    let failed = |source| HostError::Start { program: program.into(), source };
    if let Some(owner) = &address.owner {
        refuse_often(owner.account.user, Instant::now()).map_err(failed)?;
    }
    if let Some(owner) = &address.owner
        && notify::systemd_runs_this_machine()
    {
        return have_started(owner, program, starter).map_err(failed);
    }
    if address.owner.is_none()
        && let Some(files) = own_terms::too_few_files()
    {
        return Err(HostError::Confined { files });
    }
    let (reader, writer) = io::pipe().map_err(failed)?;
    if let Some(owner) = &address.owner {
        let child = start_as(owner, program, writer, starter).map_err(failed)?;
        let heard = wait_for_byte(reader);
        let _ = waitpid(Some(child), WaitOptions::empty());
        return if heard { Ok(()) } else { Err(HostError::Silent(address.socket.clone())) };
    }
    let mut child = Command::new(program)
        .args(arguments)
        .arg0("wslhost")
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    // The host writes a byte when it listens, and closes the pipe if it ends before.
    let heard = wait_for_byte(reader);
    // It puts itself into the background: what was spawned here ends at once.
    let _ = child.wait();
    if heard { Ok(()) } else { Err(HostError::Silent(address.socket.clone())) }
}

/// Starts the host as its user, with nothing of this process's but `writer`, on which it says that it
/// listens.
fn start_as(
    owner: &Owner,
    program: &OsStr,
    writer: io::PipeWriter,
    starter: Option<&Starter>,
) -> io::Result<Pid> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let root = File::open("/")?;
    let (user, group) = (owner.account.user, owner.account.group);
    Ok(starter::start(
        starter,
        &ProgramStart {
            program: program.as_bytes(),
            arguments: vec![b"wslhost".to_vec()],
            environment: owner.environment.clone(),
            standard: [Some(null.as_fd()), Some(writer.as_fd()), Some(null.as_fd())],
            directory: Some(root.as_fd()),
            runs_as: Some(RunsAs { user, group, groups: owner.groups.clone() }),
            patience: Some(starter::PATIENCE),
            ..ProgramStart::default()
        },
    )?)
}

/// How often a user's host may be started within [`OFTEN`]: whoever ends theirs again and again keeps
/// the machine busy, and with it everybody.
const MOST_STARTS: usize = 30;
const OFTEN: Duration = Duration::from_secs(60);

/// Counts a start of a user's host.
fn refuse_often(user: u32, now: Instant) -> io::Result<()> {
    static STARTS: Mutex<BTreeMap<u32, Vec<Instant>>> = Mutex::new(BTreeMap::new());
    let mut starts = STARTS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_recent = |start: &Instant| now.saturating_duration_since(*start) < OFTEN;
    starts.retain(|_, starts| {
        starts.retain(is_recent);
        !starts.is_empty()
    });
    let own = starts.entry(user).or_default();
    if own.len() >= MOST_STARTS {
        let seconds = OFTEN.as_secs();
        let why =
            format!("it was started {MOST_STARTS} times within {seconds} s; it ends too soon");
        return Err(io::Error::other(why));
    }
    own.push(now);
    Ok(())
}

/// What starts a service for us.
const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";

/// How much longer systemd may take than the host.
const MARGIN: Duration = Duration::from_secs(5);

/// Has systemd start the host, as its user and in the user's slice, and waits until it listens.
fn have_started(owner: &Owner, program: &OsStr, starter: Option<&Starter>) -> io::Result<()> {
    run_aside(SYSTEMD_RUN, service(owner, program, &unit(owner)), starter)
}

/// Runs one of systemd's programs to its end, and tells what it had to say where it failed.
///
/// # Errors
/// The system's, or the program's.
pub fn run_aside(
    program: &str,
    arguments: Vec<Vec<u8>>,
    starter: Option<&Starter>,
) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let (root, (reader, writer)) = (File::open("/")?, io::pipe()?);
    let name = program.rsplit('/').next().unwrap_or(program).as_bytes().to_vec();
    let plan = ProgramStart {
        program: program.as_bytes(),
        arguments: std::iter::once(name).chain(arguments).collect(),
        environment: vec![format!("PATH={PATH}").into_bytes()],
        standard: [Some(null.as_fd()), Some(null.as_fd()), Some(writer.as_fd())],
        directory: Some(root.as_fd()),
        patience: Some(starter::PATIENCE),
        ..ProgramStart::default()
    };
    let child = starter::start(starter, &plan)?;
    drop(writer);
    let said = said_by(child, &OwnedFd::from(reader), START_PATIENCE + MARGIN);
    let status = waitpid(Some(child), WaitOptions::empty())?;
    if said.is_some() && status.is_some_and(|(_, status)| status.exit_status() == Some(0)) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(said.as_deref().unwrap_or(b"it does not answer"));
    Err(io::Error::other(format!("{program}: {}", said.trim().replace('\n', "; "))))
}

/// The name of a unit that nobody has yet. Only root makes units of the system's, so nobody else can
/// take a name before. One name for each user would not do: a host that does not end would keep it.
fn unit(owner: &Owner) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("winterop-host-{}-{:x}", owner.account.user, now.as_nanos())
}

/// What makes a service like a login of its user's: no more than the user's slice allows, and what it
/// has started goes on when it ends. It is no login: a session of PAM's would keep the user logged in
/// for as long as the host runs, and ask for what nobody is there to answer.
const PROPERTIES: [&str; 9] = [
    "KillMode=process",
    "OOMPolicy=continue",
    "TasksMax=infinity",
    "KeyringMode=shared",
    "IgnoreSIGPIPE=no",
    "UMask=0022",
    "NotifyAccess=main",
    "UnsetEnvironment=INVOCATION_ID JOURNAL_STREAM",
    "SyslogIdentifier=wslhost",
];

/// The command line that has systemd start the host.
fn service(owner: &Owner, program: &OsStr, unit: &str) -> Vec<Vec<u8>> {
    let user = owner.account.user;
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut add = |option: String| words.push(option.into_bytes());
    for flag in ["--quiet", "--collect", "--no-ask-password", "--service-type=notify"] {
        add(flag.to_owned());
    }
    add(format!("--unit={unit}"));
    add(format!("--description=Windows programs of user {user}"));
    add(format!("--slice=user-{user}.slice"));
    add(format!("--uid={user}"));
    add(format!("--gid={}", owner.account.group));
    add("--working-directory=/".to_owned());
    add(format!("--property=TimeoutStartSec={}", START_PATIENCE.as_secs()));
    PROPERTIES.iter().for_each(|property| add(format!("--property={property}")));
    for variable in &owner.environment {
        words.push([b"--setenv=", variable.as_slice()].concat());
    }
    words.push(b"--".to_vec());
    // systemd puts variables into the words of a command.
    words.push(program.as_bytes().iter().flat_map(|byte| escaped(*byte)).collect());
    words.extend([b"host".to_vec(), b"supervised".to_vec()]);
    words
}

fn escaped(byte: u8) -> impl Iterator<Item = u8> {
    std::iter::repeat_n(byte, if byte == b'$' { 2 } else { 1 })
}

/// Has the keeper start it: a connection is the request, a byte the answer.
fn ask_keeper(keeper: &Path, address: &HostAddress) -> Result<(), HostError> {
    let Ok(connection) = connect_path(keeper.as_os_str().as_bytes()) else {
        return Err(HostError::NotRunning(address.socket.clone()));
    };
    let connection = std::os::unix::net::UnixStream::from(connection);
    match wait_for_byte(connection) {
        true => Ok(()),
        false => Err(HostError::Silent(address.socket.clone())),
    }
}

fn wait_for_byte(mut reader: impl io::Read + AsFd) -> bool {
    matches!(until_readable(&reader, Instant::now() + START_PATIENCE), Ok(true))
        && matches!(reader.read(&mut [0]), Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_service_of_its_users() {
        let account = Account::parse(b"me:x:1000:5::/home/me:/bin/sh").unwrap();
        let environment = vec![b"HOME=/home/me".to_vec()];
        let owner = Owner { account, groups: vec![5], environment };
        let words = service(&owner, OsStr::new("/opt/a$b/winterop"), "unit");
        let words: Vec<_> = words.into_iter().map(|it| String::from_utf8(it).unwrap()).collect();
        for word in ["--uid=1000", "--gid=5", "--slice=user-1000.slice", "--setenv=HOME=/home/me"] {
            assert!(words.iter().any(|it| it == word), "{words:?}");
        }
        let command = words.iter().skip_while(|it| *it != "--").skip(1);
        assert_eq!(command.collect::<Vec<_>>(), ["/opt/a$$b/winterop", "host", "supervised"]);
        assert_ne!(unit(&owner), unit(&owner));
    }

    #[test]
    fn a_host_that_ends_again_and_again_is_not_started_for_ever() {
        let start = Instant::now();
        let at = |user, seconds| refuse_often(user, start + Duration::from_secs(seconds));
        assert!((0..MOST_STARTS).all(|_| at(7, 0).is_ok()));
        assert!(at(7, 59).unwrap_err().to_string().contains("30 times"));
        at(8, 59).unwrap();
        at(7, 60).unwrap();
    }
}
