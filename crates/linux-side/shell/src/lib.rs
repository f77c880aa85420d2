//! What `winterop shell` runs in: an instance that is this system as it is, with a private table of
//! executables.
//!
//! [`namespace`] makes it of the calling process, [`init`] is its init, which serves its launches, and
//! [`keeper`] the one process of it that stays outside.
#![forbid(unsafe_code)]

pub mod init;
pub mod keeper;
pub mod namespace;
