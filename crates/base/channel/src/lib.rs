//! Framed messages of the init protocol over a stream, with descriptors where the stream carries them.
//!
//! Nobody above this crate knows how a transport moves bytes: [`Inbox`] turns whatever arrives into
//! whole messages, [`unix`] moves bytes and descriptors over a unix socket, and (with the feature
//! `tokio`) [`asynchronous`] does the same for the services.
//!
//! The crate is `no_std`: the interpreter uses it before libc is initialised.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

extern crate alloc;
#[cfg(any(feature = "tokio", test))]
extern crate std;

mod inbox;
pub mod unix;

#[cfg(feature = "tokio")]
pub mod asynchronous;

pub use inbox::{Frame, FrameError, Inbox};
