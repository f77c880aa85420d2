//! What did not end by itself is no success: for whoever waits for it on Linux, and below another Windows
//! program.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use winterop_tests::{Host, Placement, Process, expect_soon, finish, placements};

/// Runs behind the helper, as node does.
const BEHIND_THE_HELPER: &str = "pipes = [\"wait-event.exe\"]\n";

/// How a program is run that waits, and one that is busy with two threads.
const WAITING: &str = "wait-event.exe";
const BUSY: &str = "affinity-report.exe 600000";

/// A program that runs, with its input open.
struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    what: String,
}

impl Running {
    /// Starts `line` in an instance, and waits for its first line.
    fn start(host: &Host, placement: Placement, line: &str) -> Self {
        host.settled();
        let mut command = host.script(placement, &format!("exec {line}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("an interpreter");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut running = Self { child, output, what: format!("{placement:?} {line}") };
        let mut first = String::new();
        running.output.read_line(&mut first).expect("a line");
        assert!(!first.is_empty(), "it has ended: {}", running.what);
        running
    }

    fn end(mut self) -> ExitStatus {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("the end");
        assert!(!rest.contains("closed"), "it has ended by itself: {}", self.what);
        self.child.wait().expect("a status")
    }
}

/// The process in which Wine runs this program.
fn wine_process(host: &Host, program: &str) -> Process {
    expect_soon("the program is there", || {
        let is_it = |process: &Process| {
            let line = process.command_line();
            let name = line.split(' ').find(|word| !word.contains("wine64"));
            name.is_some_and(|name| name.ends_with(program))
        };
        host.everything().into_iter().find(is_it)
    })
}

fn kill(process: Process) {
    kill_process(Pid::from_raw(process.0).expect("a pid"), Signal::KILL).expect("it is there");
}

/// The programs by their files, with how a shell runs each: by itself, which for the first is behind the
/// helper where the settings say so, and below Wine's cmd.
fn ways(host: &Host) -> Vec<(&'static str, String)> {
    let folder = host.windows().to_string_lossy().replace('/', "\\");
    let both = |line: &'static str| {
        let program = line.split(' ').next().unwrap_or_default();
        let below = format!("cmd.exe /c 'Z:{folder}\\{line}'");
        [(program, line.to_owned()), (program, below)]
    };
    [WAITING, BUSY].into_iter().flat_map(both).collect()
}

#[test]
fn what_ends_as_the_host_is_stopped_has_not_succeeded() {
    let host = Host::with_settings(BEHIND_THE_HELPER);
    for placement in placements() {
        for (_, line) in ways(&host) {
            let running = Running::start(&host, placement, &line);
            let what = running.what.clone();
            host.stop();
            let status = running.end();
            assert!(!status.success(), "{what}: {status}");
        }
    }
}

#[test]
fn what_the_kernel_kills_below_another_program_has_not_succeeded() {
    let host = Host::with_settings(BEHIND_THE_HELPER);
    for placement in placements() {
        for (program, line) in ways(&host) {
            let running = Running::start(&host, placement, &line);
            kill(wine_process(&host, program));
            let what = running.what.clone();
            let status = running.end();
            assert!(!status.success(), "{what}: {status}");
        }
    }
}

#[test]
fn what_another_program_ends_has_not_succeeded() {
    let host = Host::new();
    for placement in placements() {
        for (program, line) in ways(&host) {
            let running = Running::start(&host, placement, &line);
            let what = running.what.clone();
            let ended = format!("cmd.exe /c taskkill /f /im {program}");
            assert_eq!(host.shell(placement, &ended).code(), 0, "{what}");
            let status = running.end();
            assert_eq!(status.code(), Some(1), "{what}");
        }
    }
}

#[test]
fn what_ends_with_wines_server_has_not_succeeded() {
    let host = Host::new();
    for placement in placements() {
        let (_, line) = &ways(&host)[1];
        let running = Running::start(&host, placement, line);
        let is_server = |process: &Process| process.command_line().contains("wineserver");
        let server = host.everything().into_iter().find(is_server).expect("a server");
        kill(server);
        let what = running.what.clone();
        let status = running.end();
        assert!(!status.success(), "{what}: {status}");
        host.stop();
    }
}

/// `hello.exe` gets SIGINT where Wine is about to leave its Unix side for the first time, or has just
/// come back to it: the program has not begun.
fn interrupted(host: &Host, count: u32) -> Command {
    let mut command = host.command("strace", Placement::InPlace);
    let inject = format!("--inject=arch_prctl:signal=INT:when={count}");
    command.args(["-f", "-qq", "-o", "strace", "--trace=arch_prctl", &inject]);
    let winterop = host.winterop(Placement::InPlace, &[]);
    command.arg(winterop.get_program()).args(["run", "hello.exe"]);
    command
}

#[test]
fn what_is_interrupted_while_it_starts_has_not_succeeded() {
    let host = Host::new();
    host.settled();
    for count in [2, 3] {
        let outcome = finish(&mut interrupted(&host, count));
        let trace = std::fs::read_to_string(host.work().join("strace")).expect("a trace");
        assert!(trace.contains("SIGINT"), "it was not sent: {trace}");
        let seen = (outcome.text(), outcome.code());
        assert_eq!(seen, (String::new(), 128 + Signal::INT.as_raw()), "{trace}");
    }
}
