//! The registration of Windows executables with binfmt_misc.
//!
//! [`entries`] writes and reads our own entries, [`table`] decides as the kernel does which of all entries
//! takes a file, and [`keep_registered`] keeps ours there: [`healing`] says what is done about what is
//! seen.
#![forbid(unsafe_code)]

pub mod entries;
pub mod healing;
pub mod table;
mod watch;

pub use entries::{
    BINFMT_MISC, ENTRY, Entry, FLAGS, RegistrationError, current, line, mount_table, read,
    register, register_as, register_batch_files, remove, unregister,
};
pub use watch::keep_registered;
