//! The store as whoever changes something finds it: without what others have left unfinished.
//!
//! There is no process that owns distributions. Whoever changes something holds the registry's lock for that
//! moment; whoever writes or removes files holds the distribution's own lock, and a child does it. What a
//! `wsl` that was killed has left unfinished, the next one takes away.

use crate::attendance::Listener;
use crate::files::{Outcome, remove_in_child};
use crate::name::DistributionName;
use crate::registry::{Distribution, ROOT, Registry, State};
use crate::store::{Shelf, Store};
use crate::tree::remove::remove;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use winterop_distribution::holder::Holder;
use winterop_places::user;
use winterop_words::{Failure, Words};

/// Where this user's distributions are listed.
pub(crate) fn shelf() -> Result<Shelf, Words> {
    Ok(Shelf::below(&user::data()?))
}

/// All of this user's distributions as they are now.
///
/// # Errors
/// In words: the list cannot be read, or has no place.
pub fn registry() -> Result<Registry, Words> {
    Ok(shelf()?.read()?)
}

/// The lock of whoever works on the files of `name`, or that somebody else does.
pub(crate) fn alone_on(store: &Store, name: &DistributionName) -> Result<File, Words> {
    let busy = || Failure::DistributionBusy { name, state: &"being imported or removed" }.words();
    store.work_on(name)?.ok_or_else(busy)
}

/// The store, without what others have left unfinished.
pub(crate) fn store(listener: &dyn Listener) -> Result<Store, Words> {
    let store = shelf()?.lock()?;
    let registry = store.read()?;
    let unfinished = registry.distributions().iter().filter(|one| one.state != State::Installed);
    for one in unfinished {
        let Some(_work) = store.work_on(&one.name)? else { continue };
        if let Err(error) = clear(&store, one, listener) {
            // It is listed on, and keeps nobody from working with the others.
            listener.say(&format_args!("cleaning up {}: {error}", one.name));
        }
    }
    Ok(store)
}

/// Removes the files of a distribution, then its entry. The caller holds its work lock.
pub(crate) fn clear(
    store: &Store,
    distribution: &Distribution,
    listener: &dyn Listener,
) -> Result<(), Words> {
    remove_files(distribution, listener)?;
    forget(store, distribution)
}

/// Removes the entry of a distribution that has no files.
pub(crate) fn forget(store: &Store, distribution: &Distribution) -> Result<(), Words> {
    let mut registry = store.read()?;
    registry.remove(&distribution.name);
    store.write(&registry)?;
    store.forget_work(&distribution.name);
    Ok(())
}

/// Removes the files of a distribution.
pub(crate) fn remove_files(
    distribution: &Distribution,
    listener: &dyn Listener,
) -> Result<(), Words> {
    let directory = &distribution.directory;
    let holder = match Holder::open(directory) {
        Err(error) if error.is_missing() => return Ok(()),
        holder => holder?,
    };
    let outcome = remove_in_child(listener, || Ok(remove(holder.as_fd(), ROOT)?))?;
    if outcome != Outcome::Done {
        return Err(Failure::NotRemoved { path: &distribution.root().display() }.words());
    }
    if distribution.made_directory {
        // Somebody may have put files of theirs beside the root.
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}
