//! Where Winterop's files are: its own parts, and what belongs to the user.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use winterop_accounts::release::Release;
use winterop_places::inside::Directory;
pub use winterop_places::user::{data, host_socket, runtime, runtime_path, settings};
use winterop_settings::SwitchPlaces;
use winterop_words::Failure;

/// The parts that belong to this program: `../lib/winterop` from where it lies.
pub fn libraries() -> Result<PathBuf> {
    let own = own_program()?;
    let directory = own.parent().and_then(Path::parent).map(|prefix| prefix.join("lib/winterop"));
    let missing = || Failure::PartsMissing { program: &own.display() }.words();
    Ok(directory.filter(|directory| directory.is_dir()).ok_or_else(missing)?)
}

/// The directory with `winterop`, `wsl` and `wslpath`.
pub fn programs() -> Result<PathBuf> {
    let own = own_program()?;
    Ok(own.parent().map(Path::to_owned).unwrap_or_default())
}

/// This program, links followed.
pub fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("this program's own file cannot be found")
}

/// Where the switches are that hold for this user on this machine.
pub fn switches() -> SwitchPlaces {
    let prefix = data().ok().map(|data| data.join("prefix/system.reg"));
    SwitchPlaces { prefix, ..SwitchPlaces::default() }
}

/// The name that the machine's own distribution has.
pub fn distribution() -> String {
    let release = Directory::root().map(|root| Release::in_root(&root)).unwrap_or_default();
    let word = release.name.as_deref().and_then(|name| name.split_whitespace().next());
    let kept = |c: &char| !matches!(c, '/' | '\\') && !c.is_control();
    word.unwrap_or("Linux").chars().filter(kept).collect()
}
