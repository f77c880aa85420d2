//! What some tests need of the machine itself. Where it is not there they fail, and say so; `cargo
//! xtask test` leaves those out that `.config/needs.toml` names, and ends with their number.

use std::fs;
use std::path::PathBuf;

/// Fails a test that cannot run here.
///
/// # Panics
/// Where what it needs is not there.
#[track_caller]
pub fn needs(is_there: bool, why: &str) {
    assert!(
        is_there,
        "this test cannot run here: {why}; where .config/needs.toml names it `cargo xtask test` \
         leaves it out, and says so at its end"
    );
}

/// Fails a test that only root can run.
///
/// # Panics
/// Where this user is another.
#[track_caller]
pub fn needs_root(why: &str) {
    needs(rustix::process::geteuid().is_root(), why);
}

/// Where cgroups of version 2 are mounted.
///
/// # Panics
/// Where they are not.
#[must_use]
#[track_caller]
pub fn needs_cgroups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
    let of_version_2 = |line: &&str| line.split(' ').nth(2) == Some("cgroup2");
    let mounted = mounts.lines().find(of_version_2).and_then(|line| line.split(' ').nth(1));
    needs(mounted.is_some(), "cgroups of version 2 are not mounted");
    mounted.unwrap_or_default().into()
}
