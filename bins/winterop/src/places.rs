//! Where Winterop's files are: its own parts, and what belongs to the user.

use anyhow::{Context as _, Result};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use winterop_places::inside::read_text;
use winterop_places::names::HOST_SOCKET;
use winterop_places::own::{self, Use};
use winterop_places::runtime;
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

fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    Some(PathBuf::from(value)).filter(|path| path.is_absolute())
}

/// The directory that a variable names, else one in the user's home, if it is the user's own.
fn named(name: &str, in_home: &str, wanted: Use) -> Result<Option<PathBuf>> {
    let at_home = || Some(("HOME", variable("HOME")?.join(in_home)));
    let Some((name, base)) = variable(name).map(|path| (name, path)).or_else(at_home) else {
        return Ok(None);
    };
    own::check(&base, wanted).map_err(|unfit| unfit.words(name, &base))?;
    Ok(Some(base))
}

/// The user's data: the Wine prefix.
pub fn data() -> Result<PathBuf> {
    let base = named("XDG_DATA_HOME", ".local/share", Use::Write)?;
    Ok(base.ok_or_else(|| Failure::NoHome {}.words())?.join("winterop"))
}

/// The user's settings file, if there is a place for one.
pub fn settings() -> Result<Option<PathBuf>> {
    let base = named("XDG_CONFIG_HOME", ".config", Use::Read)?;
    Ok(base.map(|base| base.join("winterop/config.toml")))
}

/// Where the switches are that hold for this user on this machine.
pub fn switches() -> SwitchPlaces {
    let prefix = data().ok().map(|data| data.join("prefix/system.reg"));
    SwitchPlaces { prefix, ..SwitchPlaces::default() }
}

/// Where the user's runtime directory is, or is to be.
///
/// `$XDG_RUNTIME_DIR/winterop` where that is the user's own and closed to others, as it is not under a
/// `sudo` that keeps it; else `/run/user/UID/winterop`, else `/tmp/winterop-UID`: the interpreter looks
/// for the user's own server there, in the same order.
pub fn runtime_path() -> PathBuf {
    let named = variable("XDG_RUNTIME_DIR");
    match named.filter(|base| own::check(base, Use::Private).is_ok()) {
        Some(base) => base.join("winterop"),
        None => runtime::directory_of(rustix::process::geteuid().as_raw()),
    }
}

/// The user's runtime directory, made where it is missing; it is the user's alone.
pub fn runtime() -> Result<PathBuf> {
    let (directory, user) = (runtime_path(), rustix::process::geteuid().as_raw());
    match fs::DirBuilder::new().mode(0o700).create(&directory) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            let path = directory.display();
            return Err(Failure::RuntimeNotMade { path: &path, error: &error }.words().into());
        }
    }
    if !runtime::is_private(&directory, user) {
        return Err(Failure::RuntimeNotPrivate { path: &directory.display() }.words().into());
    }
    Ok(directory)
}

/// The host's socket, which is the user's own interop server too.
pub fn host_socket() -> Result<PathBuf> {
    Ok(runtime()?.join(HOST_SOCKET))
}

/// The name that the machine's own distribution has.
pub fn distribution() -> String {
    let text = read_text("/etc/os-release");
    let name = text.lines().find_map(|line| line.strip_prefix("NAME="));
    let name = name.map(|name| name.trim_matches(['"', '\'']));
    let word = name.and_then(|name| name.split_whitespace().next()).unwrap_or("Linux");
    word.chars().filter(|c| !matches!(c, '/' | '\\') && !c.is_control()).collect()
}
