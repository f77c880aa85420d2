//! The environment of a process of Wine's, and what is started with it; the variables by which the preloaded
//! library is told what to do.

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use winterop_serve::starter::ProgramStart;

/// The variable that names the descriptor which gets the exit code as 4 bytes, little-endian, when the
/// process ends; read by the preloaded library. Whoever starts the process sets it.
pub const REPORT_VARIABLE: &str = "WINTEROP_REPORT_FD";
/// The variable that names the page with the launches in flight; see [`crate::launches`].
pub const LAUNCHES_VARIABLE: &str = "WINTEROP_LAUNCHES";
/// The same for the server.
pub const SERVER_LAUNCHES_VARIABLE: &str = "WINTEROP_SERVER_LAUNCHES";
/// The variable that names the file in which those who have the terminal tell each other of it.
pub const CONSOLE_VARIABLE: &str = "WINTEROP_CONSOLE";
/// The variable that makes terminals files like any other, for programs that are not interactive.
pub const PLAIN_VARIABLE: &str = "WINTEROP_PLAIN";
/// The variable that gives the preloaded library to the Windows programs' own children as well.
pub(crate) const CHILDREN_VARIABLE: &str = "WINTEROP_CHILDREN";
/// The variable that holds an exact command line as generalized UTF-8.
pub const COMMAND_LINE_VARIABLE: &str = "WINTEROP_COMMAND_LINE";

/// An environment, each name once, in the order in which they were set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessEnvironment(Vec<(OsString, OsString)>);

impl ProcessEnvironment {
    /// Sets a variable, replacing it where it is set.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref(), value.as_ref().to_owned());
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The value of a variable.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        let name = name.as_ref();
        self.0.iter().find_map(|(known, value)| (known == name).then_some(value.as_os_str()))
    }

    /// The start of a program with these variables alone, on the processors of the thread that starts
    /// it.
    pub(crate) fn plan<'a>(
        &self,
        program: &'a Path,
        arguments: &[&str],
        standard: [BorrowedFd<'a>; 3],
        directory: BorrowedFd<'a>,
    ) -> ProgramStart<'a> {
        let program = program.as_os_str().as_bytes();
        let arguments = arguments.iter().map(|argument| argument.as_bytes().to_vec());
        let variable =
            |(name, value): (&OsStr, &OsStr)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        ProgramStart {
            program,
            arguments: std::iter::once(program.to_vec()).chain(arguments).collect(),
            environment: self.iter().map(variable).collect(),
            standard: standard.map(Some),
            directory: Some(directory),
            caller: rustix::thread::gettid().as_raw_nonzero().get(),
            ..ProgramStart::default()
        }
    }

    /// The variables in order.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}
