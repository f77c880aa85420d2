//! What a launcher executes on this machine for one launch.

use crate::located::Name;
use std::ffi::OsString;
use std::path::PathBuf;

/// Where a Windows program shows what it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// On its standard descriptors, or in the terminal that they are.
    #[default]
    Console,
    /// In windows. Nobody's terminal is its own, and it outlives its caller.
    Graphical,
}

/// What to execute for a launch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// The file to execute.
    pub program: PathBuf,
    /// argv.
    pub arguments: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The variable that tells it the descriptor for its full exit code.
    pub report: Option<&'static str>,
    /// The variable that tells it the path of the file with which the terminal is shared.
    pub console: Option<&'static str>,
    /// Where the program shows what it does.
    pub interface: Interface,
    /// Files that must be the same for the caller, at the same names, if it is to run in its place.
    pub needs: Vec<PathBuf>,
    /// The directory to start in, as the host names it.
    pub directory: PathBuf,
    /// Whether that is another one than the caller's.
    pub is_elsewhere: bool,
    /// Whether a name in this leads through a descriptor of the request's, which must stay open
    /// for as long as the program runs.
    pub keeps_descriptors: bool,
    /// Why it can only run below the host.
    pub hosted_because: Option<&'static str>,
    /// What the caller is told although the program runs, a line each.
    pub warnings: Vec<String>,
}

impl Execution {
    /// Takes over where the program is and where it starts: as names of the host's.
    #[must_use]
    pub fn located(mut self, program: &Name, directory: &Name) -> Self {
        self.keeps_descriptors |=
            program.is_through_descriptor() || directory.is_through_descriptor();
        if directory.is_through_descriptor() {
            self.hosted_because = Some("the host cannot name the caller's working directory");
        }
        if program.is_through_descriptor() {
            self.hosted_because = Some("its executable has no name of its own");
        }
        self
    }
}
