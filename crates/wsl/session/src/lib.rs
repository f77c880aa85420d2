//! What `wsl` does with a distribution: it starts its instance or finds it and runs a command there
//! ([`run`]), by what an instance and its sessions answer ([`client`]), and relays this process's own
//! terminal meanwhile ([`console`]). [`here`] is the same on the machine itself, and [`from_windows`] for a
//! Windows program. [`options`] are those that it does not have.
#![forbid(unsafe_code)]

pub mod client;
mod connection;
pub mod console;
pub mod from_windows;
pub mod here;
pub mod options;
pub mod run;

pub use client::{ClientError, Ends, Facts, Instance, RunningProcess, Session};
pub use connection::{Connection, Ports};
pub use run::{Origin, Runnable, SessionError, Shell, Wanted};
