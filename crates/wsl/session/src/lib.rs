//! What `wsl` does with a distribution: it starts its instance or finds it, begins a session there and
//! creates processes in it ([`client`]), and relays this process's own terminal while one of them runs
//! ([`console`]).
#![forbid(unsafe_code)]

pub mod client;
mod connection;
pub mod console;

pub use client::{ClientError, Facts, Instance, Running, Session};
pub use connection::{Connection, Ports};
