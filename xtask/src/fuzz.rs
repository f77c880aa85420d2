//! `cargo xtask fuzz`: every fuzz target, one after another, with its seeds.
//!
//! Each crate's targets are a workspace of their own in its folder `fuzz`: they need a nightly compiler.
//! All of them are built into one folder, so that what they share is built once.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::paths;
use crate::progress::words;

/// Limits that make a finding of what takes too much: MiB in one piece, MiB in all, seconds.
const LIMITS: &[&str] = &["-malloc_limit_mb=256", "-rss_limit_mb=2048", "-timeout=20"];

/// How long, and which ones.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask fuzz\n  cargo xtask fuzz --seconds 300 ext4 tar")]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Which ones; all if none is named.
    targets: Vec<String>,
}

/// A fuzz target.
#[derive(Clone, Debug)]
struct Target {
    /// The folder `fuzz` of its crate.
    folder: PathBuf,
    name: String,
}

/// What a run came to.
struct Run {
    executions: Option<u64>,
    seconds: u64,
    log: PathBuf,
    /// What was found, or why it did not run; none where all went well.
    finding: Option<String>,
}

/// Runs the targets; fails where one has found something.
///
/// # Errors
/// Where something is missing that cannot be installed.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !has_nightly() {
        bail!("fuzzing needs a nightly compiler: `rustup toolchain install nightly`");
    }
    if !has_cargo_fuzz() {
        eprintln!("installing cargo-fuzz …");
        let mut install = nightly();
        install.args(["install", "--locked", "cargo-fuzz"]);
        if !install.status().context("cargo cannot be started")?.success() {
            bail!("cargo-fuzz cannot be installed: `{}` failed", words(&install));
        }
    }
    let all = targets()?;
    if let Some(unknown) = options.targets.iter().find(|name| !all.iter().any(|t| t.name == **name))
    {
        let names: Vec<_> = all.iter().map(|target| target.name.as_str()).collect();
        bail!("there is no fuzz target {unknown}; there are {}", names.join(", "));
    }
    println!("{:24} {:>12} {:>8}  finding", "target", "executions", "seconds");
    let mut has_found = false;
    for target in all
        .iter()
        .filter(|target| options.targets.is_empty() || options.targets.contains(&target.name))
    {
        let run = run_one(target, options.seconds)?;
        let executions = run.executions.map_or("?".to_owned(), |count| count.to_string());
        let finding = match &run.finding {
            Some(finding) => format!("{finding} ({})", run.log.display()),
            None => "none".to_owned(),
        };
        println!("{:24} {executions:>12} {:>8}  {finding}", target.name, run.seconds);
        has_found |= run.finding.is_some();
    }
    Ok(if has_found { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run_one(target: &Target, seconds: u64) -> Result<Run> {
    let (corpus, seeds) = (
        target.folder.join("corpus").join(&target.name),
        target.folder.join("seeds").join(&target.name),
    );
    fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
    let log = target_folder().join(format!("{}.log", target.name));
    fs::create_dir_all(target_folder()).with_context(|| target_folder().display().to_string())?;
    let file = fs::File::create(&log).with_context(|| log.display().to_string())?;
    let mut build = cargo_fuzz("build", &target.folder);
    build.arg(&target.name).stdout(Stdio::null()).stderr(file.try_clone()?);
    let began = Instant::now();
    if !build.status().context("cargo cannot be started")?.success() {
        let finding = Some("it does not build".to_owned());
        return Ok(Run { executions: None, seconds: began.elapsed().as_secs(), log, finding });
    }
    let mut command = cargo_fuzz("run", &target.folder);
    command.arg(&target.name).args([&corpus, &seeds]).arg("--");
    command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1").args(LIMITS);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let began = Instant::now();
    let status = command.status().context("cargo cannot be started")?;
    let text = fs::read(&log).with_context(|| log.display().to_string())?;
    let text = String::from_utf8_lossy(&text);
    let finding = (!status.success()).then(|| {
        let begin = "Test unit written to ";
        let written = text.lines().filter_map(|line| line.split_once(begin)).next_back();
        written.map_or("it failed".to_owned(), |(_, file)| file.trim().to_owned())
    });
    Ok(Run { executions: executions(&text), seconds: began.elapsed().as_secs(), log, finding })
}

/// How many inputs libFuzzer says to have tried: at its end, or as far as it came.
fn executions(log: &str) -> Option<u64> {
    let at_end =
        |line: &str| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok();
    let so_far = |line: &str| line.strip_prefix('#')?.split_whitespace().next()?.parse().ok();
    let last = |find: &dyn Fn(&str) -> Option<u64>| log.lines().filter_map(find).next_back();
    last(&at_end).or_else(|| last(&so_far))
}

/// Every target, by crate and name.
fn targets() -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for folder in folders()? {
        let sources = folder.join("fuzz_targets");
        let entries = fs::read_dir(&sources).with_context(|| sources.display().to_string())?;
        let mut names: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension() == Some(OsStr::new("rs")))
            .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        targets.extend(names.into_iter().map(|name| Target { folder: folder.clone(), name }));
    }
    Ok(targets)
}

/// The folders with fuzz targets.
///
/// # Errors
/// If they cannot be listed.
pub(crate) fn folders() -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for side in entries(&paths::root().join("crates"))? {
        let of_crates = entries(&side)?.into_iter().map(|path| path.join("fuzz"));
        folders.extend(of_crates.filter(|path| path.join("Cargo.toml").exists()));
    }
    folders.sort();
    Ok(folders)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

/// The target folder for checks: they need no nightly compiler.
pub(crate) fn checked() -> PathBuf {
    paths::target().join("fuzz-check")
}

fn target_folder() -> PathBuf {
    paths::root().join("target/fuzz")
}

fn cargo_fuzz(what: &str, folder: &Path) -> Command {
    let mut command = nightly();
    command.args(["fuzz", what, "--fuzz-dir"]).arg(folder);
    command.env("CARGO_TARGET_DIR", target_folder()).current_dir(folder);
    command
}

/// rustup's cargo: the one that runs this program knows no other compiler.
fn nightly() -> Command {
    let mut command = Command::new("cargo");
    command.arg("+nightly").env_remove("CARGO").env_remove("RUSTC");
    command
}

fn has_nightly() -> bool {
    works(nightly().arg("--version"))
}

fn has_cargo_fuzz() -> bool {
    works(nightly().args(["fuzz", "--version"]))
}

fn works(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_those_of_the_end_or_as_far_as_it_came() {
        let log = "INFO: x\n#2\tINITED cov: 3\n#4096\tpulse  cov: 3\n";
        assert_eq!(executions(log), Some(4096));
        let log = format!("{log}Done 5000 runs\nstat::number_of_executed_units: 5000\n");
        assert_eq!(executions(&log), Some(5000));
        assert_eq!(executions("error: no such target"), None);
    }

    #[test]
    fn every_fuzz_target_has_seeds_and_its_corpus_is_not_committed() {
        let targets = targets().expect("the folders");
        assert!(targets.len() > 10, "{targets:?}");
        let ignored = fs::read_to_string(paths::root().join(".gitignore")).expect(".gitignore");
        assert!(ignored.contains("/crates/*/*/fuzz/corpus"));
        for target in targets {
            let seeds = target.folder.join("seeds").join(&target.name);
            let count = fs::read_dir(&seeds).map_or(0, Iterator::count);
            assert!(count > 0, "{} has no seeds", seeds.display());
        }
    }
}
