//! What a user of this system starts Windows programs with: an instance that is this system as it is, with
//! a private table of executables, for `winterop shell`; and a launch without any table, for `winterop run`.
//!
//! [`session`] makes an instance and becomes its command, [`namespace`] are its namespaces, [`init`] is its
//! init, which serves its launches, and [`keeper`] the one process of it that stays outside. [`launch`] is
//! the other way. What this process has inherited for either is kept from everything else ([`inherited`]);
//! [`variables`] are its own.
#![forbid(unsafe_code)]

pub mod inherited;
pub mod init;
pub mod keeper;
pub mod launch;
pub mod namespace;
pub mod session;
pub mod variables;
