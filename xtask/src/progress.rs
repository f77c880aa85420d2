//! Shows on stderr what a long step is doing, and its output only if it fails.
//!
//! On a terminal a step is a spinner with the time it has taken and the last thing the command
//! said. Elsewhere it is one line when it starts and one when it is done. stdout is left alone: it
//! belongs to the command that is run for the user.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// Lines of a failed command's output that are shown: enough for a compiler's error, not a flood.
const LINES_SHOWN: usize = 200;

/// A step under way. Dropping it without [`Step::done`] says that it failed.
pub(crate) struct Step {
    what: String,
    started: Instant,
    bar: Option<ProgressBar>,
    finished: bool,
}

impl Step {
    /// Starts a step; `what` says what is being done, as in "Building the programs for Windows".
    pub(crate) fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = io::stderr().is_terminal().then(|| spinner(&what));
        if bar.is_none() {
            eprintln!("{what} …");
        }
        Self { what, started: Instant::now(), bar, finished: false }
    }

    /// Shows a detail beside the step, such as the crate that is compiled now.
    pub(crate) fn detail(&self, detail: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(detail.to_owned());
        }
    }

    /// Ends the step as a success.
    pub(crate) fn done(mut self) {
        self.close("✓", "");
    }

    fn close(&mut self, mark: &str, note: &str) {
        self.finished = true;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        eprintln!("{mark} {}{note} ({seconds:.1} s)", self.what);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.close("✗", ": failed");
        }
    }
}

fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_prefix(what.to_owned());
    // The template is a constant; if it were wrong the spinner would only look plainer.
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {prefix} … {elapsed} {wide_msg:.dim}")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Runs `command` with its output hidden behind `step`.
///
/// # Errors
/// If it cannot be started or fails; the error carries the end of what it printed.
pub(crate) fn run(step: &Step, command: &mut Command) -> Result<()> {
    let shown = words(command);
    // One pipe for both, so that the lines stay in the order they were written in.
    let (reader, writer) = io::pipe().context("make a pipe for a command's output")?;
    let errors = writer.try_clone().context("make a pipe for a command's output")?;
    command.stdin(Stdio::null()).stdout(writer).stderr(errors);
    let spawned = command.spawn();
    // `command` keeps the writing ends open until its descriptors are replaced, and the reader
    // would wait for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = spawned.with_context(|| format!("start `{shown}`"))?;
    let last = thread::scope(|scope| {
        let lines = scope.spawn(|| follow(reader, |line| step.detail(line)));
        lines.join().unwrap_or_default()
    });
    let status = child.wait().with_context(|| format!("wait for `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status}). It printed:\n{}", last.join("\n"));
    }
    Ok(())
}

/// Runs `command` and returns what it wrote to stdout.
///
/// # Errors
/// If it cannot be started, fails (the error carries its stderr), or writes no UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = words(command);
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("start `{shown}`"))?;
    if !out.status.success() {
        let errors = String::from_utf8_lossy(&out.stderr);
        bail!("`{shown}` failed ({}). It printed:\n{}", out.status, errors.trim_end());
    }
    String::from_utf8(out.stdout).with_context(|| format!("read what `{shown}` printed"))
}

/// Reads lines to the end, hands each to `seen`, and returns the last [`LINES_SHOWN`].
fn follow(source: impl Read, seen: impl Fn(&str)) -> Vec<String> {
    let mut last = VecDeque::new();
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        match source.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last.into(),
            Ok(_) => {}
        }
        // Progress meters overwrite their line: what counts is what stands there last.
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
        if text.is_empty() {
            continue;
        }
        seen(text.trim());
        if last.len() == LINES_SHOWN {
            last.pop_front();
        }
        last.push_back(text);
    }
}

/// The command as one would type it, without its environment.
pub(crate) fn words(command: &Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_both_streams_in_order() {
        let step = Step::start("test");
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 3"]);
        let error = run(&step, &mut command).unwrap_err().to_string();
        assert!(error.ends_with("one\ntwo\nthree"), "{error}");
        assert!(error.contains("exit status: 3"), "{error}");
        step.done();
    }

    #[test]
    fn only_the_end_of_long_output_is_kept() {
        let text = (0..1000).map(|n| format!("line {n}\n")).collect::<String>();
        let last = follow(text.as_bytes(), |_| ());
        assert_eq!(last.len(), LINES_SHOWN);
        assert_eq!(last.last().map(String::as_str), Some("line 999"));
    }

    #[test]
    fn a_meter_shows_what_it_says_now() {
        assert_eq!(follow(&b"10%\r50%\r100%\n"[..], |_| ()), ["100%"]);
    }
}
