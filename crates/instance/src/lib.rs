//! Instances: a running distribution's namespaces, its registration of Windows executables, its
//! init, and the interop server that every init and session leader has.
//!
//! [`namespace`] builds what `winterop shell` runs in, [`distribution`] what `wsl` runs in,
//! [`registration`] speaks with binfmt_misc, [`server`] takes requests from interpreters and hands
//! them to the user's host, and [`role`] is what the `init` binary runs as an instance's init.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod distribution;
pub mod handoff;
pub mod keeper;
pub mod machine;
pub mod namespace;
pub mod notify;
pub mod own;
pub mod presence;
pub mod registration;
pub mod role;
pub mod runtime;
pub mod server;
pub mod socket;
pub mod starting;
#[cfg(test)]
#[path = "../../../tests/lib/successor.rs"]
mod successor;
pub mod table;
