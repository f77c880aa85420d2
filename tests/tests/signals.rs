//! What a signal does to a program, and to whoever waits for it: `docs/signals.md`.
//!
//! A table of signal, placement and kind of program to what the program saw and how it ended.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use winterop_tests::{Host, Placement, Process, expect_soon, placements};

/// The signals that ask a program to end, with the event that a Windows program gets.
const DEMANDS: [(Signal, &str); 4] = [
    (Signal::INT, "CTRL_C"),
    (Signal::QUIT, "CTRL_BREAK"),
    (Signal::TERM, "CLOSE"),
    (Signal::HUP, "CLOSE"),
];

/// A program below an interpreter in a process group of its own.
struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    what: String,
}

impl Running {
    /// Starts it and waits until it says that it is ready.
    fn start(host: &Host, placement: Placement, arguments: &[&str]) -> Self {
        Self::start_with(host, placement, arguments, |_| {})
    }

    fn start_with(
        host: &Host,
        placement: Placement,
        arguments: &[&str],
        change: impl FnOnce(&mut std::process::Command),
    ) -> Self {
        let own = host.windows().join(arguments[0]);
        let program =
            if arguments[0].contains(':') { arguments[0].as_ref() } else { own.as_path() };
        let program = program.to_str().expect("a path in UTF-8");
        let all: Vec<&str> =
            ["run", program].into_iter().chain(arguments[1..].iter().copied()).collect();
        let mut command = host.winterop(placement, &all);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        change(&mut command);
        let mut child = command.spawn().expect("an interpreter");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let what = format!("{placement:?} {arguments:?}");
        let mut running = Self { child, output, what };
        assert_eq!(running.line(), "ready", "{}", running.what);
        running
    }

    /// The next line, which has to come soon: the interpreter may stand still.
    fn line_soon(&mut self) -> String {
        if self.output.buffer().is_empty() {
            let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
            let mut interest = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
            let ready = poll(&mut interest, Some(&patience)).expect("poll");
            assert_eq!(ready, 1, "nothing comes: {}", self.what);
        }
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn send(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is there");
    }

    /// The rest of its output, whose end is the end of everything that had it, and its status.
    fn end(mut self) -> (String, ExitStatus) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("the end");
        (rest.replace('\r', ""), self.child.wait().expect("a status"))
    }
}

/// How an interpreter ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Code(i32),
    Signal(i32),
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        assert!(!status.core_dumped());
        status
            .signal()
            .map_or_else(|| Self::Code(status.code().expect("one of both")), Self::Signal)
    }
}

fn assert_same<T: PartialEq + fmt::Debug>(left: T, right: T, what: &str) {
    assert_eq!(left, right, "{what}");
}

/// What a program that takes `reports` events shows for each of the signals, and how it ends.
///
/// `expected` is told the signal and its event.
fn assert_ends(reports: &str, expected: fn(Signal, &str) -> (String, Ended)) {
    assert_ends_at(&Host::new(), reports, expected);
}

fn assert_ends_at(host: &Host, reports: &str, expected: fn(Signal, &str) -> (String, Ended)) {
    host.settled();
    for placement in placements() {
        for (signal, event) in DEMANDS {
            let running = Running::start(host, placement, &["signal-report.exe", reports]);
            running.send(signal);
            let what = format!("{signal:?} {}", running.what);
            let (rest, status) = running.end();
            assert_same((rest, Ended::from(status)), expected(signal, event), &what);
        }
    }
}

#[test]
fn a_program_without_a_handler_ends_and_its_interpreter_by_the_same_signal() {
    assert_ends("0", |signal, _| (String::new(), Ended::Signal(signal.as_raw())));
}

#[test]
fn a_program_with_a_handler_gets_the_event_and_has_the_last_word() {
    assert_ends("1", |_, event| (format!("{event}\n"), Ended::Code(0)));
}

/// A host that runs the program behind the helper, as it does node.
fn host_with_helper() -> Host {
    Host::with_settings("pipes = [\"signal-report.exe\"]\n")
}

#[test]
fn behind_the_helper_a_program_without_a_handler_ends_by_the_same_signal() {
    assert_ends_at(&host_with_helper(), "0", |signal, _| {
        (String::new(), Ended::Signal(signal.as_raw()))
    });
}

#[test]
fn behind_the_helper_a_program_with_a_handler_gets_each_event_once() {
    assert_ends_at(&host_with_helper(), "1", |_, event| (format!("{event}\n"), Ended::Code(0)));
    let host = host_with_helper();
    host.settled();
    for placement in placements() {
        let mut running = Running::start(&host, placement, &["signal-report.exe", "4"]);
        for (signal, event) in [DEMANDS[0], DEMANDS[1], DEMANDS[2], DEMANDS[0]] {
            running.send(signal);
            assert_same(running.line().as_str(), event, &running.what);
        }
        let (rest, status) = running.end();
        assert_same((rest.as_str(), status.into()), ("", Ended::Code(0)), "after four events");
    }
}

#[test]
fn a_graphical_program_ends_by_a_signal_too() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        for (signal, _) in DEMANDS {
            let file = host.work().join(format!("{placement:?}-{}", signal.as_raw()));
            let name = format!("Z:{}", file.to_str().expect("UTF-8"));
            let program = host.windows().join("gui.exe");
            let program = program.to_str().expect("UTF-8");
            let mut command = host.winterop(placement, &["run", program, &name, "--wait"]);
            let mut child = command.stdin(Stdio::null()).spawn().expect("an interpreter");
            expect_soon("the program runs", || {
                std::fs::read(&file).ok().filter(|text| !text.is_empty())
            });
            kill_process(Pid::from_child(&child), signal).expect("it is there");
            let status = child.wait().expect("a status");
            let what = format!("{signal:?} {placement:?}");
            assert_same(Ended::from(status), Ended::Signal(signal.as_raw()), &what);
        }
    }
}

#[test]
fn a_program_that_is_stopped_by_its_pid_does_not_stop_its_interpreter() {
    let host = Host::new();
    host.settled();
    let mut running = Running::start(&host, Placement::InPlace, &["signal-report.exe", "5"]);
    let interpreter = Process(running.pid().as_raw_nonzero().get());
    let is_program = |process: &Process| process.parent() == Some(interpreter);
    let program = host.everything().into_iter().find(is_program).expect("a program");
    let program_pid = Pid::from_raw(program.0).expect("a pid");
    for _ in 0..5 {
        // As cpulimit does it.
        kill_process(program_pid, Signal::STOP).expect("it is there");
        expect_soon("it is stopped", || program.status("State")?.starts_with('T').then_some(()));
        kill_process(program_pid, Signal::CONT).expect("it is there");
        running.send(Signal::INT);
        assert_same(running.line_soon().as_str(), "CTRL_C", &running.what);
    }
    let (rest, status) = running.end();
    assert_same((rest.as_str(), status.into()), ("", Ended::Code(0)), "after five stops");
}

#[test]
fn every_event_arrives_and_a_program_that_goes_on_goes_on() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut running = Running::start(&host, placement, &["signal-report.exe", "4"]);
        for (signal, event) in [DEMANDS[0], DEMANDS[1], DEMANDS[0], DEMANDS[1]] {
            running.send(signal);
            assert_same(running.line().as_str(), event, &running.what);
        }
        let (rest, status) = running.end();
        assert_same((rest.as_str(), status.into()), ("", Ended::Code(0)), "after four events");
    }
}

#[test]
fn a_program_that_will_not_end_is_ended_when_its_time_is_over() {
    let host = Host::with_settings("grace-seconds = 1\n");
    host.settled();
    for placement in placements() {
        for signal in [Signal::TERM, Signal::HUP] {
            let mut running = Running::start(&host, placement, &["signal-report.exe", "9"]);
            running.send(signal);
            assert_same(running.line().as_str(), "CLOSE", &running.what);
            let what = format!("{signal:?} {}", running.what);
            let (rest, status) = running.end();
            assert_same(
                (rest.as_str(), status.into()),
                ("", Ended::Signal(signal.as_raw())),
                &what,
            );
        }
    }
}

#[test]
fn a_programs_children_hear_of_ctrl_c_and_end_with_it() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let report = host.windows().join("signal-report.exe");
        let report = format!("Z:{}", report.to_str().expect("UTF-8").replace('/', "\\"));
        let command = "C:\\windows\\system32\\cmd.exe";
        for (handlers, seen) in [("1", "CTRL_C\n"), ("0", "")] {
            let line = [command, "/c", &report, handlers];
            let running = Running::start(&host, placement, &line);
            // As from a terminal.
            kill_process_group(running.pid(), Signal::INT).expect("a group");
            let what = running.what.clone();
            let (rest, status) = running.end();
            assert_same(rest.as_str(), seen, &what);
            // cmd.exe has no handler, so it ends too: at once, or with its program's code if that
            // was faster.
            let ended = Ended::from(status);
            let by_interrupt = ended == Ended::Signal(Signal::INT.as_raw());
            assert!(
                by_interrupt || (handlers == "1" && ended == Ended::Code(0)),
                "{status} {what}"
            );
        }
    }
}

#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let ignored = [
            (Signal::INT, "INT"),
            (Signal::HUP, "HUP"),
            (Signal::TERM, "TERM"),
            (Signal::QUIT, "QUIT"),
        ];
        for (signal, name) in ignored {
            let program = host.windows().join("signal-report.exe");
            let program = program.to_str().expect("a path in UTF-8");
            let winterop = host.winterop(placement, &[]);
            let script = format!(
                "trap '' {name}; exec {} run {program} 1",
                winterop.get_program().to_str().expect("a path in UTF-8")
            );
            let mut command = host.command("sh", placement);
            command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
            let mut child = command.process_group(0).spawn().expect("a shell");
            let output = BufReader::new(child.stdout.take().expect("a pipe"));
            let what = format!("{name} {placement:?}");
            let mut running = Running { child, output, what: what.clone() };
            assert_same(running.line().as_str(), "ready", &what);
            // As from a terminal, to everyone in the group. The ignored one must not be seen.
            kill_process_group(running.pid(), signal).expect("a group");
            let other = if signal == Signal::INT { Signal::TERM } else { Signal::INT };
            running.send(other);
            let (rest, status) = running.end();
            let event = if other == Signal::INT { "CTRL_C\n" } else { "CLOSE\n" };
            assert_same((rest.as_str(), status.into()), (event, Ended::Code(0)), &what);
        }
    }
}

#[test]
fn a_stopped_job_stands_still_and_goes_on() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut running = Running::start(&host, placement, &["signal-report.exe", "2"]);
        running.send(Signal::TSTP);
        let options = rustix::process::WaitOptions::UNTRACED;
        let stopped = rustix::process::waitpid(Some(running.pid()), options).expect("a child");
        assert!(stopped.is_some_and(|(_, status)| status.stopped()), "{}", running.what);
        running.send(Signal::CONT);
        running.send(Signal::INT);
        assert_same(running.line().as_str(), "CTRL_C", &running.what);
        running.send(Signal::QUIT);
        let (rest, status) = running.end();
        assert_same(
            (rest.as_str(), status.into()),
            ("CTRL_BREAK\n", Ended::Code(0)),
            "after a stop",
        );
    }
}

#[test]
fn a_loop_of_a_shell_stops_at_ctrl_c() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let program = host.windows().join("signal-report.exe");
        let script = format!(
            "while :; do {} run {} 0; echo again; done",
            host.winterop(placement, &[]).get_program().to_str().expect("UTF-8"),
            program.to_str().expect("UTF-8")
        );
        let mut command = host.command("bash", placement);
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("a shell");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut running = Running { child, output, what: format!("{placement:?}") };
        assert_same(running.line().as_str(), "ready", &running.what);
        kill_process_group(running.pid(), Signal::INT).expect("a group");
        let (rest, status) = running.end();
        let seen = (rest.as_str(), status.into());
        assert_same(seen, ("", Ended::Signal(Signal::INT.as_raw())), "a loop");
    }
}

#[test]
fn a_job_that_was_stopped_outright_goes_on() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut running = Running::start(&host, placement, &["signal-report.exe", "2"]);
        // As a shell does it, to the whole job.
        kill_process_group(running.pid(), Signal::STOP).expect("a group");
        let options = rustix::process::WaitOptions::UNTRACED;
        let stopped = rustix::process::waitpid(Some(running.pid()), options).expect("a child");
        assert!(stopped.is_some_and(|(_, status)| status.stopped()), "{}", running.what);
        // What arrives meanwhile is seen afterwards.
        running.send(Signal::INT);
        kill_process_group(running.pid(), Signal::CONT).expect("a group");
        assert_same(running.line().as_str(), "CTRL_C", &running.what);
        running.send(Signal::TERM);
        let (rest, status) = running.end();
        assert_same((rest.as_str(), status.into()), ("CLOSE\n", Ended::Code(0)), "after a stop");
    }
}

#[test]
fn a_killed_interpreter_ends_by_that_and_its_program_says_nothing() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        for reports in ["0", "1"] {
            let running = Running::start(&host, placement, &["signal-report.exe", reports]);
            running.send(Signal::KILL);
            let what = running.what.clone();
            let (rest, status) = running.end();
            assert_same((rest.as_str(), status.into()), ("", Ended::Signal(9)), &what);
        }
    }
}
