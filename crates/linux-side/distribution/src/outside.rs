//! What an instance's processes use of the machine: directories that were opened outside, which are not
//! to be seen inside.

use rustix::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use winterop_places::instance::KEEPER;
use winterop_serve::starting::HostAddress;

/// Everything of the machine's that init goes on using.
#[derive(Debug)]
pub(crate) struct Outside {
    /// The directory with the host's socket.
    pub(crate) runtime: OwnedFd,
    /// The instance's directory.
    pub(crate) directory: OwnedFd,
}

/// The host as it is reached from inside: by the directories that were opened outside.
pub(crate) fn host_address(runtime: &OwnedFd, directory: &OwnedFd, socket: &Path) -> HostAddress {
    let through = |descriptor: &OwnedFd, name: &Path| {
        PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).join(name)
    };
    HostAddress {
        socket: through(runtime, socket),
        keeper: Some(through(directory, Path::new(KEEPER))),
        ..HostAddress::default()
    }
}
