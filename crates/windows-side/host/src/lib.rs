//! The user's host: launchers, placement, and the programs that run.
//!
//! [`service`] takes launches and follows them to their end; [`admission`] says whether one may be. What
//! the Windows side is only a launcher knows ([`launcher::Launcher`]). One whose programs run on this
//! machine builds what to execute ([`execution`]) and leaves the rest to [`local`]: [`placement`] decides
//! where it runs, [`hosted`] is a program below the host, and [`tree`] ends what a launch has left.
#![forbid(unsafe_code)]

pub mod admission;
pub mod build;
pub mod client;
pub mod command;
pub mod directory;
pub mod entrance;
pub mod execution;
pub mod guests;
pub mod hosted;
pub mod identity;
pub mod instances;
pub mod kept_terminal;
pub mod launcher;
pub mod local;
pub mod located;
pub mod lookout;
pub mod mark;
pub mod placement;
pub mod request;
pub mod service;
#[cfg(test)]
#[path = "../../../../tests/lib/successor.rs"]
mod successor;
pub mod tree;
pub mod unix;
pub mod variables;

pub use admission::Admission;
pub use build::Build;
pub use command::CommandLauncher;
pub use execution::{Execution, Interface};
pub use launcher::{Launched, Launcher, RefusedLaunch};
pub use local::Local;
pub use mark::Mark;
pub use service::{Host, Served};
pub use winterop_audit::{Audit, Printable};

use located::Name;
use request::LaunchRequest;
use rustix::fd::AsFd;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// The name under which the host can open the program of `request`.
///
/// `find` looks a bare name up, as the host's Windows side does.
///
/// # Errors
/// A [`RefusedLaunch`] where neither a descriptor nor a path came, and those of `find`.
pub fn program_name(
    request: &LaunchRequest,
    find: impl FnOnce(&[u8]) -> Result<PathBuf, RefusedLaunch>,
) -> Result<Name, RefusedLaunch> {
    let claimed = request.linux_executable.as_deref();
    match (&request.endpoints.executable, claimed, &request.search) {
        (Some(file), ..) if request.is_pinned => {
            Ok(Name::ThroughDescriptor(located::descriptor_path(file.as_fd())))
        }
        (Some(file), ..) => Ok(request.caller().name_of(file.as_fd(), claimed)),
        (None, Some(path), _) => Ok(Name::Own(OsString::from_vec(path.to_vec()).into())),
        (None, None, Some(name)) => {
            request.found.clone().map_or_else(|| find(name), Ok).map(Name::Own)
        }
        (None, None, None) => Err(winterop_words::Failure::NoExecutable {}.into()),
    }
}
