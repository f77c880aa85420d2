//! Linux processes of a session: who they are, what they find around them, and on which descriptors
//! they run.

use crate::drives::Drives;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, accessat, statat};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use winterop_accounts::{Account, Accounts, PATH};
use winterop_places::inside;
use winterop_serve::name_services::{Reaped, ask};
use winterop_settings::WslConf;
use winterop_sys::{CStrings, Closed, Directory, Login, Spawn, SpawnError, Step, spawn};
use winterop_wire::{LinuxProcess, ProcessFlags, Role, ShellOptions};

/// Why a process could not be created, in words, and the status with which whoever asked should end.
#[derive(Debug)]
pub(crate) struct Problem {
    /// What was tried, on what, why not, and what to do.
    pub text: String,
    /// 127 for a program that is not there, 126 for one that cannot run, 1 for all else.
    pub status: u8,
}

impl Problem {
    pub(crate) fn usage(text: String) -> Self {
        Self { text, status: 1 }
    }

    pub(crate) fn system(what: &str, error: Errno) -> Self {
        Self::usage(format!("{what}: {}", winterop_sys::system_error(error)))
    }
}

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: Pid,
    /// The controlling side of its terminal.
    pub(crate) terminal: Option<OwnedFd>,
}

/// Creates the process that `request` describes, on the descriptors that came with it.
pub(crate) fn create(
    distribution: &str,
    server: Option<&Path>,
    request: &LinuxProcess<'_>,
    descriptors: Vec<OwnedFd>,
) -> Result<Started, Problem> {
    let (conf, accounts) = match inside::Directory::root() {
        Ok(root) => (WslConf::read_in(&root).unwrap_or_default().0, Accounts::in_root(&root)),
        Err(_) => Default::default(),
    };
    let account = account(request, &conf, &accounts)?;
    let environment = environment(distribution, server, request, &conf, &account);
    let (program, arguments) = program(request, &account, &environment)?;
    let directory = directory(request, &conf, &account)?;
    let terminal = Terminal::open_if_wanted(request.flags, &account)?;
    let passed = assign(descriptors, request);
    let standard = standard(request.flags, &passed, terminal.as_ref());
    let groups: Vec<Gid> = accounts.groups_of(&account).into_iter().map(Gid::from_raw).collect();
    let umask = u32::try_from(conf.filesystem.umask).unwrap_or(0o022) & 0o777;
    let entries: Vec<Vec<u8>> = environment
        .iter()
        .map(|(name, value)| [name.as_slice(), b"=", value.as_slice()].concat())
        .collect();
    let pid = spawn(&Spawn {
        program: &program,
        arguments: &CStrings::new(arguments.iter().map(Vec::as_slice)),
        environment: &CStrings::new(entries.iter().map(Vec::as_slice)),
        standard,
        closed: Closed::Stays,
        inherited: None,
        directory: Some(Directory::Named(&directory)),
        login: Some(Login {
            user: Uid::from_raw(account.user),
            group: Gid::from_raw(account.group),
            groups: Some(&groups).filter(|_| groups_can_be_set()).map(Vec::as_slice),
            terminal: terminal.as_ref().map(|terminal| terminal.program.as_fd()),
            umask: Mode::from_bits_truncate(umask),
            orphaned: Some(Signal::HUP),
        }),
    })
    .map_err(|error| explain(error, &program, &directory, &account))?;
    Ok(Started { pid, terminal: terminal.map(|terminal| terminal.controlling) })
}

fn explain(error: SpawnError, program: &[u8], directory: &CString, account: &Account) -> Problem {
    let shown = String::from_utf8_lossy(program);
    let user = String::from_utf8_lossy(&account.name);
    let reason = winterop_sys::system_error(error.error);
    match error.step {
        Step::Directory => Problem::usage(format!(
            "{user} cannot start in {}: {reason}; name another directory with --cd",
            directory.to_string_lossy()
        )),
        Step::User if matches!(error.error, Errno::INVAL | Errno::PERM) => Problem::usage(format!(
            "the user {user} (uid {}) cannot be preserved here: you have no subordinate ids for \
             it; root can give you some in /etc/subuid and /etc/subgid, or use -u root",
            account.user
        )),
        Step::User => Problem::usage(format!("nobody can become {user}: {reason}")),
        Step::Process => {
            Problem { text: format!("{shown} cannot be started: {reason}"), status: 126 }
        }
        Step::Execution => {
            let status = if error.error == Errno::NOENT { 127 } else { 126 };
            Problem { text: format!("{shown}: {reason}"), status }
        }
    }
}

/// As whom the process runs: whom the request names, else whom `wsl.conf` names, else the id that
/// the request has for such cases.
fn account(
    request: &LinuxProcess<'_>,
    conf: &WslConf,
    accounts: &Accounts,
) -> Result<Account, Problem> {
    if let Some(name) = request.user_name {
        let found = accounts.by_name(name).or_else(|| ask(name, Reaped::Elsewhere, None));
        let is_root = || (name == b"root" && accounts.is_empty()).then(Account::root);
        return found.or_else(is_root).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            Problem::usage(format!("there is no user {name} in this distribution's /etc/passwd"))
        });
    }
    if let Some(name) = &conf.user.default {
        let found = accounts
            .by_name(name.as_bytes())
            .or_else(|| ask(name.as_bytes(), Reaped::Elsewhere, None));
        if let Some(account) = found {
            return Ok(account);
        }
        tracing::warn!(name, "the default user of wsl.conf is not there");
    }
    let id = request.default_uid;
    let known = accounts.by_id(id).or_else(|| (id == 0).then(Account::root));
    known.ok_or_else(|| {
        Problem::usage(format!(
            "the default user has the uid {id}, which nobody has in this distribution's \
             /etc/passwd; name one with -u"
        ))
    })
}

type Variables = BTreeMap<Vec<u8>, Vec<u8>>;

/// What [`Variables`] is for the boot command.
pub(crate) fn environment_of_boot(distribution: &str) -> Vec<Vec<u8>> {
    [
        format!("PATH={PATH}"),
        "HOME=/root".to_owned(),
        "USER=root".to_owned(),
        "LOGNAME=root".to_owned(),
        format!("WSL_DISTRO_NAME={distribution}"),
        "WSL_INTEROP=/run/WSL/1_interop".to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec()
}

/// The whole environment of a process: what a login has, then what the request brings, then what
/// tells of the session, which nothing overrides.
fn environment(
    distribution: &str,
    server: Option<&Path>,
    request: &LinuxProcess<'_>,
    conf: &WslConf,
    account: &Account,
) -> Variables {
    let mut environment = Variables::new();
    let mut set = |name: &str, value: &[u8]| {
        environment.insert(name.as_bytes().to_vec(), value.to_vec());
    };
    let name = rustix::system::uname().nodename().to_bytes().to_vec();
    for (key, value) in [
        ("PATH", PATH.as_bytes()),
        ("HOME", &account.home),
        ("USER", &account.name),
        ("LOGNAME", &account.name),
        ("SHELL", &account.shell),
        ("NAME", &name),
        ("HOSTTYPE", std::env::consts::ARCH.as_bytes()),
    ] {
        set(key, value);
    }
    for entry in &request.environment {
        if let Some(at) = entry.iter().position(|byte| *byte == b'=').filter(|at| *at > 0) {
            let (name, value) = entry.split_at(at);
            environment.insert(name.to_vec(), value.get(1..).unwrap_or_default().to_vec());
        }
    }
    environment.insert(b"WSL_DISTRO_NAME".to_vec(), distribution.as_bytes().to_vec());
    let is_on = request.flags.contains(ProcessFlags::INTEROP_ENABLED);
    match server.filter(|_| is_on) {
        Some(server) => {
            let server = server.as_os_str().as_encoded_bytes().to_vec();
            environment.insert(b"WSL_INTEROP".to_vec(), server);
        }
        None => {
            environment.remove(b"WSL_INTEROP".as_slice());
        }
    }
    append_windows_path(&mut environment, request, conf);
    environment
}

/// Adds the directories of the Windows PATH, those that lie on a drive of this instance.
fn append_windows_path(environment: &mut Variables, request: &LinuxProcess<'_>, conf: &WslConf) {
    let is_wanted =
        conf.interop.append_windows_path && environment.contains_key(b"WSL_INTEROP".as_slice());
    let Some(windows) = request.windows_path.filter(|_| is_wanted) else { return };
    let directories = windows.split(|byte| *byte == b';');
    let directories = directories.filter_map(|it| Drives::path(&conf.automount, it));
    let path = environment.entry(b"PATH".to_vec()).or_default();
    for directory in directories.filter(|it| !it.contains(&b':')) {
        if !path.is_empty() {
            path.push(b':');
        }
        path.extend_from_slice(&directory);
    }
}

/// What to execute: the named program, or the user's shell.
fn program(
    request: &LinuxProcess<'_>,
    account: &Account,
    environment: &Variables,
) -> Result<(Vec<u8>, Vec<Vec<u8>>), Problem> {
    let mut arguments: Vec<Vec<u8>> =
        request.arguments.iter().map(|argument| argument.to_vec()).collect();
    if request.filename.is_empty() {
        let shell = shell(account)?;
        let name = shell.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let is_login = request.shell_options.contains(ShellOptions::LOGIN);
        let name = [if is_login { &b"-"[..] } else { b"" }, name].concat();
        match arguments.first_mut() {
            Some(first) => *first = name,
            None => arguments.push(name),
        }
        return Ok((shell, arguments));
    }
    if arguments.is_empty() {
        arguments.push(request.filename.to_vec());
    }
    Ok((find(request.filename, environment)?, arguments))
}

/// The user's shell, or the one that every distribution should have.
fn shell(account: &Account) -> Result<Vec<u8>, Problem> {
    let candidates = [account.shell.as_slice(), b"/bin/sh"];
    let found = candidates.into_iter().find(|path| is_program(path));
    found.map(<[u8]>::to_vec).ok_or_else(|| Problem {
        text: format!(
            "this distribution has neither {} nor /bin/sh; `wsl -e PROGRAM` runs a program \
             without a shell",
            String::from_utf8_lossy(&account.shell)
        ),
        status: 127,
    })
}

/// Finds a program by the PATH that it will have.
fn find(name: &[u8], environment: &Variables) -> Result<Vec<u8>, Problem> {
    if name.contains(&b'/') {
        return Ok(name.to_vec());
    }
    let path = environment.get(b"PATH".as_slice()).map(Vec::as_slice).unwrap_or_default();
    let candidates = path.split(|byte| *byte == b':').map(|directory| {
        let directory = if directory.is_empty() { b"." } else { directory };
        [directory, b"/", name].concat()
    });
    candidates.into_iter().find(|candidate| is_program(candidate)).ok_or_else(|| Problem {
        text: format!("{}: there is no such program on PATH", String::from_utf8_lossy(name)),
        status: 127,
    })
}

fn is_program(path: &[u8]) -> bool {
    let is_file = statat(CWD, path, AtFlags::empty())
        .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::RegularFile);
    is_file && accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()).is_ok()
}

/// Where the process starts: a Linux path, a Windows path on a drive that is mounted, or, where the
/// request has none, the user's home; `/` where that is missing.
fn directory(
    request: &LinuxProcess<'_>,
    conf: &WslConf,
    account: &Account,
) -> Result<CString, Problem> {
    let wanted = request.working_directory;
    let home = &account.home;
    let path = match wanted {
        b"" | b"~" => {
            let is_there = Path::new(std::ffi::OsStr::from_bytes(home)).is_dir();
            if is_there { home.clone() } else { b"/".to_vec() }
        }
        [b'~', b'/', rest @ ..] => [home.as_slice(), b"/", rest].concat(),
        [b'/', ..] => wanted.to_vec(),
        _ => Drives::path(&conf.automount, wanted).ok_or_else(|| {
            Problem::usage(format!(
                "{}: a directory is named by a Linux path from / on, or by a Windows path on a \
                 drive",
                String::from_utf8_lossy(wanted)
            ))
        })?,
    };
    CString::new(path).map_err(|_| Problem::usage("a path has no NUL".to_owned()))
}

/// A terminal of the distribution's own.
#[derive(Debug)]
struct Terminal {
    controlling: OwnedFd,
    program: OwnedFd,
}

const CONSOLES: [ProcessFlags; 3] =
    [ProcessFlags::STDIN_CONSOLE, ProcessFlags::STDOUT_CONSOLE, ProcessFlags::STDERR_CONSOLE];

impl Terminal {
    fn open_if_wanted(flags: ProcessFlags, account: &Account) -> Result<Option<Self>, Problem> {
        if !CONSOLES.iter().any(|console| flags.contains(*console)) {
            return Ok(None);
        }
        Self::open(account)
            .map(Some)
            .map_err(|error| Problem::system("the distribution gives no terminal", error))
    }

    fn open(account: &Account) -> Result<Self, Errno> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let controlling = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty())?;
        unlockpt(&controlling)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let program = ioctl_tiocgptpeer(&controlling, flags)?;
        // In a map of one id there is nobody else to give it to.
        let _ = rustix::fs::fchown(&program, Some(Uid::from_raw(account.user)), None);
        Ok(Self { controlling, program })
    }
}

fn assign(descriptors: Vec<OwnedFd>, request: &LinuxProcess<'_>) -> [Option<OwnedFd>; 3] {
    let mut assigned = [None, None, None];
    let roles: Vec<Role> = match request.extensions.roles() {
        Some(roles) => roles.collect(),
        None => vec![Role::Stdin, Role::Stdout, Role::Stderr],
    };
    for (descriptor, role) in descriptors.into_iter().zip(roles) {
        let [stdin, stdout, stderr] = &mut assigned;
        let place = match role {
            Role::Stdin => stdin,
            Role::Stdout => stdout,
            Role::Stderr => stderr,
            _ => continue,
        };
        place.get_or_insert(descriptor);
    }
    assigned
}

/// Each of 0, 1 and 2: the terminal where it is a console, what was passed where it is not.
fn standard<'a>(
    flags: ProcessFlags,
    passed: &'a [Option<OwnedFd>; 3],
    terminal: Option<&'a Terminal>,
) -> [Option<BorrowedFd<'a>>; 3] {
    let mut standard = [None; 3];
    for ((place, console), passed) in standard.iter_mut().zip(CONSOLES).zip(passed) {
        *place = match terminal.filter(|_| flags.contains(console)) {
            Some(terminal) => Some(terminal.program.as_fd()),
            None => passed.as_ref().map(AsFd::as_fd),
        };
    }
    standard
}

/// Whether this user namespace lets anybody change supplementary groups; a map of one id does not.
fn groups_can_be_set() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "allow")
}
