//! What the end-to-end tests share: a host of their own, instances in which scripts run, and a look
//! at processes from outside.
//!
//! Every test runs on this machine's kernel and this machine's Wine, on the programs in
//! `target/winterop` and `target/windows` that `cargo xtask test` puts there. A [`Host`] has
//! directories of its own, so that tests do not see each other, and takes everything with it when it
//! is dropped. Preparing Wine takes seconds: it is done once, and each host gets a copy.
//!
//! A test's name begins with the ids of the conformance checklist that it covers: `l5_l11_…`.
#![forbid(unsafe_code)]

#[path = "lib/host.rs"]
mod host;
#[path = "lib/machine.rs"]
mod machine;
#[path = "lib/needs.rs"]
mod needs;
#[path = "lib/output.rs"]
mod output;
#[path = "lib/process.rs"]
mod process;
#[path = "lib/request.rs"]
mod request;
#[path = "lib/session.rs"]
mod session;
#[path = "lib/shell.rs"]
mod shell;

pub use host::{Host, PLACEMENTS, Placement, placements};
pub use machine::{Machine, become_user, quoted};
pub use needs::{needs, needs_cgroups, needs_root};
pub use output::Output;
pub use process::{Outcome, Process, expect_soon, finish, finish_with, happens_within, processes};
pub use request::{hex, request};
pub use session::Session;
pub use shell::Shell;

use std::path::{Path, PathBuf};

/// The top of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// A file below `target`, which must be there.
///
/// # Panics
/// Where it is missing: nothing can be tested then.
#[must_use]
pub fn built(path: &str) -> PathBuf {
    let file = workspace().join("target").join(path);
    assert!(file.exists(), "{} is missing; `cargo xtask test` builds it", file.display());
    file
}

/// A real Windows program from a registry, which `cargo xtask test` fetches.
///
/// # Panics
/// Where it was not fetched.
#[must_use]
#[track_caller]
pub fn fetched(name: &str) -> PathBuf {
    let cache = workspace().join("target/cache/programs");
    let folders = std::fs::read_dir(&cache).into_iter().flatten().flatten();
    let mut files = folders
        .filter(|folder| folder.file_name().to_string_lossy().starts_with(&format!("{name}-")))
        .filter_map(|folder| std::fs::read_dir(folder.path()).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()));
    let file = files.find(|file| file.extension().is_some_and(|it| it == "exe"));
    assert!(file.is_some(), "{name}.exe was not fetched (`cargo xtask fetch {name}`)");
    file.unwrap_or_default()
}

/// Reproducible bytes in which no part repeats: a counter that a multiplication scrambles.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    let words = (1_u64..).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    words.flat_map(u64::to_be_bytes).take(length).collect()
}

/// FNV-1a with 64 bits, as the test program `sink` prints it.
#[must_use]
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
