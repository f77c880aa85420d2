//! What `winterop doctor` does: everything on the way from exec to Windows, looked at.
//!
//! A check ([`checks`]) looks and says what it finds ([`finding`]); how that reads is [`report`]'s. Each runs
//! on a thread of its own with a deadline: one that hangs, at a file system that does not answer, is
//! said to hang, and the others go on.

#![forbid(unsafe_code)]

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

pub use checks::CHECKS;
pub use context::Context;
pub use report::{Outcome, Output, Reader, Report};
pub use settings::problems;

use finding::{Check, Finding};
use std::fmt::Display;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// After this people are told what is waited for.
const PROGRESS: Duration = Duration::from_secs(1);

/// What is done about what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// It is said.
    Look,
    /// What can be mended without losing anything is mended, and looked at again.
    Mend,
}

/// Runs one check. `tell` hears what is waited for.
pub fn examine(
    check: &'static Check,
    context: &Context,
    care: Care,
    tell: &dyn Fn(&dyn Display),
) -> Outcome {
    let begin = Instant::now();
    let mut finding = look(check, context, tell);
    let mut fixed = None;
    let wanted = if care == Care::Mend { finding.fix.take() } else { None };
    if let Some((does, act)) = wanted {
        match act(context) {
            Ok(()) => {
                fixed = Some(does);
                finding = look(check, context, tell);
            }
            Err(error) => finding.details.push(format!("--fix failed: {error}")),
        }
    }
    Outcome { check, finding, fixed, milliseconds: begin.elapsed().as_millis() }
}

fn look(check: &'static Check, context: &Context, tell: &dyn Fn(&dyn Display)) -> Finding {
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
            tell(&format_args!("still looking at: {} …", check.title));
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
