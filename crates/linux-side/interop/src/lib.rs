//! The interop server: what takes connections from interpreters and hands them to a user's host.
//!
//! [`server`] serves a socket, [`admit`] is what it asks of whoever has made it, [`handoff`] is the way to
//! a host, and [`keeper`] tells a host whose an instance is.
#![forbid(unsafe_code)]

pub mod admit;
pub mod handoff;
pub mod keeper;
pub mod server;

pub use admit::{Admit, Audience, OfInstance};
pub use handoff::{HandOffError, HostLink};
pub use server::{MODE_FOR_ALL, serve};
