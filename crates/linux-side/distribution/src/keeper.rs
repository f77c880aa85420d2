//! The keeper: the one process of an instance that stays outside.
//!
//! It makes the namespaces and process 1 in them. Then it waits for that process's end, and for
//! connections on its socket: each is a wish to have the user's host started, which nobody inside
//! can see. It is nobody's child, so a `wsl` that crashes leaves it alone; where the keeper
//! itself is killed the instance runs on, and only a host that is gone is not started again from
//! inside.

use crate::holder::Holder;
use crate::outside::Outside;
use crate::plan::{FAILED, NOTE, Plan, READY};
use crate::systemd::{self, Cgroup};
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
use winterop_namespaces::NamespaceError;
use winterop_namespaces::handshake::{self, Entering, Mapping};
use winterop_namespaces::maps;
use winterop_places::inside::Directory;
use winterop_places::instance::{CONTROL, KEEPER, NAME, ROOT};
use winterop_serve::socket::ListeningSocket;
use winterop_sys::{Fork, Namespaces, fork};

/// Runs the keeper with the process's arguments.
#[must_use]
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    let arguments = arguments.iter().skip(1).cloned().map(OsString::from_vec);
    let plan = match Plan::parse(arguments) {
        Ok(plan) => plan,
        Err(error) => return fail(&error.to_string()),
    };
    // Links outside have no meaning inside.
    let data = fs::canonicalize(&plan.data).unwrap_or_default();
    let (root, held) = match hold_root(&plan) {
        Ok(held) => held,
        Err(error) => return fail(&error),
    };
    let plan = Plan { root, data, ..plan };
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
            fail(&error)
        }
    }
}

/// The root, open, and its name without links. What is checked here is what the instance is made of.
fn hold_root(plan: &Plan) -> Result<(PathBuf, Directory), String> {
    let text = |error: &dyn std::fmt::Display| format!("{}: {error}", plan.root.display());
    if !plan.imported {
        let root = fs::canonicalize(&plan.root).map_err(|error| text(&error))?;
        let held = Directory::plain(&root).map_err(|error| text(&error))?;
        return Ok((root, held));
    }
    let (Some(holder), Some(name)) = (plan.root.parent(), plan.root.file_name()) else {
        return Err(text(&"nothing holds it"));
    };
    let holder = Holder::open(holder).map_err(|error| error.to_string())?;
    holder.refuse_open().map_err(|error| error.to_string())?;
    let held = holder.root(name).map_err(|error| error.to_string())?;
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
fn cgroup(plan: &Plan, root: &Directory) -> Result<Option<Cgroup>, String> {
    if !systemd::is_wanted(root) {
        return Ok(None);
    }
    Cgroup::make(&plan.name)
        .map(Some)
        .map_err(|error| format!("[boot] systemd: it needs a cgroup of its own: {error}"))
}

/// Makes the instance; its init, and the keeper's socket.
fn make(plan: &Plan, root: Directory) -> Result<Made, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|e| text(&e))?;
    let directory = &plan.directory;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| format!("creating {}: {error}", directory.display()))?;
    let socket = ListeningSocket::bind(&directory.join(KEEPER)).map_err(|e| text(&e))?;
    describe(plan).map_err(|error| format!("describing the instance: {error}"))?;
    let own = std::env::current_exe().map_err(|e| text(&e))?;
    let (entering, mapping) = handshake::pair().map_err(|e| text(&e))?;
    let (reader, writer) = io::pipe().map_err(|e| text(&e))?;
    let cgroup = cgroup(plan, &root);
    match fork().map_err(|e| text(&e))? {
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
                Err(lack) => (None, Some(lack)),
            };
            let process = accompany(maker, mapping, reader, lack)?;
            Ok(Made { process, socket, cgroup })
        }
    }
}

/// Says whose instance this is, for the host.
fn describe(plan: &Plan) -> io::Result<()> {
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
) -> Result<Pid, String> {
    let mut note = None;
    // Where it has not entered, it reports why.
    if mapping.wait_for_entry().is_ok() {
        note = maps::write(maker.as_raw_nonzero().get()).map_err(|error| error.to_string())?;
        mapping.say_mapped().map_err(|error| error.to_string())?;
    }
    let mut pid = [0; 4];
    let read = report.read_exact(&mut pid);
    let _ = waitpid(Some(maker), WaitOptions::empty());
    let ended = "the process that was to make the instance ended without a word";
    read.map_err(|_| ended.to_owned())?;
    let process = Pid::from_raw(i32::from_ne_bytes(pid)).ok_or_else(|| rest(&mut report))?;
    let text = rest(&mut report);
    if text != READY {
        let _ = waitpid(Some(process), WaitOptions::empty());
        let silent = "the instance's init ended before it served".to_owned();
        return Err(if text.is_empty() { silent } else { text });
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
    plan: &Plan,
    root: Directory,
    own: &Path,
    mut entering: Entering,
    mut writer: PipeWriter,
    cgroup: Option<io::Result<()>>,
) -> ! {
    // Whoever started the keeper waits for the end of what that says.
    silence();
    let with_systemd = cgroup.is_some();
    let entered = cgroup
        .unwrap_or(Ok(()))
        .map_err(winterop_namespaces::failed("entering the cgroup for", "systemd"))
        .and_then(|()| enter_namespaces(&mut entering));
    match entered {
        Ok(Fork::Parent(process)) => {
            let _ = writer.write_all(&process.as_raw_nonzero().get().to_ne_bytes());
            winterop_sys::exit(0)
        }
        Ok(Fork::Child) => {
            drop(entering);
            let status = become_init(plan, root, own, writer, with_systemd);
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
    let step = |step| winterop_namespaces::failed::<io::Error>(step, "");
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
    plan: &Plan,
    root: Directory,
    own: &Path,
    writer: PipeWriter,
    with_systemd: bool,
) -> u8 {
    let mut writer = Some(writer);
    // The keeper reads to the end, so the pipe is closed with the first word.
    let mut tell = |word: &str| {
        if let Some(mut writer) = writer.take() {
            let _ = writer.write_all(word.as_bytes());
        }
    };
    let prepared = prepare(plan, &root, own, with_systemd);
    // From it a way leads up to the machine's own.
    drop(root);
    let served = prepared.and_then(|(prepared, control)| {
        if prepared.systemd {
            leave_process_1(plan)?;
        }
        let served = init::serve(plan, prepared, control, || tell(READY));
        served.map_err(|error| error.to_string())
    });
    match served {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(error, name = plan.name, "there is no instance");
            tell(&error);
            1
        }
    }
}

/// Goes on in a child, and makes systemd of this process.
fn leave_process_1(plan: &Plan) -> Result<(), String> {
    match fork().map_err(|error| error.to_string())? {
        Fork::Child => {
            let _ = rustix::process::setsid();
            let own = Some(rustix::process::getpid());
            rustix::process::set_child_subreaper(own).map_err(|error| error.to_string())
        }
        Fork::Parent(_) => {
            let error = systemd::execute(&plan.name);
            tracing::error!(%error, "systemd does not start");
            winterop_sys::exit(1)
        }
    }
}

fn prepare(
    plan: &Plan,
    root: &Directory,
    own: &Path,
    with_systemd: bool,
) -> Result<(init::Prepared, OwnedFd), String> {
    let open = |path: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| format!("opening {}: {error}", path.display()))
    };
    // The file is outside, where only the keeper can remove it.
    let control = ListeningSocket::bind(&plan.directory.join(CONTROL));
    let control = control.map_err(|error| error.to_string())?.leave_file();
    let control = control.ok_or("no socket")?;
    let runtime = plan.host.socket.parent().unwrap_or(Path::new("/"));
    let outside = Outside { runtime: open(runtime)?, directory: open(&plan.directory)? };
    let entered = root::enter(plan, root, own, with_systemd);
    let (conf, drives) = entered.map_err(|error| error.to_string())?;
    if with_systemd && !systemd::is_there() {
        return Err(
            "[boot] systemd is set in /etc/wsl.conf, and the distribution has no systemd; \
                    install it there, or take the setting out"
                .to_owned(),
        );
    }
    Ok((init::Prepared { conf, drives, outside, systemd: with_systemd }, control))
}

/// Waits for the end of process 1. Meanwhile the host is told of the instance, and started for whoever
/// asks.
fn keep(plan: &Plan, process: Pid, socket: &ListeningSocket) {
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
