//! The root of an instance: the distribution's directory, with what a running system has beside its
//! files. The steps, all as process 1 in the new namespaces:
//! 1. mounts are made private, and the directory becomes a mount;
//! 2. `/run` is a tmpfs, and `pivot_root` makes the directory the root with the machine's at
//!    [`OUTSIDE`]. From here on every name is looked up inside. That does not hold a link in the
//!    distribution that names [`OUTSIDE`] itself, until step 4: such a link leads out;
//! 3. `/proc`, `/sys`, `/dev`, `/init`, the table of executables, names, drives;
//! 4. the machine's root is taken off.
//!
//! `/tmp` stays the distribution's own. `/sys` is the machine's: only the owner of a network
//! namespace may mount it, and the network is the machine's too.

use super::drives::{DATA, Drives};
use super::{Plan, devices, network};
use crate::namespace::{INIT, NamespaceError, SOCKET_DIRECTORY, failed};
use crate::registration;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    unmount,
};
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use winterop_settings::{WslConf, wsl_conf};

/// Where the machine's root is while the instance is being made.
pub(super) const OUTSIDE: &str = "/run/outside";

/// Builds the root and enters it. Returns the drives, to which more may be added later.
///
/// # Errors
/// A [`NamespaceError`]; the process should end then.
pub(super) fn enter(plan: &Plan, init: &Path) -> Result<(WslConf, Drives), NamespaceError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(failed("making private", "/"))?;
    change_root(&plan.root)?;
    mount_kernel()?;
    devices::build()?;
    ensure_file(Path::new(INIT))?;
    bind(&seen_outside(init), Path::new(INIT))?;
    make_directory(Path::new(SOCKET_DIRECTORY), 0o755)?;
    registration::mount_table().map_err(NamespaceError::NoPrivateTable)?;
    registration::register(INIT)?;
    let conf = read_conf();
    network::set_up(&conf.network);
    bind_data(&plan.data);
    let drives = Drives::mount(&conf.automount, &plan.data, &plan.root);
    unmount(OUTSIDE, UnmountFlags::DETACH).map_err(failed("taking off", OUTSIDE))?;
    // An empty directory in a tmpfs harms nobody.
    let _ = fs::remove_dir(OUTSIDE);
    Ok((conf, drives))
}

/// A path of the machine's, as it is reached from inside.
fn seen_outside(path: &Path) -> PathBuf {
    Path::new(OUTSIDE).join(path.strip_prefix("/").unwrap_or(path))
}

fn change_root(root: &Path) -> Result<(), NamespaceError> {
    mount_bind_recursive(root, root).map_err(failed("binding", root))?;
    let run = root.join("run");
    // No other name has to be looked up before the root is changed, and this one may be no link.
    match fs::symlink_metadata(&run) {
        Ok(status) if status.is_dir() => {}
        Ok(_) => {
            let error = io::Error::other("it is no directory");
            return Err(failed("using", &run)(error));
        }
        Err(_) => make_directory(&run, 0o755)?,
    }
    mount_new("tmpfs", &run, c"mode=0755")?;
    make_directory(&run.join("outside"), 0o700)?;
    rustix::process::chdir(root).map_err(failed("changing to", root))?;
    rustix::process::pivot_root(".", "run/outside").map_err(failed("making the root of", root))?;
    rustix::process::chdir("/").map_err(failed("changing to", "/"))
}

fn mount_kernel() -> Result<(), NamespaceError> {
    let process = Path::new("/proc");
    ensure_directory(process)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", process, "proc", flags, c"").map_err(failed("mounting", process))?;
    let system = Path::new("/sys");
    ensure_directory(system)?;
    bind(&seen_outside(system), system)
}

/// What the distribution says of itself; what cannot be read leaves WSL's defaults.
fn read_conf() -> WslConf {
    match WslConf::read(Path::new(wsl_conf::PATH)) {
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
    }
}

/// Binds the user's data where only root sees it, for a prefix that is still to be made.
fn bind_data(data: &Path) {
    let source = seen_outside(data);
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

pub(super) fn mount_new(
    kind: &'static str,
    target: &Path,
    options: &CStr,
) -> Result<(), NamespaceError> {
    let flags = match kind {
        "devpts" => MountFlags::NOSUID | MountFlags::NOEXEC,
        _ => MountFlags::NOSUID | MountFlags::NODEV,
    };
    mount(kind, target, kind, flags, options).map_err(failed("mounting on", target))
}

pub(super) fn bind(source: &Path, target: &Path) -> Result<(), NamespaceError> {
    mount_bind_recursive(source, target).map_err(failed("binding", source))
}

/// Makes a directory and those above it, where they are missing.
pub(super) fn ensure_directory(path: &Path) -> Result<(), NamespaceError> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed("creating", path))
}

fn make_directory(path: &Path, mode: u32) -> Result<(), NamespaceError> {
    fs::DirBuilder::new().mode(mode).create(path).map_err(failed("creating", path))
}

/// Makes an empty file where nothing is, to bind another on.
pub(super) fn ensure_file(path: &Path) -> Result<(), NamespaceError> {
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("creating", path)(error))
        }
        _ => Ok(()),
    }
}
