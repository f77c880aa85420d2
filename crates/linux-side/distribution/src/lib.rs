//! Distributions that share this machine's kernel: a running one is an *instance*.
//!
//! Four processes, in the order in which they come to be:
//! 1. the *keeper* ([`keeper`]), outside: makes the namespaces, has their maps of ids written, starts the
//!    user's host when the instance needs one and none runs, and removes the instance's directory
//!    when its init has ended. A `wsl` starts it and may end before it;
//! 2. *init* (`init`), process 1 inside: builds the root (`root`), reaps, has the instance's own
//!    interop server, and takes messages on the socket
//!    [`CONTROL`](winterop_places::instance::CONTROL) in the instance's directory;
//! 3. a *session leader* ([`leader`]) for each session: creates the session's Linux processes
//!    (`process`) and serves the Windows launches of whatever of them is left, also after the `wsl`
//!    that asked for the session has ended;
//! 4. the Linux processes.
//!
//! The socket is the record of a running instance: who listens there is its init, and a `wsl` that is
//! started anew finds it by connecting. What `wsl` does there is the crate `session`'s.
#![forbid(unsafe_code)]

mod boot;
mod devices;
mod drives;
mod ending;
mod error;
pub mod holder;
mod init;
mod interop_server;
pub mod keeper;
pub mod leader;
mod mounts;
mod network;
mod outside;
pub mod plan;
mod process;
mod reaper;
mod root;
#[cfg(test)]
#[path = "../../../../tests/lib/successor.rs"]
mod successor;
mod systemd;
mod transport;

pub use plan::{InstancePlan, RootOf};
