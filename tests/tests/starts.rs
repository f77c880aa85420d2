//! What disturbs a Windows program's start leaves nobody waiting: neither its parent nor its caller.

use std::process::{Command, Stdio};
use std::time::Duration;

use winterop_tests::{Host, Output, Placement, finish, placements};

/// How long something may take to end, or to come to an end.
const ENDING: Duration = Duration::from_secs(60);

/// `cmd.exe` runs a line, and each fork that it makes for a program is sent `signal` where it puts its
/// standard handles in place: when it is no program yet.
fn disturbed(host: &Host, signal: &str, line: &str) -> Command {
    let mut command = host.command("strace", Placement::InPlace);
    let inject = format!("--inject=dup2:signal={signal}:when=1");
    command.args(["-f", "-qq", "-o", "strace", "--trace=dup2", &inject]);
    let winterop = host.winterop(Placement::InPlace, &[]);
    command.arg(winterop.get_program()).args(["run", "cmd.exe", "/c", line]);
    command
}

#[test]
fn a_signal_between_fork_and_exec_ends_the_child_and_its_parent_goes_on() {
    let host = Host::new();
    host.settled();
    let program = host.windows().join("hello.exe").to_string_lossy().replace('/', "\\");
    let line = format!("Z:{program} & echo after");
    for signal in ["INT", "QUIT", "HUP", "TERM"] {
        let outcome = finish(&mut disturbed(&host, signal, &line));
        let trace = std::fs::read_to_string(host.work().join("strace")).expect("a trace");
        assert!(trace.contains(&format!("SIG{signal}")), "it was not sent: {trace}");
        assert_eq!(outcome.text(), "after\n", "{signal}: {} {trace}", outcome.errors());
    }
}

#[test]
fn a_child_that_its_parent_has_never_begun_ends_with_it() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut command = host.script(placement, "leave-suspended.exe; echo $?");
        let mut shell = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("sh");
        let output = Output::of(shell.stdout.take().expect("a pipe"));
        // Its end is the end of everything that had it.
        let said = output.rest(ENDING).unwrap_or_else(|silence| panic!("{silence}"));
        assert_eq!(String::from_utf8_lossy(&said).replace('\r', ""), "left\n0\n");
        assert!(shell.wait().expect("a status").success());
    }
}
