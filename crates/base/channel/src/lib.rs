//! Framed messages of the init protocol over a stream, with descriptors where the stream carries them.
//!
//! Nobody above this crate knows how a transport moves bytes. [`Inbox`] turns whatever arrives into whole
//! messages, and what travels beside the bytes is its parameter: descriptors, or [`Nothing`]. `unix` moves
//! bytes and descriptors over a unix socket, `plain` bytes alone over any descriptor, and (with the feature
//! `tokio`) `asynchronous` does both for the services. A [`Promise`] says where a connection is that an
//! answer gives.
//!
//! The crate is `no_std`: the interpreter uses it before libc is initialised. The state machine and the
//! promise are there on every system, what moves bytes on unix.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, expect(clippy::indexing_slicing, reason = "a test that cannot go on has failed"))]

extern crate alloc;
#[cfg(any(feature = "tokio", test))]
extern crate std;

mod inbox;
mod promise;

#[cfg(unix)]
pub mod plain;
#[cfg(unix)]
pub mod unix;

#[cfg(all(unix, feature = "tokio"))]
pub mod asynchronous;

pub use inbox::{Beside, Frame, FrameError, Inbox, Nothing};
pub use promise::Promise;
