//! The first session of a user is like all later ones.

use winterop_tests::{Host, Placement, finish};

#[test]
fn the_first_session_finds_windows_programs_and_names_files_as_later_ones_do() {
    let host = Host::new();
    // Wine's own, which nothing but a session's PATH leads to.
    let script = "ipconfig.exe >out; echo $?; command -v ipconfig.exe; wslpath -w /etc; \
                  wslpath 'C:\\windows'";
    let first = finish(&mut host.script(Placement::InPlace, script));
    let lines: Vec<_> = first.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.first().map(String::as_str), Some("0"), "{}", first.errors());
    assert_eq!(lines.get(2).map(String::as_str), Some("Z:\\etc"), "{}", first.errors());
    assert_eq!(host.shell(Placement::InPlace, script).clean().text(), first.text());
}

#[test]
fn a_first_session_without_a_windows_side_says_why_and_runs_its_command() {
    let host = Host::new();
    // What stands in the place of the lock keeps everybody from making a prefix.
    std::fs::create_dir(host.base().join("data/winterop/prefix.lock")).expect("a folder");
    let outcome = finish(&mut host.script(Placement::InPlace, "echo here"));
    assert_eq!(outcome.text(), "here\n");
    assert!(outcome.errors().contains("[windows-not-ready]"), "{}", outcome.errors());
    assert_eq!(outcome.code(), 0);
}
