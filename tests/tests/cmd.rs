//! What the command processor does with what it is given.

use std::fs;
use winterop_tests::{Host, placements};

#[test]
fn every_line_that_comes_by_a_pipe_is_run() {
    let host = Host::new();
    for placement in placements() {
        let lines =
            r"echo one> one.txt\r\necho two> two.txt\r\nexit 6\r\necho three> three.txt\r\n";
        let script = format!(
            "printf '{lines}' | cmd.exe >/dev/null; echo $?; cat one.txt two.txt; \
             ls three.txt; rm one.txt two.txt"
        );
        let outcome = host.shell(placement, &script);
        assert_eq!(outcome.text(), "6\none\ntwo\n", "{}", outcome.errors());
        // As a here-document: lines end as on Linux, and the last one does not end at all.
        let script = "cmd.exe >/dev/null <<END\necho one> one.txt\nEND\n\
                      printf 'echo two> two.txt' | cmd.exe >/dev/null; echo $?; \
                      cat one.txt two.txt; rm one.txt two.txt";
        let outcome = host.shell(placement, script);
        assert_eq!(outcome.text(), "0\none\ntwo\n", "{}", outcome.errors());
    }
}

#[test]
fn whoever_a_line_asks_reads_the_next_ones() {
    let host = Host::new();
    for placement in placements() {
        // `set /p` takes one line, a program everything.
        let lines =
            r"set /p x=\r\nhello\r\necho [%%x%%]> x.txt\r\ncat.exe > rest.txt\r\na\r\nb\r\n";
        let script = format!(
            "cp $W/cat.exe .; printf '{lines}' | cmd.exe >/dev/null; cat x.txt rest.txt; \
             rm x.txt rest.txt cat.exe"
        );
        let outcome = host.shell(placement, &script);
        assert_eq!(outcome.text(), "[hello]\na\nb\n", "{}", outcome.errors());
    }
}

/// A `.cmd` file in the form in which npm writes one for a program `_prog`.
fn shim() -> String {
    let lines = [
        "@ECHO off",
        "GOTO start",
        ":find_dp0",
        "SET dp0=%~dp0",
        "EXIT /b",
        ":start",
        "SETLOCAL",
        "CALL :find_dp0",
        "",
        "IF EXIST \"%dp0%\\exit-with.exe\" (",
        "  SET \"_prog=%dp0%\\exit-with.exe\"",
        ") ELSE (",
        "  SET \"_prog=argv-report\"",
        "  SET PATHEXT=%PATHEXT:;.JS;=;%",
        ")",
        "",
        "endLocal & goto #_undefined_# 2>NUL || title %COMSPEC% & \"%_prog%\"  %*",
        "",
    ];
    lines.join("\r\n")
}

#[test]
fn npms_files_start_their_programs() {
    let host = Host::new();
    host.settled();
    fs::write(host.work().join("tool.cmd"), shim()).expect("tool.cmd");
    for placement in placements() {
        let script = "cp $W/argv-report.exe .; cmd.exe /c 'tool.cmd \"a b\" c'; \
                      cp $W/exit-with.exe .; cmd.exe /c 'tool.cmd 7'; echo $?; \
                      cmd.exe /c 'call tool.cmd 7 & echo after'; winterop run ./tool.cmd 9; echo $?; \
                      rm *.exe";
        let outcome = host.shell(placement, script);
        let text = outcome.text();
        assert!(text.contains("\"a b\""), "{text}{}", outcome.errors());
        assert!(text.ends_with("7\nafter\n9\n"), "{text}{}", outcome.errors());
    }
}

#[test]
fn what_is_shown_of_such_a_file_is_what_is_in_it() {
    let host = Host::new();
    host.settled();
    fs::write(host.work().join("tool.cmd"), shim()).expect("tool.cmd");
    for placement in placements() {
        let outcome = host.shell(placement, "cmd.exe /c type tool.cmd");
        assert_eq!(outcome.stdout, shim().as_bytes(), "{}", outcome.errors());
    }
}
