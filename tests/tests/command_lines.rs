//! What becomes of arguments: exactly what was said, or a refusal in words.

use std::os::unix::fs::PermissionsExt as _;
use winterop_tests::{Host, Outcome, Placement, finish, placements};

/// `winterop run ARGUMENTS…`.
fn run(host: &Host, placement: Placement, arguments: &[&str]) -> Outcome {
    host.settled();
    finish(host.winterop(placement, &["run"]).args(arguments))
}

fn write(host: &Host, name: &str, text: &str) {
    let path = host.work().join(name);
    std::fs::write(&path, text).expect(name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect(name);
}

/// The command line that `argv-report` says it has.
fn command_line(report: &str) -> String {
    let report: serde_json::Value = serde_json::from_str(report).expect("JSON");
    report["command_line"].as_str().expect("command_line").to_owned()
}

#[test]
fn verbatim_is_one_raw_command_line() {
    let host = Host::new();
    write(&host, "x.cmd", "@echo started\r\n");
    for placement in placements() {
        let raw =
            ["--verbatim", "argv-report.exe", "/x:\"a b\"", "", "%PATH%", "a\\\\\"", "&", "c"];
        let line = command_line(&run(&host, placement, &raw).clean().text());
        assert!(line.ends_with("argv-report.exe /x:\"a b\"  %PATH% a\\\\\" & c"), "{line}");
        // Without it the same words are arguments.
        let line = command_line(&run(&host, placement, &raw[1..]).clean().text());
        assert!(line.ends_with("\"/x:\\\"a b\\\"\" \"\" %PATH% \"a\\\\\\\\\\\"\" & c"), "{line}");
        let outcome = run(&host, placement, &["--verbatim", "cmd.exe", "/c echo  a&echo \"b"]);
        assert_eq!(outcome.clean().stdout, b" a\r\n\"b\r\n");
        run(&host, placement, &["--verbatim", "./x.cmd", "a\" & echo b"])
            .refused(126, &["x.cmd: a batch file has no command line", "--verbatim cmd"]);
    }
}

#[test]
fn names_of_variables_are_checked_before_anything_starts() {
    let host = Host::new();
    for (option, value, words) in [
        ("--env", "=x", "no name before the ="),
        ("--env", "=", "no name before the ="),
        ("--env", "NAME", "no NAME=VALUE"),
        ("--unset", "", "no variable's name"),
        ("--unset", "A=B", "no variable's name"),
    ] {
        let outcome =
            finish(host.winterop(Placement::InPlace, &["run"]).args([option, value, "hello.exe"]));
        outcome.refused(126, &[option, words]);
        assert!(!host.socket().exists(), "the host was started for {option} {value}");
    }
}
