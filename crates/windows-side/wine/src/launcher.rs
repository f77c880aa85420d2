//! The launcher `wine`: gets Wine ready, and builds what to execute for each launch.

use crate::aliases::Aliases;
use crate::command::{Error as BuildError, Request as WineRequest, build};
use crate::display::Display;
use crate::environment::{CONSOLE_VARIABLE, PLAIN_VARIABLE, ProcessEnvironment, REPORT_VARIABLE};
use crate::installation::Search;
use crate::launches::Page;
use crate::names::{Instances, Names};
use crate::pe::{Diagnosis, Program, Subsystem, diagnose_with};
use crate::programs::Programs;
use crate::server::Server;
use crate::session_path::{self, Batch, Kept};
use crate::surroundings::Surroundings;
use crate::user::WineUser;
use crate::{linux_side, prefix};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use winterop_drives::DriveFolder;
use winterop_host::directory::{self, Loss};
use winterop_host::located::{Name, are_same, base_name, is_same_in, names_descriptor};
use winterop_host::request::LaunchRequest;
use winterop_host::variables::{HostNames, chosen, split};
use winterop_host::{Execution, Interface, Launched, Launcher, Local, Mark, RefusedLaunch};
use winterop_settings::{Settings, VariableGroup, WindowsPathSetting};
use winterop_translate::bytes::for_display;
use winterop_translate::command_line::{
    BatchHost, CommandLine, CommandLineError, Dialect, ProgramKind, batch, c_runtime,
    command_processor, verbatim,
};
use winterop_translate::paths::TranslateError;
use winterop_translate::{Translator, WindowsPath};
use winterop_wire::Features;
use winterop_words::Failure;

/// Where the launcher keeps its things.
#[derive(Clone, Debug)]
pub struct Places {
    /// The user's data: the prefix and its template.
    pub data: PathBuf,
    /// What lives as long as the host: the page of launches in flight.
    pub runtime: PathBuf,
    /// The library that is preloaded into Wine.
    pub preload: Option<PathBuf>,
    /// The Windows program that makes real pipes.
    pub helper: Option<PathBuf>,
    /// `wsl`, for Windows programs that start Linux programs.
    pub program: Option<PathBuf>,
    /// The name of the distribution whose root is the machine's: `\\wsl.localhost\NAME`.
    pub distribution: String,
}

/// Starts Windows programs with Wine.
#[derive(Debug)]
pub struct WineLauncher {
    places: Places,
    settings: Settings,
    local: Local,
    ready: Mutex<Option<Arc<Ready>>>,
    left_out: LeftOut,
}

/// How long a launch waits for a server that is being started again; that takes a second or two.
const RESTARTING: Duration = Duration::from_secs(30);

/// Wine, prepared and warm.
#[derive(Debug)]
struct Ready {
    surroundings: Surroundings,
    names: Names,
    aliases: Aliases,
    server: Mutex<Option<Server>>,
    session_path: Arc<Kept>,
    /// Removed with the host.
    _page: Option<Page>,
}

impl Ready {
    /// Waits while the server is being started again.
    fn wait_for_server(&self) -> Result<(), RefusedLaunch> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(server) = &*server else {
            return Err(Failure::HostEnding {}.into());
        };
        server.wait(RESTARTING).map_err(|error| error.words().into())
    }
}

impl WineLauncher {
    /// A launcher that gets Wine ready when it is first needed, or when told to. Programs, and what
    /// Wine runs by, are started with `local`.
    #[must_use]
    pub fn new(places: Places, settings: Settings, local: Local) -> Self {
        let (ready, left_out) = (Mutex::new(None), LeftOut::default());
        Self { places, settings, local, ready, left_out }
    }

    fn state(&self) -> MutexGuard<'_, Option<Arc<Ready>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wine, made ready by whoever comes first; everybody else waits for it.
    fn ready(&self, progress: &mut dyn FnMut(&str)) -> Result<Arc<Ready>, RefusedLaunch> {
        let mut state = self.state();
        if let Some(ready) = &*state {
            return Ok(Arc::clone(ready));
        }
        let ready = Arc::new(self.make_ready(progress)?);
        *state = Some(Arc::clone(&ready));
        Ok(ready)
    }

    fn make_ready(&self, progress: &mut dyn FnMut(&str)) -> Result<Ready, RefusedLaunch> {
        let found = Search::from_env().run().map_err(|error| error.words())?;
        tracing::info!(wine = %found.installation.loader.display(), why = found.installation.why);
        let user = WineUser::current();
        let mut step = |step: prefix::Step| progress(step.words());
        let (data, starter) = (&self.places.data, self.local.starter());
        let prefix =
            prefix::prepare(&found.installation, &user, data, starter.map(|it| &**it), &mut step)
                .map_err(|error| error.words())?;
        // Without the page starts are slower and nothing else.
        let page = Page::create(&self.places.runtime.join("launches"))
            .inspect_err(|error| tracing::warn!(%error, "starts are not made faster"))
            .ok();
        let surroundings = Surroundings {
            installation: found.installation,
            prefix: prefix.path,
            user,
            preload: self.places.preload.clone(),
            launches: page.as_ref().map(|page| page.path().to_owned()),
            starter: self.local.starter().cloned(),
        };
        progress("starting Wine");
        let server =
            Server::start(&surroundings, &Display::default()).map_err(|error| error.words())?;
        let names = names(&surroundings.prefix, &self.places)?;
        offer_linux_side(&surroundings.prefix, &self.places);
        let aliases = Aliases::new(self.places.runtime.join("names"));
        let session_path = self.session_path(&surroundings.prefix);
        let server = Mutex::new(Some(server));
        Ok(Ready { surroundings, names, aliases, server, session_path, _page: page })
    }
}

impl WineLauncher {
    /// What sessions take for their PATH; it is written meanwhile.
    fn session_path(&self, prefix: &Path) -> Arc<Kept> {
        let Settings { append_windows_path, windows_path, batch_files, .. } = self.settings;
        let with_links = append_windows_path && windows_path == WindowsPathSetting::Links;
        let batch = if batch_files { Batch::Files } else { Batch::No };
        let kept = Arc::new(Kept::new(prefix, &self.places.data, with_links.then_some(batch)));
        match session_path::is_known(&self.places.data) {
            true => refresh(&kept),
            // Somebody waits for it to be there.
            false => kept.refresh(),
        }
        kept
    }
}

/// Brings it up to date on a thread of its own: no launch waits for that.
fn refresh(kept: &Arc<Kept>) {
    let own = Arc::clone(kept);
    let thread = std::thread::Builder::new().name("session path".to_owned());
    if let Err(error) = thread.spawn(move || own.refresh()) {
        tracing::warn!(%error, "what sessions append to PATH is old");
    }
}

/// Gives Windows programs their `wsl.exe`. Without it everything else works.
fn offer_linux_side(prefix: &Path, places: &Places) {
    let (Some(helper), Some(program)) = (&places.helper, &places.program) else { return };
    if let Err(error) = linux_side::offer(prefix, helper, program) {
        tracing::warn!(%error, "Windows programs have no wsl.exe");
    }
}

/// What the prefix's drives make of the host's files; keeps the distribution's own share.
fn names(prefix: &Path, places: &Places) -> Result<Names, RefusedLaunch> {
    let distribution = &places.distribution;
    // Without the share files have names by drive letters, and only those.
    if let Err(error) =
        DriveFolder::of_prefix(prefix).link_distribution(distribution, Path::new("/"))
    {
        tracing::warn!(%error, "the distribution has no share");
    }
    let instances = Instances::of_user(&places.runtime);
    Names::read(prefix, distribution, instances)
        .map_err(|error| Failure::DrivesUnusable { error: &error }.into())
}

impl Ready {
    /// The launcher's files: whoever sees them at the same names can run Wine itself.
    fn needs(&self) -> Vec<&Path> {
        let Surroundings { installation, prefix, preload, .. } = &self.surroundings;
        let always = [installation.loader.as_path(), prefix.as_path()];
        always.into_iter().chain(preload.as_deref()).collect()
    }

    /// Whether the caller's root directory shows it the launcher's files, as an instance's does.
    fn is_seen_by(&self, request: &LaunchRequest) -> bool {
        let root = request.endpoints.root.as_ref();
        root.is_some_and(|root| self.needs().iter().all(|path| is_same_in(root.as_fd(), path)))
    }

    /// The program under a name that Wine opens, and what Windows calls it then.
    fn program(
        &self,
        request: &LaunchRequest,
        name: &Name,
        translator: &Translator,
    ) -> Result<(PathBuf, WindowsPath), RefusedLaunch> {
        let path = self.aliases.of_program(name.path()).map_err(|error| {
            RefusedLaunch::from(Failure::NoNameForWine { program: &request.shown(), error: &error })
        })?;
        let image = windows_path(translator, &path).map_err(|error| {
            RefusedLaunch::from(Failure::NoWindowsName { program: &request.shown(), error: &error })
        })?;
        Ok((as_wine_names(translator, &image, path), image))
    }

    /// Where the program starts, under a name that has a drive letter; drive C, with words for the
    /// caller, where its own directory is lost.
    fn directory(
        &self,
        request: &LaunchRequest,
        program: &Name,
        translator: &Translator,
    ) -> Result<(Name, Option<String>), RefusedLaunch> {
        let found = match directory::find(request, &self.needs()) {
            Err(Loss::Gone) => self.directory_by_windows_name(request, translator),
            found => found,
        };
        match found.and_then(|name| self.with_drive_letter(name, translator)) {
            Ok(name) => Ok((name, None)),
            Err(loss) => {
                let own = loss.program_directory(program);
                let own = own.and_then(|own| self.with_drive_letter(own, translator).ok());
                if let Some(own) = own {
                    let warning = loss.accept_there(request, own.path())?;
                    return Ok((own, warning));
                }
                let home = self.surroundings.prefix.join("drive_c");
                Ok((Name::Own(home), Some(loss.accept(request, "C:\\")?)))
            }
        }
    }

    fn with_drive_letter(&self, name: Name, translator: &Translator) -> Result<Name, Loss> {
        let path = self.aliases.of_directory(name.path()).map_err(|error| {
            tracing::warn!(%error, "a directory gets no name that Wine can open");
            Loss::NoWindowsName
        })?;
        // cmd.exe takes no share for its directory.
        let windows = translator.to_drive(path.as_os_str().as_bytes().into());
        let windows = windows.filter(WindowsPath::has_drive_letter).ok_or(Loss::NoWindowsName)?;
        let path = as_wine_names(translator, &windows, path);
        Ok(match name {
            Name::Own(_) => Name::Own(path),
            Name::ThroughDescriptor(_) => Name::ThroughDescriptor(path),
        })
    }

    /// A client that is not ours passes no descriptor, and says its directory as Windows would.
    fn directory_by_windows_name(
        &self,
        request: &LaunchRequest,
        translator: &Translator,
    ) -> Result<Name, Loss> {
        if request.features != Features::NONE || request.working_directory.is_empty() {
            return Err(Loss::Gone);
        }
        let windows = WindowsPath::from_bytes(&*request.working_directory);
        let path = translator.to_linux(&windows).map_err(|_| Loss::Gone)?;
        let path = PathBuf::from(OsString::from_vec(path));
        if path.is_dir() { Ok(Name::Own(path)) } else { Err(Loss::Gone) }
    }
}

impl WineLauncher {
    /// Builds what to execute.
    fn execution(&self, request: &LaunchRequest, mark: &Mark) -> Result<Execution, RefusedLaunch> {
        let ready = self.ready(&mut |_| {})?;
        ready.wait_for_server()?;
        if ready.session_path.is_due() {
            refresh(&ready.session_path);
        }
        let translator = ready.names.translator();
        let name =
            winterop_host::program_name(request, |name| find_program(&ready.surroundings, name))?;
        let kind = ProgramKind::of(name.path().as_os_str().as_bytes());
        let header = diagnose(request, name.path(), kind, &ready.surroundings)?;
        // To Windows a program is one whatever its name ends with: cmd would read it as text.
        let is_program = kind == ProgramKind::Batch && header.is_some();
        let kind = if is_program { ProgramKind::Other } else { kind };
        let (path, image) = ready.program(request, &name, &translator)?;
        let (directory, lost) = ready.directory(request, &name, &translator)?;
        let program = Named { path: &path, image: &image, kind };
        let (start, image, line) = self.command_line(request, &program)?;
        let names = HostNames {
            translator: &translator,
            caller: request.caller(),
            through_root: !ready.is_seen_by(request),
        };
        let variables = variables(request, &self.settings.pass_environment, &names)?;
        let display = display(request);
        let wanted = WineRequest {
            program: start.as_os_str(),
            image: &image,
            command_line: &line,
            variables: &variables,
            display: &display,
        };
        let launch = build(&ready.surroundings, &wanted).map_err(|e| cannot_build(request, &e))?;
        let left_out = self.left_out.tell(request, &launch.left_out);
        // In place, the program is started by its name too.
        let needs = ready.needs().into_iter().chain([path.as_path()]).map(Path::to_owned).collect();
        let mut environment = environment(&launch.environment, request, mark, directory.path());
        let interface = match header {
            Some(program) if program.subsystem == Subsystem::Graphical => Interface::Graphical,
            _ => Interface::Console,
        };
        // A graphical program has no console, and so no hand on the terminal.
        let is_plain = request.terminal.is_none() || interface == Interface::Graphical;
        if is_plain && ready.surroundings.preload.is_some() {
            environment.push((PLAIN_VARIABLE.into(), "1".into()));
        }
        let execution = Execution {
            program: launch.program,
            arguments: launch.arguments,
            environment,
            report: ready.surroundings.preload.as_ref().map(|_| REPORT_VARIABLE),
            console: ready.surroundings.preload.as_ref().map(|_| CONSOLE_VARIABLE),
            interface,
            needs,
            directory: directory.path().to_owned(),
            is_elsewhere: lost.is_some(),
            warnings: lost.into_iter().chain(left_out).collect(),
            keeps_descriptors: variables.iter().any(|(_, v)| names_descriptor(v.as_bytes())),
            ..Execution::default()
        };
        Ok(execution.located(&name, &directory))
    }
}

impl Launcher for WineLauncher {
    fn launch(&self, request: LaunchRequest, mark: &Mark) -> Result<Launched, RefusedLaunch> {
        let execution = self.execution(&request, mark)?;
        self.local.launch(request, execution, mark)
    }

    fn find(&self, name: &[u8]) -> Result<Option<PathBuf>, RefusedLaunch> {
        let ready = self.ready(&mut |_| {})?;
        find_program(&ready.surroundings, name).map(Some)
    }

    fn still_preparing(&self) -> &'static str {
        "Wine is still being prepared…"
    }

    fn warm_up(&self, progress: &mut dyn FnMut(&str)) -> Result<(), RefusedLaunch> {
        self.ready(progress).map(|_| ())
    }

    fn shut_down(&self) {
        let Some(ready) = self.state().take() else { return };
        let server = ready.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.shutdown();
        }
        ready.aliases.remove();
    }
}

/// A program by all its names.
struct Named<'a> {
    path: &'a Path,
    image: &'a WindowsPath,
    kind: ProgramKind,
}

impl WineLauncher {
    /// The program for Wine to start, its Windows path, and the whole command line.
    fn command_line(
        &self,
        request: &LaunchRequest,
        program: &Named<'_>,
    ) -> Result<(PathBuf, Vec<u16>, Vec<u16>), RefusedLaunch> {
        let failed = |error| no_command_line(request, &error);
        if program.kind == ProgramKind::Batch && request.verbatim.is_none() {
            let processor = WindowsPath::from_bytes(*b"C:\\windows\\system32\\cmd.exe");
            let host = BatchHost { processor: &processor, dialect: Dialect::Wine };
            let line = batch(&host, program.image, &request.arguments).map_err(failed)?;
            let start = PathBuf::from(OsString::from_vec(processor.as_bytes().to_vec()));
            return Ok((start, processor.to_utf16(), line.to_utf16()));
        }
        let line = plain_line(request, program.kind).map_err(failed)?;
        if self.settings.needs_pipes(&base_name(program.path)) && has_pipes(request) {
            return self.through_helper(request, program, &line);
        }
        Ok((program.path.to_owned(), program.image.to_utf16(), line.to_utf16()))
    }

    /// Starts the helper instead, which makes real pipes and starts the program on them.
    fn through_helper(
        &self,
        request: &LaunchRequest,
        program: &Named<'_>,
        line: &CommandLine,
    ) -> Result<(PathBuf, Vec<u16>, Vec<u16>), RefusedLaunch> {
        let Some(helper) = self.places.helper.as_ref().filter(|path| path.exists()) else {
            return Err(Failure::NoHelper { program: &request.shown() }.into());
        };
        let name = b"winterop-helper.exe --application ";
        let mut whole = name.to_vec();
        whole.push(b'"');
        whole.extend_from_slice(program.image.as_bytes());
        whole.extend_from_slice(b"\" -- ");
        whole.extend_from_slice(line.as_bytes());
        let image = crate::command::image_on_z(helper);
        Ok((helper.clone(), image, winterop_translate::bytes::to_utf16(&whole)))
    }
}

/// A line that cannot be written, as the error number says it: too long, or not to be said at all.
fn no_command_line(request: &LaunchRequest, error: &CommandLineError) -> RefusedLaunch {
    let program = request.shown();
    match Errno::from_raw_os_error(error.errno()) {
        Errno::TOOBIG => Failure::TooLongForWindows { program: &program, error }.into(),
        _ => Failure::ArgumentNotPassable { program: &program, error }.into(),
    }
}

fn plain_line(request: &LaunchRequest, kind: ProgramKind) -> Result<CommandLine, CommandLineError> {
    let name = request.arguments.first().map(Vec::as_slice).unwrap_or_default();
    match (&request.verbatim, kind) {
        (Some(line), kind) => verbatim(kind, name, line),
        (None, ProgramKind::CommandProcessor) => command_processor(&request.arguments),
        (None, _) => c_runtime(&request.arguments),
    }
}

/// The names of variables that did not reach a program, of which users were told.
#[derive(Debug, Default)]
struct LeftOut(Mutex<BTreeSet<OsString>>);

/// After so many names nobody reads on.
const MOST_NAMES: usize = 64;

impl LeftOut {
    /// What to tell the caller: of names that came with WSLENV once while this host runs, or every
    /// start in a session would repeat it; of what was asked for by name each time.
    fn tell(&self, request: &LaunchRequest, names: &[OsString]) -> Option<String> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked_for = |name: &OsString| {
            request.set.iter().any(|entry| {
                entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
            })
        };
        let new = |name: &&OsString| {
            (told.len() < MOST_NAMES && told.insert((*name).clone())) || asked_for(name)
        };
        let short = |name: &OsString| for_display(name.as_bytes()).chars().take(60).collect();
        let names: Vec<String> = names.iter().filter(new).map(short).collect();
        if names.is_empty() {
            return None;
        }
        let names = names.join(", ");
        tracing::info!(program = request.shown(), names, "variables that are not passed on");
        Some(format!(
            "{}: not passed on, because Wine or Linux's own libraries would take it for theirs: \
             {names}",
            base_name(Path::new(&request.shown()))
        ))
    }
}

fn has_pipes(request: &LaunchRequest) -> bool {
    request.endpoints.borrowed_standard().into_iter().flatten().any(|descriptor| {
        fstat(descriptor).is_ok_and(|status| {
            matches!(FileType::from_raw_mode(status.st_mode), FileType::Fifo | FileType::Socket)
        })
    })
}

/// Finds a program by its bare name, as Windows does.
fn find_program(surroundings: &Surroundings, name: &[u8]) -> Result<PathBuf, RefusedLaunch> {
    let programs = Programs::read(&surroundings.prefix);
    programs.find(name).ok_or_else(|| {
        let (program, places) = (for_display(name), programs.places());
        Failure::ProgramUnknown { program: &program, places: &places }.into()
    })
}

/// Reads the executable's header and says in words why it cannot run, before Wine fails at it.
fn diagnose(
    request: &LaunchRequest,
    path: &Path,
    kind: ProgramKind,
    surroundings: &Surroundings,
) -> Result<Option<Program>, RefusedLaunch> {
    let shown = request.shown();
    let program: &dyn fmt::Display = &shown;
    let file = open_executable(request, path).map_err(|error| {
        match error.kind() {
            std::io::ErrorKind::NotFound => Failure::ProgramNotThere { program, error: &error },
            _ => Failure::ProgramNotReadable { program, error: &error },
        }
        .words()
    })?;
    let diagnosis =
        diagnose_with(|offset, buffer| file.read_at(buffer, offset)).map_err(|error| {
            let error = format!("it cannot be read: {error}");
            Failure::ProgramNotReadable { program, error: &error }.words()
        })?;
    if kind == ProgramKind::Batch && matches!(diagnosis, Diagnosis::NotMz | Diagnosis::Empty) {
        return Ok(None);
    }
    let program = diagnosis
        .check(surroundings.installation.abilities())
        .map_err(|unfit| unfit.words(program))?;
    Ok(Some(program))
}

fn open_executable(request: &LaunchRequest, path: &Path) -> std::io::Result<File> {
    let copy = request.endpoints.executable.as_ref().map(OwnedFd::try_clone);
    copy.unwrap_or_else(|| File::open(path).map(Into::into)).map(File::from)
}

fn windows_path(translator: &Translator, path: &Path) -> Result<WindowsPath, TranslateError> {
    translator.to_windows(path.as_os_str().as_bytes().into())
}

/// The Linux path from which Wine makes `windows`. Wine looks for the drive in the path's own
/// directories only, and not for other places that show the same files.
fn as_wine_names(translator: &Translator, windows: &WindowsPath, path: PathBuf) -> PathBuf {
    let linux = translator.to_linux(windows).map(|path| PathBuf::from(OsString::from_vec(path)));
    match linux {
        Ok(linux) if linux != path && are_same(&linux, &path) => linux,
        _ => path,
    }
}

/// The variables for the Windows side, within its limits.
fn variables(
    request: &LaunchRequest,
    groups: &[VariableGroup],
    names: &HostNames<'_>,
) -> Result<Vec<(OsString, OsString)>, RefusedLaunch> {
    let variables = chosen(request, groups, Some(names));
    let entries: Vec<Vec<u8>> =
        variables.iter().map(|(n, v)| [n.as_bytes(), b"=", v.as_bytes()].concat()).collect();
    winterop_translate::command_line::check_environment(&entries).map_err(|error| {
        let program = request.shown();
        Failure::TooLongForWindows { program: &program, error: &error }.words()
    })?;
    Ok(variables)
}

fn linux_variables(request: &LaunchRequest) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    request.linux_variables.iter().filter_map(|entry| split(entry))
}

fn display(request: &LaunchRequest) -> Display {
    Display::from_variables(linux_variables(request))
}

fn cannot_build(request: &LaunchRequest, error: &BuildError) -> RefusedLaunch {
    let program = request.shown();
    match error {
        BuildError::TooLong { .. } => Failure::TooLongForWindows { program: &program, error },
        BuildError::Nul => Failure::ArgumentNotPassable { program: &program, error },
    }
    .into()
}

/// The whole environment of Wine's loader, which starts in `directory`.
fn environment(
    built: &ProcessEnvironment,
    request: &LaunchRequest,
    mark: &Mark,
    directory: &Path,
) -> Vec<(OsString, OsString)> {
    let mut environment: Vec<(OsString, OsString)> =
        built.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    environment.push(mark.entry());
    set_debugging(&mut environment, request);
    // Wine takes the directory's name from here, where it is the same directory.
    environment.push(("PWD".into(), directory.as_os_str().to_owned()));
    environment
}

/// Wine's own messages are shown only to who asks for them.
fn set_debugging(environment: &mut [(OsString, OsString)], request: &LaunchRequest) {
    let wanted = linux_variables(request).find(|(name, _)| *name == "WINEDEBUG");
    let set = environment.iter_mut().find(|(name, _)| name == "WINEDEBUG");
    if let Some(((_, wanted), (_, value))) = wanted.zip(set) {
        *value = wanted.to_owned();
    }
}
