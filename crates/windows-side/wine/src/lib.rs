//! The launcher `wine`, and everything that knows Wine: where it is, the prefix, the server, and how one
//! program is started.
//!
//! [`launcher`] is what a host is given; it brings together what the others know.
//! [`installation`] finds Wine, [`prefix`] makes the folder that Wine calls a prefix, [`server`]
//! keeps it warm, [`pe`] says whether a file can run at all, [`command`] builds what to execute for
//! one launch in these [`surroundings`], [`names`] names files by the prefix's drives,
//! [`aliases`] links those whose names Wine cannot open, [`programs`] finds a program by its bare
//! name, [`session_path`] keeps what a session's PATH ends with, [`linux_side`] is the way back from a
//! Windows program to Linux. [`launches`] is the page through which starts on an idle machine are made faster.

#![forbid(unsafe_code)]

pub mod aliases;
pub mod command;
mod command_line;
pub mod display;
pub mod environment;
mod forwarder;
pub mod installation;
pub mod launcher;
pub mod launches;
pub mod linux_side;
pub mod names;
pub mod pe;
pub mod prefix;
pub mod programs;
mod registry;
pub mod server;
pub mod session_path;
#[cfg(test)]
#[path = "../../../../tests/lib/successor.rs"]
mod successor;
pub mod surroundings;
pub mod user;

pub use launcher::{Places, WineLauncher};
