//! How long a program lives: as long as whoever asked for it.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use winterop_tests::{Host, Output, Placement, Process, expect_soon, finish, noise, placements};

#[test]
fn whoever_connects_to_the_host_and_says_nothing_is_told_and_left() {
    let host = Host::new();
    host.settled();
    let mut silent = UnixStream::connect(host.socket()).expect("the host listens");
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).expect("the end");
    assert!(String::from_utf8_lossy(&answer).contains("no whole request came"), "{answer:?}");
}

#[test]
fn a_host_whose_program_was_replaced_gives_way_as_soon_as_nothing_runs() {
    let host = Host::new();
    let run = |script: &str| {
        finish(host.command("sh", Placement::InPlace).args(["-c", script])).clean().text()
    };
    run("l=$(dirname $(dirname $(command -v winterop))); mkdir own; \
         cp -r $l/bin $l/lib own; own/bin/winterop host start");
    let program = || {
        let process = host.process().expect("a host");
        std::fs::read_link(format!("/proc/{}/exe", process.0)).expect("its program")
    };
    let own = host.work().join("own/bin/winterop").canonicalize().expect("the copy");
    assert_eq!(program(), own);
    let replace = "cp own/bin/winterop own/bin/new; mv own/bin/new own/bin/winterop";
    // As long as something runs the old one serves, others too.
    let mut busy = host.command(&own, Placement::InPlace);
    busy.args(["run", "cat.exe"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut busy = busy.spawn().expect("a program");
    let mut input = busy.stdin.take().expect("a pipe");
    let mut output = BufReader::new(busy.stdout.take().expect("a pipe"));
    let mut line = String::new();
    input.write_all(b"x\n").expect("it reads");
    output.read_line(&mut line).expect("it writes");
    assert_eq!(line, "x\n");
    run(replace);
    assert_eq!(run("echo a | own/bin/winterop run cat.exe"), "a\n");
    assert_ne!(program(), own);
    drop(input);
    assert!(busy.wait().expect("a status").success());
    expect_soon("the new host", || (program() == own).then_some(()));
    // Where nothing runs the next launch is the new one's.
    run(replace);
    assert_eq!(run("echo b | own/bin/winterop run cat.exe"), "b\n");
    assert_eq!(program(), own);
    run("own/bin/winterop host stop");
}

#[test]
fn a_killed_interpreter_takes_its_program_along() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut command = host.script(placement, "exec wait-event.exe");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut interpreter = command.spawn().expect("an interpreter");
        let mut output = BufReader::new(interpreter.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line.trim_end(), "ready");
        // `wait` would close it, and the program would end by itself.
        let _input = interpreter.stdin.take();
        interpreter.kill().expect("it was alive");
        assert_eq!(interpreter.wait().expect("a status").signal(), Some(9));
        // The end of its output is the end of the last process that had it; its input stays open.
        let mut rest = Vec::new();
        output.read_to_end(&mut rest).expect("the end");
        assert!(rest.is_empty(), "{rest:?}");
    }
}

/// An interpreter for `arguments`, with pipes; waits for the first line of its program, if it is to
/// say one.
fn started(
    host: &Host,
    placement: Placement,
    arguments: &[&str],
) -> (Child, BufReader<ChildStdout>) {
    let program = host.windows().join(arguments[0]);
    let mut all = vec!["run", program.to_str().expect("UTF-8")];
    all.extend(&arguments[1..]);
    let mut command = host.winterop(placement, &all);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut interpreter = command.spawn().expect("an interpreter");
    let mut output = BufReader::new(interpreter.stdout.take().expect("a pipe"));
    assert!(line(&mut output).starts_with("ready"));
    (interpreter, output)
}

fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

#[test]
fn a_crash_is_named_in_one_line_and_wine_says_nothing() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        for (kind, signal, words) in [
            ("access-violation", 11, "access violation (0xC0000005)"),
            ("div-zero", 8, "integer division by zero (0xC0000094)"),
            ("illegal", 4, "illegal instruction (0xC000001D)"),
            ("breakpoint", 5, "breakpoint (0x80000003)"),
            ("abort", 6, "stack buffer overrun or fast fail (0xC0000409)"),
        ] {
            let outcome = host.shell(placement, &format!("exec crash.exe {kind}"));
            let errors = outcome.errors();
            assert_eq!(outcome.code(), 128 + signal, "{kind}: {errors}");
            assert!(errors.lines().count() == 1 && errors.contains(words), "{kind}: {errors}");
        }
        let asked = host.shell(placement, "WINEDEBUG=fixme-all exec crash.exe access-violation");
        assert!(asked.errors().contains("Unhandled page fault"), "{}", asked.errors());
    }
}

#[test]
fn a_program_leaves_its_callers_input_alone() {
    let host = Host::new();
    for placement in placements() {
        let script = "printf 'a\\nb\\nc\\n' | while read x; do reads-nothing.exe; echo $x; done";
        let text = host.shell(placement, script).clean().text();
        let read: Vec<&str> = text.lines().filter(|line| line.len() == 1).collect();
        assert_eq!(read, ["a", "b", "c"]);
    }
}

#[test]
fn both_directions_may_be_full_and_each_may_end_first() {
    let host = Host::new();
    for placement in placements() {
        // Nobody reads until the program can write no more, and takes nothing more either.
        let (mut program, mut input, output) = copying(&host, placement);
        let data = noise(4 << 20);
        let mut taken = 0;
        expect_soon("both pipes are full", || {
            let before = taken;
            taken += written(&mut input, &data[taken..]);
            (taken == before && is_full(&input) && is_full(&output)).then_some(())
        });
        assert!(taken < data.len(), "the pipes take everything");
        // The input ends first, behind the rest of it.
        rustix::io::ioctl_fionbio(&input, false).expect("a pipe");
        let rest = data[taken..].to_vec();
        let writer = thread::spawn(move || input.write_all(&rest).expect("it is read"));
        let copied = Output::of(output).rest(ENDING).unwrap_or_else(|silence| panic!("{silence}"));
        writer.join().expect("all was written");
        assert!(copied == data, "{} bytes came back", copied.len());
        assert!(program.wait().expect("a status").success());
        // The reader goes away first, with the input still open.
        let (mut program, mut input, output) = copying(&host, placement);
        drop(output);
        expect_soon("nobody takes the input any more", || {
            let error = input.write(&data).err()?;
            (error.kind() == std::io::ErrorKind::BrokenPipe).then_some(())
        });
        let process = Process(program.id().cast_signed());
        assert!(process.ends_within(ENDING), "the program goes on without a reader");
        assert!(!program.wait().expect("a status").success());
        let outcome = host.shell(placement, "flood.exe | head -c 3 | wc -c");
        assert_eq!(outcome.text().trim(), "3");
    }
}

/// `ERROR_NO_DATA`: what C runtimes, Rust, Go and .NET take for a broken pipe.
#[test]
fn a_program_is_told_as_on_windows_that_its_reader_has_gone() {
    let host = Host::new();
    for placement in placements() {
        let script =
            "{ writes-on.exe; echo $? >&2; } 2>said | head -c 3 >/dev/null; cat said; rm said";
        let outcome = host.shell(placement, script);
        assert_eq!(outcome.text(), "232\n", "{}", outcome.errors());
        // One that calls NtWriteFile itself, and shows the error.
        let script = "flood.exe 100000000 2>said | head -c 3 >/dev/null; cat said; rm said";
        let said = host.shell(placement, script).text();
        assert!(said.contains("code: 232, kind: BrokenPipe"), "{said}");
        // Below another Windows program.
        let script = "program=$(wslpath -w \"$(command -v writes-on.exe)\"); \
                      { cmd.exe /c \"$program\"; echo $? >&2; } 2>said | head -c 3 >/dev/null; \
                      cat said; rm said";
        assert_eq!(host.shell(placement, script).text(), "232\n");
    }
}

/// How long something may take to end, or to come to an end.
const ENDING: Duration = Duration::from_secs(60);

/// A program that copies, and its pipes; writing to it waits for nothing.
fn copying(host: &Host, placement: Placement) -> (Child, ChildStdin, ChildStdout) {
    host.settled();
    let mut command = host.script(placement, "exec cat.exe 2>/dev/null");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
    let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("one"));
    rustix::io::ioctl_fionbio(&input, true).expect("a pipe");
    (child, input, output)
}

/// How much a pipe takes of this now.
fn written(pipe: &mut ChildStdin, data: &[u8]) -> usize {
    match pipe.write(data) {
        Ok(count) => count,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}

/// Whether a pipe has no room for another page, which is how it is written to.
fn is_full(pipe: &impl AsFd) -> bool {
    const PAGE: usize = 4096;
    let size = rustix::pipe::fcntl_getpipe_size(pipe).expect("a pipe");
    let filled = rustix::io::ioctl_fionread(pipe).expect("a pipe");
    usize::try_from(filled).expect("a length") + PAGE > size
}

#[test]
fn a_pipe_ends_with_the_program_also_as_the_first_after_a_boot() {
    let host = Host::new();
    for placement in placements() {
        assert_eq!(host.shell(placement, "hello.exe 2>&1 | cat | tail -n1").text(), "hello\n");
        host.stop();
    }
}

#[test]
fn p3_what_a_program_leaves_behind_lives_on() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let (mut interpreter, _output) =
            started(&host, placement, &["spawn-tree.exe", "1", "--leave", "4"]);
        assert_eq!(interpreter.wait().expect("a status").code(), Some(4));
        let left = marked(&host, "spawn-tree.exe");
        assert_eq!(left.len(), 3, "{left:?}");
        for process in left {
            rustix::process::kill_process(process, Signal::KILL).expect("it is there");
        }
    }
}

/// The processes of this host's Wine that run `program`.
fn marked(host: &Host, program: &str) -> Vec<Pid> {
    let runs = |pid: &Pid| {
        let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
        let line = std::fs::read(path).unwrap_or_default();
        let name = line.split(|byte| *byte == 0).next().unwrap_or_default();
        name.ends_with(program.as_bytes())
    };
    let all = host.everything();
    all.iter().filter_map(|process| Pid::from_raw(process.0)).filter(runs).collect()
}

#[test]
fn a_detached_program_runs_on_and_its_caller_does_not_wait() {
    let host = Host::new();
    host.settled();
    let file = host.work().join("pid");
    let name = format!("Z:{}", file.to_str().expect("UTF-8"));
    let program = host.windows().join("gui.exe");
    let program = program.to_str().expect("UTF-8");
    let mut command =
        host.winterop(Placement::InPlace, &["run", "--detach", program, &name, "--wait"]);
    // The program has its caller's output, so that nobody may wait for that to end.
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(quiet.status().expect("an interpreter").code(), Some(0));
    expect_soon("the program runs", || file.exists().then_some(()));
    let running = marked(&host, "gui.exe");
    assert_eq!(running.len(), 1, "it runs on: {running:?}");
    rustix::process::kill_process(running[0], Signal::KILL).expect("it is there");
}

#[test]
fn nohup_and_setsid_keep_a_program_from_its_sessions_end() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        for way in ["nohup", "setsid"] {
            let program = host.windows().join("signal-report.exe");
            let winterop = host.winterop(placement, &[]);
            let winterop = winterop.get_program().to_str().expect("UTF-8").to_owned();
            let mut command = host.command(way, placement);
            command.args([&winterop, "run", program.to_str().expect("UTF-8"), "1"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.process_group(0).spawn().expect(way);
            let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
            assert_eq!(line(&mut output), "ready", "{way}");
            let group = Pid::from_child(&child);
            // With setsid nobody is left in the group.
            let _ = rustix::process::kill_process_group(group, Signal::HUP);
            if way == "nohup" {
                rustix::process::kill_process(group, Signal::INT).expect("it is there");
                assert_eq!(line(&mut output), "CTRL_C", "{way}");
                assert_eq!(child.wait().expect("a status").code(), Some(0), "{way}");
            } else {
                let _ = child.wait();
                let running = marked(&host, "signal-report.exe");
                assert_eq!(running.len(), 1, "{way}: {running:?}");
                rustix::process::kill_process(running[0], Signal::INT).expect("it is there");
                assert_eq!(line(&mut output), "CTRL_C", "{way}");
            }
        }
    }
}

#[test]
fn p2_a_program_outlives_the_host_and_still_tells_its_status() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let (mut interpreter, mut output) = started(&host, placement, &["wait-event.exe"]);
        let process = host.process().expect("a host");
        let pid = Pid::from_raw(process.0).expect("a pid");
        rustix::process::kill_process(pid, Signal::KILL).expect("it is there");
        expect_soon("the host's end", || {
            host.process().is_none_or(|next| next.0 != process.0).then_some(())
        });
        // It is told to end by the end of its input.
        drop(interpreter.stdin.take());
        let mut rest = String::new();
        output.read_to_string(&mut rest).expect("the end");
        let status = interpreter.wait().expect("a status");
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{placement:?} {rest}");
        // The next launch finds a host again.
        assert_eq!(host.shell(placement, "hello.exe 2>/dev/null").text(), "hello\n");
    }
}

/// A host that has ended, whose socket another process has and whose pid a third one has.
const HOST_THAT_HAS_ENDED: &str = r#"
import os, signal, socket, subprocess, sys
path = sys.argv[1]
os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
host = os.fork()
if host == 0:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    if os.fork() == 0:
        signal.pause()
    os._exit(0)
os.waitpid(host, 0)
while True:
    with open('/proc/sys/kernel/ns_last_pid', 'w') as last:
        last.write(str(host - 1))
    other = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if other.pid == host:
        break
    other.kill()
    other.wait()
stop = subprocess.run(['winterop', 'host', 'stop'], stderr=subprocess.PIPE)
print(stop.returncode, other.communicate(b'still here')[0].decode(), stop.stderr.decode())
"#;

#[test]
fn whoever_has_the_pid_of_a_host_that_has_ended_is_not_stopped_for_it() {
    let host = Host::new();
    let mut command = host.command("unshare", Placement::InPlace);
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["python3", "-c", HOST_THAT_HAS_ENDED]).arg(host.socket());
    let said = finish(&mut command).clean().text();
    assert!(said.starts_with("126 still here ") && said.contains("has ended"), "{said}");
}
