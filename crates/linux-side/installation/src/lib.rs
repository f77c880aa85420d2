//! Winterop on a machine, for all its users: what is put where, by whom it is started, and how all of
//! it is taken away again.
//!
//! [`trusted`] sees to it that nobody but root can change what will run as every user. [`files`] knows the
//! files and the manifest of what was put there, [`server`] starts and ends the machine's init,
//! [`guests`] says whom else it serves, [`table`] has the registration. [`enable`] and [`disable`] are
//! the order of the steps.
//! Each step finds out whether it is done, so a call that was interrupted is made good by the next.
#![forbid(unsafe_code)]

pub mod files;
pub mod guests;
pub mod server;
pub mod table;
pub mod trusted;

use files::Files;
use std::io;
use std::path::{Path, PathBuf};
use winterop_registration::RegistrationError;
use winterop_settings::machine::EntryName;
use winterop_words::{Failure, Words};

/// What is installed, and from where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The directory that is the machine's root: `/`.
    pub root: PathBuf,
    /// The static `init` that becomes `/init`.
    pub init: PathBuf,
    /// The program `winterop`, as the machine's init will start it.
    pub program: PathBuf,
    /// The name of the entry in the kernel's table.
    pub entry: EntryName,
}

/// Why a machine could not be changed.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum InstallError {
    /// A file is there that is not ours.
    Foreign(PathBuf),
    /// What every user is to run can be changed by others than root.
    Changeable {
        /// The file, or a folder on the way to it.
        path: PathBuf,
        /// By whom, in words.
        why: String,
    },
    /// The kernel's table does not take the entry.
    Registration(#[from] RegistrationError),
    /// A step failed.
    Step {
        /// What was tried.
        step: &'static str,
        /// On what.
        on: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl InstallError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Foreign(path) => Failure::ForeignFile { path: &path.display() }.words(),
            Self::Changeable { path, why } => {
                Failure::ChangeableProgram { path: &path.display(), why }.words()
            }
            Self::Registration(error) => error.words(),
            Self::Step { step, on, source } => {
                Failure::InstallationStep { step, place: &on.display(), error: source }.words()
            }
        }
    }
}

pub(crate) fn failed(
    step: &'static str,
    on: &Path,
) -> impl FnOnce(io::Error) -> InstallError + use<> {
    let on = on.to_owned();
    move |source| InstallError::Step { step, on, source }
}

/// Installs Winterop on the machine, or what is missing of it, and starts it.
///
/// The kernel holds the interpreter that was there at the registration, so a new one is registered
/// anew.
///
/// # Errors
/// An [`InstallError`]. Nothing foreign was changed; the next call goes on. Where others than root can
/// change the program, or put another one in its place, nothing was done.
pub fn enable(plan: &Plan) -> Result<Vec<String>, InstallError> {
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
