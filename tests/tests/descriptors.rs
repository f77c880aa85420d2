//! Which descriptors processes have: what they were given, and nothing of whoever started them.

use std::collections::BTreeSet;
use winterop_tests::{Machine, become_user, quoted};

/// A descriptor of a process.
#[derive(Debug)]
struct Open {
    command: String,
    number: u32,
    target: String,
}

/// Prints a line for each descriptor of the processes that `$1` finds: number, target, command.
const LIST: &str = "for p in $(PIDS); do c=$(tr '\\0' ' ' </proc/$p/cmdline); \
    for f in /proc/$p/fd/*; do echo \"${f##*/} $(readlink $f) $c\"; done; done";

fn list(machine: &mut Machine, pids: &str) -> Vec<Open> {
    let text = machine.root(&LIST.replace("PIDS", pids));
    let line = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let number = words.next()?.parse().ok()?;
        let target = words.next()?.to_owned();
        Some(Open { command: words.next()?.to_owned(), number, target })
    };
    text.lines().filter_map(line).filter(|it| !it.target.is_empty()).collect()
}

/// A program of alice's that waits for the end of `/tmp/wait`, started as `how` says. It ends when
/// [`end`] is called.
fn start(machine: &mut Machine, how: &str) {
    let script = format!("cd; {how} $W/cat.exe");
    machine.root("rm -f /tmp/wait; mkfifo -m 666 /tmp/wait");
    machine.shell().eval(&format!(
        "{} sh -c {} </tmp/wait >/tmp/said 2>/tmp/errors & exec 8>/tmp/wait; echo",
        become_user("alice"),
        quoted(&script)
    ));
    // Once it has copied a line it runs.
    machine.shell().eval("echo line >&8");
    machine.root("until grep -q line /tmp/said; do :; done");
}

fn end(machine: &mut Machine) {
    machine.shell().eval("exec 8>&-; wait");
    assert_eq!(machine.root("cat /tmp/said"), "line\n");
}

/// The descriptors of alice's host, of Wine's own processes and of her program.
fn of_alice(machine: &mut Machine) -> Vec<Open> {
    let open = list(machine, "ps -u alice -o pid=");
    for name in ["winterop", "wineserver", "services.exe", "cat.exe"] {
        let has = |it: &Open| {
            it.command.contains(name) || name == "winterop" && it.command.contains("wslhost")
        };
        assert!(open.iter().any(has), "{name}: {open:?}");
    }
    open
}

#[test]
fn nothing_of_the_machines_init_or_of_systemds_reaches_a_host_or_a_program() {
    let mut machine = Machine::with_systemd();
    let said = machine.root("winterop enable; echo $?");
    assert!(said.ends_with("\n0\n"), "{said}");
    for placement in ["hosted", "in-place"] {
        start(&mut machine, &format!("WINTEROP_PLACEMENT={placement}"));
        let shared = ["socket:", "anon_inode:", "pipe:"];
        let inits = list(&mut machine, "systemctl show -P MainPID winterop.service; echo 1");
        // Targets without a number of their own, such as an epoll instance, say nothing.
        let inits: BTreeSet<String> = inits
            .into_iter()
            .map(|it| it.target)
            .filter(|it| it.ends_with(']') && shared.iter().any(|kind| it.starts_with(kind)))
            .filter(|it| !it.starts_with("anon_inode:"))
            .collect();
        assert!(inits.iter().any(|it| it.starts_with("socket:")), "{inits:?}");
        let open = of_alice(&mut machine);
        for it in &open {
            assert!(!inits.contains(&it.target), "{placement}: {it:?}");
        }
        // A program of Wine's has its standard files, and what Wine itself opens: never a socket or
        // a file of the host's. Its pipes lead to Wine's server, and the report's to the host.
        let program = |it: &&Open| it.command.contains("cat.exe") && !it.command.contains("/init");
        assert!(open.iter().any(|it| program(&it)), "{placement}: {open:?}");
        for it in open.iter().filter(program) {
            assert!(!it.target.contains("/interop") && !it.target.contains("host.log"), "{it:?}");
        }
        end(&mut machine);
    }
}

#[test]
fn an_upgrade_replaces_the_socket_that_others_may_hold() {
    let mut machine = Machine::with_systemd();
    machine.root("winterop enable");
    let listening = "readlink /proc/$(systemctl show -P MainPID winterop.service)/fd/3";
    let before = machine.root(listening);
    // Enabling again is no upgrade.
    machine.root("winterop enable");
    assert_eq!(machine.root(listening), before);
    machine.root("echo upgraded >>/opt/winterop/lib/winterop/init");
    let said = machine.root("winterop enable; echo $?");
    assert!(said.ends_with("\n0\n"), "{said}");
    let after = machine.root(listening);
    assert!(after != before && after.starts_with("socket:"), "{before}{after}");
    assert_eq!(machine.user("alice", "$W/hello.exe 2>/dev/null"), "hello\n");
}

#[test]
fn what_becomes_another_program_gives_on_what_it_was_given_and_what_it_starts_has_none_of_it() {
    let mut machine = Machine::enabled();
    machine.root("echo secret >/tmp/given; chmod 666 /tmp/given; winterop disable");
    // The machine's init that is started by hand, too.
    machine.root("exec 7</tmp/given; winterop enable");
    start(&mut machine, "exec 7</tmp/given; exec");
    let given = |it: &&Open| it.target == "/tmp/given";
    let open = of_alice(&mut machine);
    let with: Vec<&Open> = open.iter().filter(given).collect();
    // The interpreter and the program in its place: an exec like any other.
    assert!(with.iter().all(|it| it.number == 7 && it.command.contains("cat.exe")), "{with:?}");
    assert!(with.iter().any(|it| !it.command.starts_with("/init")), "{with:?}");
    let init = list(&mut machine, "pgrep -f 'init --machine'");
    assert!(!init.is_empty() && !init.iter().any(|it| given(&it)), "{init:?}");
    end(&mut machine);
    // The same by hand, where the host is started on the way.
    let kill = "kill -9 $(ps -u alice -o pid=)";
    for how in ["winterop run", "winterop runner", "winterop shell"] {
        machine.root(kill);
        start(&mut machine, &format!("exec 7</tmp/given; exec {how}"));
        let open = of_alice(&mut machine);
        let with: Vec<&Open> = open.iter().filter(given).collect();
        assert!(!with.is_empty(), "{how}");
        assert!(
            with.iter().all(|it| it.number == 7 && it.command.contains("cat.exe")),
            "{how}: {with:?}"
        );
        end(&mut machine);
    }
}
