//! `winterop doctor`: everything on the way from exec to Windows, looked at.
//!
//! A check ([`checks`]) looks and says what it finds ([`finding`]); printing is [`report`]'s. Each runs
//! on a thread of its own with a deadline: one that hangs, at a file system that does not answer, is
//! said to hang, and the others go on.

mod checks;
mod context;
mod entries;
mod finding;
mod host;
mod kernel;
mod launch;
mod probe;
mod report;
mod settings;
mod sockets;
mod wine;

use anyhow::Result;
use checks::CHECKS;
use clap::Args;
use context::Context;
use finding::{Check, Finding};
use report::{Outcome, Report};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// After this people are told what is waited for.
const PROGRESS: Duration = Duration::from_secs(1);

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    winterop doctor                    everything from exec to Windows\n  \
    winterop doctor ./tool.exe         and what the kernel does with this file\n  \
    winterop doctor --fix              mends what can be mended safely\n\n\
    Exits 0 if nothing is wrong, else 1. ✓ is well, ✗ is wrong, – is worth knowing.")]
pub struct Arguments {
    /// A program to look at too.
    program: Option<PathBuf>,
    /// Mend what can be mended without losing anything, and say what was done.
    #[arg(long)]
    fix: bool,
    /// Print JSON for scripts; docs/doctor.md has the keys.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let context = Context::new(arguments.program.clone());
    let mut report = Report::new(arguments.json);
    for check in CHECKS {
        let outcome = examine(check, &context, arguments.fix);
        report.add(outcome)?;
    }
    let is_well = report.end(&context)?;
    Ok(ExitCode::from(u8::from(!is_well)))
}

/// Runs one check; where something is wrong and it is wanted, mends it and looks again.
fn examine(check: &'static Check, context: &Context, fix: bool) -> Outcome {
    let begin = Instant::now();
    let mut finding = look(check, context);
    let mut fixed = None;
    let wanted = if fix { finding.fix.take() } else { None };
    if let Some((does, act)) = wanted {
        match act(context) {
            Ok(()) => {
                fixed = Some(does);
                finding = look(check, context);
            }
            Err(error) => finding.details.push(format!("--fix failed: {error:#}")),
        }
    }
    Outcome { check, finding, fixed, milliseconds: begin.elapsed().as_millis() }
}

fn look(check: &'static Check, context: &Context) -> Finding {
    let (sender, receiver) = channel();
    let own = context.clone();
    let work = std::thread::Builder::new().name(check.id.to_owned()).spawn(move || {
        // Nobody waits any more for one that was late.
        let _ = sender.send((check.look)(&own));
    });
    if let Err(error) = work {
        return Finding::skipped(format!("no thread can be had: {error}"));
    }
    let found = match receiver.recv_timeout(PROGRESS) {
        Err(RecvTimeoutError::Timeout) => {
            eprintln!("winterop: still looking at: {} …", check.title);
            receiver.recv_timeout(check.patience.saturating_sub(PROGRESS))
        }
        found => found,
    };
    found.unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => {
            let says = format!("looking at it takes longer than {} s", check.patience.as_secs());
            Finding::wrong(says, "see which file system or process does not answer")
        }
        RecvTimeoutError::Disconnected => {
            Finding::wrong("the check itself failed", "this is a fault of Winterop's")
        }
    })
}
