//! Winterop on a machine, for all its users: what is put where, by whom it is started, and how all of
//! it is taken away again.
//!
//! [`trusted`] sees to it that nobody but root can change what will run as every user. [`files`] knows the
//! files and the manifest of what was put there, [`server`] starts and ends the machine's init,
//! [`guests`] says whom else it serves, [`table`] has the registration, and [`status`] says how all of it is.
//! [`enable`] and [`disable`] are
//! the order of the steps.
//! Each step finds out whether it is done, so a call that was interrupted is made good by the next.

mod error;
pub mod files;
pub mod guests;
mod installable;
pub mod server;
pub mod status;
pub mod table;
pub mod trusted;

pub use error::InstallError;
pub use installable::Installable;

use files::Files;
use std::path::Path;
use winterop_places::program;
use winterop_settings::machine::EntryName;
use winterop_settings::{MachineSettings, machine};
use winterop_words::{Failure, Words};

/// Refuses whoever is not root, and so cannot do `what`.
///
/// # Errors
/// In words.
pub fn require_root(what: &str) -> Result<(), Words> {
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => Err(Failure::NotRoot { what: &what }.words()),
    }
}

/// The name that root has set for the entry in the kernel's table.
fn entry() -> Result<EntryName, Words> {
    let settings = MachineSettings::read(Path::new(machine::DIRECTORY));
    Ok(settings.map_err(|error| error.words())?.entry)
}

/// Installs this program and its parts on this machine, as root; says what was done.
///
/// # Errors
/// In words; see [`enable`].
pub fn enable_this() -> Result<Vec<String>, Words> {
    require_root("enable Winterop for all users")?;
    let (init, program) = (program::init()?, program::own()?);
    let plan = Installable { root: "/".into(), init, program, entry: entry()? };
    enable(&plan).map_err(|error| error.words())
}

/// Takes away from this machine, as root, what [`enable_this`] has put there; says what was done.
///
/// # Errors
/// In words; see [`disable`].
pub fn disable_this() -> Result<Vec<String>, Words> {
    require_root("disable Winterop for all users")?;
    disable(Path::new("/"), &entry()?).map_err(|error| error.words())
}

/// Installs Winterop on the machine, or what is missing of it, and starts it.
///
/// The kernel holds the interpreter that was there at the registration, so a new one is registered
/// anew.
///
/// # Errors
/// An [`InstallError`]. Nothing foreign was changed; the next call goes on. Where others than root can
/// change the program, or put another one in its place, nothing was done.
pub fn enable(plan: &Installable) -> Result<Vec<String>, InstallError> {
    let mut done = Vec::new();
    // Hosts load what lies beside the interpreter.
    for part in [Some(&*plan.program), plan.init.parent()].into_iter().flatten() {
        trusted::refuse_changeable(part)?;
    }
    trusted::refuse_changeable(&plan.init)?;
    table::refuse_foreign(&plan.entry)?;
    let mut manifest = Files::of(plan)?.install(&plan.root, &mut done)?;
    let is_new = !manifest.is_in_effect();
    table::register(&plan.entry, is_new, &mut done)?;
    server::start(plan, is_new, &mut done)?;
    // Only now: the init that ran before would have registered it again.
    for entry in manifest.former_entries() {
        table::unregister(entry, &mut done)?;
    }
    manifest.note_effect(&plan.root)?;
    Ok(done)
}

/// Takes away what [`enable`] has put there, and nothing else.
///
/// # Errors
/// An [`InstallError`]; the next call goes on.
pub fn disable(root: &Path, entry: &EntryName) -> Result<Vec<String>, InstallError> {
    let mut done = Vec::new();
    let manifest = files::Manifest::read(root)?;
    server::stop(root, &mut done)?;
    guests::remove_directories();
    for entry in manifest.former_entries().iter().chain([manifest.entry.as_ref().unwrap_or(entry)])
    {
        table::unregister(entry, &mut done)?;
    }
    manifest.remove(root, &mut done)?;
    Ok(done)
}
