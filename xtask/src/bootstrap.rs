//! A small Debian as a tar archive, for tests of distributions: made once, and kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::paths;
use crate::progress::{self, Step};

/// What it has beside Debian's minimum.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,passwd,procps";

/// Where it is kept.
fn archive() -> PathBuf {
    paths::target().join("cache/debian.tar")
}

/// Makes it where it is missing, from where this machine's own packages come. Only root can.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn ensure() -> Result<()> {
    let archive = archive();
    if archive.exists() || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let folder = archive.parent().context("target/cache")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let _lock = paths::lock(&folder.join("debian.lock"))?;
    if archive.exists() {
        return Ok(());
    }
    let step = Step::start("Making a Debian for the tests (once)");
    let sources = folder.join("debian.sources");
    fs::write(&sources, sources_of_apt()?).context("write the sources of packages")?;
    let fresh = folder.join("debian.new.tar");
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--variant=minbase", "--include", PACKAGES, &suite()?]).arg(&fresh);
    progress::run(&step, make.arg(&sources).stdin(Stdio::null()))?;
    fs::rename(&fresh, &archive).context("keep the Debian")?;
    step.done();
    Ok(())
}

/// This machine's sources: those in the newer format, else those in the older.
fn sources_of_apt() -> Result<String> {
    let of_kind = |extension: &str| -> String {
        let entries = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|it| it == extension));
        files.sort();
        let texts = files.iter().filter_map(|path| fs::read_to_string(path).ok());
        texts.collect::<Vec<_>>().join("\n\n")
    };
    let newer = of_kind("sources");
    if !newer.trim().is_empty() {
        return Ok(newer);
    }
    let list = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    let older = [list, of_kind("list")].join("\n");
    if older.trim().is_empty() { bail!("apt has no sources of packages here") } else { Ok(older) }
}

/// The name of this machine's Debian.
fn suite() -> Result<String> {
    let path = Path::new("/etc/os-release");
    let text = fs::read_to_string(path).context("read /etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release names no release")?.trim_matches('"').to_owned())
}
