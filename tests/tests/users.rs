//! Instances of users without rights, and what an instance leaves behind.

use std::time::Duration;
use winterop_tests::{Host, expect_soon, finish, placements};

#[test]
fn b5_a_plain_user_stays_who_they_are() {
    let host = Host::of_plain_user();
    for placement in placements() {
        let outcome = host.shell(placement, "id -u; id -g; touch mine; stat -c %u mine");
        assert_eq!(outcome.text(), "64123\n64123\n64123\n", "{}", outcome.errors());
        let script = "cp $W/hello.exe x.exe; ./x.exe; ./x.exe | cat; cmd.exe /c echo 'a b'; \
                      exit-with.exe 3; echo $?; cat $W/hello.exe | cat.exe | cmp - $W/hello.exe";
        let outcome = host.shell(placement, script).clean();
        assert_eq!(outcome.text(), "hello\nhello\n\"a b\"\n3\n");
        let script = "head -2 /proc/sys/fs/binfmt_misc/WSLInterop; ls -ld /init | cut -c1; \
                      test -S /run/WSL/1_interop && echo socket";
        let outcome = host.shell(placement, script).clean();
        assert_eq!(outcome.text(), "enabled\ninterpreter /init\n-\nsocket\n");
        // A socket that may not be reached: another one is found.
        let script = "mkdir -p closed; chmod 0 closed; WSL_INTEROP=$PWD/closed/x $W/hello.exe";
        assert_eq!(host.shell(placement, script).clean().text(), "hello\n");
        // What is there and may not be read.
        let script = "cp $W/hello.exe secret.exe; chmod 0111 secret.exe; ./secret.exe; echo $?; \
                      chmod 0 secret.exe; /init ./secret.exe; echo $?; rm -f secret.exe";
        let outcome = host.shell(placement, script);
        assert_eq!(outcome.text().lines().last(), Some("126"), "{}", outcome.errors());
        assert!(outcome.errors().contains("secret.exe"), "{}", outcome.errors());
        let hello = host.windows().join("hello.exe");
        let outcome = finish(host.winterop(placement, &["run"]).arg(hello)).clean();
        assert_eq!(outcome.text(), "hello\n");
    }
}

#[test]
fn an_instance_leaves_nothing_behind() {
    let host = Host::new();
    for placement in placements() {
        let mut session = host.session(placement);
        assert_eq!(session.eval("hello.exe"), "hello\n");
        let (shell, init) = (session.process(), session.init());
        drop(session);
        assert!(shell.ends_within(Duration::ZERO));
        assert!(init.ends_within(Duration::from_secs(20)), "the instance's init stays");
        // The instance's keeper ends when its init has.
        expect_soon("the keeper's socket is gone", || {
            let runtime = std::fs::read_dir(host.base().join("run/winterop")).expect("a folder");
            let names = runtime.flatten().map(|entry| entry.file_name());
            let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
            names.sort();
            (names == ["host.log", "interop", "launches"]).then_some(())
        });
        // What stays is the host with Wine, and nothing of it holds the instance's namespaces.
        let mounts = finish(std::process::Command::new("cat").arg("/proc/self/mountinfo")).text();
        assert!(!mounts.contains(&*host.base().to_string_lossy()), "{mounts}");
    }
    assert!(!host.everything().is_empty());
    host.stop().clean();
    let left: Vec<_> = host
        .everything()
        .into_iter()
        .filter(|process| !process.ends_within(Duration::from_secs(20)))
        .map(|process| process.command_line())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!host.socket().exists(), "the host's socket stays");
    let runtime = std::fs::read_dir(host.base().join("run/winterop")).expect("a folder");
    let names: Vec<_> = runtime.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["host.log"]);
}
