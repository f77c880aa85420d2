//! Keeps the Wine server of one prefix running, with its background services.
//!
//! # Order
//! 1. The file `.winterop-server` in the prefix is locked: whoever holds it looks after the server.
//!    Who does not get it uses the server that is there, and never ends it.
//! 2. A server that already runs is kept. One that this program started (the file says so) is taken
//!    over; any other is used and left alone.
//! 3. Otherwise `wineserver -f -p` is started, as a child in a session of its own, so that
//!    Ctrl-C in a terminal does not reach it, with `/dev/null` as its descriptors.
//! 4. A first program is run, with `/dev/null` too: Wine starts its services behind the first
//!    program of a prefix, and they keep its descriptors. Started by a caller's program they would
//!    hold the caller's pipes open for ever.
//! 5. A thread waits for the server's end. When it comes unasked, what ran in the prefix is ended,
//!    for it would wait for ever, and 2 to 4 are done again, after a pause that grows if the server
//!    does not live long.
//!
//! Ending the server with SIGINT ends everything in its prefix, services included, and writes the
//! registry; after SIGTERM or a crash the services stay.

pub(crate) mod process;
mod remains;
pub(crate) mod socket;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::display::Display;
use crate::environment::ProcessEnvironment;
use crate::surroundings::Surroundings;
use socket::Place;
use winterop_serve::processes::{BEGIN, numbers};
use winterop_serve::starter::{OpenFiles, ProgramStart, StartedProgram};
use winterop_words::{Failure, Words};

/// The file in a prefix that names the server that this program started.
pub(crate) const OWNER_FILE: &str = ".winterop-server";

/// How long a server may take until it answers.
const STARTING: Duration = Duration::from_secs(20);

/// How long the first program of a prefix may take; wineboot and the services start behind it.
const BOOTING: Duration = Duration::from_secs(120);

/// How often the first program is tried. Wine fails a start now and then without a word.
const BOOTS: u32 = 5;

/// A server that lived longer than this is started again without a pause.
const STABLE: Duration = Duration::from_secs(10);

/// The longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum Error {
    /// A file of the prefix cannot be used.
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program of Wine's cannot be started.
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server was started and does not answer.
    Silent {
        /// The server's program.
        program: PathBuf,
        /// The prefix.
        prefix: PathBuf,
        /// What became of it.
        state: String,
    },
    /// The server runs, and no program does.
    Boot {
        /// The loader.
        program: PathBuf,
        /// The prefix.
        prefix: PathBuf,
        /// What became of the last try.
        state: String,
    },
    /// The server has ended and there is no other yet.
    Gone {
        /// The prefix.
        prefix: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// The system gave no descriptor or thread.
    Watch(io::Error),
}

impl Error {
    /// The error in words.
    pub fn words(&self) -> Words {
        match self {
            Self::File { what, path, source } => {
                Failure::PrefixFile { what, path: &path.display(), error: source }.words()
            }
            Self::Start { program, source } => {
                Failure::WinePartNotStarted { program: &program.display(), error: source }.words()
            }
            Self::Silent { program, prefix, state } => {
                let (program, prefix) = (&program.display(), &prefix.display());
                Failure::WineServerSilent { program, prefix, state }.words()
            }
            Self::Boot { program, prefix, state } => {
                let (program, prefix) = (&program.display(), &prefix.display());
                Failure::WineBootFailed { program, prefix, state }.words()
            }
            Self::Gone { prefix, waited } => {
                let (prefix, seconds) = (prefix.display(), waited.as_secs());
                Failure::WineServerGone { prefix: &prefix, seconds: &seconds }.words()
            }
            Self::Watch(error) => Failure::WineServerUnwatched { error }.words(),
        }
    }
}

/// A server that runs for one prefix, looked after until it is shut down or released.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    supervisor: Option<JoinHandle<()>>,
}

/// What the supervising thread and the handle share.
#[derive(Debug)]
struct Shared {
    surroundings: Surroundings,
    display: Display,
    /// Becomes readable when the thread is to stop.
    stop: OwnedFd,
    state: Mutex<State>,
    /// Told when a server runs.
    runs: Condvar,
}

#[derive(Debug)]
struct State {
    /// The server, once its services run too.
    pid: Option<Pid>,
    /// What the thread does with the server when it stops.
    ending: Ending,
    starts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Leave,
}

/// The Wine server that runs for the prefix, if one does; its process.
#[must_use]
pub fn running(prefix: &Path) -> Option<i32> {
    let owner = Place::find(prefix)?.owner()?;
    Some(owner.as_raw_nonzero().get())
}

impl Server {
    /// Makes sure that a server with its services runs for the prefix, and looks after it.
    ///
    /// `display` is where the services may show windows: Wine binds its desktop to it once.
    /// Blocks until a first program has run (0.4 to 0.8 s, nothing if a server was there).
    pub fn start(surroundings: &Surroundings, display: &Display) -> Result<Self, Error> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| Error::Watch(error.into()))?;
        let owner = OwnerFile::open(&surroundings.prefix)?;
        let state = State { pid: None, ending: Ending::End, starts: 0 };
        let shared = Arc::new(Shared {
            surroundings: surroundings.clone(),
            display: display.clone(),
            stop,
            state: Mutex::new(state),
            runs: Condvar::new(),
        });
        let mut keeper = Keeper { shared: Arc::clone(&shared), owner };
        let running = keeper.obtain()?;
        let supervisor = std::thread::Builder::new()
            .name("wine-server".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || keeper.supervise(running))
            .map_err(Error::Watch)?;
        Ok(Self { shared, supervisor: Some(supervisor) })
    }

    /// Whether the server runs right now.
    pub fn is_alive(&self) -> bool {
        let place = Place::find(&self.shared.surroundings.prefix);
        place.is_some_and(|place| place.owner().is_some())
    }

    /// Waits until a server runs with its services, at most `patience`.
    ///
    /// Without them a program would start the services itself, and they would keep its descriptors.
    pub fn wait(&self, patience: Duration) -> Result<(), Error> {
        let state = self.shared.state();
        let outcome =
            self.shared.runs.wait_timeout_while(state, patience, |state| state.pid.is_none());
        let (state, _) = outcome.unwrap_or_else(PoisonError::into_inner);
        if state.pid.is_some() {
            return Ok(());
        }
        Err(Error::Gone { prefix: self.shared.prefix().to_owned(), waited: patience })
    }

    /// The server's process id, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.shared.state().pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// How often a server was started, the first time included; 0 for one that was found running.
    pub fn starts(&self) -> u32 {
        self.shared.state().starts
    }

    /// Ends the server with everything that runs in its prefix, if this program started it, and
    /// waits until it has ended. Another one's server goes on.
    pub fn shutdown(mut self) {
        self.stop(Ending::End);
    }

    /// Leaves the server running with its programs, for the next one that starts here.
    pub fn release(mut self) {
        self.stop(Ending::Leave);
    }

    fn stop(&mut self, ending: Ending) {
        let Some(supervisor) = self.supervisor.take() else { return };
        self.shared.state().ending = ending;
        // The counter cannot overflow by 1, so this cannot fail.
        let _ = rustix::io::write(&self.shared.stop, &1u64.to_ne_bytes());
        if supervisor.join().is_err() {
            tracing::error!("the thread that looks after the Wine server panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Ending::End);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state as usable as before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prefix(&self) -> &Path {
        &self.surroundings.prefix
    }

    /// Ends what a server of ours left that has ended.
    fn end_remains(&self) {
        let Some(moment) = remains::Moment::now() else { return };
        let count = remains::end(&self.surroundings, moment);
        if count > 0 {
            tracing::warn!(count, "ended Windows processes that had lost their server");
        }
    }

    fn is_stopping(&self, within: Duration) -> bool {
        let deadline = Some(Instant::now() + within);
        process::wait_readable(&[self.stop.as_fd()], deadline) == [true]
    }
}

/// A server that runs.
#[derive(Debug)]
struct RunningServer {
    pid: Pid,
    /// Readable when it has ended.
    pidfd: OwnedFd,
    /// Set if it is a child, which has to be reaped.
    child: Option<StartedProgram>,
    /// Whether this program started it, now or before it was replaced.
    ours: bool,
    since: Instant,
}

impl RunningServer {
    /// Ends it, if it is ours.
    fn end(mut self) {
        match self.child.as_mut() {
            Some(child) => process::end(child),
            None if self.ours => process::end_other(&self.pidfd),
            None => {}
        }
    }
}

/// Obtains servers and waits for their end.
struct Keeper {
    shared: Arc<Shared>,
    owner: Option<OwnerFile>,
}

impl Keeper {
    /// Finds or starts a server, and its services.
    fn obtain(&mut self) -> Result<RunningServer, Error> {
        let running = match self.found() {
            Some(running) => running,
            None => {
                let running = self.spawn()?;
                self.shared.state().starts += 1;
                running
            }
        };
        tracing::info!(
            pid = running.pid.as_raw_nonzero(), ours = running.ours,
            prefix = %self.shared.prefix().display(), "Wine server runs"
        );
        if let Err(error) = self.boot(&running.pidfd) {
            let ours = running.ours;
            running.end();
            if ours {
                self.shared.end_remains();
            }
            return Err(error);
        }
        self.shared.state().pid = Some(running.pid);
        self.shared.runs.notify_all();
        Ok(running)
    }

    /// The server that already runs in the prefix.
    fn found(&self) -> Option<RunningServer> {
        let pid = Place::find(self.shared.prefix())?.owner()?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Only if it still holds the lock was it that process which was opened.
        if Place::find(self.shared.prefix())?.owner()? != pid {
            return None;
        }
        let ours = self.owner.as_ref().is_some_and(|file| file.names(pid));
        Some(RunningServer { pid, pidfd, child: None, ours, since: Instant::now() })
    }

    fn spawn(&mut self) -> Result<RunningServer, Error> {
        let surroundings = &self.shared.surroundings;
        let program = &surroundings.installation.server;
        let environment = surroundings.server_environment();
        // It has files of every program open.
        let files = OpenFiles::Most;
        let mut child = start_quietly(surroundings, program, &["-f", "-p"], &environment, files)?;
        let pid = child.pid();
        let owner = Place::wait(&surroundings.prefix, STARTING);
        let state = match (owner, child.try_wait()) {
            (Some(owner), Ok(None)) if owner == pid => None,
            // Somebody else was faster; theirs is used.
            (Some(_), Ok(Some(_))) if self.found().is_some() => None,
            (_, Ok(Some(status))) => Some(format!("it ended with {status}")),
            (_, Ok(None)) => Some(format!("waited {} s", STARTING.as_secs())),
            (_, Err(error)) => Some(error.to_string()),
        };
        if let Some(state) = state {
            process::end(&mut child);
            let (program, prefix) = (program.clone(), surroundings.prefix.clone());
            return Err(Error::Silent { program, prefix, state });
        }
        if owner != Some(pid)
            && let Some(running) = self.found()
        {
            return Ok(running);
        }
        let pidfd = pidfd_open(pid, PidfdFlags::empty());
        let pidfd = pidfd.map_err(|error| Error::Watch(error.into()))?;
        if let Some(file) = &mut self.owner {
            file.note(pid)?;
        }
        Ok(RunningServer { pid, pidfd, child: Some(child), ours: true, since: Instant::now() })
    }

    /// Runs a first program, so that Wine's services run, with descriptors of nobody's.
    ///
    /// Its status is believed: where it failed the services may not run, and the next program, a
    /// user's, would start them. Where the server ends meanwhile it would never end, and another would
    /// start a server of its own.
    fn boot(&self, server: &OwnedFd) -> Result<(), Error> {
        let mut state = String::new();
        for attempt in 1..=BOOTS {
            match self.boot_once(server)? {
                Some(status) if status.success() => return Ok(()),
                _ if process::has_ended(server) => {
                    "the server ended meanwhile".clone_into(&mut state);
                    break;
                }
                Some(status) => state = status.to_string(),
                None => {
                    state = format!("no end within {} s", BOOTING.as_secs());
                    break;
                }
            }
            tracing::warn!(attempt, state, "Wine's first program failed");
        }
        let surroundings = &self.shared.surroundings;
        let program = surroundings.installation.loader.clone();
        Err(Error::Boot { program, prefix: surroundings.prefix.clone(), state })
    }

    /// The status of one such program; nothing if it did not end in time, or before the server.
    fn boot_once(&self, server: &OwnedFd) -> Result<Option<ExitStatus>, Error> {
        let surroundings = &self.shared.surroundings;
        let mut environment = surroundings.program_environment();
        for (name, value) in self.shared.display.variables() {
            environment.set(name, value);
        }
        let program = &surroundings.installation.loader;
        let first = "C:\\windows\\system32\\hostname.exe";
        let files = OpenFiles::Usual;
        let mut child = start_quietly(surroundings, program, &[first], &environment, files)?;
        let deadline = Instant::now() + BOOTING;
        let status = process::wait_while(&mut child, Some(server.as_fd()), deadline);
        if status.is_none() {
            child.kill();
            let _ = child.wait();
        }
        Ok(status)
    }

    /// Waits for the server's end or for the order to stop, and starts it again after the first.
    fn supervise(mut self, first: RunningServer) {
        let mut running = first;
        let mut failures = 0;
        loop {
            let watched = [running.pidfd.as_fd(), self.shared.stop.as_fd()];
            let ready = process::wait_readable(&watched, None);
            if ready.last() == Some(&true) {
                return self.finish(running);
            }
            self.shared.state().pid = None;
            tracing::warn!(pid = running.pid.as_raw_nonzero(), "Wine server ended unasked");
            failures = if running.since.elapsed() > STABLE { 0 } else { failures + 1 };
            if let Some(child) = &mut running.child {
                let _ = child.wait();
            }
            if running.ours {
                self.shared.end_remains();
            }
            running = match self.restart(&mut failures) {
                Some(running) => running,
                None => return,
            };
        }
    }

    /// Obtains a server again, until it succeeds; nothing if the order to stop comes first.
    fn restart(&mut self, failures: &mut u32) -> Option<RunningServer> {
        loop {
            let pause = Duration::from_millis(50) * 2u32.saturating_pow((*failures).min(10));
            let pause = if *failures == 0 { Duration::ZERO } else { pause.min(LONGEST_PAUSE) };
            if self.shared.is_stopping(pause) {
                return None;
            }
            match self.obtain() {
                Ok(running) => return Some(running),
                Err(error) => {
                    *failures += 1;
                    tracing::error!(%error, "Wine server cannot be started again");
                }
            }
        }
    }

    fn finish(self, running: RunningServer) {
        let ending = self.shared.state().ending;
        self.shared.state().pid = None;
        if ending == Ending::End {
            let ours = running.ours;
            running.end();
            if ours {
                self.shared.end_remains();
                Place::remove(self.shared.prefix());
            }
        }
    }
}

/// Starts a program with nothing of this process's: its own environment, session, and `/dev/null`.
fn start_quietly(
    surroundings: &Surroundings,
    program: &Path,
    arguments: &[&str],
    environment: &ProcessEnvironment,
    open_files: OpenFiles,
) -> Result<StartedProgram, Error> {
    let start = || {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let root = File::open("/")?;
        let plan = environment.plan(program, arguments, [null.as_fd(); 3], root.as_fd());
        let plan = ProgramStart { open_files, ..plan };
        StartedProgram::start(surroundings.starter.as_deref(), &plan)
    };
    start().map_err(|source| Error::Start { program: program.to_owned(), source })
}

/// The file that says which server this program started, locked while this process looks after it.
#[derive(Debug)]
struct OwnerFile {
    file: File,
    path: PathBuf,
}

impl OwnerFile {
    /// Opens and locks it; nothing if another process holds it.
    fn open(prefix: &Path) -> Result<Option<Self>, Error> {
        let path = prefix.join(OWNER_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|source| Error::File {
            what: "open",
            path: path.clone(),
            source,
        })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file, path })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(Error::File { what: "lock", path, source: error.into() }),
        }
    }

    /// Whether it names this very process: its id and the time it began.
    fn names(&self, pid: Pid) -> bool {
        let noted = fs::read_to_string(&self.path).unwrap_or_default();
        identity(pid).is_some_and(|identity| noted.trim_end() == identity)
    }

    fn note(&mut self, pid: Pid) -> Result<(), Error> {
        let text = identity(pid).unwrap_or_default();
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            writeln!(self.file, "{text}")
        };
        write().map_err(|source| Error::File { what: "write", path: self.path.clone(), source })
    }
}

/// A process's id and the time it began, which no later process of the same id shares.
fn identity(pid: Pid) -> Option<String> {
    let [begin] = numbers(&format!("/proc/{}", pid.as_raw_nonzero()), [BEGIN])?;
    Some(format!("{} {begin}", pid.as_raw_nonzero()))
}
