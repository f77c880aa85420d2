//! How long a program lives: as long as whoever asked for it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use winterop_tests::{Host, placements};

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
