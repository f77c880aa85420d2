//! The side of the measuring that stays outside the instance: it starts the inner side, collects
//! its figures, and looks at memory, which processes inside may not see of a host outside.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::figures::{Figure, Subject};
use super::inside::{Plan, Report};
use super::place::Place;

/// What a waiting interpreter may have resident.
const INTERPRETER: f64 = 2048.0;
/// What server and host together may have resident more for each launch in flight.
const LAUNCH: f64 = 64.0;

/// Runs `plan` in an instance of `place`.
///
/// # Errors
/// If a launch fails, or what comes from inside is not understood.
pub(super) fn converse(place: &Place, plan: &Plan) -> Result<Vec<Figure>> {
    let own = std::env::current_exe().context("find this program's own file")?;
    let mut child = place
        .winterop(&["shell", "--"])
        .arg(own)
        .arg("bench-inside")
        .arg(serde_json::to_string(plan).context("put the plan into JSON")?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start an instance to measure in")?;
    let figures = collect(place, plan, &mut child);
    // Without its input the inner side ends, whatever it was about to do.
    drop(child.stdin.take());
    let status = child.wait().context("wait for the instance")?;
    let figures = figures?;
    ensure!(status.success(), "measuring inside the instance failed ({status})");
    Ok(figures)
}

fn collect(place: &Place, plan: &Plan, child: &mut Child) -> Result<Vec<Figure>> {
    let output = child.stdout.take().context("the instance has no output")?;
    let mut memory = Memory::default();
    let mut figures = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("read from the instance")?;
        let report = serde_json::from_str(&line).with_context(|| format!("understand {line}"))?;
        match report {
            Report::Measured(figure) => figures.push(figure),
            Report::Waiting { server, interpreters, hosted } => {
                memory.look(place.host()?, server, &interpreters, hosted)?;
                let input = child.stdin.as_mut().context("the instance has no input")?;
                input.write_all(b"\n").context("answer the instance")?;
            }
        }
    }
    figures.extend(memory.figures(&plan.subjects));
    Ok(figures)
}

/// What was seen of memory, in KiB.
#[derive(Debug, Default)]
struct Memory {
    /// Server and host while nothing is in flight.
    idle: f64,
    interpreter: f64,
    in_place: f64,
    hosted: f64,
}

impl Memory {
    fn look(&mut self, host: u32, server: u32, interpreters: &[u32], hosted: bool) -> Result<()> {
        let both = resident(host)? + resident(server)?;
        if interpreters.is_empty() {
            self.idle = both;
            return Ok(());
        }
        for interpreter in interpreters {
            self.interpreter = self.interpreter.max(resident(*interpreter)?);
        }
        let each = (both - self.idle).max(0.0) / interpreters.len() as f64;
        *(if hosted { &mut self.hosted } else { &mut self.in_place }) = each;
        Ok(())
    }

    fn figures(&self, wanted: &[Subject]) -> Vec<Figure> {
        let all = [
            (Subject::InterpreterResident, self.interpreter, INTERPRETER),
            (Subject::LaunchInPlace, self.in_place, LAUNCH),
            (Subject::LaunchHosted, self.hosted, LAUNCH),
        ];
        let figure = |(subject, ours, reference)| Figure { subject, ours, reference, busy: 0.0 };
        all.into_iter().map(figure).filter(|f: &Figure| wanted.contains(&f.subject)).collect()
    }
}

/// What a process has resident, in KiB. Not from `status`: the kernel's quick counters there are off
/// by up to a few hundred KiB.
fn resident(process: u32) -> Result<f64> {
    let file = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("find Rss in {file}"))
}
