//! Instances: a running distribution's namespaces, its registration of Windows executables, its
//! init, and the interop server that every init and session leader has.
//!
//! [`namespace`] builds what `winterop shell` runs in, [`distribution`] what `wsl` runs in,
//! [`registration`] speaks with binfmt_misc, [`server`] takes requests from interpreters and hands
//! them to the user's host, and [`role`] is what the `init` binary runs as an instance's init.
#![forbid(unsafe_code)]

pub mod keeper;
pub mod machine;
pub mod namespace;
pub mod role;
