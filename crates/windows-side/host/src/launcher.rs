//! The seam between a host and its launcher: a request with its endpoints goes in, and out comes what its
//! caller executes itself, or a program that runs.
//!
//! Nothing here says how endpoints, programs and reports are made on this system: [`crate::unix`] does. A
//! launcher on another system, or one whose programs run on another machine, brings its own.

use crate::execution::{Execution, Interface};
use crate::mark::Mark;
use crate::request::LaunchRequest;
use crate::unix::ExitReport;
use rustix::io::Errno;
use std::fmt::Debug;
use std::path::PathBuf;
use std::pin::Pin;
use winterop_words::{Failure, Words};

/// A launch that will not happen, in words for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct RefusedLaunch {
    /// One or more lines: what was tried, on what, why it failed, what to do.
    pub text: String,
    /// The error number that WSL's protocol has for it.
    pub errno: Errno,
    /// The status the interpreter exits with.
    pub status: u8,
}

impl From<Words> for RefusedLaunch {
    fn from(words: Words) -> Self {
        let errno = Errno::from_raw_os_error(words.kind.errno());
        Self { text: words.to_string(), errno, status: words.kind.status() }
    }
}

impl From<Failure<'_>> for RefusedLaunch {
    fn from(failure: Failure<'_>) -> Self {
        failure.words().into()
    }
}

/// A way to create Windows processes.
pub trait Launcher: Send + Sync + Debug {
    /// Starts the program of a request on its endpoints, or says how its caller does. May block: it is
    /// called on a thread of its own.
    ///
    /// `mark` is a variable that everything which the program starts shall inherit.
    ///
    /// # Errors
    /// A [`RefusedLaunch`].
    fn launch(&self, request: LaunchRequest, mark: &Mark) -> Result<Launched, RefusedLaunch>;

    /// Where a program is that came by its bare name; none where only what the launcher starts knows
    /// that. May block.
    ///
    /// # Errors
    /// A [`RefusedLaunch`]: there is no such program.
    fn find(&self, name: &[u8]) -> Result<Option<PathBuf>, RefusedLaunch>;

    /// What a client is told now and then while its launch is still being prepared.
    fn still_preparing(&self) -> &'static str;

    /// Gets everything ready that the first launch would otherwise wait for. May block for seconds.
    ///
    /// # Errors
    /// A [`RefusedLaunch`] that every launch gets until it is mended.
    fn warm_up(&self, progress: &mut dyn FnMut(&str)) -> Result<(), RefusedLaunch>;

    /// Ends what the launcher keeps running between launches.
    fn shut_down(&self);
}

/// What a launch has become.
#[derive(Debug)]
pub struct Launched {
    /// Who runs the program.
    pub placed: Placed,
    /// Where it shows what it does.
    pub interface: Interface,
    /// What the caller is told although the program runs, a line each.
    pub warnings: Vec<String>,
}

impl Launched {
    /// Ends what runs already, of a launch that comes to nothing after all. May block.
    pub fn give_up(&self) {
        if let Placed::Running(program) = &self.placed {
            program.act(Act::End)();
        }
    }
}

/// Who runs the program of a launch.
#[derive(Debug)]
pub enum Placed {
    /// Its caller, in its own place.
    InPlace {
        /// What it executes.
        execution: Execution,
        /// What is left to do where it is killed.
        remains: Box<dyn Remains>,
    },
    /// The launcher has started it.
    Running(Box<dyn RunningProgram>),
}

/// What a program that runs in its caller's place leaves to its host.
pub trait Remains: Send + Debug {
    /// Ends everything that the launch has started, since its caller was killed. May block.
    fn end(&self);
}

/// A program that was started for its caller.
pub trait RunningProgram: Send + Debug {
    /// Waits for the program's full exit code. Cancel-safe.
    fn ended(&mut self) -> Ended<'_>;

    /// What does this to the program. It may block.
    fn act(&self, act: Act) -> Work;

    /// Where the program's full exit code arrives, for its caller: it outlives this host. Only once, and
    /// none where there is no such place.
    fn take_report(&mut self) -> Option<ExitReport>;
}

/// The end of a program, with its exit code.
pub type Ended<'a> = Pin<Box<dyn Future<Output = u32> + Send + 'a>>;

/// Something that may block.
pub type Work = Box<dyn FnOnce() + Send>;

/// What is done to a program that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// What the signal of this number does to a Linux program.
    Signal(i32),
    /// Its terminal has another size now.
    Resize,
    /// It is ended, with everything that it has started.
    End,
}
