//! The keeper: the one process of an instance that stays outside.
//!
//! It makes the namespaces and process 1 in them. Then it waits for that process's end, and for
//! connections on its socket: each is a wish to have the user's host started, which nobody inside
//! can see. It is nobody's child, so a `wsl` that crashes leaves it alone; where the keeper
//! itself is killed the instance runs on, and only a host that is gone is not started again from
//! inside.

use crate::error::InstanceError;
use crate::holder::Holder;
use crate::outside::Outside;
use crate::plan::{FAILED, InstancePlan, NOTE, READY, RootOf};
use crate::systemd::{self, Cgroup, FirstProcess};
use crate::{init, root};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use std::ffi::OsString;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use winterop_interop::keeper;
use winterop_namespaces::handshake::{self, Entering, Mapping};
use winterop_namespaces::maps;
use winterop_namespaces::{NamespaceError, failed};
use winterop_places::inside::Directory;
use winterop_places::instance::{CONTROL, KEEPER, NAME, ROOT};
use winterop_serve::own_terms;
use winterop_serve::socket::ListeningSocket;
use winterop_sys::{Fork, Namespaces, fork};
use winterop_words::Failure;

/// Runs the keeper with the process's arguments.
#[must_use]
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    let arguments = arguments.iter().skip(1).cloned().map(OsString::from_vec);
    let plan = match InstancePlan::parse(arguments) {
        Ok(plan) => plan,
        Err(error) => return fail(&error.to_string()),
    };
    // Links outside have no meaning inside.
    let data = fs::canonicalize(&plan.data).unwrap_or_default();
    let (root, held) = match hold_root(&plan) {
        Ok(held) => held,
        Err(error) => return fail(&error.to_string()),
    };
    let plan = InstancePlan { root, data, ..plan };
    // Into the background: whoever started this waits for a line, and for no process.
    match fork() {
        Ok(Fork::Child) => {}
        Ok(Fork::Parent(_)) => return ExitCode::SUCCESS,
        Err(error) => return fail(&error.to_string()),
    }
    match make(&plan, held) {
        Ok(Made { process, socket, cgroup }) => {
            keep(&plan, process, &socket);
            drop(cgroup);
            let _ = fs::remove_dir_all(&plan.directory);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = fs::remove_dir_all(&plan.directory);
            fail(&error.to_string())
        }
    }
}

/// The root, open, and its name without links. What is checked here is what the instance is made of.
fn hold_root(plan: &InstancePlan) -> Result<(PathBuf, Directory), InstanceError> {
    let unusable = |source| InstanceError::Root { path: plan.root.clone(), source };
    if plan.root_of == RootOf::Anybody {
        let root = fs::canonicalize(&plan.root).map_err(unusable)?;
        let held = Directory::plain(&root).map_err(unusable)?;
        return Ok((root, held));
    }
    let (Some(holder), Some(name)) = (plan.root.parent(), plan.root.file_name()) else {
        return Err(unusable(io::Error::other("nothing holds it")));
    };
    let holder = Holder::open(holder)?;
    holder.refuse_open()?;
    let held = holder.root(name)?;
    Ok((plan.root.clone(), held))
}

fn fail(error: &str) -> ExitCode {
    say(&format!("{FAILED}{}", error.replace('\n', " ")));
    ExitCode::FAILURE
}

fn say(line: &str) {
    // Whoever started this may be gone.
    let _ = writeln!(io::stdout(), "{line}");
}

/// An instance that serves.
struct Made {
    process: Pid,
    socket: ListeningSocket,
    /// Where systemd is process 1.
    cgroup: Option<Cgroup>,
}

/// The cgroup for systemd, where that is wanted, or why there is none.
fn cgroup(plan: &InstancePlan, root: &Directory) -> io::Result<Option<Cgroup>> {
    if !systemd::is_wanted(root) {
        return Ok(None);
    }
    Cgroup::make(&plan.name).map(Some)
}

/// Makes the instance; its init, and the keeper's socket.
fn make(plan: &InstancePlan, root: Directory) -> Result<Made, InstanceError> {
    let _ = rustix::process::setsid();
    // All sessions to come are this process's descendants.
    own_terms::take();
    let _ = std::env::set_current_dir("/");
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(failed("becoming the parent of", &plan.name))?;
    let directory = &plan.directory;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(failed("creating", directory))?;
    let socket = ListeningSocket::bind(&directory.join(KEEPER));
    let socket = socket.map_err(io::Error::other).map_err(failed("listening in", directory))?;
    describe(plan).map_err(failed("describing it in", directory))?;
    let own = std::env::current_exe().map_err(failed("finding", "this program"))?;
    let (entering, mapping) = handshake::pair().map_err(failed("making", "pipes"))?;
    let (reader, writer) = io::pipe().map_err(failed("making", "a pipe"))?;
    let cgroup = cgroup(plan, &root);
    match fork().map_err(failed("forking for", &plan.name))? {
        Fork::Child => {
            drop((mapping, reader));
            // Its end is not the end of the keeper's socket, and nobody inside is to accept there.
            drop(socket.leave_file());
            let cgroup = cgroup.ok().flatten().map(std::mem::ManuallyDrop::new);
            let entered = cgroup.as_ref().map(|cgroup| cgroup.enter());
            enter(plan, root, &own, entering, writer, entered)
        }
        Fork::Parent(maker) => {
            drop((root, entering, writer));
            let (cgroup, lack) = match cgroup {
                Ok(cgroup) => (cgroup, None),
                Err(error) => (None, Some(Failure::NoCgroup { error: &error }.words().fault())),
            };
            let process = accompany(maker, mapping, reader, lack)?;
            Ok(Made { process, socket, cgroup })
        }
    }
}

/// Says whose instance this is, for the host.
fn describe(plan: &InstancePlan) -> io::Result<()> {
    let link = plan.directory.join(ROOT);
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The host may look at any moment: what is not whole yet is no instance.
    fs::write(plan.directory.join(NAME), &plan.name)?;
    std::os::unix::fs::symlink(&plan.root, link)
}

/// Has the maps written, and waits until init serves. `report` has init's pid, or 0 where there is none,
/// then words.
fn accompany(
    maker: Pid,
    mut mapping: Mapping,
    mut report: PipeReader,
    lack: Option<String>,
) -> Result<Pid, InstanceError> {
    let mut note = None;
    // Where it has not entered, it reports why.
    if mapping.wait_for_entry().is_ok() {
        note = maps::write(maker.as_raw_nonzero().get()).map_err(failed("mapping", "ids"))?;
        mapping.say_mapped().map_err(failed("mapping", "ids"))?;
    }
    let mut pid = [0; 4];
    let read = report.read_exact(&mut pid);
    let _ = waitpid(Some(maker), WaitOptions::empty());
    read.map_err(|_| InstanceError::Ended("the process that was to make the instance"))?;
    let process = Pid::from_raw(i32::from_ne_bytes(pid));
    let process = process.ok_or_else(|| InstanceError::Said(rest(&mut report)))?;
    let text = rest(&mut report);
    if text != READY {
        let _ = waitpid(Some(process), WaitOptions::empty());
        let is_silent = text.is_empty();
        return Err(match is_silent {
            true => InstanceError::Ended("the instance's init"),
            false => InstanceError::Said(text),
        });
    }
    for note in note.into_iter().chain(lack) {
        say(&format!("{NOTE}{note}"));
    }
    say(READY);
    Ok(process)
}

fn rest(reader: &mut PipeReader) -> String {
    let mut text = Vec::new();
    let _ = reader.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// In the child: the namespaces, then process 1, which never returns. `cgroup` says whether this
/// process is in a cgroup for systemd; none is wanted where it is empty.
fn enter(
    plan: &InstancePlan,
    root: Directory,
    own: &Path,
    mut entering: Entering,
    mut writer: PipeWriter,
    cgroup: Option<io::Result<()>>,
) -> ! {
    // Whoever started the keeper waits for the end of what that says.
    silence();
    let first = if cgroup.is_some() { FirstProcess::Systemd } else { FirstProcess::Init };
    let entered = cgroup
        .unwrap_or(Ok(()))
        .map_err(failed("entering the cgroup for", "systemd"))
        .and_then(|()| enter_namespaces(&mut entering));
    match entered {
        Ok(Fork::Parent(process)) => {
            let _ = writer.write_all(&process.as_raw_nonzero().get().to_ne_bytes());
            winterop_sys::exit(0)
        }
        Ok(Fork::Child) => {
            drop(entering);
            let status = become_init(plan, root, own, writer, first);
            winterop_sys::exit(status)
        }
        Err(error) => {
            let _ = writer.write_all(&0_i32.to_ne_bytes());
            let _ = writer.write_all(error.to_string().as_bytes());
            winterop_sys::exit(1)
        }
    }
}

fn enter_namespaces(entering: &mut Entering) -> Result<Fork, NamespaceError> {
    let step = |step| failed::<io::Error>(step, "");
    let namespaces = Namespaces::USER
        | Namespaces::MOUNT
        | Namespaces::PID
        | Namespaces::UTS
        | Namespaces::IPC
        | Namespaces::CGROUP;
    winterop_sys::unshare(namespaces).map_err(|error| NamespaceError::Denied(error.into()))?;
    entering.have_mapped().map_err(step("waiting for the maps"))?;
    // The machine's supplementary groups are none of the distribution's; a map of one id forbids to
    // leave them, and shows them as `nogroup`.
    let _ = rustix::thread::set_thread_groups(&[]);
    fork().map_err(|error| step("forking")(error.into()))
}

/// Process 1: builds the root, then serves until the instance ends; with systemd its child does.
fn become_init(
    plan: &InstancePlan,
    root: Directory,
    own: &Path,
    writer: PipeWriter,
    first: FirstProcess,
) -> u8 {
    let mut writer = Some(writer);
    // The keeper reads to the end, so the pipe is closed with the first word.
    let mut tell = |word: &str| {
        if let Some(mut writer) = writer.take() {
            let _ = writer.write_all(word.as_bytes());
        }
    };
    let prepared = prepare(plan, &root, own, first);
    // From it a way leads up to the machine's own.
    drop(root);
    let served = prepared.and_then(|(prepared, control)| {
        if prepared.first == FirstProcess::Systemd {
            leave_process_1(plan)?;
        }
        let served = init::serve(plan, prepared, control, || tell(READY));
        Ok(served.map_err(failed("serving", &plan.name))?)
    });
    match served {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(%error, name = plan.name, "there is no instance");
            tell(&error.to_string());
            1
        }
    }
}

/// Goes on in a child, and makes systemd of this process.
fn leave_process_1(plan: &InstancePlan) -> Result<(), InstanceError> {
    match fork().map_err(failed("forking for", "systemd"))? {
        Fork::Child => {
            let _ = rustix::process::setsid();
            let own = Some(rustix::process::getpid());
            let adopting = rustix::process::set_child_subreaper(own);
            Ok(adopting.map_err(failed("becoming the parent of", &plan.name))?)
        }
        Fork::Parent(_) => {
            let error = systemd::execute(&plan.name);
            tracing::error!(%error, "systemd does not start");
            winterop_sys::exit(1)
        }
    }
}

fn prepare(
    plan: &InstancePlan,
    root: &Directory,
    own: &Path,
    first: FirstProcess,
) -> Result<(init::BuiltRoot, OwnedFd), InstanceError> {
    let open = |path: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map_err(failed("opening", path))
    };
    // The file is outside, where only the keeper can remove it.
    let control = ListeningSocket::bind(&plan.directory.join(CONTROL));
    let listening = failed("listening in", &plan.directory);
    let control = control.map_err(io::Error::other).and_then(|socket| {
        socket.leave_file().ok_or_else(|| io::Error::other("the socket is closed"))
    });
    let control = control.map_err(listening)?;
    let runtime = plan.host.socket.parent().unwrap_or(Path::new("/"));
    let outside = Outside { runtime: open(runtime)?, directory: open(&plan.directory)? };
    let (conf, drives) = root::enter(plan, root, own, first)?;
    if first == FirstProcess::Systemd && !systemd::is_there() {
        return Err(InstanceError::NoSystemd);
    }
    Ok((init::BuiltRoot { conf, drives, outside, first }, control))
}

/// Waits for the end of process 1. Meanwhile the host is told of the instance, and started for whoever
/// asks.
fn keep(plan: &InstancePlan, process: Pid, socket: &ListeningSocket) {
    silence();
    let Ok(ended) = pidfd_open(process, PidfdFlags::empty()) else { return };
    let Some(listener) = socket.descriptor() else { return };
    if let Err(error) = keeper::introduce(&plan.host, ended.as_fd()) {
        tracing::warn!(%error, "the host does not know this instance yet");
    }
    keeper::keep(&plan.host, &ended, listener);
    let _ = waitpid(Some(process), WaitOptions::empty());
}

fn silence() {
    if let Ok(null) = fs::OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(null);
    }
}
