//! A launch without a registration, which `winterop run` and `winterop runner` are: the interpreter's part,
//! taken by this process.

use crate::{inherited, variables};
use rustix::process::Signal;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use winterop_interpreter::{Auxiliary, CallerEnvironment, Invocation, Start, Wishes, end, launch};
use winterop_serve::own_host;
use winterop_sys::reset_action;
use winterop_translate::wslenv;
use winterop_words::{Failure, Words};

/// Variables that mean something else on the Windows side, or nothing.
const LINUX_ONLY: [&str; 12] = [
    "PATH", "HOME", "SHELL", "TMPDIR", "TEMP", "TMP", "PWD", "OLDPWD", "USER", "LOGNAME", "_",
    "WSLENV",
];

/// The extensions of programs that a host can start, in the order in which Windows tries them.
const EXTENSIONS: [&str; 4] = [".com", ".exe", ".bat", ".cmd"];

/// Which of this process's variables a program gets beside those that WSLENV lists.
#[derive(Clone, Copy, Debug, Default)]
pub enum Passed {
    /// None.
    #[default]
    Listed,
    /// Every one that can mean the same on the Windows side, and that this says may be passed.
    All(fn(&[u8]) -> bool),
}

/// Who decides where a program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placed {
    /// The host.
    #[default]
    ByHost,
    /// Nobody: it runs below the host.
    BelowHost,
}

/// What a working directory means that is gone or has no Windows name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkingDirectory {
    /// The program starts elsewhere.
    #[default]
    WherePossible,
    /// It does not start.
    Required,
}

/// Whether somebody waits for a program's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attendance {
    /// This process stays until the program ends.
    #[default]
    Awaited,
    /// It returns once the program runs.
    Detached,
}

/// A Windows program to be started.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// The program: a path, or a name as Windows finds it.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables for it alone, `NAME=VALUE`.
    pub set: Vec<OsString>,
    /// Names of variables that it does not get.
    pub unset: Vec<OsString>,
    /// What it gets of this process's own.
    pub passed: Passed,
    /// Whether this process stays until it ends.
    pub attendance: Attendance,
    /// Who decides where it runs.
    pub placed: Placed,
    /// What its working directory is worth.
    pub directory: WorkingDirectory,
    /// How its arguments become its command line.
    pub command_line: CommandLine,
}

/// How arguments become a command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommandLine {
    /// So that the program finds them again.
    #[default]
    Quoted,
    /// As they are, joined by blanks.
    Verbatim,
}

impl Launch {
    /// Becomes the interpreter for the program, and ends as the program does.
    ///
    /// # Errors
    /// In words: what keeps it from beginning. What fails then the interpreter says itself.
    pub fn run(&self) -> Result<Infallible, Words> {
        self.check_names()?;
        if self.attendance == Attendance::Detached {
            leave_terminal_input()
                .map_err(|error| Failure::TerminalNotLeft { error: &error }.words())?;
        }
        let mut set = match self.passed {
            Passed::Listed => Vec::new(),
            Passed::All(may_be_passed) => whole_environment(may_be_passed),
        };
        set.extend(self.set.iter().map(|assignment| assignment.as_bytes().to_vec()));
        let words: Vec<&[u8]> = self.arguments.iter().map(|word| word.as_bytes()).collect();
        let is_verbatim = self.command_line == CommandLine::Verbatim;
        let verbatim = is_verbatim.then(|| words.join(&b' '));
        let found = find(&self.program);
        let wishes = Wishes {
            hosted: self.placed == Placed::BelowHost || is_hosted_wanted(),
            set: set.iter().map(Vec::as_slice).collect(),
            unset: self.unset.iter().map(|name| name.as_bytes()).collect(),
            verbatim: verbatim.as_deref(),
            detach: self.attendance == Attendance::Detached,
            strict_directory: self.directory == WorkingDirectory::Required,
            // What is not here the host may know, with the drives and the registry of its Windows side.
            search: found.is_none(),
        };
        let variables = variables::own();
        let environment = CallerEnvironment::new(variables.iter().map(Vec::as_slice));
        if environment.non_empty(b"WSL_INTEROP").is_none() {
            own_host::ensure()?;
        }
        let name = self.program.as_bytes();
        let program = found.as_ref().map_or(name, |file| file.as_os_str().as_bytes());
        let invocation = Invocation { program, name, arguments: words };
        let start = Start { arguments: Vec::new(), environment, auxiliary: Auxiliary::default() };
        // Rust's start-up code ignores it, and a program in place would inherit that.
        reset_action(Signal::PIPE);
        inherited::give_back();
        end(launch(&start, &invocation, &wishes))
    }

    /// Refuses what cannot be a variable, before anything is started.
    fn check_names(&self) -> Result<(), Words> {
        for assignment in &self.set {
            let given = &assignment.display();
            match assignment.as_bytes().iter().position(|byte| *byte == b'=') {
                Some(0) => return Err(Failure::VariableWithoutName { given }.words()),
                Some(_) => {}
                None => return Err(Failure::NoAssignment { given }.words()),
            }
        }
        for name in &self.unset {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(Failure::NoVariableName { given: &name.display() }.words());
            }
        }
        Ok(())
    }
}

/// A program in the background must not take what is typed for the shell.
fn leave_terminal_input() -> io::Result<()> {
    if io::stdin().is_terminal() {
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    }
    Ok(())
}

fn is_hosted_wanted() -> bool {
    std::env::var_os("WINTEROP_PLACEMENT").is_some_and(|value| value == "hosted")
}

/// Every variable that can mean the same on the Windows side. What WSLENV lists goes as that says.
fn whole_environment(may_be_passed: fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let listed = std::env::var_os("WSLENV").unwrap_or_default();
    let listed: Vec<&[u8]> = wslenv::entries(listed.as_bytes()).map(|listed| listed.name).collect();
    let passed = |name: &OsStr| {
        !LINUX_ONLY.iter().any(|own| name == *own)
            && !listed.contains(&name.as_bytes())
            && may_be_passed(name.as_bytes())
    };
    let all = std::env::vars_os().filter(|(name, _)| passed(name));
    all.map(|(name, value)| variables::entry(&name, &value)).collect()
}

/// The file that `program` names, as far as Linux knows it: a path as it is; a bare name in the
/// working directory, then on PATH, each time as it is and with the extensions of Windows programs.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let here = std::iter::once(PathBuf::new());
    here.chain(std::env::split_paths(&path)).find_map(|folder| find_in(&folder, program))
}

fn find_in(folder: &Path, program: &OsStr) -> Option<PathBuf> {
    let named = |extension: &str| {
        let mut name = program.to_owned();
        name.push(extension);
        folder.join(name)
    };
    let upper = EXTENSIONS.map(str::to_ascii_uppercase);
    let spellings = EXTENSIONS.iter().copied().zip(upper.iter().map(String::as_str));
    let extended = spellings.flat_map(|(lower, upper)| [named(lower), named(upper)]);
    std::iter::once(named("")).chain(extended).find(|file| is_windows_program(file))
}

/// Whether a file is one that the host can start: by its extension, or by how it begins.
fn is_windows_program(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().as_bytes();
    let has_extension = EXTENSIONS.iter().any(|extension| {
        let end = name.len().checked_sub(extension.len()).and_then(|start| name.get(start..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(extension.as_bytes()))
    });
    file.is_file() && (has_extension || begins_as_one(file))
}

fn begins_as_one(file: &Path) -> bool {
    let mut magic = [0; 2];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && &magic == b"MZ"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_the_extensions_of_windows_programs() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("a", "MZ"),
            ("b", "#!/bin/sh"),
            ("b.EXE", ""),
            ("c.exe", "MZ"),
            ("c.com", "MZ"),
            ("d.txt", "MZ"),
            ("e", "text"),
            ("f.Cmd", "text"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::create_dir(folder.path().join("g.exe")).unwrap();
        let found = |name: &str| {
            let file = find_in(folder.path(), OsStr::new(name))?;
            Some(file.file_name().unwrap().to_str().unwrap().to_owned())
        };
        for (name, expected) in [
            ("a", Some("a")),
            ("b", Some("b.EXE")),
            ("c", Some("c.com")),
            ("d.txt", Some("d.txt")),
            ("e", None),
            ("f.Cmd", Some("f.Cmd")),
            ("f", None),
            ("g", None),
            ("h", None),
        ] {
            assert_eq!(found(name).as_deref(), expected, "{name}");
        }
    }
}
