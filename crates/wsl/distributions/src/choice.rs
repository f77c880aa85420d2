//! Which distribution is meant, by name or by none, and whose it is to begin with.

use crate::attendance::Listener;
use crate::care::{registry, store};
use crate::files::root_of;
use crate::registry::{Distribution, Uid};
use winterop_accounts::Accounts;
use winterop_accounts::release::Release;
use winterop_words::{Failure, Words};

/// What a command is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// The machine itself.
    Machine,
    /// A distribution that was imported.
    Imported(Distribution),
}

/// What is meant by a name, or by none.
///
/// # Errors
/// In words: there is none of the name, or it is not there as a whole.
pub fn meant(name: Option<&str>) -> Result<Meant, Words> {
    let registry = registry()?;
    let found = match name {
        Some(name) if name.eq_ignore_ascii_case(&Release::distribution_of_machine()) => None,
        Some(name) => Some(registry.installed(name)?),
        None => registry.default_distribution(),
    };
    Ok(found.map_or(Meant::Machine, |one| Meant::Imported(one.clone())))
}

/// Makes one the default; the machine's own name makes the machine it.
///
/// # Errors
/// In words: there is none of the name, or it is not there as a whole.
pub fn set_default(name: &str, listener: &dyn Listener) -> Result<(), Words> {
    let store = store(listener)?;
    let mut registry = store.read()?;
    let is_machine = name.eq_ignore_ascii_case(&Release::distribution_of_machine());
    registry.set_default(Some(name).filter(|_| !is_machine))?;
    Ok(store.write(&registry)?)
}

/// Makes somebody the one who starts a distribution's commands.
///
/// # Errors
/// In words: the distribution, or its user, is not there.
pub fn set_default_user(name: &str, user: &str, listener: &dyn Listener) -> Result<(), Words> {
    let store = store(listener)?;
    let mut registry = store.read()?;
    let found = registry.installed(name)?.clone();
    let accounts = Accounts::in_root(&root_of(&found)?);
    let Some(account) = accounts.by_name(user.as_bytes()) else {
        return Err(Failure::NoUserInside { user: &user, root: &found.root().display() }.words());
    };
    registry.set_default_uid(&found.name, Uid(account.user))?;
    Ok(store.write(&registry)?)
}
