//! Work on a distribution's files, in a child that has its ids.

use crate::attendance::Listener;
use crate::registry::{Distribution, ROOT};
use crate::tree::Notes;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use winterop_distribution::holder::Holder;
use winterop_namespaces::ids::{Done, with_ids};
use winterop_places::inside::Directory;
use winterop_words::{Failure, Words};

/// How work in a child has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of it is done.
    Done,
    /// It went wrong, and the child has said why.
    Failed,
    /// A signal has ended it.
    Interrupted,
}

/// Works on a distribution's files in a child with its ids. The child says what went wrong there, and this
/// process what had to be done without.
pub(crate) fn in_child(
    listener: &dyn Listener,
    work: impl FnOnce() -> Result<(), Words>,
) -> Result<Outcome, Words> {
    let (outcome, note) = outcome_of(listener, work)?;
    if let Some(note) = note {
        listener.say(&note);
    }
    Ok(outcome)
}

/// The same to remove files, of which nothing has to be preserved.
pub(crate) fn remove_in_child(
    listener: &dyn Listener,
    work: impl FnOnce() -> Result<(), Words>,
) -> Result<Outcome, Words> {
    outcome_of(listener, work).map(|(outcome, _)| outcome)
}

/// How the work ended, and what could not be preserved in it.
fn outcome_of(
    listener: &dyn Listener,
    work: impl FnOnce() -> Result<(), Words>,
) -> Result<(Outcome, Option<String>), Words> {
    let told = || match work() {
        Ok(()) => 0,
        Err(error) => {
            listener.say(&error);
            1
        }
    };
    let done = with_ids(told).map_err(|error| Failure::NoIds { error: &error }.words());
    let Done { status, note } = done?;
    let outcome = match status {
        Some(0) => Outcome::Done,
        Some(_) => Outcome::Failed,
        None => Outcome::Interrupted,
    };
    Ok((outcome, note))
}

/// Opens a directory that is held, to be read.
pub(crate) fn opened(directory: impl AsFd) -> Result<OwnedFd, Words> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::openat(directory, ".", flags, Mode::empty());
    let failed = |error| {
        let error = std::io::Error::from(error);
        Failure::FileNotRead { step: &"opening", name: &"the distribution's files", error: &error }
            .words()
    };
    open.map_err(failed)
}

/// The root of a distribution, open, by what holds it.
pub(crate) fn root_of(one: &Distribution) -> Result<Directory, Words> {
    let holder = Holder::open(&one.directory)?;
    Ok(holder.root(OsStr::new(ROOT))?)
}

/// Says what could not be kept.
pub(crate) fn tell(listener: &dyn Listener, notes: &Notes) {
    notes.lines().for_each(|line| listener.say(&line));
}
