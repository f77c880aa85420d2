//! Prepares a Wine prefix once, so that a program starts in it at once ever after.
//!
//! `wineboot` makes a prefix in 3 to 5 s and 695 MB. This module lets it do that in a folder of its
//! own, repairs what keeps modern programs from running, replaces every library that is Wine's own by
//! a link to Wine's, and keeps the result (46 MB) as a template. The prefix itself is a copy.
//!
//! Below the data folder:
//! - `prefix`: the prefix. It appears complete or not at all.
//! - `template`: what it was copied from; a further prefix is a copy of it.
//! - `prefix.lock`: held while one process prepares.
//! - `.new-*`, `.old-*`: what a preparation works on; what a crash leaves of it goes the next time.
//!
//! A stamp (`.winterop` in the prefix) names the recipe and the Wine. When either changes the
//! prefix is brought up to date in a copy, which then takes its place; what its user installed in
//! it stays.
//!
//! # The repairs
//! 1. Wine 8 says it is Windows 7: the values that `winecfg -v win10` sets, but written into the
//!    registry's file, without a start of Wine.
//! 2. Wine 8 has no `bcryptprimitives.dll`, which Rust and Go programs need for `ProcessPrng`: one
//!    that only forwards it to `advapi32.SystemFunction036`. A Wine that has its own keeps it.
//! 3. A crash starts `winedbg`, writes into the program's output and ends with 0: the debugger is
//!    switched off (`AeDebug`), so that a crash ends with the exception's code.

mod boot;
mod error;
mod files;
mod links;
mod repairs;

pub use error::Error;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use winterop_serve::Starter;

use crate::installation::Installation;
use crate::registry;
use crate::server::socket::Place;
use crate::user::WineUser;
use boot::{Work, wineboot};
use error::file;
use files::{beside, copy_tree, make_folder, remove, write};
use links::{remove_links_to_wine, slim};
use repairs::{REGISTRY, repair};

/// The version of what this module does to a prefix; a change makes old ones be brought up to date.
const RECIPE: u32 = 2;

/// The file in a prefix that says who made it.
const STAMP: &str = ".winterop";

/// A prepared prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// Its folder.
    pub path: PathBuf,
    /// Whether it was made for another Wine or by an older version of this program, and could not
    /// be brought up to date because programs run in it.
    pub outdated: bool,
}

/// What a preparation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another process prepares; this one waits for it.
    Waiting,
    /// `wineboot` makes or updates a prefix (3 to 5 s).
    Creating,
    /// The three repairs.
    Repairing,
    /// Links take the place of Wine's own files.
    Slimming,
    /// The template is copied.
    Copying,
    /// All is done.
    Done,
}

impl Step {
    /// What the step does, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for another preparation of Wine",
            Self::Creating => "making a Wine prefix",
            Self::Repairing => "repairing it for modern programs",
            Self::Slimming => "linking Wine's own files",
            Self::Copying => "copying it",
            Self::Done => "Wine is ready",
        }
    }
}

/// Prepares the prefix below `data`, or finds it prepared (well under a millisecond).
///
/// `progress` is called at the beginning of each step that takes time.
pub fn prepare(
    installation: &Installation,
    user: &WineUser,
    data: &Path,
    starter: Option<&Starter>,
    progress: &mut dyn FnMut(Step),
) -> Result<Prefix, Error> {
    let store = Store { installation, user, data, starter };
    let path = data.join("prefix");
    if store.is_current(&path) {
        return Ok(Prefix { path, outdated: false });
    }
    let _lock = store.lock(progress)?;
    // Another process may have done it while this one waited.
    if store.is_current(&path) {
        return Ok(Prefix { path, outdated: false });
    }
    store.sweep()?;
    store.template(progress)?;
    let outdated = if path.join("system.reg").exists() {
        !store.update(&path, progress)?
    } else {
        store.copy_template(&path, progress)?;
        false
    };
    progress(Step::Done);
    Ok(Prefix { path, outdated })
}

/// What is not as [`prepare`] leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// There is no prefix yet.
    NotMade,
    /// It was prepared for another Wine, or by an older Winterop.
    Outdated,
    /// Its registry does not name Windows 10, or has a crash debugger.
    Registry,
    /// It lacks the library that Rust programs of today need.
    Library,
}

/// Looks whether the prefix below `data` is as [`prepare`] leaves it, and changes nothing.
///
/// # Errors
/// [`Error::File`] where its registry cannot be read.
pub fn examine(installation: &Installation, data: &Path) -> Result<Vec<Flaw>, Error> {
    let user = WineUser::current();
    let store = Store { installation, user: &user, data, starter: None };
    let prefix = data.join("prefix");
    if !prefix.exists() {
        return Ok(vec![Flaw::NotMade]);
    }
    let path = prefix.join("system.reg");
    let registry = fs::read(&path).map_err(file("read the registry", &path))?;
    let library = "bcryptprimitives.dll";
    let has_library = prefix.join("drive_c/windows/system32").join(library).exists()
        || installation.windows_libraries().join(library).exists();
    let flaws = [
        (!store.is_current(&prefix), Flaw::Outdated),
        (!registry::has(&registry, REGISTRY), Flaw::Registry),
        (!has_library, Flaw::Library),
    ];
    Ok(flaws.into_iter().filter_map(|(is_there, flaw)| is_there.then_some(flaw)).collect())
}

/// Makes a further prefix at `path` from the template that [`prepare`] left (0.1 s).
pub fn copy(data: &Path, path: &Path) -> Result<Prefix, Error> {
    let fresh = beside(path, ".new");
    copy_tree(&data.join("template"), &fresh)?;
    fs::rename(&fresh, path).map_err(file("put the new prefix at", path))?;
    Ok(Prefix { path: path.to_owned(), outdated: false })
}

/// Where prefixes are kept, and for which Wine.
struct Store<'a> {
    installation: &'a Installation,
    user: &'a WineUser,
    data: &'a Path,
    starter: Option<&'a Starter>,
}

impl Store<'_> {
    fn stamp(&self) -> String {
        format!(
            "recipe {RECIPE}\n{}\n{}\n",
            self.installation.version,
            self.installation.libraries.display()
        )
    }

    fn is_current(&self, prefix: &Path) -> bool {
        fs::read_to_string(prefix.join(STAMP)).is_ok_and(|stamp| stamp == self.stamp())
    }

    fn lock(&self, progress: &mut dyn FnMut(Step)) -> Result<File, Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(self.data).map_err(file("make the folder", self.data))?;
        let path = self.data.join("prefix.lock");
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(file("make the lock", &path))?;
        let outcome = match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                progress(Step::Waiting);
                rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))
            }
            other => other,
        };
        outcome.map_err(|error| file("take the lock", &path)(error.into()))?;
        Ok(lock)
    }

    /// Removes what crashed preparations left. Only called with the lock held.
    fn sweep(&self) -> Result<(), Error> {
        let entries = fs::read_dir(self.data).map_err(file("read the folder", self.data))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(".new-") || name.starts_with(".old-") {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Makes sure that the template is there and current.
    fn template(&self, progress: &mut dyn FnMut(Step)) -> Result<(), Error> {
        let path = self.data.join("template");
        if self.is_current(&path) {
            return Ok(());
        }
        let fresh = beside(&path, ".new");
        make_folder(&fresh)?;
        self.make(&fresh, Work::Make, progress)?;
        self.exchange(&fresh, &path)
    }

    fn copy_template(&self, path: &Path, progress: &mut dyn FnMut(Step)) -> Result<(), Error> {
        progress(Step::Copying);
        let fresh = beside(path, ".new");
        copy_tree(&self.data.join("template"), &fresh)?;
        self.exchange(&fresh, path)
    }

    /// Brings a prefix up to date in a copy; `false` if it has to stay because it is in use.
    fn update(&self, path: &Path, progress: &mut dyn FnMut(Step)) -> Result<bool, Error> {
        if Place::find(path).is_some_and(|place| place.owner().is_some()) {
            tracing::warn!(path = %path.display(), "outdated Wine prefix is in use");
            return Ok(false);
        }
        progress(Step::Copying);
        let fresh = beside(path, ".new");
        copy_tree(path, &fresh)?;
        // Wine opens existing files for writing to update them: what is linked would be Wine's own.
        remove_links_to_wine(&fresh.join("drive_c"))?;
        let timestamp = fresh.join(".update-timestamp");
        remove(&timestamp)?;
        self.make(&fresh, Work::Update, progress)?;
        self.exchange(&fresh, path)?;
        Ok(true)
    }

    /// Puts `fresh` at `path` in one step, and removes what was there.
    fn exchange(&self, fresh: &Path, path: &Path) -> Result<(), Error> {
        let put = file("put the new prefix at", path);
        if !path.exists() {
            return fs::rename(fresh, path).map_err(put);
        }
        let here = rustix::fs::CWD;
        renameat_with(here, fresh, here, path, RenameFlags::EXCHANGE)
            .map_err(|error| put(error.into()))?;
        remove(fresh)
    }

    /// Lets `wineboot` work on `path`, then repairs and slims it.
    fn make(&self, path: &Path, work: Work, progress: &mut dyn FnMut(Step)) -> Result<(), Error> {
        progress(Step::Creating);
        wineboot(self.installation, self.user, self.starter, path, work)?;
        progress(Step::Repairing);
        repair(path, self.installation)?;
        progress(Step::Slimming);
        slim(&path.join("drive_c"), self.installation)?;
        // Wine would update a prefix on its own when its own files change, and write through links.
        write(&path.join(".update-timestamp"), b"disable\n")?;
        write(&path.join(STAMP), self.stamp().as_bytes())
    }
}
