//! Debian's packages: which are missing for a purpose, and installing them.

use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::progress::{self, Step};

/// What packages are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose<'a> {
    /// Running Windows programs.
    Run,
    /// Building programs for Windows where rustup has no such target.
    Windows,
    /// Linking programs for Windows where rustup has the target.
    WindowsLinker,
    /// Checking programs for Windows where rustup has no such target.
    WindowsLints,
    /// Fetching from PyPI.
    Pip,
    /// Fetching from npm.
    Npm,
    /// The tests; the caller knows what they call.
    Test(&'a [String]),
}

impl<'a> Purpose<'a> {
    /// The packages, by their names in Debian 12.
    pub(crate) fn packages(self) -> Vec<&'a str> {
        match self {
            Self::Run => vec!["wine64"],
            Self::Windows => {
                vec!["rustc-web", "cargo-web", "rust-web-src", "gcc-mingw-w64-x86-64-win32"]
            }
            Self::WindowsLinker => vec!["gcc-mingw-w64-x86-64-win32"],
            Self::WindowsLints => vec!["rust-web-clippy"],
            Self::Pip => vec!["python3-pip"],
            Self::Npm => vec!["npm"],
            Self::Test(packages) => packages.iter().map(String::as_str).collect(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Run => "run Windows programs",
            Self::Windows | Self::WindowsLinker => "build programs for Windows",
            Self::WindowsLints => "check programs for Windows",
            Self::Pip | Self::Npm => "fetch Windows programs",
            Self::Test(_) => "run the tests",
        }
    }
}

/// Makes sure that the packages for `purpose` are installed: root installs them, for anybody else
/// the error says the one command to run.
///
/// # Errors
/// If something is missing and cannot be installed.
pub(crate) fn ensure(purpose: Purpose<'_>) -> Result<()> {
    ensure_all(&[purpose])
}

/// Like [`ensure`] for several purposes, in one installation or one command to run.
///
/// # Errors
/// If something is missing and cannot be installed.
pub(crate) fn ensure_all(purposes: &[Purpose<'_>]) -> Result<()> {
    let mut wanted: Vec<_> = purposes.iter().flat_map(|p| p.packages()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let missing = missing(&wanted)?;
    if missing.is_empty() {
        return Ok(());
    }
    let purpose = purposes.iter().map(|p| p.words()).collect::<Vec<_>>().join(" and ");
    if !rustix::process::geteuid().is_root() {
        bail!(
            "to {purpose}, Debian's packages {0} are missing. Install them, then try again:\n\n    \
             sudo apt-get update && sudo apt-get install -y --no-install-recommends {0}\n",
            missing.join(" ")
        );
    }
    install(&missing).with_context(|| format!("install what is needed to {purpose}"))
}

/// The packages among `wanted` that are not installed.
///
/// # Errors
/// If there is no dpkg to ask, as on a system that is not Debian's kind.
pub(crate) fn missing<'a>(wanted: &[&'a str]) -> Result<Vec<&'a str>> {
    let out = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status} ${Package}\\n", "--"])
        .args(wanted)
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .with_context(|| {
            format!(
                "ask dpkg-query which of {} are installed. Where there is no dpkg, install the \
                 same things your system's way",
                wanted.join(", ")
            )
        })?;
    // It fails when one of them was never heard of, and still says what it knows of the others.
    let said = String::from_utf8_lossy(&out.stdout);
    let installed = installed(&said);
    Ok(wanted.iter().copied().filter(|name| !installed.contains(name)).collect())
}

fn installed(said: &str) -> HashSet<&str> {
    said.lines().filter_map(|line| line.strip_prefix("installed ")).collect()
}

fn install(packages: &[&str]) -> Result<()> {
    update_once()?;
    let step = Step::start(format!("Installing {}", packages.join(", ")));
    progress::run(
        &step,
        apt_get().args(["install", "-y", "--no-install-recommends", "--"]).args(packages),
    )?;
    step.done();
    Ok(())
}

/// Fetches Debian's package lists, once however often something is installed.
fn update_once() -> Result<()> {
    static UPDATED: OnceLock<()> = OnceLock::new();
    if UPDATED.get().is_some() {
        return Ok(());
    }
    let step = Step::start("Fetching Debian's package lists");
    progress::run(&step, apt_get().arg("update"))?;
    step.done();
    UPDATED.get_or_init(|| ());
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // Another apt, such as the daily one, may hold the lock for a while.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"]);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_fully_installed_counts() {
        let said = "installed wine64\nconfig-files npm\nnot-installed python3-pip\n";
        assert_eq!(installed(said), HashSet::from(["wine64"]));
    }

    #[test]
    fn what_debian_never_heard_of_is_missing() {
        let wanted = ["dpkg", "winterop-no-such-package"];
        assert_eq!(missing(&wanted).unwrap(), ["winterop-no-such-package"]);
    }
}
