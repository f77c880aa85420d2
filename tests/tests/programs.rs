//! What a program is given, and what its end becomes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use winterop_tests::{
    Host, Outcome, Placement, Process, expect_soon, finish, needs, placements, processes,
};

#[test]
fn exit_codes_are_the_programs_own() {
    let host = Host::new();
    for placement in placements() {
        let script = "for code in 0 1 3 255 256 259 300 -1 -2147483648 65536; do \
                      exit-with.exe $code; echo $code $?; done";
        let expected = "0 0\n1 1\n3 3\n255 255\n256 255\n259 3\n300 44\n-1 255\n\
                        -2147483648 255\n65536 255\n";
        assert_eq!(host.shell(placement, script).clean().text(), expected);
        let script = "for code in 0 256 259 -1; do exec 7>code; WINTEROP_EXIT_FD=7 \
                      exit-with.exe $code; exec 7>&-; cat code; done";
        assert_eq!(host.shell(placement, script).clean().text(), "0\n256\n259\n4294967295\n");
    }
}

#[test]
fn executables_without_a_lasting_name() {
    let host = Host::new();
    for placement in placements() {
        let script = "cp $W/hello.exe x.exe; exec 9<x.exe; rm x.exe; /proc/self/fd/9; \
                      /proc/$$/fd/9; exec 9<&-";
        assert_eq!(host.shell(placement, script).clean().text(), "hello\nhello\n");
        // Unlinked while it runs.
        let script = "cp $W/cat.exe y.exe; mkfifo in; ./y.exe <in >out & exec 8>in; \
                      echo before >&8; until grep -q before out; do :; done; rm y.exe; \
                      echo after >&8; exec 8>&-; wait; rm in; cat out";
        assert_eq!(host.shell(placement, script).clean().text(), "before\nafter\n");
        // One that has never had a name: shared memory, which the shell inherits.
        let memory = rustix::fs::memfd_create("program", rustix::fs::MemfdFlags::empty());
        let mut memory = File::from(memory.expect("memfd"));
        let mut program = File::open(host.windows().join("hello.exe")).expect("hello.exe");
        std::io::copy(&mut program, &mut memory).expect("a copy");
        let number = std::os::fd::AsRawFd::as_raw_fd(&memory.as_fd());
        let script = format!("/proc/self/fd/{number}; exec 9<&{number}; /proc/$$/fd/9");
        assert_eq!(host.shell(placement, &script).clean().text(), "hello\nhello\n");
    }
}

/// A shell in which a program waits for the end of its input.
struct Waiting {
    shell: Child,
    program: Process,
    output: BufReader<std::process::ChildStdout>,
}

fn start_waiting(host: &Host, placement: Placement) -> Waiting {
    host.settled();
    let mut command = host.script(placement, "wait-event.exe; echo ended");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = command.spawn().expect("a shell");
    let mut output = BufReader::new(shell.stdout.take().expect("a pipe"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert_eq!(line.trim_end(), "ready");
    let program = expect_soon("the program is there", || wine_process(host, "wait-event.exe"));
    Waiting { shell, program, output }
}

/// The process in which Wine runs a program for this host.
fn wine_process(host: &Host, name: &str) -> Option<Process> {
    let mark = host.base().to_string_lossy().into_owned();
    let is_program = |process: &Process| {
        process.command_line().contains(name)
            && process.executable().to_string_lossy().contains("wine")
            && process.environment().contains(&mark)
    };
    processes().into_iter().find(is_program)
}

impl Waiting {
    fn end(mut self) {
        drop(self.shell.stdin.take());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.output, &mut rest).expect("the output");
        assert_eq!(rest.replace('\r', ""), "closed\nended\n");
        assert!(self.shell.wait().expect("a status").success());
    }
}

#[test]
fn the_callers_own_files_and_nobody_else_keeps_them() {
    let host = Host::new();
    for placement in placements() {
        let waiting = start_waiting(&host, placement);
        let shell = Process(waiting.shell.id().cast_signed());
        let standard = [0, 1, 2].map(|number| shell.descriptor(number).expect("a pipe"));
        for (number, file) in (0..).zip(&standard) {
            assert!(file.to_string_lossy().starts_with("pipe:["), "{number}: {file:?}");
            assert_eq!(
                waiting.program.descriptor(number).as_ref(),
                Some(file),
                "descriptor {number}"
            );
        }
        let runs = host.process().expect("the host");
        let own = |process: &Process| process.is_below(shell) && *process != waiting.program;
        let interpreters: Vec<_> = processes().into_iter().filter(own).collect();
        let server = expect_soon("the instance's init", || {
            let is_init = |p: &Process| p.command_line().starts_with("init --socket-directory");
            let first = format!("--first-process {} ", shell.0);
            processes().into_iter().find(|p| is_init(p) && p.command_line().contains(&first))
        });
        let mut others = vec![runs, server];
        match placement {
            Placement::InPlace => assert!(waiting.program.is_below(shell), "not in place"),
            Placement::Hosted => {
                assert!(waiting.program.is_below(runs), "not hosted");
                assert_eq!(interpreters.len(), 1, "{interpreters:?}");
                others.extend(interpreters);
            }
        }
        for process in others {
            for file in &standard[..2] {
                assert!(
                    !process.open_files().contains(file),
                    "{} holds {}",
                    process.command_line(),
                    file.to_string_lossy()
                );
            }
        }
        waiting.end();
    }
}

#[test]
fn a_closed_reader_is_noticed() {
    let host = Host::new();
    for placement in placements() {
        // It ends long before it has written a terabyte.
        let script = "flood.exe 1000000000000 2>/dev/null | head -c 1000000 | wc -c";
        assert_eq!(host.shell(placement, script).clean().text().trim(), "1000000");
    }
}

#[test]
fn signals_are_as_a_shell_would_have_them() {
    // What is run instead of Wine prints the state that a program starts with.
    let state = "exec grep -E 'SigIgn|SigBlk' /proc/self/status";
    let host = Host::with_settings(&format!(
        "launcher = \"command\"\ncommand = [\"sh\", \"-c\", \"{state}\"]\n"
    ));
    // Whoever runs the tests may ignore signals of their own accord; SIGPIPE is not one of them.
    let expected = masks(&finish(Command::new("sh").args(["-c", state])).clean().text());
    assert_eq!(expected[1] & 1 << 12, 0, "SIGPIPE is ignored here already");
    for placement in placements() {
        let check = |what: &str, outcome: Outcome| {
            assert_eq!(masks(&outcome.clean().text()), expected, "{what}");
        };
        check("a program in an instance", host.shell(placement, "$W/hello.exe"));
        check("the instance's shell", host.shell(placement, state));
        let program = host.windows().join("hello.exe");
        check("a program without one", finish(host.winterop(placement, &["run"]).arg(program)));
    }
}

/// The masks of standard signals in lines of `/proc/PID/status`. What is above them libraries use
/// among themselves.
fn masks(lines: &str) -> Vec<u64> {
    let words = lines.split_whitespace().filter_map(|word| u64::from_str_radix(word, 16).ok());
    words.map(|mask| mask & 0x7FFF_FFFF).collect()
}

#[test]
fn the_callers_processors_are_the_programs() {
    let host = Host::new();
    let count = std::thread::available_parallelism().expect("processors").get();
    needs(count >= 2, "there is one processor, and two are needed");
    for placement in placements() {
        let outcome = host.shell(placement, "taskset -c 0 affinity-report.exe | sed -n 1p").clean();
        assert_eq!(outcome.text(), "process 1\n");
        let outcome =
            host.shell(placement, "taskset -c 0,1 affinity-report.exe | sed -n 1p").clean();
        assert_eq!(outcome.text(), "process 3\n");
        let outcome = host.shell(placement, "taskset -c 1 affinity-report.exe | sed -n 1p").clean();
        assert_eq!(outcome.text(), "process 2\n");
        two_threads_on_two_processors(&host, placement);
    }
}

/// Looks on while two threads of a program are busy, until they are seen on two processors at once.
fn two_threads_on_two_processors(host: &Host, placement: Placement) {
    let mut command = host.script(placement, "affinity-report.exe 60000");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut shell = command.spawn().expect("a shell");
    let program = expect_soon("the program is there", || wine_process(host, "affinity-report.exe"));
    expect_soon("two threads run on two processors", || {
        let processors: BTreeSet<u32> = program.running_on().into_iter().collect();
        (processors.len() > 1).then_some(())
    });
    let pid = rustix::process::Pid::from_raw(program.0).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the program");
    assert!(!shell.wait().expect("a status").success());
}

#[test]
fn the_working_directory_and_the_environment_arrive() {
    let host = Host::new();
    for placement in placements() {
        let work = host.work().to_string_lossy().replace('/', "\\");
        let outcome = host.shell(placement, "mkdir -p 'a b/ü'; cd 'a b/ü'; cwd-report.exe").clean();
        assert_eq!(outcome.text(), format!("Z:{work}\\a b\\ü\n"));
        let script = "export A=1 B=2 C=/usr E=; WSLENV=A:C/p:D:E/u:X/z env-report.exe A B C D E X";
        let outcome = host.shell(placement, script).clean();
        assert_eq!(outcome.text(), "A=1\nB\nC=Z:\\usr\nD\nE\nX\n");
    }
}

#[test]
fn closed_descriptors_are_not_faked() {
    let host = Host::new();
    for placement in placements() {
        let script = "std-handles.exe >out; cat out; hello.exe <&- >out 2>&-; cat out; \
                      hello.exe >&-; echo $?";
        let outcome = host.shell(placement, script);
        let lines: Vec<_> = outcome.text().lines().map(str::to_owned).collect();
        assert_eq!(lines[1..4], ["1 disk", "2 pipe", "hello"], "{}", outcome.errors());
        // The program's own descriptor 0 is what the interpreter had: none.
        let mut command = host.script(placement, "exec std-handles.exe report <&-");
        command.process_group(0);
        assert_eq!(finish(&mut command).code(), 0);
        let report = std::fs::read_to_string(host.work().join("report")).expect("report");
        assert!(report.replace('\r', "").ends_with("1 pipe\n2 pipe\n"), "{report}");
    }
}

/// How a program is started with closed descriptors, and what it says of them then.
const CLOSED: [(&str, &str); 6] = [
    ("</dev/null >/dev/null 2>&1", "0 worked\n1 worked\n2 worked\n"),
    ("<&- >/dev/null 2>/dev/null", "0 failed 6\n1 worked\n2 worked\n"),
    ("<&- >&- 2>/dev/null", "0 failed 6\n1 failed 6\n2 worked\n"),
    ("<&- >/dev/null 2>&-", "0 failed 6\n1 worked\n2 failed 6\n"),
    ("</dev/null >&- 2>&-", "0 worked\n1 failed 6\n2 failed 6\n"),
    ("<&- >&- 2>&-", "0 failed 6\n1 failed 6\n2 failed 6\n"),
];

#[test]
fn what_its_caller_has_closed_fails_in_a_program_and_nothing_else_stands_there() {
    let host = Host::new();
    host.settled();
    let server = wine_process(&host, "wineserver").expect("Wine's server");
    for placement in placements() {
        // What is made once and kept.
        host.shell(placement, "hello.exe").clean();
        let before = server.open_files().len();
        for (how, expected) in CLOSED {
            // More than what Wine's server would take for requests, where it got there.
            let script = format!("std-use.exe report 1000000 {how}; echo $?; cat report");
            let outcome = host.shell(placement, &script).clean();
            assert_eq!(outcome.text(), format!("7\n{expected}"), "{how}");
        }
        assert_eq!(host.shell(placement, "hello.exe").clean().text(), "hello\n");
        expect_soon("Wine's server holds no more than before", || {
            (server.open_files().len() <= before).then_some(())
        });
    }
}
