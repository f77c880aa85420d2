//! Where this program lies, and the parts that belong to it.

use std::path::{Path, PathBuf};
use winterop_words::{Failure, Words};

/// This program, links followed.
///
/// # Errors
/// In words: the system does not say.
pub fn own() -> Result<PathBuf, Words> {
    std::env::current_exe().map_err(|error| Failure::OwnProgramLost { error: &error }.words())
}

/// The directory with `winterop`, `wsl` and `wslpath`.
///
/// # Errors
/// Those of [`own`].
pub fn directory() -> Result<PathBuf, Words> {
    Ok(own()?.parent().map(Path::to_owned).unwrap_or_default())
}

/// The parts that belong to this program: `../lib/winterop` from where it lies.
///
/// # Errors
/// In words: they are not there, or nobody knows where this program is.
pub fn parts() -> Result<PathBuf, Words> {
    let own = own()?;
    let parts = own.parent().and_then(Path::parent).map(|prefix| prefix.join("lib/winterop"));
    let missing = || Failure::PartsMissing { program: &own.display() }.words();
    parts.filter(|parts| parts.is_dir()).ok_or_else(missing)
}

/// The static binary of all parts on the Linux side.
///
/// # Errors
/// Those of [`parts`].
pub fn init() -> Result<PathBuf, Words> {
    Ok(parts()?.join("init"))
}
