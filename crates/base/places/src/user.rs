//! Where a user's files are: data, settings, and what ends with a boot. The environment says so as far as
//! it names directories that are the user's own.

use crate::names::HOST_SOCKET;
use crate::own::{self, Unfit, Use};
use crate::runtime::{directory_of, is_private};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use winterop_words::{Failure, Words};

/// Why there is no place for something.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub enum NoPlace {
    /// The directory that a variable names is not to be used.
    Unfit {
        /// The variable.
        variable: &'static str,
        /// The directory.
        path: PathBuf,
        /// Why not.
        unfit: Unfit,
    },
    /// No variable names one.
    NoHome,
    /// The runtime directory cannot be made.
    NotMade {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The runtime directory is not the user's alone.
    NotPrivate(PathBuf),
}

impl NoPlace {
    /// The reason in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Unfit { variable, path, unfit } => unfit.words(variable, path),
            Self::NoHome => Failure::NoHome {}.words(),
            Self::NotMade { path, source } => {
                Failure::RuntimeNotMade { path: &path.display(), error: source }.words()
            }
            Self::NotPrivate(path) => Failure::RuntimeNotPrivate { path: &path.display() }.words(),
        }
    }
}

impl From<NoPlace> for Words {
    fn from(error: NoPlace) -> Self {
        error.words()
    }
}

/// What is ours in each of the user's directories.
const OURS: &str = "winterop";

fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    Some(PathBuf::from(value)).filter(|path| path.is_absolute())
}

/// The directory that a variable names, else one in the user's home, if it is the user's own.
fn named(name: &'static str, in_home: &str, wanted: Use) -> Result<Option<PathBuf>, NoPlace> {
    let at_home = || Some(("HOME", variable("HOME")?.join(in_home)));
    let Some((variable, path)) = variable(name).map(|path| (name, path)).or_else(at_home) else {
        return Ok(None);
    };
    match own::check(&path, wanted) {
        Ok(()) => Ok(Some(path.join(OURS))),
        Err(unfit) => Err(NoPlace::Unfit { variable, path, unfit }),
    }
}

/// The user's data: the Wine prefix, and the distributions.
///
/// # Errors
/// A [`NoPlace`].
pub fn data() -> Result<PathBuf, NoPlace> {
    named("XDG_DATA_HOME", ".local/share", Use::Write)?.ok_or(NoPlace::NoHome)
}

/// The same to be read alone: it may be root's, too. None where there is none that can be believed.
#[must_use]
pub fn data_to_read() -> Option<PathBuf> {
    named("XDG_DATA_HOME", ".local/share", Use::Read).ok().flatten()
}

/// The user's settings file, if there is a place for one.
///
/// # Errors
/// [`NoPlace::Unfit`].
pub fn settings() -> Result<Option<PathBuf>, NoPlace> {
    let directory = named("XDG_CONFIG_HOME", ".config", Use::Read)?;
    Ok(directory.map(|directory| directory.join("config.toml")))
}

/// Where the user's runtime directory is, or is to be.
///
/// `$XDG_RUNTIME_DIR/winterop` where that is the user's own and closed to others, as it is not under a
/// `sudo` that keeps it; else `/run/user/UID/winterop`, else `/tmp/winterop-UID`: the interpreter looks
/// for the user's own server there, in the same order.
#[must_use]
pub fn runtime_path() -> PathBuf {
    let named = variable("XDG_RUNTIME_DIR");
    match named.filter(|base| own::check(base, Use::Private).is_ok()) {
        Some(base) => base.join(OURS),
        None => directory_of(rustix::process::geteuid().as_raw()),
    }
}

/// The user's runtime directory, made where it is missing; it is the user's alone.
///
/// # Errors
/// [`NoPlace::NotMade`] and [`NoPlace::NotPrivate`].
pub fn runtime() -> Result<PathBuf, NoPlace> {
    let (directory, user) = (runtime_path(), rustix::process::geteuid().as_raw());
    match fs::DirBuilder::new().mode(0o700).create(&directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(NoPlace::NotMade { path: directory, source }),
    }
    match is_private(&directory, user) {
        true => Ok(directory),
        false => Err(NoPlace::NotPrivate(directory)),
    }
}

/// The host's socket, which is the user's own interop server too.
///
/// # Errors
/// Those of [`runtime`].
pub fn host_socket() -> Result<PathBuf, NoPlace> {
    Ok(runtime()?.join(HOST_SOCKET))
}
