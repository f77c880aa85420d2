//! The host's ways to create a Windows process.

use crate::directory;
use crate::located::Name;
use crate::request::LaunchRequest;
use crate::variables;
use rustix::io::Errno;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use winterop_settings::{Settings, VariableGroup};
use winterop_words::{Failure, Words};

/// A launch that will not happen, in words for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// One or more lines: what was tried, on what, why it failed, what to do.
    pub text: String,
    /// The error number that WSL's protocol has for it.
    pub errno: Errno,
    /// The status the interpreter exits with.
    pub status: u8,
}

impl From<Words> for Refusal {
    fn from(words: Words) -> Self {
        let errno = Errno::from_raw_os_error(words.kind.errno());
        Self { text: words.to_string(), errno, status: words.kind.status() }
    }
}

impl From<Failure<'_>> for Refusal {
    fn from(failure: Failure<'_>) -> Self {
        failure.words().into()
    }
}

/// What to execute for a launch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
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
    /// The program is graphical.
    pub graphical: bool,
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

impl Prepared {
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

/// A way to create Windows processes.
pub trait Launcher: Send + Sync + std::fmt::Debug {
    /// Builds what to execute. May block: it is called on a thread of its own.
    ///
    /// `mark` is a variable that everything which the program starts shall inherit.
    ///
    /// # Errors
    /// A [`Refusal`].
    fn prepare(&self, request: &LaunchRequest, mark: &Mark) -> Result<Prepared, Refusal>;

    /// Where a program is that came by its bare name; none where only what the launcher starts knows
    /// that. May block.
    ///
    /// # Errors
    /// A [`Refusal`]: there is no such program.
    fn find(&self, name: &[u8]) -> Result<Option<PathBuf>, Refusal>;

    /// Gets everything ready that the first launch would otherwise wait for. May block for seconds.
    ///
    /// # Errors
    /// A [`Refusal`] that every launch gets until it is mended.
    fn warm_up(&self, progress: &mut dyn FnMut(&str)) -> Result<(), Refusal>;

    /// Ends what the launcher keeps running between launches.
    fn shut_down(&self);
}

/// The variable by which everything that belongs to one launch is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The launch's number.
    pub launch: u64,
    /// `value` of [`Mark::VARIABLE`].
    pub value: String,
}

impl Mark {
    /// The variable's name. Windows programs see it too, and pass it on to what they start.
    pub const VARIABLE: &'static str = "WINEWINTEROPLAUNCH";

    /// The mark of launch number `launch` of this host.
    #[must_use]
    pub fn new(launch: u64) -> Self {
        Self { launch, value: format!("{}-{launch}", std::process::id()) }
    }

    /// The variable as it stands in an environment.
    #[must_use]
    pub fn entry(&self) -> (OsString, OsString) {
        (Self::VARIABLE.into(), self.value.clone().into())
    }
}

/// Starts Windows programs with a prefix command: ssh, a cluster's run command, a test.
#[derive(Clone, Debug)]
pub struct CommandLauncher {
    command: Vec<OsString>,
    groups: Vec<VariableGroup>,
}

impl CommandLauncher {
    /// A launcher that puts the settings' command before the program's path and its arguments.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let command = settings.command.iter().map(Into::into).collect();
        Self { command, groups: settings.pass_environment.clone() }
    }
}

impl Launcher for CommandLauncher {
    fn prepare(&self, request: &LaunchRequest, mark: &Mark) -> Result<Prepared, Refusal> {
        use std::os::unix::ffi::OsStringExt as _;
        let Some(program) = self.command.first() else {
            return Err(Failure::NoCommand {}.into());
        };
        if request.verbatim.is_some() {
            let (program, command) = (request.shown(), program.display());
            return Err(Failure::NoRawLine { program: &program, command: &command }.into());
        }
        // What stands behind the command knows where its programs are.
        let name =
            crate::program_name(request, |name| Ok(OsString::from_vec(name.to_vec()).into()))?;
        let path = name.path().to_owned();
        let program = find_on_path(program);
        let found = directory::find(request, &[&program]);
        let (directory, warnings) = match found.clone() {
            Ok(name) => (name, Vec::new()),
            Err(loss) => match loss.program_directory(&name) {
                Some(own) => {
                    let warning = loss.accept_there(request, own.path())?;
                    (own, warning.into_iter().collect())
                }
                None => {
                    let root = Name::Own(PathBuf::from("/"));
                    (root, vec![loss.accept(request, "the root directory")?])
                }
            },
        };
        let is_elsewhere = found.is_err();
        let arguments = request.arguments.iter().skip(1).cloned().map(OsString::from_vec);
        let arguments: Vec<OsString> =
            self.command.iter().cloned().chain([path.into_os_string()]).chain(arguments).collect();
        let mut environment: Vec<(OsString, OsString)> = std::env::vars_os()
            .filter(|(name, _)| name != Mark::VARIABLE && name != "NOTIFY_SOCKET")
            .collect();
        environment.extend(variables::chosen(request, &self.groups, None));
        environment.push(mark.entry());
        let prepared = Prepared {
            arguments,
            environment,
            needs: vec![program.clone()],
            program,
            directory: directory.path().to_owned(),
            is_elsewhere,
            warnings,
            ..Prepared::default()
        };
        Ok(prepared.located(&name, &directory))
    }

    fn find(&self, _name: &[u8]) -> Result<Option<PathBuf>, Refusal> {
        Ok(None)
    }

    fn warm_up(&self, _progress: &mut dyn FnMut(&str)) -> Result<(), Refusal> {
        Ok(())
    }

    fn shut_down(&self) {}
}

/// Where a command without a slash is found.
fn find_on_path(program: &OsString) -> PathBuf {
    let given = Path::new(program);
    if given.components().count() > 1 || given.is_absolute() {
        return given.to_owned();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).map(|directory| directory.join(program));
    let executable = |file: &PathBuf| {
        rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
    };
    candidates.into_iter().find(executable).unwrap_or_else(|| given.to_owned())
}
