//! F: how an interpreter finds its server.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use winterop_tests::{Host, expect_soon, placements};

/// Leaves the interpreter nothing to find but what a script puts into place: no variable, no socket
/// of the user's, no link to the instance's own.
const ALONE: &str = "own=$(basename $WSL_INTEROP); unset WSL_INTEROP; \
                     export XDG_RUNTIME_DIR=/nowhere; rm /run/WSL/1_interop";

#[test]
fn f1_f3_without_the_variable() {
    let host = Host::new();
    for placement in placements() {
        let script = "WSL_INTEROP= hello.exe; unset WSL_INTEROP; hello.exe; \
                      env -u XDG_RUNTIME_DIR hello.exe";
        assert_eq!(host.shell(placement, script).clean().text(), "hello\nhello\nhello\n");
        // The user's own socket alone, which is the host's.
        let script = "unset WSL_INTEROP; rm /run/WSL/1_interop; hello.exe";
        assert_eq!(host.shell(placement, script).clean().text(), "hello\n");
    }
}

#[test]
fn f2_f3_parents_of_any_name_are_asked() {
    let host = Host::new();
    for placement in placements() {
        for name in ["bash )", "(bash(", "bash with spaces", ") S 1 (", "a\nb"] {
            // The socket is known under this shell's pid, and the shell of that name is between.
            let script = format!(
                "{ALONE}; cp /bin/sh \"$NAME\"; ln -s $own /run/WSL/$$_interop; \
                 \"./$NAME\" -c 'hello.exe; exit $?'; echo $?"
            );
            host.settled();
            let mut command = host.script(placement, &script);
            let outcome = winterop_tests::finish(command.env("NAME", name)).clean();
            assert_eq!(outcome.text(), "hello\n0\n", "{name:?}");
        }
    }
}

#[test]
fn f3_p1_where_there_is_no_server_all_that_was_tried_is_said() {
    // A host of this user's in /tmp would be found; the instance's own mounts can cover it.
    let uid = rustix::process::getuid();
    let other = format!("/tmp/winterop-{}", uid.as_raw());
    let cover = match Path::new(&other).exists() {
        false => String::new(),
        true if uid.is_root() => format!("mount -t tmpfs none {other}; "),
        true => panic!("{other} would be found, and only root can cover it; end your host first"),
    };
    let host = Host::new();
    for placement in placements() {
        let outcome = host.shell(placement, &format!("{ALONE}; {cover}hello.exe"));
        assert_eq!(outcome.code(), 126);
        let errors = outcome.errors();
        let parts = [
            "no interop server was found",
            "_interop",
            "/nowhere/winterop/interop",
            "/run/WSL/1_interop",
        ];
        let places: Vec<_> = parts.iter().map(|part| errors.find(part)).collect();
        assert!(places.iter().all(Option::is_some), "{errors}");
        assert!(places.is_sorted(), "{errors}");
    }
}

#[test]
fn f4_a_variable_that_leads_nowhere_is_passed_over() {
    let host = Host::new();
    let stale = host.work().join("stale");
    drop(UnixListener::bind(&stale).expect("a socket"));
    assert!(stale.exists());
    std::fs::write(host.work().join("file"), "no socket").expect("a file");
    let long = format!("/{}", "long/".repeat(60));
    for placement in placements() {
        for path in
            ["$PWD/stale", "$PWD/file", "$PWD/gone", "$PWD", "relative", "/proc/1/root/x", &long]
        {
            let script = format!("WSL_INTEROP={path} hello.exe");
            assert_eq!(host.shell(placement, &script).clean().text(), "hello\n", "{path}");
        }
        // In a folder that may not be entered; root enters all but may give that right up.
        let script = "mkdir -p closed; chmod 0 closed; WSL_INTEROP=$PWD/closed/x hello.exe";
        assert_eq!(host.shell(placement, script).clean().text(), "hello\n");
    }
}

#[test]
fn f5_children_of_dead_sessions_launch() {
    let host = Host::new();
    for placement in placements() {
        // The variable of a session that is over, used in another one.
        let mut session = host.session(placement);
        let dead = session.socket().to_owned();
        assert_eq!(session.eval("hello.exe"), "hello\n");
        assert_eq!(
            session.eval("sh -c 'sh -c \"echo \\$WSL_INTEROP\"'").trim(),
            dead.to_string_lossy()
        );
        let init = session.init();
        drop(session);
        assert!(init.ends_within(std::time::Duration::from_secs(30)), "its init stays");
        let script = format!("WSL_INTEROP={} hello.exe", dead.display());
        assert_eq!(host.shell(placement, &script).clean().text(), "hello\n");

        // A child that outlives its session's shell.
        let mut session = host.session(placement);
        session.eval("mkfifo go; setsid sh -c 'read -r x <go; hello.exe >out.tmp 2>&1; mv out.tmp out' >/dev/null 2>&1 &");
        drop(session);
        let go = host.work().join("go");
        let mut pipe = std::fs::File::options().write(true).open(&go).expect("go");
        pipe.write_all(b"\n").expect("go");
        drop(pipe);
        let out = host.work().join("out");
        let text = expect_soon("the child prints", || std::fs::read_to_string(&out).ok());
        assert_eq!(text.trim_end(), "hello");
        std::fs::remove_file(go).and_then(|()| std::fs::remove_file(out)).expect("files");

        // An instance whose init was killed: the user's own host is found.
        let mut session = host.session(placement);
        let init = rustix::process::Pid::from_raw(session.init().0).expect("a pid");
        rustix::process::kill_process(init, rustix::process::Signal::KILL).expect("init");
        assert!(session.init().ends_within(std::time::Duration::from_secs(30)));
        assert_eq!(session.eval("hello.exe 2>&1"), "hello\n");
    }
}
