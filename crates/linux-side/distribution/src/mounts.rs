//! What is mounted in a distribution's root, and what it is mounted on.

use rustix::mount::{MountFlags, mount, mount_bind_recursive};
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use winterop_namespaces::{NamespaceError, failed};
use winterop_places::inside::{Directory, refuse_other_than_directory};

/// Mounts a new file system of this kind.
pub(crate) fn mount_new(
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

/// Shows what is at `source` at `target` too.
pub(crate) fn bind(source: &Path, target: &Path) -> Result<(), NamespaceError> {
    mount_bind_recursive(source, target).map_err(failed("binding", source))
}

/// Makes a directory in the root to mount on; one that is there must be no link.
pub(crate) fn own_directory(path: &Path) -> Result<(), NamespaceError> {
    refuse_other_than_directory(path).map_err(failed("using", path))?;
    ensure_directory(path)
}

/// Binds a directory of the machine's on one of the distribution's, which is made where it is missing.
pub(crate) fn bind_directory(source: &Path, target: &Path) -> Result<(), NamespaceError> {
    let directory = Directory::make(target).map_err(failed("creating", target))?;
    mount_bind_recursive(source, directory.name()).map_err(failed("binding", source))
}

/// Makes a directory and those above it, where they are missing.
pub(crate) fn ensure_directory(path: &Path) -> Result<(), NamespaceError> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed("creating", path))
}

/// Makes one directory.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), NamespaceError> {
    fs::DirBuilder::new().mode(mode).create(path).map_err(failed("creating", path))
}

/// Makes an empty file where nothing is, to bind another on.
pub(crate) fn ensure_file(path: &Path) -> Result<(), NamespaceError> {
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("creating", path)(error))
        }
        _ => Ok(()),
    }
}
