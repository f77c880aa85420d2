//! `wsl`'s options, as people and terminals type them.

use winterop_tests::{Host, Outcome, Placement, finish};

/// Runs `wsl` from Linux, outside of any instance.
fn wsl(host: &Host, arguments: &[&str]) -> Outcome {
    finish(host.command("wsl", Placement::InPlace).args(arguments))
}

#[test]
fn a_directory_is_named_as_linux_as_windows_and_as_people_name_it() {
    let host = Host::new();
    host.settled();
    let home = host.base().join("home");
    let below = home.join("folder/below");
    std::fs::create_dir_all(&below).expect("a folder");
    let windows = host.base().join("data/winterop/prefix/drive_c/windows");
    let [home, below, windows] = [home, below, windows].map(|it| it.display().to_string());
    let on_drive = format!("Z:{}", below.replace('/', "\\"));
    for (arguments, expected) in [
        (&["~", "pwd"][..], &home),
        (&["--cd", "~", "pwd"], &home),
        (&["--cd", "~/folder/below", "pwd"], &below),
        (&["--cd", "C:\\windows", "pwd"], &windows),
        // To Windows it is the same.
        (&["--cd", "c:/WINDOWS", "-e", "pwd"], &windows),
        (&["--cd", &on_drive, "pwd"], &below),
        (&["--shell-type", "login", "~", "pwd"], &home),
        (&["--cd", &below, "pwd"], &below),
    ] {
        assert_eq!(wsl(&host, arguments).clean().text(), format!("{expected}\n"), "{arguments:?}");
    }
    // The same from a Windows program, which has quotes of its own.
    let script = "mkdir 'a dir'; cmd.exe /c \"wsl --cd \\\"$(wslpath -w 'a dir')\\\" pwd\"; \
                  cmd.exe /c \"wsl ~ echo \\\"a  b\\\"\"; cmd.exe /c \"wsl -e sh -c \\\"cd ~; pwd\\\"\"";
    let dir = host.work().join("a dir").display().to_string();
    let said = host.shell(Placement::InPlace, script).clean().text();
    assert_eq!(said, format!("{dir}\na  b\n{home}\n"));
    wsl(&host, &["--cd", "Q:\\none", "pwd"]).refused(126, &["Q:\\none", "[directory-not-entered]"]);
}

#[test]
fn the_version_is_said_and_what_is_no_option_of_ours_never_reaches_the_shell() {
    let host = Host::new();
    let version = wsl(&host, &["--version"]).clean().text();
    assert!(version.starts_with("Winterop ") && version.contains('.'), "{version}");
    assert_eq!(wsl(&host, &["-v"]).clean().text(), version);
    for (option, id) in [
        ("--bogus", "no-such-option"),
        ("-x", "no-such-option"),
        ("--install", "option-not-built"),
        ("--update", "option-not-built"),
        ("--set-default-version=2", "option-not-built"),
        ("--system", "option-not-built"),
        ("--mount", "no-disks"),
    ] {
        let name = option.split('=').next().unwrap_or_default();
        let id = format!("[{id}]");
        wsl(&host, &[option]).refused(126, &[name, &id]);
        wsl(&host, &["--cd", "/", option, "echo", "x"]).refused(126, &[name, &id]);
    }
    // Behind the command, and behind `--`, nothing is an option of wsl's.
    assert_eq!(wsl(&host, &["echo", "--bogus", "~"]).clean().text(), "--bogus ~\n");
    let outcome = wsl(&host, &["--", "--bogus"]);
    assert_eq!(outcome.code(), 127, "{}", outcome.errors());
}
