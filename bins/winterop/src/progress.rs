//! How far an import or an export is, and what it has to say, on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Display;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use winterop_distributions::{Listener, Work};

/// A bar at a terminal, a line elsewhere.
#[derive(Default)]
pub(crate) struct Progress(Mutex<Option<ProgressBar>>);

impl Progress {
    fn with_bar(&self, act: impl FnOnce(&ProgressBar)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().inspect(|bar| act(bar));
    }
}

impl Listener for Progress {
    fn begin(&self, work: Work) {
        let (what, size) = match work {
            Work::Import(size) => ("Import", size),
            Work::Export => ("Export", None),
        };
        if !std::io::stderr().is_terminal() {
            eprintln!("{what} in progress, this may take a few minutes.");
            return;
        }
        let (bar, template) = match size {
            Some(size) => (ProgressBar::new(size), "{bar:40} {bytes} of {total_bytes}, {eta}"),
            None => (ProgressBar::no_length(), "{spinner} {bytes}"),
        };
        let style = ProgressStyle::with_template(template);
        let bar = style.map_or(bar.clone(), |style| bar.with_style(style));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn advance(&self, bytes: u64) {
        self.with_bar(|bar| bar.inc(bytes));
    }

    fn finish(&self) {
        self.with_bar(ProgressBar::finish_and_clear);
    }

    fn say(&self, line: &dyn Display) {
        eprintln!("wsl: {line}");
    }
}
