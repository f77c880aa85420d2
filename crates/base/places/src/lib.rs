//! Where things lie: the fixed names of sockets and directories, the runtime directory of a user, and
//! how a directory is looked at, or opened, before it is believed.
//!
//! [`names`] and [`instance`] have what all parts agree on, [`runtime`] a user's directory for what ends
//! with a boot, [`user`] all directories of the user who calls, [`program`] this program and its parts,
//! [`own`] says whether a directory is its user's own, and [`inside`] opens what is in a root.
//!
//! The interpreter, which has no std, uses the names alone.
#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "std")]
pub mod inside;
pub mod instance;
pub mod names;
#[cfg(feature = "std")]
pub mod own;
#[cfg(feature = "std")]
pub mod program;
#[cfg(feature = "std")]
pub mod runtime;
#[cfg(feature = "std")]
pub mod user;
