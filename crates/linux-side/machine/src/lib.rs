//! Winterop on a machine, for all its users: the machine's init, and what is put where.
//!
//! The machine's init ([`init`]) is one interop server for all users, and keeps the registration there. It
//! runs as root on the machine itself, starts nothing but users' hosts, each as its user, and opens
//! nothing that a peer names. [`users`] knows which host serves whom, [`guests`] what containers are
//! given in the place of `/run/WSL`, and [`admit`] is what its servers ask. [`installation`] says what
//! lies where on the machine, and takes it away again.
#![forbid(unsafe_code)]

pub mod admit;
mod directory;
pub mod guests;
pub mod init;
pub mod installation;
mod options;
mod subordinates;
pub mod users;

pub use options::{Ground, MACHINE_OPTION, Options};
