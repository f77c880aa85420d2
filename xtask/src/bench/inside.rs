//! The side of the measuring that runs inside an instance and makes the launches.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use serde::{Deserialize, Serialize};

use super::effort::{processor_time, requests};
use super::figures::{Figure, Subject, median, milliseconds};
use super::place::peer;
use super::quiet::Quiet;
use super::terminal::Terminal;

/// What the inner side is to do, handed to it as one argument.
#[derive(clap::Args)]
pub(crate) struct Inside {
    /// A [`Plan`] as JSON.
    plan: String,
}

/// What to measure, with what.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) subjects: Vec<Subject>,
    pub(super) quick: bool,
    /// A Linux program that does nothing.
    pub(super) nothing: PathBuf,
    /// What the kernel takes for a Windows program.
    pub(super) image: PathBuf,
    /// The folder with the Windows programs.
    pub(super) programs: PathBuf,
    /// How to start programs without us.
    pub(super) wine: Option<Wine>,
}

/// A Wine to be called as anybody would.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wine {
    pub(super) loader: PathBuf,
    pub(super) server_program: PathBuf,
    /// The server that runs in `prefix`.
    pub(super) server: u32,
    pub(super) prefix: PathBuf,
    /// A prefix in which nothing runs.
    pub(super) cold_prefix: Option<PathBuf>,
}

/// What the inner side says, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// A line of the table.
    Measured(Figure),
    /// Launches are in flight and wait; they are ended when a line comes on standard input.
    Waiting {
        /// The instance's interop server.
        server: u32,
        /// The interpreters that wait.
        interpreters: Vec<u32>,
        /// Whether their programs run below the host.
        hosted: bool,
    },
}

/// Measures what the plan says.
///
/// # Errors
/// If a launch fails.
pub(crate) fn run(arguments: &Inside) -> Result<()> {
    let plan: Plan = serde_json::from_str(&arguments.plan).context("understand the plan")?;
    let patience = if plan.quick { 6 } else { 60 };
    let mut quiet = Quiet::with_patience(Duration::from_secs(patience));
    for subject in &plan.subjects {
        let busy = quiet.wait();
        let measured = measure(&plan, *subject);
        let measured = measured.with_context(|| format!("measure {}", subject.name()))?;
        if let Some((ours, reference)) = measured {
            say(&Report::Measured(Figure { subject: *subject, ours, reference, busy }))?;
        }
    }
    let is_memory = |subject: &Subject| {
        use Subject::{InterpreterResident, LaunchHosted, LaunchInPlace};
        matches!(subject, InterpreterResident | LaunchInPlace | LaunchHosted)
    };
    if plan.subjects.iter().any(is_memory) { hold(&plan) } else { Ok(()) }
}

fn say(report: &Report) -> Result<()> {
    let mut line = serde_json::to_string(report).context("put a report into JSON")?;
    line.push('\n');
    io::stdout().write_all(line.as_bytes()).context("report")
}

/// Both sides of a line; `None` for what is only looked at from outside.
fn measure(plan: &Plan, subject: Subject) -> Result<Option<(f64, f64)>> {
    let quick = |quick, thorough| if plan.quick { quick } else { thorough };
    let hello = Launch::ours(&plan.programs.join("hello.exe"));
    let (ours, reference) = match subject {
        Subject::OurShare => {
            let ours = Launch::ours(&plan.image);
            let direct = Launch::ours(&plan.nothing);
            let (ours, direct) = by_turns(quick(500, 3000), || ours.time(), || direct.time())?;
            (ours - direct, 1.0)
        }
        Subject::ServerShare => (server_share(plan, quick(500, 3000))?, 0.2),
        Subject::Request => (super::request::measure(&plan.image, quick(200, 1000))?, 1.0),
        Subject::TranslatePath => (super::translation::measure(quick(200, 1000))?, 2.0),
        Subject::HelloWarm => {
            let bare = hello.by_wine(plan)?;
            by_turns(quick(60, 300), || hello.time(), || bare.time())?
        }
        Subject::HelloPinned => {
            let (bare, server) = (hello.by_wine(plan)?, server(plan)?);
            let pinned = || {
                let _pinned = Pinned::to_this_processor(server)?;
                bare.time()
            };
            by_turns(quick(60, 300), || hello.time(), pinned)?
        }
        Subject::HelloCold => by_turns(quick(4, 15), || hello.time(), || cold(plan, &hello))?,
        Subject::AtOnce8 => at_once(plan, &hello, 8, quick(12, 60))?,
        Subject::AtOnce64 => at_once(plan, &hello, 64, quick(3, 15))?,
        Subject::ProcessorTime64 => effort_at_once(plan, &hello, 64, quick(3, 15))?,
        // The first launch of a day looks for what the others find.
        Subject::Requests => (repeated(quick(1, 3), || requests(&hello.program))?, 400.0),
        Subject::StdoutPipe => through_pipe(plan, quick(128, 1024), quick(5, 7))?,
        Subject::KeyEcho => key_echo(plan, quick(100, 1000))?,
        Subject::NewSize => (new_size(plan, quick(20, 100))?, 50.0),
        Subject::Refusal => (repeated(quick(50, 500), || refusal(plan))?, 5.0),
        Subject::Doctor => (repeated(quick(5, 20), || doctor(&hello))?, 2000.0),
        Subject::HostDeath
        | Subject::Attacked
        | Subject::WslCommand
        | Subject::WslStart
        | Subject::WslImport
        | Subject::InterpreterResident
        | Subject::LaunchInPlace
        | Subject::LaunchHosted => {
            return Ok(None);
        }
    };
    Ok(Some((ours, reference)))
}

/// The median of so many times; a first one is for warming up.
fn repeated(times: usize, mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    measure()?;
    Ok(median((0..times).map(|_| measure()).collect::<Result<_>>()?))
}

/// Milliseconds that a launch takes longer through the instance's server, and that a policy takes.
fn server_share(plan: &Plan, turns: usize) -> Result<f64> {
    let (mut through, mut direct) = (Launch::ours(&plan.image), Launch::ours(&plan.image));
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").context("XDG_RUNTIME_DIR is not set")?;
    let host = Path::new(&runtime).join("winterop/interop");
    direct.environment.push(("WSL_INTEROP", host));
    // Both sides have one variable more.
    let server = std::env::var_os("WSL_INTEROP").context("WSL_INTEROP is not set")?;
    through.environment.push(("WSL_INTEROP", server.into()));
    let (through, direct) = by_turns(turns, || through.time(), || direct.time())?;
    Ok(through - direct + super::admission::measure(turns / 10)?)
}

/// Milliseconds until a program that is cut off is refused.
fn refusal(plan: &Plan) -> Result<f64> {
    let mut command = Command::new(&plan.image);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let status = command.status().context("start a program that cannot run")?;
    let time = milliseconds(begin);
    ensure!(status.code() == Some(126), "a program that cannot run: {status}");
    Ok(time)
}

/// Milliseconds of a doctor who finds nothing wrong.
fn doctor(hello: &Launch) -> Result<f64> {
    let mut command = Command::new("winterop");
    command.arg("doctor").arg(&hello.program).stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status().context("start winterop doctor")?;
    let time = milliseconds(begin);
    ensure!(status.success(), "winterop doctor finds something wrong");
    Ok(time)
}

/// The medians of both sides, measured by turns, each first as often as second. The first turn is
/// for warming up and does not count.
pub(super) fn by_turns(
    turns: usize,
    mut ours: impl FnMut() -> Result<f64>,
    mut reference: impl FnMut() -> Result<f64>,
) -> Result<(f64, f64)> {
    let (mut left, mut right) = (Vec::with_capacity(turns), Samples::default());
    ours()?;
    reference()?;
    for turn in 0..turns {
        if turn % 2 == 0 {
            left.push(ours()?);
            right.take(reference());
        } else {
            right.take(reference());
            left.push(ours()?);
        }
    }
    Ok((median(left), right.median()?))
}

/// What was measured without us. Wine called bare loses its server and ends with 1 about once in 1400
/// starts; that is no reason to give up a run, but it is said.
#[derive(Debug, Default)]
struct Samples {
    taken: Vec<f64>,
    failed: usize,
    last_failure: Option<anyhow::Error>,
}

impl Samples {
    fn take(&mut self, sample: Result<f64>) {
        match sample {
            Ok(sample) => self.taken.push(sample),
            Err(error) => {
                self.failed += 1;
                self.last_failure = Some(error);
            }
        }
    }

    /// The median of what succeeded, if that is nearly all.
    fn median(self) -> Result<f64> {
        if let Some(error) = self.last_failure {
            if self.failed * 20 > self.taken.len() {
                return Err(error);
            }
            eprintln!("without us {} starts failed: {error:#}", self.failed);
        }
        Ok(median(self.taken))
    }
}

/// A program to start, and how.
#[derive(Clone, Debug)]
struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Launch {
    /// `./program`: a Windows program by the kernel's own exec.
    fn ours(program: &Path) -> Self {
        Self { program: program.to_owned(), arguments: Vec::new(), environment: Vec::new() }
    }

    fn with(mut self, argument: impl ToString) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    /// The same without us: `wine64 program` in the same prefix.
    fn by_wine(&self, plan: &Plan) -> Result<Self> {
        let wine = wine(plan)?;
        self.in_prefix(wine, &wine.prefix)
    }

    fn in_prefix(&self, wine: &Wine, prefix: &Path) -> Result<Self> {
        let program = self.program.to_str().context("a program's path is no text")?;
        let arguments = [program.to_owned()].into_iter().chain(self.arguments.iter().cloned());
        Ok(Self {
            program: wine.loader.clone(),
            arguments: arguments.collect(),
            environment: vec![("WINEPREFIX", prefix.to_owned()), ("WINEDEBUG", "-all".into())],
        })
    }

    fn hosted(mut self) -> Self {
        self.environment.push(("WINTEROP_PLACEMENT", "hosted".into()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        // An environment that is left alone need not be built anew for each launch.
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn start(&self, command: &mut Command) -> Result<Child> {
        command.spawn().with_context(|| format!("start {}", self.program.display()))
    }

    fn wait(&self, mut child: Child) -> Result<()> {
        let status =
            child.wait().with_context(|| format!("wait for {}", self.program.display()))?;
        ensure!(status.success(), "{}: {status}", self.program.display());
        Ok(())
    }

    /// Milliseconds from before the start to after the end.
    fn time(&self) -> Result<f64> {
        let mut command = self.command();
        let begin = Instant::now();
        let child = self.start(&mut command)?;
        self.wait(child)?;
        Ok(milliseconds(begin))
    }

    /// Launches per second of `count` at once.
    fn at_once(&self, count: usize) -> Result<f64> {
        let mut commands: Vec<Command> = (0..count).map(|_| self.command()).collect();
        let begin = Instant::now();
        let children: Vec<Result<Child>> =
            commands.iter_mut().map(|command| self.start(command)).collect();
        for child in children {
            self.wait(child?)?;
        }
        Ok(count as f64 * 1000.0 / milliseconds(begin))
    }

    /// MiB per second of what it writes, from the first byte to the end of file.
    fn read_all(&self, bytes: u64) -> Result<f64> {
        let mut child = self.start(self.command().stdout(Stdio::piped()))?;
        let mut output = child.stdout.take().context("a program has no output")?;
        let mut buffer = vec![0; 1 << 16];
        let mut sum = output.read(&mut buffer).context("read a program's output")? as u64;
        let begin = Instant::now();
        loop {
            match output.read(&mut buffer).context("read a program's output")? {
                0 => break,
                read => sum += read as u64,
            }
        }
        let took = milliseconds(begin);
        self.wait(child)?;
        ensure!(sum == bytes, "{}: {sum} of {bytes} bytes came", self.program.display());
        Ok(bytes as f64 / f64::from(1 << 20) * 1000.0 / took)
    }
}

fn wine(plan: &Plan) -> Result<&Wine> {
    plan.wine.as_ref().context("the plan names no Wine")
}

fn server(plan: &Plan) -> Result<Pid> {
    let number = i32::try_from(wine(plan)?.server).ok().and_then(Pid::from_raw);
    number.context("the server's process has no number")
}

fn at_once(plan: &Plan, hello: &Launch, count: usize, turns: usize) -> Result<(f64, f64)> {
    let bare = hello.by_wine(plan)?;
    by_turns(turns, || hello.at_once(count), || bare.at_once(count))
}

/// Milliseconds of processor time for each of `count` launches at once.
fn effort_at_once(plan: &Plan, hello: &Launch, count: usize, turns: usize) -> Result<(f64, f64)> {
    let (bare, server) = (hello.by_wine(plan)?, server(plan)?);
    let effort = |launch: &Launch| {
        let before = processor_time(server)?;
        launch.at_once(count)?;
        Ok((processor_time(server)? - before) / count as f64)
    };
    by_turns(turns, || effort(hello), || effort(&bare))
}

fn through_pipe(plan: &Plan, mebibytes: usize, turns: usize) -> Result<(f64, f64)> {
    let bytes = (mebibytes as u64) << 20;
    let flood = Launch::ours(&plan.programs.join("flood.exe")).with(bytes);
    let bare = flood.by_wine(plan)?;
    by_turns(turns, || flood.read_all(bytes), || bare.read_all(bytes))
}

/// What we add to the milliseconds from a key to its echo, where a program reads a line.
fn key_echo(plan: &Plan, turns: usize) -> Result<(f64, f64)> {
    let console = Launch::ours(&plan.programs.join("console.exe")).with("say=ready").with("line");
    let mut ours = Terminal::start(&console.command())?;
    let mut bare = Terminal::start(&console.by_wine(plan)?.command())?;
    let (ours, bare) = by_turns(turns, || ours.key(), || bare.key())?;
    Ok((ours - bare, 1.0))
}

/// Milliseconds from a terminal's new size to the program's notice.
fn new_size(plan: &Plan, turns: usize) -> Result<f64> {
    let console = Launch::ours(&plan.programs.join("console.exe")).with("say=ready");
    let console = (0..=turns).fold(console, |launch, _| launch.with("resized"));
    let mut terminal = Terminal::start(&console.command())?;
    let sizes = [(25, 80), (40, 120)].into_iter().cycle();
    let times: Result<Vec<f64>> = sizes.take(turns).map(|size| terminal.new_size(size)).collect();
    times.map(median)
}

/// Milliseconds of `wine64 hello.exe` with nothing running; ends what it has left running.
fn cold(plan: &Plan, hello: &Launch) -> Result<f64> {
    let wine = wine(plan)?;
    let prefix = wine.cold_prefix.as_ref().context("the plan names no prefix to start cold in")?;
    let time = hello.in_prefix(wine, prefix)?.time();
    for option in ["-k", "-w"] {
        Command::new(&wine.server_program)
            .arg(option)
            .env("WINEPREFIX", prefix)
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("start {}", wine.server_program.display()))?;
    }
    time
}

/// Keeps this process, what it starts, and the server on one processor, until dropped.
struct Pinned {
    server: Pid,
    own_before: CpuSet,
    server_before: CpuSet,
}

impl Pinned {
    fn to_this_processor(server: Pid) -> Result<Self> {
        let own_before = sched_getaffinity(None).context("ask for the own processors")?;
        let server_before = sched_getaffinity(Some(server)).context("ask for the server's")?;
        let mut one = CpuSet::new();
        one.set(sched_getcpu());
        let pinned = Self { server, own_before, server_before };
        sched_setaffinity(Some(server), &one).context("keep the server on one processor")?;
        sched_setaffinity(None, &one).context("stay on one processor")?;
        Ok(pinned)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let own = sched_setaffinity(None, &self.own_before);
        let server = sched_setaffinity(Some(self.server), &self.server_before);
        if let Err(error) = own.and(server) {
            eprintln!("processors could not be given back: {error}");
        }
    }
}

/// Lets the outer side look at memory: with nothing in flight, and with launches that wait.
fn hold(plan: &Plan) -> Result<()> {
    let socket = std::env::var_os("WSL_INTEROP").context("WSL_INTEROP is not set")?;
    let server = peer(Path::new(&socket))?;
    let count = if plan.quick { 20 } else { 60 };
    let cat = Launch::ours(&plan.programs.join("cat.exe"));
    let launches = [(cat.clone(), false), (cat.hosted(), true)];
    // A first time makes threads and tables that stay; what counts is what a launch adds.
    for (launch, _) in &launches {
        Waiting::start(launch, 2)?.end(launch)?;
    }
    for (launch, hosted) in &launches {
        look(server, Vec::new(), *hosted)?;
        let waiting = Waiting::start(launch, count)?;
        look(server, waiting.processes(), *hosted)?;
        waiting.end(launch)?;
    }
    Ok(())
}

fn look(server: u32, interpreters: Vec<u32>, hosted: bool) -> Result<()> {
    say(&Report::Waiting { server, interpreters, hosted })?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).context("wait for the outer side")?;
    ensure!(read > 0, "the outer side has ended");
    Ok(())
}

/// Programs that have started and wait for input.
struct Waiting {
    children: Vec<Child>,
}

impl Waiting {
    fn start(launch: &Launch, count: usize) -> Result<Self> {
        let mut children = Vec::with_capacity(count);
        for _ in 0..count {
            let mut command = launch.command();
            children.push(launch.start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?);
        }
        for child in &mut children {
            echo(child).with_context(|| format!("talk to {}", launch.program.display()))?;
        }
        Ok(Self { children })
    }

    fn processes(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    fn end(self, launch: &Launch) -> Result<()> {
        for mut child in self.children {
            drop(child.stdin.take());
            launch.wait(child)?;
        }
        Ok(())
    }
}

/// Has a program repeat a byte: then it runs, and waits for the next.
fn echo(child: &mut Child) -> Result<()> {
    let input = child.stdin.as_mut().context("it has no input")?;
    input.write_all(b"x").context("write to it")?;
    let output = child.stdout.as_mut().context("it has no output")?;
    output.read_exact(&mut [0]).context("read from it")
}
