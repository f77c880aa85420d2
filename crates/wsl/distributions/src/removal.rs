//! Removal of a distribution with its files.

use crate::attendance::{Instances, Listener};
use crate::care::{alone_on, clear, registry, remove_files, shelf, store};
use crate::registry::{Distribution, State};
use std::io::{self, IsTerminal as _, Write as _};
use winterop_words::{Failure, Words, visible};

/// Asks at the terminal whether a distribution may be removed.
///
/// # Errors
/// There is nobody to be asked.
pub fn ask(one: &Distribution) -> Result<bool, Words> {
    if !io::stdin().is_terminal() {
        return Err(Failure::RemovalNotAgreed { name: &one.name }.words());
    }
    let place = visible::line(&one.root().display().to_string());
    // What cannot be asked or read is no yes.
    let _ = write!(io::stderr(), "Remove {} with all files in {place}? [y/N] ", one.name);
    let mut line = String::new();
    let _ = io::stdin().read_line(&mut line);
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Removes a distribution with its files, if `agrees` to that says so.
///
/// # Errors
/// In words. What was begun the next command goes on with.
pub fn unregister(
    name: &str,
    agrees: &dyn Fn(&Distribution) -> Result<bool, Words>,
    instances: &dyn Instances,
    listener: &dyn Listener,
) -> Result<(), Words> {
    let found = registry()?.installed(name)?.clone();
    if !agrees(&found)? {
        return Err(Failure::RemovalRefused { name: &found.name }.words());
    }
    let store = store(listener)?;
    let mut registry = store.read()?;
    let found = registry.installed(name)?.clone();
    let _work = alone_on(&store, &found.name)?;
    instances.end(&found.name)?;
    // From here on nobody starts it, and whoever comes next goes on with this.
    registry.set_state(&found.name, State::Uninstalling)?;
    store.write(&registry)?;
    drop(store);
    // One that was started a moment ago.
    instances.end(&found.name)?;
    remove_files(&found, listener)?;
    let store = shelf()?.lock()?;
    clear(&store, &found, listener)
}
