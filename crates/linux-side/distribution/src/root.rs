//! The root of an instance: the distribution's directory, with what a running system has beside its
//! files. The steps, all as process 1 in the new namespaces:
//! 1. mounts are made private, and the directory becomes a mount;
//! 2. `/run` is a tmpfs, and `pivot_root` makes the directory the root with the machine's at
//!    a name that is drawn each time, so that no link knows it. From here on every name is looked up
//!    inside. What may be a link of the distribution's is opened as [`winterop_places::inside`] does it, and what is
//!    mounted on must be none;
//! 3. `/proc`, `/sys`, `/dev`, `/init`, the table of executables, names, drives;
//! 4. the machine's root is taken off.
//!
//! `/tmp` stays the distribution's own. `/sys` is the machine's: only the owner of a network
//! namespace may mount it, and the network is the machine's too.

use crate::drives::{DATA, Drives};
use crate::mounts::{
    bind, ensure_directory, ensure_file, make_directory, mount_new, own_directory,
};
use crate::plan::InstancePlan;
use crate::systemd::FirstProcess;
use crate::{devices, network};
use rustix::fs::symlinkat;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, move_mount, open_tree, unmount,
};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use winterop_namespaces::{NamespaceError, failed};
use winterop_places::inside::{Directory, refuse_other_than_directory};
use winterop_places::names::{INIT, SOCKET_DIRECTORY};
use winterop_registration as registration;
use winterop_settings::WslConf;

/// Builds the root and enters it, with a tree of cgroups of its own where that is wanted. `root` is the
/// directory that was checked. Returns the drives, to which more may be added later.
///
/// # Errors
/// A [`NamespaceError`]; the process should end then.
pub(crate) fn enter(
    plan: &InstancePlan,
    root: &Directory,
    init: &Path,
    first: FirstProcess,
) -> Result<(WslConf, Drives), NamespaceError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(failed("making private", "/"))?;
    let outside = change_root(root, &plan.root)?;
    mount_kernel(&outside)?;
    if first == FirstProcess::Systemd {
        let cgroups = Path::new("/sys/fs/cgroup");
        mount_new("tmpfs", cgroups, c"mode=0755")?;
        mount_new("cgroup2", cgroups, c"")?;
    }
    devices::build(&outside)?;
    ensure_file(Path::new(INIT))?;
    refuse_other_than_file(Path::new(INIT))?;
    bind(&seen_outside(&outside, init), Path::new(INIT))?;
    link_wslpath();
    make_directory(Path::new(SOCKET_DIRECTORY), 0o755)?;
    registration::mount_table().map_err(NamespaceError::NoPrivateTable)?;
    registration::register(INIT)?;
    let conf = read_conf().map_err(failed("opening", "/"))?;
    network::set_up(&conf.network, &outside);
    bind_data(&outside, &plan.data);
    let drives = Drives::mount(&conf.automount, &plan.data, &plan.root, &outside);
    unmount(outside.as_path(), UnmountFlags::DETACH).map_err(failed("taking off", &outside))?;
    // An empty directory in a tmpfs harms nobody.
    let _ = fs::remove_dir(&outside);
    Ok((conf, drives))
}

/// A path of the machine's, as it is reached from inside.
fn seen_outside(outside: &Path, path: &Path) -> PathBuf {
    outside.join(path.strip_prefix("/").unwrap_or(path))
}

/// Makes the directory at `path` the root, and returns where the machine's is now. It is opened anew,
/// since a descriptor belongs to the mounts among which it was made, and must be the one that was
/// checked.
fn change_root(checked: &Directory, path: &Path) -> Result<PathBuf, NamespaceError> {
    let outside = name_of_outside()?;
    let here = Directory::plain(path).map_err(failed("opening", path))?;
    if !here.is(checked).map_err(failed("looking at", path))? {
        let swapped = io::Error::other("another directory is in its place now");
        return Err(failed("using", path)(swapped));
    }
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let whole = OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(&here, "", clone | whole).map_err(failed("binding", path))?;
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", &here, "", both).map_err(failed("binding", path))?;
    rustix::process::fchdir(&tree).map_err(failed("changing to", path))?;
    let run = Path::new("run");
    // No other name has to be looked up before the root is changed, and this one may be no link.
    refuse_other_than_directory(run).map_err(failed("using", path.join(run)))?;
    ensure_directory(run)?;
    mount_new("tmpfs", run, c"mode=0755")?;
    make_directory(&outside, 0o700)?;
    rustix::process::pivot_root(".", outside.as_path())
        .map_err(failed("making the root of", path))?;
    rustix::process::chdir("/").map_err(failed("changing to", "/"))?;
    Ok(Path::new("/").join(outside))
}

/// A name in `/run` for the machine's root, relative to `/`. A link in the distribution that knew it
/// would lead out while the root is being made, and `/etc/hosts` be written there.
fn name_of_outside() -> Result<PathBuf, NamespaceError> {
    let source = "/proc/sys/kernel/random/uuid";
    let random = fs::read_to_string(source).map_err(failed("reading", source))?;
    Ok(format!("run/outside-{}", random.trim()).into())
}

fn mount_kernel(outside: &Path) -> Result<(), NamespaceError> {
    let process = Path::new("/proc");
    own_directory(process)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", process, "proc", flags, c"").map_err(failed("mounting", process))?;
    let system = Path::new("/sys");
    own_directory(system)?;
    bind(&seen_outside(outside, system), system)
}

/// What the distribution says of itself; what cannot be read leaves WSL's defaults.
fn read_conf() -> io::Result<WslConf> {
    let conf = match WslConf::read_in(&Directory::root()?) {
        Ok((conf, diagnostics)) => {
            for diagnostic in diagnostics {
                tracing::warn!(%diagnostic, "a line of wsl.conf is passed over");
            }
            conf
        }
        Err(error) => {
            tracing::warn!(%error, "wsl.conf is not read");
            WslConf::default()
        }
    };
    Ok(conf)
}

/// Binds the user's data where only root sees it, for a prefix that is still to be made.
fn bind_data(outside: &Path, data: &Path) {
    let source = seen_outside(outside, data);
    if data.as_os_str().is_empty() || !source.is_dir() {
        return;
    }
    let target = Path::new(DATA);
    let parent = target.parent().unwrap_or(target);
    let bound = make_directory(parent, 0o700)
        .and_then(|()| make_directory(target, 0o700))
        .and_then(|()| bind(&source, target));
    if let Err(error) = bound {
        tracing::warn!(%error, "drives that come later are not mounted");
    }
}

/// Gives the distribution the name `wslpath` for [`INIT`], as WSL does; whatever has that name stays.
fn link_wslpath() {
    let programs = Directory::of_root("/usr/bin").or_else(|_| Directory::of_root("/bin"));
    let linked = programs.and_then(|programs| Ok(symlinkat(INIT, programs, "wslpath")?));
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            tracing::info!(%error, "the distribution has no wslpath");
        }
        _ => {}
    }
}

/// Refuses a link where a file is to be bound on.
fn refuse_other_than_file(path: &Path) -> Result<(), NamespaceError> {
    let status = fs::symlink_metadata(path).map_err(failed("looking at", path))?;
    let error = || io::Error::other("it is no file; Winterop's own is bound on it");
    if status.is_file() { Ok(()) } else { Err(failed("using", path)(error())) }
}
