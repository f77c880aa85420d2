//! Runs the tests, and says what was left out.

use std::io::{BufRead, BufReader, IsTerminal as _, Write};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};

/// Runs the tests to their end and says `words`, a line each.
///
/// They come last, but for the runner's own closing lines where nobody looks on: whoever reads a log looks
/// for those at its end. On a terminal the runner has the terminal itself.
///
/// # Errors
/// If the runner cannot be started.
pub(crate) fn run(command: &mut Command, words: &[String]) -> Result<ExitStatus> {
    if words.is_empty() || std::io::stderr().is_terminal() {
        let status = command.status().context("the test runner cannot be started")?;
        words.iter().for_each(|line| eprintln!("{line}"));
        return Ok(status);
    }
    let mut runner =
        command.stderr(Stdio::piped()).spawn().context("the test runner cannot be started")?;
    if let Some(said) = runner.stderr.take() {
        pass_on(BufReader::new(said), words, std::io::stderr()).context("pass on what it says")?;
    }
    runner.wait().context("wait for the test runner")
}

/// Passes on what the runner says, with `words` before its closing lines, or at the end where it has none.
fn pass_on(mut said: impl BufRead, words: &[String], mut to: impl Write) -> std::io::Result<()> {
    let (mut line, mut rule, mut closing) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        line.clear();
        if said.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if !closing.is_empty() || is_closing(&line) {
            closing.append(&mut rule);
            closing.append(&mut line);
        } else {
            to.write_all(&rule)?;
            rule.clear();
            // A rule stands before the closing lines, and before others.
            let is_rule = String::from_utf8_lossy(&line).trim().chars().all(|c| c == '─');
            if is_rule { &mut rule } else { &mut to as &mut dyn Write }.write_all(&line)?;
        }
    }
    to.write_all(&rule)?;
    words.iter().try_for_each(|line| writeln!(to, "{line}"))?;
    to.write_all(&closing)
}

/// Whether it is the first of nextest's closing lines.
fn is_closing(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    line.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).starts_with("Summary")
        && line.contains(" run: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed_on(said: &str) -> String {
        let mut to = Vec::new();
        pass_on(said.as_bytes(), &["2 tests left out".to_owned()], &mut to).unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn what_was_left_out_is_told_before_the_runners_closing_lines() {
        let said = "────\n Nextest run\n  Summary of it\n────\n     Summary [ 1.2s] 3 tests run: 3 passed\nend";
        let expected = "────\n Nextest run\n  Summary of it\n2 tests left out\n────\n     \
                        Summary [ 1.2s] 3 tests run: 3 passed\nend";
        assert_eq!(passed_on(said), expected);
        // One that has broken off has none.
        assert_eq!(passed_on("error: x\n────\n"), "error: x\n────\n2 tests left out\n");
        assert_eq!(passed_on(""), "2 tests left out\n");
    }
}
