//! Winterop enabled on a machine: real users, each with a host of their own, who is not let in, and
//! how the registration is kept.

use std::collections::BTreeSet;
use winterop_tests::{Machine, expect_soon, quoted};

const TABLE: &str = "/proc/sys/fs/binfmt_misc";

#[test]
fn each_users_programs_run_as_that_user_in_their_own_host() {
    let mut machine = Machine::enabled();
    let script = "$W/hello.exe; echo $?; $W/exit-with.exe 7; echo $?; echo a | $W/cat.exe";
    for user in ["alice", "bob"] {
        assert_eq!(machine.user(user, script), "hello\n0\n7\na\n", "{user}");
        let hosts = machine.root(&format!("ps -u {user} -o args= | grep -c ^wslhost"));
        assert_eq!(hosts, "1\n", "{user}");
        // The host has a login's variables and nothing of whoever started it.
        let host = "$(ps -u $USER -o pid=,args= | awk '$2 == \"wslhost\" {print $1}')";
        let of_host = format!(
            "tr '\\0' '\\n' </proc/{host}/environ | grep -E '^(HOME|USER|W)='; \
            ls /proc/{host}/fd | wc -l; id -u"
        );
        let said = machine.user(user, &of_host);
        let id = if user == "alice" { 1000 } else { 1001 };
        assert!(said.starts_with(&format!("HOME=/home/{user}\nUSER={user}\n")), "{said}");
        assert!(said.ends_with(&format!("\n{id}\n")), "{said}");
    }
    assert_eq!(machine.root("ps -u root -o args= | grep -c ^wslhost"), "0\n");
    // Root has a host too, and only root's programs go there.
    assert_eq!(machine.root("$W/hello.exe"), "hello\n");
    assert_eq!(machine.root("ps -u root -o args= | grep -c ^wslhost"), "1\n");
    // Somebody else's host is nobody's: it cannot be reached, and the machine's init gives each
    // their own.
    let said = machine.user("bob", "WSL_INTEROP=/tmp/winterop-1000/interop $W/hello.exe; echo $?");
    assert_eq!(said, "hello\n0\n");
    // The host was started again for whoever asks next.
    machine.root("kill -9 $(ps -u alice -o pid=,args= | awk '$2 == \"wslhost\" {print $1}')");
    assert_eq!(machine.user("alice", script), "hello\n0\n7\na\n");
}

#[test]
fn who_lives_elsewhere_needs_a_rule_and_is_never_roots() {
    let mut machine = Machine::enabled();
    // A container with nothing of the machine's but the directory of sockets: its root is the
    // machine's root by uid, and lives in other namespaces.
    let elsewhere = |script: &str| {
        format!(
            "unshare --mount --pid --fork sh -c {}",
            quoted(&format!("mount -t proc proc /proc; mount -t tmpfs tmpfs /tmp; {script}"))
        )
    };
    let run = elsewhere("$W/hello.exe; echo $?");
    let refusal = machine.root(&run);
    assert!(refusal.contains("no rule lets uid 0 in another namespace"), "{refusal}");
    assert!(
        refusal.contains("/etc/winterop/policy.toml") && refusal.ends_with("\n126\n"),
        "{refusal}"
    );
    // A rule that says nothing of whose programs they are does not make them root's.
    let rule = |text: &str| {
        format!("mkdir -p /etc/winterop; printf '[[rule]]\\n{text}' >/etc/winterop/policy.toml")
    };
    machine.root(&rule("action = \"allow\"\\nnamespace = \"other\"\\n"));
    let refusal = machine.root(&run);
    assert!(refusal.contains("no rule lets uid 0"), "{refusal}");
    machine.root(&rule(
        "action = \"allow\"\\nnamespace = \"other\"\\nhost = \"alice\"\\nprogram = [\"/opt/windows/hello.exe\"]\\n",
    ));
    assert_eq!(machine.root(&run), "hello\n0\n");
    assert_eq!(machine.root("ps -u root -o args= | grep -c ^wslhost"), "0\n");
    assert_eq!(machine.root("ps -u alice -o args= | grep -c ^wslhost"), "1\n");
    // What the rule does not name does not run, whoever's host it is.
    let refusal = machine.root(&elsewhere("$W/exit-with.exe 0; echo $?"));
    assert!(refusal.contains("no rule lets uid 0") && refusal.ends_with("\n126\n"), "{refusal}");
    // A rule that sends a user to root's host is an error, and then nothing runs.
    machine.root(&rule("action = \"allow\"\\nhost = \"root\"\\n"));
    for user in ["alice", "bob"] {
        let said = machine.user(user, "$W/hello.exe; echo $?");
        assert!(said.contains("never go to root") && said.ends_with("\n126\n"), "{said}");
    }
    // A user whose programs are another's.
    machine.root(&rule("action = \"allow\"\\nuser = [\"bob\"]\\nhost = \"alice\"\\n"));
    assert_eq!(machine.user("bob", "cd /; $W/hello.exe; echo $?"), "hello\n0\n");
    assert_eq!(machine.root("ps -u bob -o args= | grep -c ^wslhost"), "0\n");
}

#[test]
fn switches_and_policy_hold_for_all_users_at_once() {
    let mut machine = Machine::enabled();
    let run = "$W/hello.exe; echo $?";
    assert_eq!(machine.user("alice", run), "hello\n0\n");
    machine.root("winterop config set-flags 1");
    for user in ["alice", "bob"] {
        let said = machine.user(user, run);
        assert!(said.contains("DistributionFlags") && said.ends_with("\n126\n"), "{said}");
    }
    machine
        .root("winterop config set-flags 0; printf '[interop]\\nenabled=false\\n' >/etc/wsl.conf");
    let said = machine.user("bob", run);
    assert!(said.contains("/etc/wsl.conf:2") && said.ends_with("\n126\n"), "{said}");
    machine.root("rm /etc/wsl.conf; printf 'rule = 1' >/etc/winterop/policy.toml");
    let said = machine.user("bob", run);
    assert!(said.contains("policy.toml") && said.ends_with("\n126\n"), "{said}");
    machine.root("rm /etc/winterop/policy.toml");
    assert_eq!(machine.user("bob", run), "hello\n0\n");
}

#[test]
fn what_the_machines_init_refuses_is_written_down() {
    let mut machine = Machine::enabled();
    machine.root("mkdir -p /etc/winterop; echo 'audit = \"file\"' >/etc/winterop/config.toml");
    assert_eq!(machine.user("alice", "$W/hello.exe"), "hello\n");
    machine.root("winterop config set-flags 1");
    let through_init = "WSL_INTEROP=/run/WSL/1_interop $W/hello.exe; echo $?";
    assert!(machine.user("alice", through_init).ends_with("\n126\n"));
    machine.root(
        "winterop config set-flags 0; printf '[[rule]]\\naction = \"allow\"\\nuser = [\"bob\"]\\n\
         host = \"nobody\"\\n' >/etc/winterop/policy.toml",
    );
    // Its user has been somebody else's directory.
    machine.root("mkdir -m 777 /tmp/winterop-65534");
    assert!(machine.user("bob", "$W/hello.exe; echo $?").ends_with("\n126\n"));
    let log = expect_soon("both are written down", || {
        let log = machine.root("cat /var/log/winterop-audit.log");
        (log.lines().count() == 2).then_some(log)
    });
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    for (line, uid, words) in
        [(&lines[0], 1000, "DistributionFlags"), (&lines[1], 1001, "/tmp/winterop-65534")]
    {
        assert_eq!((&line["uid"], &line["placement"]), (&uid.into(), &"refused".into()), "{log}");
        // It reads nothing of a request, and so knows of no program.
        assert_eq!(line["program"], "", "{log}");
        assert!(line["refusal"].as_str().is_some_and(|it| it.contains(words)), "{log}");
    }
    // It is root's alone.
    assert_eq!(machine.root("stat -c '%a %U' /var/log/winterop-audit.log"), "600 root\n");
}

#[test]
fn what_one_user_is_refused_pushes_out_nothing_of_others() {
    let mut machine = Machine::enabled();
    machine.root("mkdir -p /etc/winterop; echo 'audit = \"file\"' >/etc/winterop/config.toml");
    // A name that clears the screen, forges a line and turns text around.
    let name = "$(printf '/tmp/a\\033[2J\\302\\2332J\\n\\342\\200\\256\\377.exe')";
    machine.root("winterop config set-flags 1");
    let run = format!(
        "cp $W/hello.exe \"{name}\"; WSL_INTEROP=/run/WSL/1_interop \"{name}\" 2>/dev/null; echo $?"
    );
    assert_eq!(machine.user("alice", &run), "126\n");
    machine.root("winterop config set-flags 0");
    let flood = "import socket\nfor _ in range(3000):\n s = socket.socket(socket.AF_UNIX)\n \
        s.connect('/run/WSL/1_interop')\n s.recv(1)\n s.close()\n";
    machine.write("/opt/flood.py", flood);
    // In another namespace each connection is refused.
    assert_eq!(machine.root("unshare --mount --pid --fork python3 /opt/flood.py; echo $?"), "0\n");
    machine.root("winterop config set-flags 1");
    let bobs = "WSL_INTEROP=/run/WSL/1_interop $W/hello.exe 2>/dev/null; echo $?";
    assert_eq!(machine.user("bob", bobs), "126\n");
    let count = |machine: &mut Machine, what: &str, file: &str| {
        let text = machine.root(&format!("grep -c {} /var/log/{file}", quoted(what)));
        text.trim().parse::<u32>().expect("a number")
    };
    let audit = "winterop-audit.log";
    expect_soon("the last one is written down", || {
        (count(&mut machine, "\"uid\":1001,", audit) == 1).then_some(())
    });
    assert_eq!(count(&mut machine, "\"uid\":1000,", audit), 1);
    let floods = count(&mut machine, "\"uid\":0,", audit);
    assert!((100..2000).contains(&floods), "{floods} of 3000");
    let logged = count(&mut machine, "another namespace", "winterop.log");
    assert!((100..2000).contains(&logged), "{logged} of 3000");
    let steering = "LC_ALL=C grep -c -a -P '[\\x00-\\x08\\x0b-\\x1f\\x7f]|\\xc2[\\x80-\\x9f]|\\xe2\\x80\\xae|\\xff' \
        /var/log/winterop-audit.log /var/log/winterop.log";
    assert_eq!(machine.root(steering), "/var/log/winterop-audit.log:0\n/var/log/winterop.log:0\n");
}

#[test]
fn what_others_than_root_can_change_is_not_enabled() {
    let mut machine = Machine::start();
    let copy = "cp -a /opt/winterop";
    for (made, place, why) in [
        // A folder on the way, the folder of a part, a part, a link's end.
        (format!("{copy} /home/alice/w; ln -s /home/alice/w /opt/w"), "/home/alice", "uid 1000"),
        (format!("{copy} /opt/w; chmod g+w /opt/w/lib/winterop"), "/opt/w/lib/winterop", "0775"),
        (
            format!("{copy} /opt/w; chown alice /opt/w/lib/winterop/libwinterop_preload.so"),
            "/opt/w/lib/winterop/libwinterop_preload.so",
            "uid 1000",
        ),
        (format!("{copy} /opt/w; chmod o+w /opt/w/bin/winterop"), "/opt/w/bin/winterop", "0757"),
        (
            format!(
                "{copy} /opt/w; ln -s /home/alice/more.so /opt/w/lib/winterop; touch /home/alice/more.so"
            ),
            "/home/alice",
            "uid 1000",
        ),
        (
            format!("mkdir -m 1777 /opt/w; {copy} /opt/w/w; cd /opt/w; ln -s w/bin bin"),
            "/opt/w",
            "1777",
        ),
    ] {
        machine.root(&made);
        let said = machine.root("/opt/w/bin/winterop enable; echo $?");
        let expected = format!("installing {place}: others than root can change it: ");
        assert!(said.contains(&expected) && said.contains(why), "{made}: {said}");
        assert!(said.ends_with("\n126\n"), "{said}");
        machine.root("rm -rf /opt/w /home/alice/w");
    }
    assert_eq!(machine.root("ls /init /var/lib/winterop /run/WSL 2>/dev/null"), "");
    let said = machine.root("winterop enable; echo $?");
    assert!(said.ends_with("\n0\n"), "{said}");
}

#[test]
fn nobody_is_led_to_a_squatted_host() {
    let mut machine = Machine::enabled();
    let run = "$W/hello.exe; echo $?";
    // In /tmp anybody can be first: with a directory, with a link to somebody else's.
    machine.user("bob", "mkdir -m 700 /tmp/winterop-1000");
    let said = machine.user("alice", run);
    assert!(said.contains("/tmp/winterop-1000") && said.ends_with("\n126\n"), "{said}");
    machine.user("bob", "rmdir /tmp/winterop-1000; ln -s /tmp/winterop-1001 /tmp/winterop-1000");
    assert_eq!(machine.user("bob", run), "hello\n0\n");
    let said = machine.user("alice", run);
    assert!(said.contains("/tmp/winterop-1000") && said.ends_with("\n126\n"), "{said}");
    // A user's own link does not lead the machine's init to another's host.
    machine.user("bob", "rm /tmp/winterop-1000");
    machine.user("alice", "mkdir -m 700 /tmp/winterop-1000; ln -s /tmp/winterop-1001/interop /tmp/winterop-1000/interop");
    let said = machine.user("alice", run);
    assert!(said.contains("is served by uid 1001, not by uid 1000"), "{said}");
    machine.user("alice", "rm /tmp/winterop-1000/interop");
    assert_eq!(machine.user("alice", run), "hello\n0\n");
}

#[test]
fn one_users_silence_keeps_nobody_waiting() {
    let mut machine = Machine::enabled();
    // As many connections as one user may have, none of which says anything.
    let hold = "python3 -c 'import socket, sys\n\
        s = [socket.socket(socket.AF_UNIX) for _ in range(256)]\n\
        [x.connect(\"/run/WSL/1_interop\") for x in s]\n\
        print(\"held\", flush=True); sys.stdin.read()'";
    let hold = hold.replace('\n', "; ");
    machine.root(&format!(
        "mkfifo -m 666 /tmp/in /tmp/out; setpriv --reuid=alice --regid=alice --clear-groups \
         sh -c {} </tmp/in >/tmp/out & exec 7>/tmp/in; read -r line </tmp/out; echo $line >/tmp/held; \
         setpriv --reuid=bob --regid=bob --init-groups env HOME=/home/bob $W/hello.exe >/tmp/said 2>&1; exec 7>&-; wait",
        quoted(&hold)
    ));
    assert_eq!(machine.root("cat /tmp/held /tmp/said"), "held\nhello\n");
}

#[test]
fn the_registration_comes_back_and_a_persons_wish_is_respected() {
    let mut machine = Machine::enabled();
    let entry = format!("head -2 {TABLE}/WSLInterop 2>/dev/null");
    let is = "enabled\ninterpreter /init\n";
    assert_eq!(machine.root(&entry), is);
    // Removed by its name, with all others, and as systemd-binfmt does it: all gone, some again.
    for removed in [
        format!("echo -1 >{TABLE}/WSLInterop"),
        format!("echo -1 >{TABLE}/status"),
        format!("echo -1 >{TABLE}/status; echo ':other:M::OTHER::/bin/true:' >{TABLE}/register"),
    ] {
        machine.root(&removed);
        expect_soon("the registration is back", || (machine.root(&entry) == is).then_some(()));
        assert_eq!(machine.user("bob", "$W/hello.exe"), "hello\n");
    }
    // Switched off by a person: told of once, and left alone. The next look is when another entry
    // comes.
    machine.root(&format!("echo 0 >{TABLE}/WSLInterop"));
    let told = |machine: &mut Machine, words: &str| {
        machine.root(&format!("grep -c {} /var/log/winterop.log", quoted(words)))
    };
    expect_soon("it is told of", || {
        (told(&mut machine, "switched the entry off") == "1\n").then_some(())
    });
    machine.root(&format!(
        "echo ':more:M::MORE::/bin/true:' >{TABLE}/register; echo -1 >{TABLE}/more"
    ));
    assert_eq!(machine.root(&entry), "disabled\ninterpreter /init\n");
    machine.root(&format!("echo 1 >{TABLE}/WSLInterop"));
    // Another handler takes Windows programs first: reported, not fought.
    machine.root(&format!("echo ':wine:M::MZ::/bin/true:' >{TABLE}/register"));
    expect_soon("it is told of", || {
        (told(&mut machine, "go to wine first") == "1\n").then_some(())
    });
    assert_eq!(machine.root(&format!("head -1 {TABLE}/wine")), "enabled\n");
    machine.root(&format!("echo -1 >{TABLE}/wine"));
    // Where root does not want it, nothing comes back. What has ended cannot tell: the log does.
    machine.root("mkdir -p /etc/winterop; echo 'heal = false' >/etc/winterop/config.toml");
    machine.root(&format!("echo -1 >{TABLE}/WSLInterop"));
    let again = machine.root("winterop status; echo $?");
    assert!(again.contains("WSLInterop is gone") && again.ends_with("\n1\n"), "{again}");
    machine.root("winterop enable");
    assert_eq!(machine.root(&entry), is);
}

/// The lines that only one of two texts has.
fn changed(before: &str, after: &str) -> Vec<String> {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    lines(before).symmetric_difference(&lines(after)).cloned().collect()
}

#[test]
fn what_enable_puts_there_disable_takes_away_and_nothing_else() {
    let mut machine = Machine::start();
    let files = "find /init /etc /run/WSL /usr/lib/binfmt.d /usr/lib/systemd /var/lib/winterop -xdev 2>/dev/null | sort";
    let before = machine.root(files);
    let said = machine.user("alice", "winterop enable; echo $?; winterop disable; echo $?");
    assert_eq!(said.matches("only root can").count(), 2, "{said}");
    assert_eq!(machine.root("winterop status >/dev/null; echo $?"), "3\n");
    // Nothing of ours is there: it is said, and nothing changes.
    assert_eq!(machine.root("winterop disable"), "Winterop was not enabled\n");
    for said in [machine.root("winterop enable"), machine.root("winterop enable")] {
        assert!(!said.contains("failed"), "{said}");
    }
    let line = machine.root("cat /usr/lib/binfmt.d/WSLInterop.conf; winterop status --json");
    assert!(line.contains("\n:WSLInterop:M::MZ::/init:POF\n"), "{line}");
    assert!(line.contains("\"enabled\":true,\"ok\":true"), "{line}");
    assert_eq!(machine.root("cmp /init /opt/winterop/lib/winterop/init; echo $?"), "0\n");
    assert_eq!(machine.user("alice", "$W/hello.exe"), "hello\n");
    let said = machine.root("winterop disable; echo $?");
    assert!(said.ends_with("\n0\n"), "{said}");
    assert_eq!(changed(&before, &machine.root(files)), Vec::<String>::new());
    assert_eq!(
        machine.root(&format!("ls {TABLE}; ps -e -o args= | grep -c '^init --machine'")),
        "register\nstatus\n0\n"
    );
    // Wherever enabling was interrupted, the next call completes it and disabling removes it.
    machine
        .root("winterop enable; kill -9 $(ps -e -o pid=,args= | awk '$2 == \"init\" {print $1}')");
    machine.root(&format!("rm /usr/lib/binfmt.d/WSLInterop.conf; echo -1 >{TABLE}/WSLInterop"));
    assert_eq!(machine.root("winterop status >/dev/null; echo $?"), "1\n");
    machine.root("winterop enable");
    assert_eq!(machine.root("winterop status >/dev/null; echo $?"), "0\n");
    // What a person has changed stays.
    machine.root("echo '# mine' >>/usr/lib/binfmt.d/WSLInterop.conf");
    let said = machine.root("winterop disable");
    assert!(said.contains("kept /usr/lib/binfmt.d/WSLInterop.conf"), "{said}");
    machine.root("rm /usr/lib/binfmt.d/WSLInterop.conf");
    assert_eq!(changed(&before, &machine.root(files)), Vec::<String>::new());
}

#[test]
fn an_upgrade_registers_the_new_interpreter() {
    let mut machine = Machine::enabled();
    // Another file, as an upgrade brings it: bytes behind an ELF file's end change nothing.
    machine.root("echo upgraded >>/opt/winterop/lib/winterop/init");
    let said = machine.root("winterop enable");
    assert!(said.contains("wrote /init") && said.contains("registered WSLInterop"), "{said}");
    assert_eq!(machine.root("tail -c 9 /init"), "upgraded\n");
    // The kernel starts the new one: the process's file is it, and not one that was removed.
    let script = "mkfifo /tmp/f; $W/cat.exe </tmp/f & exec 8>/tmp/f; \
        until readlink /proc/$!/exe | grep '^/init'; do :; done; exec 8>&-; wait";
    assert_eq!(machine.root(script), "/init\n");
    assert_eq!(machine.user("bob", "$W/hello.exe"), "hello\n");
}

#[test]
fn an_upgrade_that_was_interrupted_and_an_entry_with_a_new_name_are_made_good() {
    let mut machine = Machine::enabled();
    machine.root("echo upgraded >>/opt/winterop/lib/winterop/init");
    // Killed when it looks at the kernel's entry for the second time: after the files were written.
    let kill = format!("-P {TABLE}/WSLInterop -e inject=openat:signal=KILL:when=2");
    let said = machine.root(&format!("strace -qq -o /dev/null {kill} winterop enable; echo $?"));
    assert!(said.ends_with("137\n"), "{said}");
    assert_eq!(machine.root("tail -c 9 /init"), "upgraded\n");
    let said = machine.root("winterop enable");
    assert!(said.contains("registered WSLInterop") && !said.contains("wrote"), "{said}");
    let said = machine.root("winterop enable");
    assert!(!said.contains("registered"), "{said}");
    assert_eq!(machine.user("bob", "$W/hello.exe"), "hello\n");
    // The old name goes, and no init that ran before brings it back.
    machine.root("mkdir -p /etc/winterop; echo 'entry = \"DOSWin\"' >/etc/winterop/config.toml");
    let said = machine.root("winterop enable; winterop enable");
    assert!(said.contains("removed the entry WSLInterop"), "{said}");
    assert_eq!(machine.root(&format!("ls {TABLE}")), "DOSWin\nregister\nstatus\n");
    assert_eq!(machine.user("bob", "$W/hello.exe"), "hello\n");
    machine.root("winterop disable");
    assert_eq!(machine.root(&format!("ls {TABLE}")), "register\nstatus\n");
}

#[test]
fn wsl_runs_commands_as_the_users_that_root_names() {
    let mut machine = Machine::enabled();
    let asked = "wsl -u alice -e sh -c 'id -un; $0' $W/hello.exe; echo $?";
    assert_eq!(machine.root(asked), "alice\nhello\n0\n");
    let said = machine.root("wsl -u bob --cd '~' eval 'pwd && exit 3'; echo $?");
    assert_eq!(said, "/home/bob\n3\n");
    let said = machine.user("alice", "wsl -u bob -e true; echo $?");
    assert!(said.contains("sudo -u bob") && said.ends_with("\n126\n"), "{said}");
}

#[test]
fn a_windows_program_of_roots_becomes_another_user_by_wsl() {
    let mut machine = Machine::enabled();
    machine.root("winterop run $W/hello.exe");
    for (line, expected) in [
        ("wsl -u alice --cd / -e sh -c \"id -un; pwd; exit 7\"", "alice\n/\n7\n"),
        ("wsl -u alice ~ echo \"a  b\" $USER", "a  b alice\n0\n"),
    ] {
        let said = machine.root(&format!("winterop run cmd /c {}; echo $?", quoted(line)));
        assert_eq!(said, expected, "{line}");
    }
}

#[test]
fn a_user_without_a_home_is_told_what_is_missing() {
    let mut machine = Machine::enabled();
    machine.root("echo 'carol:x:1002:1002::/nonexistent:/bin/sh' >>/etc/passwd; echo 'carol:x:1002:' >>/etc/group");
    let said = machine.user("carol", "$W/hello.exe; echo $?");
    println!("{said}");
    assert!(said.contains("/nonexistent") && said.ends_with("\n126\n"), "{said}");
    // With a place for the data it works, and nobody else was kept from anything.
    assert_eq!(machine.user("alice", "$W/hello.exe"), "hello\n");
    machine.root("mkdir -p /nonexistent && chown 1002:1002 /nonexistent");
    assert!(machine.user("carol", "$W/hello.exe; echo $?").ends_with("hello\n0\n"));
}

#[test]
fn what_is_foreign_is_left_alone() {
    let mut machine = Machine::start();
    machine.root("ln -s /lib/systemd/systemd /init");
    let said = machine.root("winterop enable; echo $?");
    assert!(
        said.contains("/init: it is there and is not Winterop's") && said.ends_with("\n126\n"),
        "{said}"
    );
    assert_eq!(
        machine.root(
            "readlink /init; ls /var/lib/winterop /usr/lib/binfmt.d/WSLInterop.conf 2>/dev/null"
        ),
        "/lib/systemd/systemd\n"
    );
    machine.root(&format!("rm /init; echo ':WSLInterop:M::MZ::/bin/true:' >{TABLE}/register"));
    let said = machine.root("winterop enable; echo $?");
    assert!(
        said.contains("WSLInterop") && said.contains("/bin/true") && said.ends_with("\n126\n"),
        "{said}"
    );
    assert_eq!(
        machine.root("ls /init 2>/dev/null; winterop disable"),
        "Winterop was not enabled\n"
    );
    assert_eq!(
        machine.root(&format!("head -2 {TABLE}/WSLInterop")),
        "enabled\ninterpreter /bin/true\n"
    );
    // Under another name both can be there; the newest is asked first.
    machine.root("mkdir -p /etc/winterop; echo 'entry = \"DOSWin\"' >/etc/winterop/config.toml");
    let said = machine.root("winterop enable");
    assert!(said.contains("registered DOSWin"), "{said}");
    assert_eq!(machine.user("alice", "$W/hello.exe"), "hello\n");
    let said = machine.user("alice", "winterop doctor $W/hello.exe; echo $?");
    assert!(
        said.contains("DOSWin takes /opt/windows/hello.exe") && said.ends_with("\n0\n"),
        "{said}"
    );
    machine.root("winterop disable");
    assert_eq!(machine.root(&format!("ls {TABLE}")), "WSLInterop\nregister\nstatus\n");
    // A directory of sockets that others may write is not served.
    machine.root("rm /etc/winterop/config.toml; echo -1 >/proc/sys/fs/binfmt_misc/WSLInterop; mkdir -m 777 /run/WSL");
    let said = machine.root("winterop enable; echo $?");
    assert!(
        said.contains("/run/WSL must be a directory of root's") && said.ends_with("\n126\n"),
        "{said}"
    );
    machine.root("chmod 755 /run/WSL; winterop enable");
    assert_eq!(machine.user("alice", "$W/hello.exe"), "hello\n");
}

#[test]
fn the_doctor_knows_an_enabled_machine() {
    let mut machine = Machine::enabled();
    assert_eq!(machine.user("alice", "$W/hello.exe"), "hello\n");
    for who in ["alice", "root"] {
        let ask = "winterop doctor $W/hello.exe; echo $?";
        let said = if who == "root" { machine.root(ask) } else { machine.user(who, ask) };
        assert!(said.ends_with("\n0\n"), "{who}: {said}");
        println!("{said}");
    }
    // Without its server and its entry both are missed, and what mends them is named.
    machine.root("kill -9 $(ps -e -o pid=,args= | awk '$2 == \"init\" {print $1}')");
    machine.root(&format!("echo -1 >{TABLE}/WSLInterop"));
    let said = machine.root("winterop doctor $W/hello.exe; echo $?");
    assert!(said.ends_with("\n1\n") && said.contains("winterop enable"), "{said}");
    machine.root("winterop enable");
    let said = machine.root("winterop doctor $W/hello.exe; echo $?");
    assert!(said.ends_with("\n0\n"), "{said}");
}

/// Gives the pid that its argument says to a process of alice's that calls itself what the machine's
/// init is called, ends Winterop, and says which signal has ended alice's.
const DISGUISED: &str = r#"
import os, signal, subprocess, sys
wanted = int(sys.argv[1])
while True:
    with open('/proc/sys/kernel/ns_last_pid', 'w') as last:
        last.write(str(wanted - 1))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with open('/proc/self/stat') as stat:
            fields = stat.read().rsplit(')', 1)[1].split()
        start, end = int(fields[45]), int(fields[46])
        with open('/proc/self/mem', 'r+b', buffering=0) as memory:
            memory.seek(start)
            memory.write(b'init\0--machine\0'.ljust(end - start, b'\0'))
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        os.write(writer, b'.')
        while True:
            signal.pause()
    os.read(reader, 1)
    if child == wanted:
        break
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
with open('/proc/%d/cmdline' % child) as line:
    print(line.read().rstrip('\0').split('\0'))
subprocess.run(['winterop', 'disable'], stdout=subprocess.DEVNULL)
os.kill(child, signal.SIGKILL)
print(os.WTERMSIG(os.waitpid(child, 0)[1]))
"#;

#[test]
fn whoever_has_the_pid_and_the_name_of_the_machines_init_is_not_ended_for_it() {
    let mut machine = Machine::enabled();
    machine.write("/opt/disguised.py", DISGUISED);
    let init = machine.root("readlink /run/WSL/1_interop | tr -dc 0-9");
    machine.root(&format!("kill -9 {init}"));
    expect_soon("the end of the machine's init", || {
        (machine.root(&format!("test -e /proc/{init}; echo $?")) == "1\n").then_some(())
    });
    let said =
        machine.root(&format!("python3 /opt/disguised.py {init} with-room-for-another-name"));
    assert_eq!(said, "['init', '--machine']\n9\n");
}
