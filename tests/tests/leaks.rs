//! After many launches nothing is left that was not there before.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use winterop_tests::{Host, Output, Placement, Process, happens_within};

/// How many go on at the same time.
const AT_ONCE: usize = 4;

/// After this one hangs: it is to be named, and not to hang the test. Long, because many tests share few
/// processors.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ways in which an interpreter is ended; between them two of three programs end by themselves.
const WAYS: [Signal; 5] = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// What runs, and what its first line begins with.
struct Kind {
    line: &'static [&'static str],
    first: &'static str,
    /// It never ends by itself.
    endless: bool,
}

const KINDS: [Kind; 5] = [
    Kind { line: &["hello.exe"], first: "hello", endless: false },
    Kind { line: &["wait-event.exe"], first: "ready", endless: false },
    Kind { line: &["spawn-tree.exe", "1"], first: "ready", endless: true },
    // A program that goes on starting others.
    Kind {
        line: &["C:\\windows\\system32\\cmd.exe", "/c", "for /l %i in (1,0,2) do @HELLO"],
        first: "hello",
        endless: true,
    },
    Kind { line: &["signal-report.exe", "0"], first: "ready", endless: true },
];

/// One launch: waits for the program's first line, ends it if it is to be ended, and waits for the
/// end of its output.
fn launch(host: &Host, number: usize) {
    let placement = [Placement::InPlace, Placement::Hosted][number % 2];
    let is_killed = number.is_multiple_of(3);
    // Ended ones take turns with all kinds, the others with those that end.
    let kind = if is_killed { &KINDS[number / 3 % KINDS.len()] } else { &KINDS[number % 2] };
    assert!(is_killed || !kind.endless);
    let own = |name: &str| host.windows().join(name).to_str().expect("UTF-8").to_owned();
    let hello = format!("Z:{}", own("hello.exe").replace('/', "\\"));
    let mut words: Vec<String> =
        kind.line.iter().map(|word| word.replace("HELLO", &hello)).collect();
    if !words[0].contains(':') {
        words[0] = own(&words[0]);
    }
    let mut arguments = vec!["run"];
    arguments.extend(words.iter().map(String::as_str));
    let mut command = host.winterop(placement, &arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut interpreter = command.spawn().expect("an interpreter");
    let which = format!("launch {number} {words:?} {placement:?}");
    let mut output = Output::of(interpreter.stdout.take().expect("a pipe"));
    let line = output.line(PATIENCE);
    let line = line.unwrap_or_else(|silence| panic!("{which}: no first line: {silence}"));
    assert!(line.starts_with(kind.first), "{which}: {line:?}");
    if is_killed {
        let way = WAYS[number / 15 % WAYS.len()];
        // One that never ends is there; the others may just have ended by themselves.
        let sent = kill_process(Pid::from_child(&interpreter), way);
        assert!(sent.is_ok() || !kind.endless, "{which}: {sent:?}");
        let _input = interpreter.stdin.take();
        assert!(own_end(&interpreter), "{which}: no end by {way:?}");
        let status = interpreter.wait().expect("a status");
        assert!(!status.success() || !kind.endless, "{which} {way:?}: {status}");
        if way != Signal::KILL {
            // A program that was asked to end may leave others behind, as on Windows.
            return;
        }
    } else {
        drop(interpreter.stdin.take());
        assert!(own_end(&interpreter), "{which} does not end");
        let status = interpreter.wait().expect("a status");
        assert!(status.success(), "{which}: {status}");
    }
    // The end comes when nobody has the pipe any more.
    if let Err(silence) = output.rest(PATIENCE) {
        panic!("{which}: no end of its output: {silence}");
    }
}

/// Whether a process ends in time.
fn own_end(child: &Child) -> bool {
    Process(child.id().cast_signed()).ends_within(PATIENCE)
}

/// The processes that run now, other than those in `known`.
fn others(host: &Host, known: &BTreeSet<i32>) -> Vec<Process> {
    host.everything().into_iter().filter(|process| !known.contains(&process.0)).collect()
}

/// How many descriptors a process has, and how many of them are sockets.
fn descriptors(process: i32) -> (usize, usize) {
    let folder = std::fs::read_dir(format!("/proc/{process}/fd")).expect("a process of ours");
    let links: Vec<_> =
        folder.flatten().flat_map(|entry| std::fs::read_link(entry.path())).collect();
    let sockets = links.iter().filter(|link| link.to_string_lossy().starts_with("socket:")).count();
    (links.len(), sockets)
}

/// As many as it takes for each way, with each kind of program.
#[test]
fn ninety_launches_leave_nothing() {
    launches_leave_nothing(90);
}

#[test]
fn five_hundred_launches_leave_nothing() {
    launches_leave_nothing(500);
}

fn launches_leave_nothing(launches: usize) {
    let host = Host::new();
    host.settled();
    // A first round, for what is made once and kept.
    (0..6).for_each(|number| launch(&host, number));
    sweep(&host, &BTreeSet::new());
    let process = host.process().expect("a host").0;
    let known: BTreeSet<i32> = host.everything().iter().map(|process| process.0).collect();
    let before = descriptors(process);
    thread::scope(|scope| {
        for part in 0..AT_ONCE {
            let host = &host;
            scope.spawn(move || {
                (0..launches).filter(|n| n % AT_ONCE == part).for_each(|n| launch(host, n));
            });
        }
    });
    let is_clean = happens_within(PATIENCE, || {
        sweep(&host, &known);
        let now = descriptors(process);
        (others(&host, &known).is_empty() && now.0 <= before.0 && now.1 <= before.1).then_some(())
    });
    let left: Vec<_> = others(&host, &known).into_iter().map(Process::command_line).collect();
    let now = descriptors(process);
    assert!(is_clean.is_some(), "left: {left:?}; descriptors {before:?}, now {now:?}");
    assert_eq!(host.process().expect("a host").0, process, "the host has not ended meanwhile");
}

/// Ends what programs that were asked to end have left behind on purpose: the children of
/// `spawn-tree` and of cmd.exe, which had not been asked.
fn sweep(host: &Host, known: &BTreeSet<i32>) {
    for process in others(host, known) {
        let line = std::fs::read(format!("/proc/{}/cmdline", process.0)).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if ["spawn-tree", "hello"].iter().any(|name| line.contains(name))
            && let Some(pid) = Pid::from_raw(process.0)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
