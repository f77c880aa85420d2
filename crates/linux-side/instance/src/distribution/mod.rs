//! Distributions that share this machine's kernel: a running one is an *instance*.
//!
//! Four processes, in the order in which they come to be:
//! 1. the *keeper* ([`keeper`]), outside: makes the namespaces, writes their maps of ids, starts the
//!    user's host when the instance needs one and none runs, and removes the instance's directory
//!    when its init has ended. `wslservice` starts it and may end before it;
//! 2. *init* ([`init`]), process 1 inside: builds the root ([`root`]), reaps, has the instance's own
//!    interop server, and takes messages on the socket [`CONTROL`] in the instance's directory;
//! 3. a *session leader* ([`leader`]) for each session: creates the session's Linux processes
//!    ([`process`]) and serves the Windows launches of whatever of them is left, also after the `wsl`
//!    that asked for the session has ended;
//! 4. the Linux processes.
//!
//! `wslservice` and `wsl` speak with them through [`client`], and [`console`] is what `wsl` does
//! while a process runs. The socket is the record of a running instance: who listens there is its
//! init, and a `wslservice` that is started anew finds it by connecting.

pub mod client;
pub mod console;
mod devices;
pub mod drives;
pub mod holder;
pub mod ids;
pub mod init;
pub mod keeper;
pub mod leader;
mod maps;
mod network;
pub(crate) mod plan;
pub mod process;
mod reaper;
mod root;
mod systemd;

pub use client::{Instance, Session};
pub use plan::Plan;

/// The socket of an instance's init, in the instance's directory.
pub const CONTROL: &str = "control";

/// The socket of an instance's keeper, in the instance's directory.
pub const KEEPER: &str = "keeper";

/// A link to the distribution's root, in the instance's directory: by it the host knows from which
/// distribution a launch comes.
pub const ROOT: &str = "root";

/// A file with the distribution's name, in the instance's directory.
pub const NAME: &str = "name";
