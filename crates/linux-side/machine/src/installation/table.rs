//! The registration on a machine.

use super::error::{InstallError, failed};
use std::path::Path;
use winterop_places::names::INIT;
use winterop_registration::{self as registration, BINFMT_MISC, RegistrationError};
use winterop_settings::machine::EntryName;

/// Refuses where the entry's name is somebody else's.
///
/// # Errors
/// [`RegistrationError::Taken`].
pub fn refuse_foreign(entry: &EntryName) -> Result<(), InstallError> {
    match registration::read(entry.as_str()) {
        Some(found) if found.interpreter != INIT => {
            let (entry, interpreter) = (entry.to_string(), found.interpreter);
            Err(RegistrationError::Taken { entry, interpreter }.into())
        }
        _ => Ok(()),
    }
}

/// Registers the interpreter; anew where it `is_new`, because the kernel holds the old one. An entry
/// that was switched off is on then.
///
/// # Errors
/// An [`InstallError`].
pub fn register(
    entry: &EntryName,
    is_new: bool,
    done: &mut Vec<String>,
) -> Result<(), InstallError> {
    let table = Path::new(BINFMT_MISC);
    if !table.join("register").exists() {
        // Without the module or the rights the registration says why.
        let _ = registration::mount_table();
    }
    let present = registration::read(entry.as_str());
    if present.as_ref().is_some_and(|present| present.enabled && !is_new) {
        return Ok(());
    }
    registration::remove(entry.as_str()).map_err(failed("removing the entry", table))?;
    registration::register_as(entry.as_str(), INIT)?;
    done.push(format!("registered {entry}"));
    Ok(())
}

/// Removes the entry, where it starts what we have installed.
///
/// # Errors
/// An [`InstallError`].
pub fn unregister(entry: &EntryName, done: &mut Vec<String>) -> Result<(), InstallError> {
    if registration::read(entry.as_str()).is_none_or(|found| found.interpreter != INIT) {
        return Ok(());
    }
    let path = Path::new(BINFMT_MISC).join(entry.as_str());
    registration::remove(entry.as_str()).map_err(failed("removing", &path))?;
    done.push(format!("removed the entry {entry}"));
    Ok(())
}
