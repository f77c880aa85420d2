//! Where crates stand, and what may use what: part of `cargo xtask check`.
//!
//! A crate may use only what stands above it in [`HOUSE`], or left of it on its line; never the other side.
//! And no two files of a crate use each other, however long the way round is ([`circles`]), and there is
//! little in the binaries ([`binaries`]).

mod binaries;
mod circles;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::paths;
use crate::progress::words;
use crate::runner::cargo;

/// The folders below `crates`, from the top down, with what stands in each from left to right. Two that
/// have the same height are the two sides.
const HOUSE: [(usize, &str, &[&str]); 6] = [
    (
        0,
        "base",
        &[
            "words",
            "sys",
            "wire",
            "ninep",
            "console",
            "translate",
            "places",
            "accounts",
            "channel",
            "relay",
        ],
    ),
    (1, "rules", &["settings", "audit"]),
    (2, "serve", &["serve", "drives", "packages"]),
    (
        3,
        "linux-side",
        &[
            "interpreter",
            "wslpath",
            "registration",
            "interop",
            "namespaces",
            "distribution",
            "plan9",
            "localhost",
            "shell",
            "machine",
            "mini-init",
        ],
    ),
    (3, "windows-side", &["host", "wine", "wslhost", "preload"]),
    (4, "wsl", &["distributions", "session", "vsock", "vm", "files", "ports", "doctor"]),
];

/// Circles that are still there, each in the folder of its crate. This list has to become empty: nothing
/// is added to it.
const ALLOWED: &[(&str, &[&str])] = &[];

/// What `cargo metadata` says that is of use here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// Where it lies, for one of ours.
    path: Option<String>,
}

/// Where something of the workspace stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// A library: its folder's height and name, and its number from the left.
    Crate { height: usize, folder: &'static str, number: usize },
    /// A program.
    Program,
    /// Tests and the project's own commands, which may use everything.
    Beside,
    /// Nobody has said where.
    Unknown,
}

/// Prints the crates by folder with what they use, and the circles between files; says what is wrong.
///
/// # Errors
/// If cargo does not say which crates there are, or a file cannot be read.
pub(crate) fn check() -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let packages = packages()?;
    let names: BTreeMap<&str, &str> =
        packages.iter().map(|(folder, package)| (&*package.name, &**folder)).collect();
    for (folder, package) in &packages {
        let mut used: Vec<&str> =
            package.dependencies.iter().filter_map(|it| names.get(&*it.name).copied()).collect();
        used.sort_by_key(|folder| key(folder));
        used.dedup();
        let shown: Vec<_> = used.iter().map(|folder| short(folder)).collect();
        println!("{folder:34} {}", shown.join(" "));
        let faults = used.iter().filter_map(|used| fault(folder, used));
        wrong.extend(faults);
        if stands(folder) == Stands::Unknown {
            wrong.push(format!("{folder} has no place in the house: see `HOUSE` in xtask"));
        }
    }
    wrong.extend(binaries::check(&paths::root().join("bins"))?);
    let mut allowed = ALLOWED.to_vec();
    for (folder, _) in &packages {
        let sources = paths::root().join(folder).join("src");
        if !sources.is_dir() {
            continue;
        }
        for circle in circles::of(&sources)? {
            let known = allowed.iter().position(|(of, files)| of == folder && *files == circle);
            let shown = format!("{folder}: {} use each other", circle.join(", "));
            match known {
                Some(known) => {
                    allowed.swap_remove(known);
                    println!("still allowed: {shown}");
                }
                None => wrong.push(shown),
            }
        }
    }
    let gone = |(folder, files): &(&str, &[&str])| {
        format!("{folder}: {} are no circle any more: take them off `ALLOWED`", files.join(", "))
    };
    wrong.extend(allowed.iter().map(gone));
    Ok(wrong)
}

/// The packages of the workspace by their folders, in the order of the house.
fn packages() -> Result<Vec<(String, Package)>> {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = command.current_dir(paths::root()).output();
    let output = output.with_context(|| format!("start `{}`", words(&command)))?;
    ensure!(output.status.success(), "`{}` failed", words(&command));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("read its answer")?;
    let mut packages = Vec::new();
    for mut package in metadata.packages {
        package.dependencies.retain(|it| it.path.is_some());
        let folder = Path::new(&package.manifest_path).parent().unwrap_or(Path::new(""));
        let folder = folder.strip_prefix(paths::root()).unwrap_or(folder);
        packages.push((folder.to_string_lossy().into_owned(), package));
    }
    packages.sort_by_key(|(folder, _)| key(folder));
    Ok(packages)
}

fn stands(folder: &str) -> Stands {
    let parts: Vec<_> = folder.split('/').collect();
    match parts.as_slice() {
        ["bins", _] => Stands::Program,
        ["tests" | "xtask"] => Stands::Beside,
        ["crates", folder, name] => {
            let line = HOUSE.iter().find(|(_, it, _)| it == folder);
            let found = line.and_then(|(height, folder, names)| {
                let number = names.iter().position(|it| it == name)?;
                Some(Stands::Crate { height: *height, folder, number })
            });
            found.unwrap_or(Stands::Unknown)
        }
        _ => Stands::Unknown,
    }
}

/// By what the packages are ordered.
fn key(folder: &str) -> (usize, &'static str, usize, String) {
    match stands(folder) {
        Stands::Crate { height, folder, number } => (height, folder, number, String::new()),
        Stands::Program => (10, "", 0, folder.to_owned()),
        Stands::Beside | Stands::Unknown => (11, "", 0, folder.to_owned()),
    }
}

/// The name of a crate alone.
fn short(folder: &str) -> &str {
    folder.rsplit('/').next().unwrap_or(folder)
}

/// What is wrong about one using another.
fn fault(user: &str, used: &str) -> Option<String> {
    let why = match (stands(user), stands(used)) {
        (Stands::Beside, _) | (Stands::Program, Stands::Crate { .. }) => return None,
        (
            Stands::Crate { height, folder, number },
            Stands::Crate { height: other, folder: its, number: its_number },
        ) => {
            if other < height || (its == folder && its_number < number) {
                return None;
            }
            match (other == height, its == folder) {
                (true, true) => "which stands right of it",
                (true, false) => "which is the other side's",
                _ => "which stands below it",
            }
        }
        _ => "which no crate and no program may use",
    };
    Some(format!("{user} uses {used}, {why}"))
}
