//! What is to be on the machine.

use std::path::PathBuf;
use winterop_settings::machine::EntryName;

/// What is installed, and from where.
#[derive(Clone, Debug)]
pub struct Installable {
    /// The directory that is the machine's root: `/`.
    pub root: PathBuf,
    /// The static `init` that becomes `/init`.
    pub init: PathBuf,
    /// The program `winterop`, as the machine's init will start it.
    pub program: PathBuf,
    /// The name of the entry in the kernel's table.
    pub entry: EntryName,
}
