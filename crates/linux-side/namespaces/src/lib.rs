//! Namespaces: who has which ids in a new one, and what is said where one cannot be had.
//!
//! Instances are made of them, a distribution's and a shell's; and work on a distribution's files has the
//! ids that the distribution has when it runs ([`ids`]).
#![forbid(unsafe_code)]

mod error;
pub mod handshake;
pub mod ids;
pub mod maps;

pub use error::{NamespaceError, failed};
