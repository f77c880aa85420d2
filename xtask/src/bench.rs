//! `cargo xtask bench`: what a launch costs, beside what the same costs without us.
//!
//! Both sides of a line are measured in one run, by turns, so that what else the machine does
//! strikes both. What counts is their ratio: the times drift with the machine, the ratio holds.
//! Launches are made by this same program inside an instance (`inside.rs`), where `exec` of a
//! Windows program is what a user's shell would do; what it measures it reports line by line.

mod admission;
mod attack;
mod distribution;
mod effort;
mod ending;
mod figures;
mod inside;
mod memory;
mod place;
mod quiet;
mod request;
mod terminal;
mod translation;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::debian::{self, Purpose};
use crate::{layout, paths, windows};
use figures::{Figure, Subject};
use inside::{Plan, Wine};
use place::{Kind, Place};
use quiet::Quiet;

pub(crate) use inside::{Inside, run as measure_inside};

/// What to measure.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask bench\n  \
    cargo xtask bench --quick\n  \
    cargo xtask bench --only our-share --only hello-warm\n\n\
    Measure on a quiet machine: what the ratios say holds, but two processors that others use too \
    make every median jump.")]
pub(crate) struct Options {
    /// Fewer rounds: less than a minute in all.
    #[arg(long)]
    quick: bool,
    /// Only this line; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<Subject>,
}

/// Measures, prints the table on stdout and writes `target/bench/bench.json`.
///
/// # Errors
/// If something cannot be built, or a launch fails. A missed limit is no error: it stands in the
/// table.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = |subject: &Subject| options.only.is_empty() || options.only.contains(subject);
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(wanted).collect();
    let (outside, subjects): (Vec<_>, Vec<_>) =
        subjects.into_iter().partition(|subject| subject.is_outside());
    let (without_wine, with_wine): (Vec<_>, Vec<_>) =
        subjects.into_iter().partition(|subject| !subject.needs_wine());
    layout::build().context("build what is to be measured")?;
    let mut figures = Vec::new();
    if !without_wine.is_empty() {
        figures.extend(measure(Kind::Command, without_wine, options.quick)?);
    }
    if !with_wine.is_empty() {
        debian::ensure(Purpose::Run)?;
        if with_wine.contains(&Subject::Requests) {
            debian::ensure(Purpose::Test(&["strace".to_owned()]))?;
        }
        windows::build().context("build the programs to be started")?;
        figures.extend(measure(Kind::Wine, with_wine, options.quick)?);
    }
    let mut quiet = Quiet::with_patience(Duration::from_secs(if options.quick { 2 } else { 20 }));
    for subject in outside {
        let busy = quiet.wait();
        let measured = measure_outside(subject, options.quick);
        let (ours, reference) = measured.with_context(|| format!("measure {}", subject.name()))?;
        figures.push(Figure { subject, ours, reference, busy });
    }
    let written = write(&figures)?;
    println!("{}", figures::table(&figures));
    println!("written to {}", written.display());
    Ok(())
}

/// Both sides of a line that is measured from outside.
fn measure_outside(subject: Subject, quick: bool) -> Result<(f64, f64)> {
    let turns = |quickly, thoroughly| if quick { quickly } else { thoroughly };
    Ok(match subject {
        Subject::WslCommand => {
            let (ours, reference) = distribution::command(turns(50, 500))?;
            (ours - reference, 5.0)
        }
        Subject::WslStart => (distribution::start(turns(5, 30))?, 150.0),
        Subject::WslImport => distribution::import(turns(3, 11))?,
        Subject::Attacked => attack::measure(turns(10, 60))?,
        _ => (ending::measure(turns(5, 50))?, 1000.0),
    })
}

/// Measures `subjects` in an instance of their own.
fn measure(kind: Kind, subjects: Vec<Subject>, quick: bool) -> Result<Vec<Figure>> {
    let place = Place::make(kind)?;
    let wine = match kind {
        Kind::Command | Kind::Deadly => None,
        Kind::Wine => Some(wine(&place, subjects.contains(&Subject::HelloCold))?),
    };
    let plan = Plan {
        subjects,
        quick,
        nothing: place.nothing(),
        image: place.image(),
        programs: paths::target().join("windows"),
        wine,
    };
    memory::converse(&place, &plan)
}

/// Starts Wine by the first launch, and says where everything is for launches without us.
fn wine(place: &Place, cold: bool) -> Result<Wine> {
    place.warm_up(&paths::target().join("windows/hello.exe"))?;
    let (server, server_program) = place.wine_server()?;
    let loader = server_program.with_file_name("wine64");
    let loader = if loader.exists() { loader } else { server_program.with_file_name("wine") };
    Ok(Wine {
        loader,
        server_program,
        server,
        prefix: place.prefix(),
        cold_prefix: if cold { Some(place.second_prefix()?) } else { None },
    })
}

fn write(figures: &[Figure]) -> Result<PathBuf> {
    let file = paths::target().join("bench/bench.json");
    let lines: Vec<_> = figures.iter().map(Figure::line).collect();
    let text = serde_json::to_string_pretty(&lines).context("put the figures into JSON")?;
    let folder = file.parent().context("target/bench")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}
