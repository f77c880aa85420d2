//! Builds the create-process message: what the caller has, with the descriptors that prove it.

use crate::names::WindowsNames;
use crate::start::{CallerEnvironment, Invocation, Start, base_name};
use crate::terminal::{Size, Terminal};
use crate::words::{FailedLaunch, Why, shown, system_error};
use alloc::vec::Vec;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use winterop_sys::{inherited, occupy_closed_standard, take_inherited};
use winterop_translate::groups;
use winterop_wire::{
    CommonBlock, CreateProcess, Extensions, Features, Header, MessageType, Placement, Role, Tag,
};

/// What the caller may ask beyond WSL's protocol; `winterop run` has options for it.
#[derive(Clone, Debug, Default)]
pub struct Wishes<'a> {
    /// Have the host run the program, even where it could run in the caller's place.
    pub hosted: bool,
    /// `NAME=value`: variables to set on the Windows side, the value may be empty.
    pub set: Vec<&'a [u8]>,
    /// Variables to remove on the Windows side.
    pub unset: Vec<&'a [u8]>,
    /// What shall stand behind the name in the Windows command line, instead of the arguments.
    pub verbatim: Option<&'a [u8]>,
    /// The program shall outlive the caller.
    pub detach: bool,
    /// The program shall start in the working directory or not at all.
    pub strict_directory: bool,
    /// The program is a bare name that the host is to find, as Windows does.
    pub search: bool,
}

/// The caller's variables that a graphical program under Wine needs, or Wine itself.
const PASSED_VARIABLES: [&[u8]; 5] =
    [b"DISPLAY", b"WAYLAND_DISPLAY", b"XAUTHORITY", b"XDG_RUNTIME_DIR", b"WINEDEBUG"];

/// What the interpreter understands beyond WSL's protocol.
const FEATURES: Features = Features::IN_PLACE.with(Features::SIGNALS);

/// A create-process message that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Request {
    /// The whole message.
    pub bytes: Vec<u8>,
    /// What travels with it, in the order of the message's roles.
    pub descriptors: Vec<OwnedFd>,
    standard: Vec<BorrowedFd<'static>>,
}

impl Request {
    /// Everything to attach to the message: the standard descriptors, then the opened ones.
    ///
    /// The console's file is the terminal's, which stays with the interpreter.
    #[must_use]
    pub(crate) fn attached<'a>(&'a self, terminal: Option<&'a Terminal>) -> Vec<BorrowedFd<'a>> {
        let opened = self.descriptors.iter().map(AsFd::as_fd);
        let console = terminal.and_then(Terminal::shared);
        self.standard.iter().copied().chain(opened).chain(console).collect()
    }
}

/// What belongs to the calling process, looked at once.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Descriptors 0, 1 and 2, where they are open.
    pub standard: [Option<BorrowedFd<'static>>; 3],
    executable: Option<OwnedFd>,
    root: OwnedFd,
    directory: Option<OwnedFd>,
    directory_path: Vec<u8>,
    /// The terminal, where the program is to be interactive on it.
    pub terminal: Option<Terminal>,
}

impl Caller {
    /// Looks at the process and opens the executable, the root and the working directory. There is
    /// no executable yet where the host is to find it.
    ///
    /// # Errors
    /// A [`FailedLaunch`] that says why the program cannot be opened.
    pub(crate) fn inspect(
        start: &Start<'_>,
        program: &[u8],
        wishes: &Wishes<'_>,
    ) -> Result<Self, FailedLaunch> {
        let executable = start.auxiliary.executable;
        // Before anything is opened, or a closed descriptor would seem to be open. The executable
        // that the kernel opened may sit on such a number itself.
        let standard = [0, 1, 2].map(|fd| inherited(fd).filter(|_| executable != Some(fd)));
        let executable = match executable.and_then(take_inherited) {
            Some(opened) => Some(above_standard(opened)),
            None if wishes.search => None,
            None => Some(open_program(program)),
        };
        let executable = executable.transpose().map_err(|error| cannot_open(program, error))?;
        // A hosted program's interpreter gives 0 and 1 up, and must not give up its connection with them;
        // a program in its place must not open files of its own there.
        occupy_closed_standard();
        if executable.as_ref().is_some_and(is_directory) {
            return Err(cannot_open(program, Errno::ISDIR));
        }
        let root = open_directory(b"/").map_err(|error| cannot_open(b"/", error))?;
        let directory = open_directory(b".").ok();
        let directory_path = directory_path();
        let terminal = Terminal::of(standard);
        Ok(Self { standard, executable, root, directory, directory_path, terminal })
    }

    /// The program's path from the root, not normalised.
    fn absolute(&self, program: &[u8]) -> Vec<u8> {
        if program.starts_with(b"/") {
            return program.to_vec();
        }
        let mut path = self.directory_path.clone();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(program.strip_prefix(b"./").unwrap_or(program));
        path
    }
}

fn is_directory(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|status| FileType::from_raw_mode(status.st_mode).is_dir())
}

fn open_program(program: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    above_standard(open(program, flags, Mode::empty())?)
}

fn open_directory(path: &[u8]) -> Result<OwnedFd, Errno> {
    above_standard(open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The working directory's name; empty where it has none: it was removed, or lies outside of the
/// root, which the kernel says with text in place of the first slash.
fn directory_path() -> Vec<u8> {
    let path = rustix::process::getcwd(Vec::new()).map(|path| path.into_bytes());
    path.ok().filter(|path| path.starts_with(b"/")).unwrap_or_default()
}

/// Moves a descriptor off the numbers 0, 1 and 2, where the program would take it for its own, and
/// makes it close-on-exec.
fn above_standard(descriptor: OwnedFd) -> Result<OwnedFd, Errno> {
    if descriptor.as_raw_fd() > 2 {
        rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
        return Ok(descriptor);
    }
    fcntl_dupfd_cloexec(&descriptor, 3)
}

fn cannot_open(program: &[u8], error: Errno) -> FailedLaunch {
    let (program, text) = (shown(program), system_error(error));
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => {
            Why::ProgramNotThere { program: &program, error: &text }.into()
        }
        _ => Why::ProgramNotReadable { program: &program, error: &text }.into(),
    }
}

/// Builds the message for `invocation`.
///
/// # Errors
/// A [`FailedLaunch`] where the request is over the protocol's limits.
pub(crate) fn build(
    caller: Caller,
    environment: &CallerEnvironment<'_>,
    invocation: &Invocation<'_>,
    wishes: &Wishes<'_>,
) -> Result<(Request, Option<Terminal>), FailedLaunch> {
    let path = caller.absolute(invocation.program);
    let mut names = WindowsNames::new(environment);
    let filename = match &caller.executable {
        Some(file) => names.executable(&path, file.as_fd()),
        None => invocation.program.to_vec(),
    };
    let working_directory = names.directory(&caller.directory_path, caller.directory.as_ref());
    let variables = names.variables(environment);
    let entries = variables.iter().map(|entry| &**entry).collect();

    let argv0 = if invocation.name == path || invocation.name == invocation.program {
        base_name(invocation.name)
    } else {
        invocation.name
    };
    let size = caller.terminal.as_ref().map(Terminal::size);
    let message = CreateProcess {
        standard_ids: [0; 3],
        common: CommonBlock {
            standard_ids: [0; 3],
            filename: &filename,
            working_directory: &working_directory,
            arguments: [argv0].into_iter().chain(invocation.arguments.iter().copied()).collect(),
            environment: Some(entries),
            rows: size.map_or(0, |size: Size| size.rows),
            columns: size.map_or(0, |size: Size| size.columns),
            pseudoconsole: size.is_some(),
            extensions: extensions(&caller, environment, invocation, wishes, &path),
        },
    };
    let mut bytes = Vec::with_capacity(4096);
    let header = Header::request(MessageType::CREATE_PROCESS);
    message.encode(&header, &mut bytes).map_err(|error| {
        FailedLaunch::from(Why::RequestTooLong {
            program: &shown(invocation.program),
            error: &error,
        })
    })?;
    let descriptors = [caller.executable, Some(caller.root), caller.directory];
    let request = Request {
        bytes,
        standard: caller.standard.into_iter().flatten().collect(),
        descriptors: descriptors.into_iter().flatten().collect(),
    };
    Ok((request, caller.terminal))
}

fn extensions<'a>(
    caller: &'a Caller,
    environment: &CallerEnvironment<'a>,
    invocation: &Invocation<'a>,
    wishes: &Wishes<'a>,
    path: &'a [u8],
) -> Extensions<'a> {
    let mut extensions = Extensions::new();
    match &caller.executable {
        Some(_) => extensions.push(Tag::LINUX_EXECUTABLE, path),
        None => extensions.push(Tag::SEARCH_NAME, invocation.program),
    }
    if !caller.directory_path.is_empty() {
        extensions.push(Tag::LINUX_DIRECTORY, &*caller.directory_path);
    }
    extensions.push_roles(roles(caller));
    if wishes.hosted {
        extensions.push_u8(Tag::PLACEMENT, Placement::Hosted.into());
    }
    push_list(&mut extensions, Tag::LINUX_VARIABLES, passed_variables(environment));
    push_list(
        &mut extensions,
        Tag::RAW_WSLENV,
        crate::names::raw_paths(environment).iter().map(Vec::as_slice),
    );
    push_list(&mut extensions, Tag::SET_VARIABLES, wishes.set.iter().copied());
    push_list(&mut extensions, Tag::UNSET_VARIABLES, wishes.unset.iter().copied());
    if let Some(line) = wishes.verbatim {
        extensions.push(Tag::VERBATIM_COMMAND_LINE, line);
    }
    if wishes.detach {
        extensions.push_u8(Tag::DETACH, 1);
    }
    if wishes.strict_directory {
        extensions.push_u8(Tag::STRICT_DIRECTORY, 1);
    }
    extensions.push_u32(Tag::CLIENT_FEATURES, FEATURES.0);
    extensions.push(Tag::EXECUTABLE_NAME, invocation.name);
    extensions
}

fn push_list<'v>(extensions: &mut Extensions<'_>, tag: Tag, list: impl Iterator<Item = &'v [u8]>) {
    // What was read from an environment or a command line holds no NUL.
    let mut value = Vec::new();
    for entry in list {
        value.extend_from_slice(entry);
        value.push(0);
    }
    if !value.is_empty() {
        extensions.push(tag, value);
    }
}

fn passed_variables<'a>(environment: &CallerEnvironment<'a>) -> impl Iterator<Item = &'a [u8]> {
    let passed = |entry: &&[u8]| {
        let name = entry.split(|byte| *byte == b'=').next().unwrap_or_default();
        PASSED_VARIABLES.contains(&name) || groups::contain(name)
    };
    environment.entries().filter(passed).collect::<Vec<_>>().into_iter()
}

fn roles(caller: &Caller) -> impl Iterator<Item = Role> {
    let standard = [Role::Stdin, Role::Stdout, Role::Stderr];
    let open = standard.into_iter().zip(caller.standard).filter_map(|(role, fd)| fd.map(|_| role));
    let executable = caller.executable.as_ref().map(|_| Role::Executable);
    let directory = caller.directory.as_ref().map(|_| Role::WorkingDirectory);
    let console = caller.terminal.as_ref().and_then(Terminal::shared).map(|_| Role::Console);
    open.chain(executable).chain([Role::RootDirectory]).chain(directory).chain(console)
}
