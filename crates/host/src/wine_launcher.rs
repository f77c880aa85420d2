//! The launcher `wine`: brings together what [`crate::wine`] knows.

use crate::launcher::{Launcher, Mark, Prepared, Refusal};
use crate::located::base_name;
use crate::request::LaunchRequest;
use crate::wine::command::{
    Account, Display, Error as BuildError, REPORT_VARIABLE, Request as WineRequest, Surroundings,
    build,
};
use crate::wine::installation::Search;
use crate::wine::launches::Page;
use crate::wine::pe::{Diagnosis, Program, Subsystem, diagnose_with};
use crate::wine::server::Server;
use crate::wine::{drives, prefix};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use winterop_settings::Settings;
use winterop_translate::bytes::for_display;
use winterop_translate::command_line::{
    BatchHost, CommandLine, CommandLineError, Dialect, ProgramKind, batch, c_runtime,
    command_processor, verbatim,
};
use winterop_translate::{Drives, MountTable, Naming, Translator, WindowsPath, wslenv};

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
}

/// Starts Windows programs with Wine.
#[derive(Debug)]
pub struct WineLauncher {
    places: Places,
    settings: Settings,
    ready: Mutex<Option<Arc<Ready>>>,
    left_out: LeftOut,
}

/// How long a launch waits for a server that is being started again; that takes a second or two.
const RESTARTING: Duration = Duration::from_secs(30);

/// Wine, prepared and warm.
#[derive(Debug)]
struct Ready {
    surroundings: Surroundings,
    translator: Translator,
    server: Mutex<Option<Server>>,
    /// Removed with the host.
    _page: Option<Page>,
}

impl Ready {
    /// Waits while the server is being started again.
    fn wait_for_server(&self) -> Result<(), Refusal> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(server) = &*server else {
            return Err(Refusal::cannot_run("the host is about to end; try again".to_owned()));
        };
        server.wait(RESTARTING).map_err(|error| Refusal::cannot_run(error.to_string()))
    }
}

impl WineLauncher {
    /// A launcher that gets Wine ready when it is first needed, or when told to.
    #[must_use]
    pub fn new(places: Places, settings: Settings) -> Self {
        Self { places, settings, ready: Mutex::new(None), left_out: LeftOut::default() }
    }

    fn state(&self) -> MutexGuard<'_, Option<Arc<Ready>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wine, made ready by whoever comes first; everybody else waits for it.
    fn ready(&self, progress: &mut dyn FnMut(&str)) -> Result<Arc<Ready>, Refusal> {
        let mut state = self.state();
        if let Some(ready) = &*state {
            return Ok(Arc::clone(ready));
        }
        let ready = Arc::new(self.make_ready(progress)?);
        *state = Some(Arc::clone(&ready));
        Ok(ready)
    }

    fn make_ready(&self, progress: &mut dyn FnMut(&str)) -> Result<Ready, Refusal> {
        let found = Search::from_env().run().map_err(|e| Refusal::cannot_run(e.to_string()))?;
        tracing::info!(wine = %found.installation.loader.display(), why = found.installation.why);
        let account = Account::current();
        let mut step = |step: prefix::Step| progress(step.words());
        let prefix = prefix::prepare(&found.installation, &account, &self.places.data, &mut step)
            .map_err(|error| Refusal::cannot_run(error.to_string()))?;
        // Without the page starts are slower and nothing else.
        let page = Page::create(&self.places.runtime.join("launches"))
            .inspect_err(|error| tracing::warn!(%error, "starts are not made faster"))
            .ok();
        let surroundings = Surroundings {
            installation: found.installation,
            prefix: prefix.path,
            account,
            preload: self.places.preload.clone(),
            launches: page.as_ref().map(|page| page.path().to_owned()),
        };
        progress("starting Wine");
        let server = Server::start(&surroundings, &Display::default())
            .map_err(|error| Refusal::cannot_run(error.to_string()))?;
        let translator = translator(&surroundings.prefix)?;
        Ok(Ready { surroundings, translator, server: Mutex::new(Some(server)), _page: page })
    }
}

/// What the prefix's drives make of the host's files.
fn translator(prefix: &Path) -> Result<Translator, Refusal> {
    let drives = drives::read(prefix).map_err(|error| Refusal::cannot_run(error.to_string()))?;
    let mut offered = Drives::default();
    for drive in drives {
        // The letter is ASCII by its type.
        let letter = u8::try_from(drive.letter.upper()).unwrap_or(b'Z');
        offered.offer(letter, drive.folder.as_os_str().as_bytes());
    }
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let translator = Translator::new(MountTable::parse(&mounts)).with_drives(offered);
    Ok(translator.with_naming(Naming::Wine))
}

impl Launcher for WineLauncher {
    fn prepare(&self, request: &LaunchRequest, mark: &Mark) -> Result<Prepared, Refusal> {
        let ready = self.ready(&mut |_| {})?;
        ready.wait_for_server()?;
        let path = crate::program_path(request)?;
        let kind = ProgramKind::of(path.as_os_str().as_bytes());
        let program = diagnose(request, &path, kind, &ready.surroundings)?;
        let image = windows_path(&ready.translator, &path)?;
        let named = Named { path: &path, image: &image, kind };
        let (start, image, line) = self.command_line(request, &named)?;
        let variables = variables(request, &ready.translator)?;
        let display = display(request);
        let launch = build(
            &ready.surroundings,
            &WineRequest {
                program: start.as_os_str(),
                image: &image,
                command_line: &line,
                variables: &variables,
                display: &display,
                report: None,
            },
        )
        .map_err(|error| {
            let text = format!("{}: {error}", request.shown());
            match error {
                BuildError::TooLong { .. } => Refusal::too_big(text),
                BuildError::Nul => Refusal::invalid(text),
            }
        })?;
        let warnings = self.left_out.tell(request, &launch.left_out);
        let mut environment: Vec<(OsString, OsString)> =
            launch.environment.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        environment.push(mark.entry());
        set_debugging(&mut environment, request);
        if let Some(directory) = &request.linux_directory {
            // Wine 8 cannot name the directory `/` without it, and checks that it is the same one.
            environment.push(("PWD".into(), OsString::from_vec(directory.clone())));
        }
        let needs = [&ready.surroundings.installation.loader, &ready.surroundings.prefix];
        let is_nameless = path.starts_with(format!("/proc/{}", std::process::id()));
        Ok(Prepared {
            program: launch.program,
            arguments: launch.arguments,
            environment,
            report: ready.surroundings.preload.as_ref().map(|_| REPORT_VARIABLE),
            graphical: program.is_some_and(|p| p.subsystem == Subsystem::Graphical),
            needs: needs.into_iter().chain(&ready.surroundings.preload).cloned().collect(),
            hosted_because: is_nameless.then_some("its executable has no name of its own"),
            warnings: warnings.into_iter().collect(),
        })
    }

    fn warm_up(&self, progress: &mut dyn FnMut(&str)) -> Result<(), Refusal> {
        self.ready(progress).map(|_| ())
    }

    fn shut_down(&self) {
        let Some(ready) = self.state().take() else { return };
        let server = ready.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.shutdown();
        }
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
    ) -> Result<(PathBuf, Vec<u16>, Vec<u16>), Refusal> {
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
    ) -> Result<(PathBuf, Vec<u16>, Vec<u16>), Refusal> {
        let Some(helper) = self.places.helper.as_ref().filter(|path| path.exists()) else {
            return Err(Refusal::cannot_run(format!(
                "{}: this program needs real Windows pipes, and winterop-helper.exe, which makes \
                 them, is not installed; `cargo xtask windows` builds it. Without it the program \
                 runs with files or a terminal as its input and output",
                request.shown()
            )));
        };
        let name = b"winterop-helper.exe --application ";
        let mut whole = name.to_vec();
        whole.push(b'"');
        whole.extend_from_slice(program.image.as_bytes());
        whole.extend_from_slice(b"\" -- ");
        whole.extend_from_slice(line.as_bytes());
        let image = crate::wine::command::image_on_z(helper);
        Ok((helper.clone(), image, winterop_translate::bytes::to_utf16(&whole)))
    }
}

/// A line that cannot be written, as the error number says it: too long, or not to be said at all.
fn no_command_line(request: &LaunchRequest, error: &CommandLineError) -> Refusal {
    let text = format!("{}: {error}", request.shown());
    match Errno::from_raw_os_error(error.errno()) {
        Errno::TOOBIG => Refusal::too_big(text),
        _ => Refusal::invalid(text),
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
    request.descriptors.borrowed_standard().into_iter().flatten().any(|descriptor| {
        fstat(descriptor).is_ok_and(|status| {
            matches!(FileType::from_raw_mode(status.st_mode), FileType::Fifo | FileType::Socket)
        })
    })
}

/// Reads the executable's header and says in words why it cannot run, before Wine fails at it.
fn diagnose(
    request: &LaunchRequest,
    path: &Path,
    kind: ProgramKind,
    surroundings: &Surroundings,
) -> Result<Option<Program>, Refusal> {
    let shown = request.shown();
    let file = open_executable(request, path).map_err(|error| {
        let text = format!("{shown}: {error}");
        match error.kind() {
            std::io::ErrorKind::NotFound => Refusal::not_found(text),
            _ => Refusal::cannot_run(text),
        }
    })?;
    let diagnosis = diagnose_with(|offset, buffer| file.read_at(buffer, offset))
        .map_err(|error| Refusal::cannot_run(format!("{shown}: it cannot be read: {error}")))?;
    if kind == ProgramKind::Batch && matches!(diagnosis, Diagnosis::NotMz | Diagnosis::Empty) {
        return Ok(None);
    }
    let program = diagnosis
        .check(surroundings.installation.abilities())
        .map_err(|unfit| Refusal::cannot_run(format!("{shown}: {unfit}")))?;
    Ok(Some(program))
}

fn open_executable(request: &LaunchRequest, path: &Path) -> std::io::Result<File> {
    let copy = request.descriptors.executable.as_ref().map(OwnedFd::try_clone);
    copy.unwrap_or_else(|| File::open(path).map(Into::into)).map(File::from)
}

fn windows_path(translator: &Translator, path: &Path) -> Result<WindowsPath, Refusal> {
    translator
        .to_windows(path.as_os_str().as_bytes().into())
        .map_err(|error| Refusal::cannot_run(error.to_string()))
}

/// The variables for the Windows side. Paths that WSLENV lists are translated anew: the caller's
/// mount table does not know the host's drives.
fn variables(
    request: &LaunchRequest,
    translator: &Translator,
) -> Result<Vec<(OsString, OsString)>, Refusal> {
    let mut variables = crate::windows_variables(request);
    let raw = |name: &[u8]| {
        request.raw_wslenv.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
    };
    let listed = request.environment.iter().find_map(|entry| entry.strip_prefix(b"WSLENV="));
    let retranslated = wslenv::translate(listed, wslenv::Direction::ToWindows, raw, |path| {
        translator.to_windows(path.into()).ok().map(WindowsPath::into_bytes)
    });
    for entry in retranslated {
        let Some(at) = entry.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = entry.split_at(at);
        if raw(name).is_some()
            && let Some((_, old)) = variables.iter_mut().find(|(n, _)| n.as_bytes() == name)
        {
            *old = OsStr::from_bytes(value.get(1..).unwrap_or_default()).to_owned();
        }
    }
    let entries: Vec<Vec<u8>> =
        variables.iter().map(|(n, v)| [n.as_bytes(), b"=", v.as_bytes()].concat()).collect();
    winterop_translate::command_line::check_environment(&entries)
        .map_err(|error| Refusal::too_big(format!("{}: {error}", request.shown())))?;
    Ok(variables)
}

fn linux_variables(request: &LaunchRequest) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    request.linux_variables.iter().filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        let (name, value) = entry.split_at(at);
        Some((OsStr::from_bytes(name), OsStr::from_bytes(value.get(1..)?)))
    })
}

fn display(request: &LaunchRequest) -> Display {
    Display::from_variables(linux_variables(request))
}

/// Wine's own messages are shown only to who asks for them.
fn set_debugging(environment: &mut [(OsString, OsString)], request: &LaunchRequest) {
    let wanted = linux_variables(request).find(|(name, _)| *name == "WINEDEBUG");
    let set = environment.iter_mut().find(|(name, _)| name == "WINEDEBUG");
    if let Some(((_, wanted), (_, value))) = wanted.zip(set) {
        *value = wanted.to_owned();
    }
}
