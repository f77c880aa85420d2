//! Directories of root's, in which sockets are served.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Makes the directory of sockets, or makes sure that nobody but root writes there.
pub(crate) fn prepare_directory(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(io::Error::other(format!(
                "creating {}: {error}; it must be possible for root to write there",
                directory.display()
            )));
        }
        // Whatever mask new files have: everybody has to get in.
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(0o755))?,
        Err(_) => {}
    }
    let status = fs::symlink_metadata(directory)?;
    let own = rustix::process::geteuid().as_raw();
    if !status.is_dir() || status.uid() != own || status.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!(
            "{} must be a directory of root's that nobody else writes to; it is uid {}'s with mode {:04o}: \
             `chown root:root` and `chmod 755` it, or remove it",
            directory.display(),
            status.uid(),
            status.mode() & 0o7777
        )));
    }
    Ok(())
}
