//! An instance's namespaces: a private table of binfmt_misc entries in which the user stays who they
//! were.
//!
//! The steps, in this order (each was tried on Linux 6.7 to 6.18):
//! 1. a user namespace in which the user is root, and a mount namespace;
//! 2. a small root of its own, with every entry of `/` bound into it, plus `/init` and `/run/WSL`,
//!    which a plain user could not create;
//! 3. binfmt_misc mounted there, which is private to the user namespace, and the registration;
//! 4. a second user namespace that maps the user back to themselves. It inherits the registration,
//!    and nothing in it can unmount what the first one mounted.
//!
//! The machine's root keeps every uid in step 1 and needs no step 4. Anybody else has a map of one
//! uid then: `sudo`, other users' files and supplementary groups show as `nobody` inside.

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{Pid, getegid, geteuid};
use std::ffi::{CStr, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use winterop_namespaces::{NamespaceError, failed, handshake, maps};
use winterop_places::names::{INIT, SOCKET_DIRECTORY};
use winterop_registration::{self as registration, BINFMT_MISC, RegistrationError};
use winterop_serve::processes::Environment;
use winterop_sys::{Namespaces, unshare};

/// What to make an instance from.
#[derive(Clone, Debug)]
pub struct Materials {
    /// The static `init` binary.
    pub init: PathBuf,
    /// An empty directory to mount the new root on; it can be removed afterwards.
    pub scratch: PathBuf,
    /// Whether the kernel is to start batch files too.
    pub batch_files: bool,
}

/// Moves this process into a new instance. It must have one thread.
///
/// The working directory stays the same directory.
///
/// # Errors
/// A [`NamespaceError`]. The process may be in half a namespace then and should end.
pub fn enter(plan: &Materials) -> Result<(), NamespaceError> {
    refuse_old_kernels(&rustix::system::uname().release().to_string_lossy())?;
    let user = geteuid();
    let group = getegid();
    let directory = std::env::current_dir().ok();
    if user.is_root() {
        enter_as_root()?;
    } else {
        unshare(Namespaces::USER | Namespaces::MOUNT)
            .map_err(|e| NamespaceError::Denied(e.into()))?;
        maps::write_single("self", (0, user.as_raw()), (0, group.as_raw()))?;
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(failed("making private", "/"))?;
    build_root(plan)?;
    registration::mount_table().map_err(NamespaceError::NoPrivateTable)?;
    register(plan)?;
    if !user.is_root() {
        unshare(Namespaces::USER | Namespaces::MOUNT)
            .map_err(|e| NamespaceError::Denied(e.into()))?;
        maps::write_single("self", (user.as_raw(), 0), (group.as_raw(), 0))?;
    }
    if let Some(directory) = directory {
        // One that cannot be reached by its name any more is left: the user is told by the shell.
        let _ = std::env::set_current_dir(directory);
    }
    Ok(())
}

/// Refuses before anything has changed what would fail in the middle: until Linux 6.7 there is one
/// table of executables for the whole machine.
fn refuse_old_kernels(release: &str) -> Result<(), NamespaceError> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (6, 7) => {
            let reason = format!("this is Linux {release}");
            Err(NamespaceError::NoPrivateTable(io::Error::other(reason)))
        }
        _ => Ok(()),
    }
}

/// Uses the machine's own table: for root, where private ones cannot be had. Only the mounts are
/// private then; the registration is the machine's, and whoever began with it takes it away (`unregister`).
///
/// # Errors
/// A [`NamespaceError`].
pub fn enter_shared_table(plan: &Materials) -> Result<(), NamespaceError> {
    let directory = std::env::current_dir().ok();
    unshare(Namespaces::MOUNT).map_err(failed("leaving the mount namespace", ""))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(failed("making private", "/"))?;
    build_root(plan)?;
    if !Path::new(BINFMT_MISC).join("register").exists() {
        registration::mount_table().map_err(NamespaceError::NoPrivateTable)?;
    }
    register(plan)?;
    if let Some(directory) = directory {
        let _ = std::env::set_current_dir(directory);
    }
    Ok(())
}

/// Root's part of step 1: every uid and gid stays what it is. Only a process outside may write such
/// a map, so one is left behind for it.
fn enter_as_root() -> Result<(), NamespaceError> {
    let own = std::process::id();
    let pair = handshake::pair().map_err(failed("making a pipe", ""))?;
    let (mut entering, mut mapping) = pair;
    let helper = match winterop_sys::fork().map_err(failed("forking", ""))? {
        winterop_sys::Fork::Child => {
            drop(entering);
            let written = mapping.wait_for_entry().and_then(|()| maps::write_identity(own));
            let result = written.and_then(|()| mapping.say_mapped());
            winterop_sys::exit(u8::from(result.is_err()))
        }
        winterop_sys::Fork::Parent(helper) => helper,
    };
    drop(mapping);
    let entered = unshare(Namespaces::USER | Namespaces::MOUNT);
    let mapped = entered.map(|()| entering.have_mapped());
    // It sees that nobody has entered.
    drop(entering);
    let _ = rustix::process::waitpid(Some(helper), rustix::process::WaitOptions::empty());
    let mapped = mapped.map_err(|error| NamespaceError::Denied(error.into()))?;
    mapped.map_err(failed("writing", "/proc/self/uid_map"))
}

/// Step 2: a root with everything that the machine's has, plus our own entries.
fn build_root(plan: &Materials) -> Result<(), NamespaceError> {
    let root = &plan.scratch;
    mount_tmpfs(root)?;
    for entry in list(Path::new("/"))? {
        if entry != "init" && entry != "run" {
            mirror(Path::new("/"), root, &entry)?;
        }
    }
    let init = root.join("init");
    bind_file(&plan.init, &init)?;
    build_run(&root.join("run"))?;
    // What was bound holds the directory on which this root is being built, and so the root again.
    if let Ok(below) = root.strip_prefix("/") {
        let _ = unmount(root.join(below), UnmountFlags::DETACH);
    }
    // What a program writes beside the mounted directories would be lost without a word.
    mount_remount(root, MountFlags::BIND | MountFlags::RDONLY, c"")
        .map_err(failed("making read-only", root))?;
    change_root(root)
}

/// `/run` with `/run/WSL`: the machine's own where it has that directory, else a copy of its entries.
fn build_run(run: &Path) -> Result<(), NamespaceError> {
    fs::create_dir(run).map_err(failed("creating", run))?;
    if Path::new(SOCKET_DIRECTORY).is_dir() {
        bind_tree(Path::new("/run"), run)?;
    } else {
        mount_tmpfs(run)?;
        for entry in list(Path::new("/run"))? {
            mirror(Path::new("/run"), run, &entry)?;
        }
        let sockets = run.join("WSL");
        fs::create_dir(&sockets).map_err(failed("creating", &sockets))?;
    }
    mount_tmpfs(&run.join("WSL"))
}

fn list(directory: &Path) -> Result<Vec<std::ffi::OsString>, NamespaceError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("listing", directory))?,
    };
    Ok(entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect())
}

/// Makes `to/name` show what `from/name` is: links are copied, everything else is bound.
fn mirror(from: &Path, to: &Path, name: &OsStr) -> Result<(), NamespaceError> {
    let (source, target) = (from.join(name), to.join(name));
    // What vanishes between listing and looking, or may not be looked at, is left out.
    let Ok(status) = fs::symlink_metadata(&source) else { return Ok(()) };
    if status.is_symlink() {
        let destination = fs::read_link(&source).map_err(failed("reading the link", &source))?;
        return std::os::unix::fs::symlink(destination, &target)
            .map_err(failed("linking", &target));
    }
    if status.is_dir() {
        fs::create_dir(&target).map_err(failed("creating", &target))?;
        return bind_tree(&source, &target);
    }
    bind_file(&source, &target)
}

fn bind_tree(source: &Path, target: &Path) -> Result<(), NamespaceError> {
    mount_bind_recursive(source, target).map_err(failed("binding", source))
}

fn bind_file(source: &Path, target: &Path) -> Result<(), NamespaceError> {
    fs::File::create(target).map_err(failed("creating", target))?;
    bind_tree(source, target)
}

fn mount_tmpfs(target: &Path) -> Result<(), NamespaceError> {
    let options: &CStr = c"mode=0755";
    mount("winterop", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options)
        .map_err(failed("mounting a tmpfs on", target))
}

/// Makes `root` the root of this mount namespace, with nothing left of the old one.
fn change_root(root: &Path) -> Result<(), NamespaceError> {
    rustix::process::chdir(root).map_err(failed("changing to", root))?;
    // Mounting the old root on top of the new one and taking it off again needs no directory.
    rustix::process::pivot_root(".", ".").map_err(failed("making the root of", root))?;
    unmount(".", UnmountFlags::DETACH).map_err(failed("taking the old root off", root))?;
    rustix::process::chdir("/").map_err(failed("changing to", "/"))
}

fn register(plan: &Materials) -> Result<(), RegistrationError> {
    registration::register(INIT)?;
    if plan.batch_files {
        registration::register_batch_files(INIT)?;
    }
    Ok(())
}

/// Whether a process other than `own` lives in the mount namespace of this process.
///
/// Processes that may not be looked at count as living elsewhere: those of an instance are its
/// user's own. A host that was started from inside, with the Wine server and the services that it
/// keeps, serves the user everywhere and does not keep the instance alive.
#[must_use]
pub fn is_shared_with_others(own: u32) -> bool {
    let namespace = |pid: &OsStr| fs::read_link(process_file(pid, "ns/mnt")).ok();
    let Some(ours) = namespace(OsStr::new("self")) else { return false };
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes.filter_map(Result::ok).map(|entry| entry.file_name()).any(|pid| {
        pid.as_bytes().iter().all(u8::is_ascii_digit)
            && pid.to_str().and_then(|pid| pid.parse().ok()) != Some(own)
            && namespace(&pid).is_some_and(|theirs| theirs == ours)
            && !belongs_to_a_host(&pid)
    })
}

fn process_file(pid: &OsStr, name: &str) -> PathBuf {
    Path::new("/proc").join(pid).join(name)
}

/// Whether a command line is a host's: one that was started, or that took another one's place.
fn is_host(command: &[u8]) -> bool {
    let mut words = command.split(|byte| *byte == 0);
    words.next() == Some(b"wslhost") || words.take(2).eq([b"host".as_slice(), b"succeed"])
}

/// Tells a host by its name, and what it keeps running by an environment that names a Wine prefix
/// and no launch.
fn belongs_to_a_host(pid: &OsStr) -> bool {
    let command = fs::read(process_file(pid, "cmdline")).unwrap_or_default();
    let pid = pid.to_str().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let environment = pid.and_then(|pid| Environment::of(pid).ok());
    // One that is just becoming a program is looked at again.
    let has = |name: &[u8]| {
        environment.as_ref().and_then(|it| it.any(|e| e.starts_with(name))).unwrap_or_default()
    };
    is_host(&command) || (has(b"WINEPREFIX=") && !has(b"WINEWINTEROPLAUNCH="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_either_of_its_names() {
        for host in [&b"wslhost\0"[..], b"/usr/bin/winterop\0host\0succeed\0"] {
            assert!(is_host(host));
        }
        for other in [&b""[..], b"wslhost.exe\0", b"winterop\0host\0stop\0", b"host\0succeed\0"] {
            assert!(!is_host(other));
        }
    }

    #[test]
    fn b5_kernels_before_6_7_have_no_private_tables() {
        for old in ["6.6.0", "5.10.0-30-amd64", "6.1.0-21-amd64", "4.19"] {
            let error = refuse_old_kernels(old).unwrap_err();
            assert!(error.is_unsupported() && error.to_string().contains(old), "{error}");
        }
        for new in ["6.7.0", "6.18.44-fc", "7.0", "10.1-rc1", "odd"] {
            assert!(refuse_old_kernels(new).is_ok(), "{new}");
        }
    }
}
