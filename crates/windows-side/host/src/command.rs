//! The launcher `command`.

use crate::directory;
use crate::execution::Execution;
use crate::launcher::{Launched, Launcher, RefusedLaunch};
use crate::local::Local;
use crate::located::Name;
use crate::mark::Mark;
use crate::request::LaunchRequest;
use crate::variables;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use winterop_settings::{Settings, VariableGroup};
use winterop_words::Failure;

/// Starts Windows programs with a prefix command: ssh, a cluster's run command, a test.
#[derive(Clone, Debug)]
pub struct CommandLauncher {
    local: Local,
    command: Vec<OsString>,
    groups: Vec<VariableGroup>,
}

impl CommandLauncher {
    /// A launcher that puts the settings' command before the program's path and its arguments, and starts
    /// all of it with `local`.
    #[must_use]
    pub fn new(settings: &Settings, local: Local) -> Self {
        let command = settings.command.iter().map(Into::into).collect();
        Self { local, command, groups: settings.pass_environment.clone() }
    }

    /// Builds what to execute.
    fn execution(&self, request: &LaunchRequest, mark: &Mark) -> Result<Execution, RefusedLaunch> {
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
        let execution = Execution {
            arguments,
            environment,
            needs: vec![program.clone()],
            program,
            directory: directory.path().to_owned(),
            is_elsewhere,
            warnings,
            ..Execution::default()
        };
        Ok(execution.located(&name, &directory))
    }
}

impl Launcher for CommandLauncher {
    fn launch(&self, request: LaunchRequest, mark: &Mark) -> Result<Launched, RefusedLaunch> {
        let execution = self.execution(&request, mark)?;
        self.local.launch(request, execution, mark)
    }

    fn find(&self, _name: &[u8]) -> Result<Option<PathBuf>, RefusedLaunch> {
        Ok(None)
    }

    fn still_preparing(&self) -> &'static str {
        "the launch is still being prepared…"
    }

    fn warm_up(&self, _progress: &mut dyn FnMut(&str)) -> Result<(), RefusedLaunch> {
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
