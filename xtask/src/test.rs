//! `cargo xtask test`: what the tests need, then the tests.

mod left_out;
mod listing;
mod preparation;
mod selection;
mod set;
mod telling;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::runner::Runner;
use left_out::LeftOut;
pub(crate) use left_out::Reason;
use preparation::Preparation;
pub(crate) use selection::Selection;
pub(crate) use set::Set;

/// Set to `all` it makes a failure of each test that this machine cannot run.
const VARIABLE: &str = "WINTEROP_TESTS";

/// What `cargo xtask test` is told.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask test\n  cargo xtask test l8_\n  \
                        cargo xtask test -E 'binary(door)'\n  cargo xtask test --unit\n  \
                        cargo xtask test --long leave_nothing\n\n\
                        WINTEROP_TESTS=all makes a failure of each test that this machine cannot run.")]
pub(crate) struct Options {
    /// Every test there is: large counts and what takes long, too.
    #[arg(long)]
    long: bool,
    /// Only tests for which nothing has to be installed or prepared.
    #[arg(long)]
    unit: bool,
    /// Only tests whose names contain one of these; cargo-nextest's options, such as -E, are passed on.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    filters: Vec<OsString>,
}

impl Options {
    fn set(&self) -> Set {
        if self.long { Set::Long } else { Set::Usual }
    }
}

/// Runs all tests, or those that are asked for; the exit status is the runner's.
///
/// # Errors
/// If the preparation fails, or the runner cannot be started.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let selection = Selection::parse(&options.filters)?;
    let every_skip_fails = every_skip_fails()?;
    let runner = Runner::find();
    if runner == Runner::Cargo {
        return with_cargo(&selection, options);
    }
    let plan = if options.unit {
        Plan::of_unit_tests(selection, options.set())?
    } else {
        Plan::prepare(selection, options.set())?
    };
    let mut words: Vec<_> = plan.left_out.iter().map(LeftOut::words).collect();
    let skips_fail = every_skip_fails && plan.is_something_missing();
    if skips_fail {
        words.push(format!("{VARIABLE}=all: what cannot run here has failed"));
    }
    let mut command = runner.command();
    command.args(plan.arguments());
    let status = telling::run(&mut command, &words)?;
    let failure = if skips_fail { 1 } else { 0 };
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code.max(failure)))
}

/// Whether a test that cannot run here counts as failed.
fn every_skip_fails() -> Result<bool> {
    match std::env::var_os(VARIABLE) {
        None => Ok(false),
        Some(value) if value.is_empty() => Ok(false),
        Some(value) if value == "all" => Ok(true),
        Some(value) => bail!("{VARIABLE}={}: only `all` has a meaning", value.display()),
    }
}

/// Cargo's own runner can leave nothing out: what cannot run fails, and large counts take their time.
fn with_cargo(selection: &Selection, options: &Options) -> Result<ExitCode> {
    let mut command = Runner::Cargo.command();
    if options.unit {
        command.args(["--lib", "--bins"]);
    } else {
        Preparation::of_everything()?.make()?;
    }
    command.args(selection.for_cargo()?);
    let words =
        ["without cargo-nextest no test is left out, whatever it needs and takes".to_owned()];
    let status = telling::run(&mut command, &words)?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Tests for which everything is there.
pub(crate) struct Plan {
    selection: Selection,
    filters: Vec<String>,
    /// What was asked for and does not run.
    pub(crate) left_out: Vec<LeftOut>,
}

impl Plan {
    /// Prepares what the tests of a selection need, in this set and on this machine.
    ///
    /// # Errors
    /// If something is missing and cannot be had, or the tests cannot be listed.
    pub(crate) fn prepare(selection: Selection, set: Set) -> Result<Self> {
        if selection.is_all() {
            // At once, before anything is built: what is missing is said early.
            Preparation::of_everything()?.make()?;
            return Self::without(selection, set, Vec::new());
        }
        let plan = Self::without(selection, set, Vec::new())?;
        Preparation::of(&plan.selection, &plan.filters)?.make()?;
        Ok(plan)
    }

    /// Those tests of a selection for which there is nothing to prepare.
    fn of_unit_tests(selection: Selection, set: Set) -> Result<Self> {
        Self::without(selection, set, vec![preparation::unprepared()?])
    }

    fn without(selection: Selection, set: Set, mut filters: Vec<String>) -> Result<Self> {
        let left_out = left_out::of(&selection, &filters, set)?;
        filters.extend(left_out.iter().map(LeftOut::not));
        Ok(Self { selection, filters, left_out })
    }

    /// Whether tests of this set cannot run on this machine.
    fn is_something_missing(&self) -> bool {
        self.left_out.iter().any(|it| it.reason == Reason::Machine)
    }

    /// nextest's arguments.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        self.selection.arguments(&self.filters)
    }
}

/// What the tests of another command need, all of it.
///
/// # Errors
/// As [`Plan::prepare`].
pub(crate) fn prepare_everything() -> Result<()> {
    Preparation::of_everything()?.make()
}
