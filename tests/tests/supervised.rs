//! Under systemd users' hosts are services of their users', and the machine's init is sandboxed.

use winterop_tests::{Machine, expect_soon};

/// Stops a process's first thread as a debugger does it, and stays until the process has ended.
const STOP_THREAD: &str = "import ctypes, os\n\
    SEIZE, INTERRUPT, ALL = 0x4206, 0x4207, 0x40000000\n\
    libc = ctypes.CDLL(None, use_errno=True)\n\
    pid = int(os.environ['MAIN'])\n\
    for request in (SEIZE, INTERRUPT):\n\
    \x20   if libc.ptrace(request, pid, 0, 0):\n\
    \x20       raise OSError(ctypes.get_errno(), 'ptrace')\n\
    status = os.waitpid(pid, ALL)[1]\n\
    print('stopped' if os.WIFSTOPPED(status) else status, flush=True)\n\
    while not (os.WIFEXITED(status) or os.WIFSIGNALED(status)):\n\
    \x20   status = os.waitpid(pid, ALL)[1]\n";

/// Mounts a file system of a user's as libfuse does it, and unmounts it.
const MOUNT: &str = "import os, socket, subprocess, sys\n\
    ours, theirs = socket.socketpair()\n\
    theirs.set_inheritable(True)\n\
    place = sys.argv[1]\n\
    os.makedirs(place, exist_ok=True)\n\
    told = dict(os.environ, _FUSE_COMMFD=str(theirs.fileno()))\n\
    run = lambda *words: subprocess.run(['fusermount3', *words, '--', place], env=told, close_fds=False)\n\
    mounted = run('-o', 'fsname=test')\n\
    unmounted = run('-u')\n\
    print('fuse', mounted.returncode, unmounted.returncode)\n";

#[test]
fn a_host_has_its_users_slice_and_its_programs_may_what_their_callers_may() {
    let mut machine = Machine::with_systemd();
    machine.root("echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice; chmod 440 /etc/sudoers.d/alice");
    machine.write("/opt/mount.py", MOUNT);
    // A batch file starts Linux programs as children of its own, without an instance in between.
    machine.write(
        "/opt/linux.sh",
        "exec >/tmp/of-the-program 2>&1\necho sudo $(sudo -n id -u)\npython3 /opt/mount.py /home/alice/mounted\n\
         grep -e NoNewPrivs -e Seccomp: /proc/self/status\ncat /proc/self/cgroup /tmp/of-the-caller\nulimit -Hn\n",
    );
    machine.root("chmod 755 /opt/linux.sh; sed -i '1i #!/bin/sh' /opt/linux.sh");
    let said = machine.root("winterop enable; echo $?");
    assert!(said.ends_with("\n0\n"), "{said}");
    let run = "echo here >/tmp/of-the-caller; \
        WINTEROP_PLACEMENT=hosted /home/alice/cmd.exe /c 'Z:\\opt\\linux.sh'; echo $?; \
        until grep -q '^[0-9]*$' /tmp/of-the-program; do :; done; cat /tmp/of-the-program";
    // Some host has to be there before there is a prefix with cmd.exe.
    assert_eq!(machine.user("alice", "$W/hello.exe 2>/dev/null"), "hello\n");
    machine.user(
        "alice",
        "ln -s .local/share/winterop/prefix/drive_c/windows/system32/cmd.exe cmd.exe",
    );
    let said = machine.user("alice", run);
    println!("{said}");
    for line in ["sudo 0", "fuse 0 0", "here"] {
        assert!(said.lines().any(|it| it == line), "{line}: {said}");
    }
    assert!(said.contains("NoNewPrivs:\t0") && said.contains("Seccomp:\t0"), "{said}");
    assert!(said.contains("/user.slice/user-1000.slice/winterop-host-1000-"), "{said}");
    // The init is confined, the host is not its child and outlives it.
    let of_init = "cd /proc/$(systemctl show -P MainPID winterop.service); grep -e NoNewPrivs -e CapBnd status";
    let said = machine.root(of_init);
    assert!(
        said.contains("NoNewPrivs:\t1") && said.contains("CapBnd:\t0000000000080002"),
        "{said}"
    );
    let host = "systemctl show -P MainPID 'winterop-host-1000-*'";
    let before = machine.root(host);
    machine.root("systemctl restart winterop.service");
    assert_eq!(
        machine.user("alice", "WSL_INTEROP=/run/WSL/1_interop $W/hello.exe 2>/dev/null"),
        "hello\n"
    );
    assert_eq!(machine.root(host), before);
    // One that ends is replaced, by a unit of another name.
    machine.root(&format!("kill -9 {}", before.trim()));
    assert_eq!(machine.user("alice", "$W/hello.exe 2>/dev/null"), "hello\n");
    assert_ne!(machine.root(host), before);
}

#[test]
fn a_host_of_another_build_is_the_same_service() {
    let mut machine = Machine::with_systemd();
    machine.root("winterop enable");
    let run = "WSL_INTEROP=/run/WSL/1_interop $W/hello.exe 2>/dev/null";
    assert_eq!(machine.user("alice", run), "hello\n");
    let main = "systemctl show -P MainPID 'winterop-host-1000-*'";
    let mut before = machine.root(main);
    // The second one was started by the first.
    for _ in 0..2 {
        let program = machine.root(&format!("readlink /proc/{}/exe", before.trim()));
        let program = program.trim();
        machine.root(&format!("cp -p {program} {program}.new; mv {program}.new {program}"));
        before = expect_soon("the new host", || {
            assert_eq!(machine.user("alice", run), "hello\n");
            let now = machine.root(main);
            let runs = machine.root(&format!("readlink /proc/{}/exe", now.trim()));
            (now != before && runs.trim() == program).then_some(now)
        });
    }
    let state = machine.root("systemctl show -P ActiveState 'winterop-host-1000-*'");
    assert_eq!(state, "active\n");
}

#[test]
fn the_sandboxed_init_keeps_the_registration_and_knows_who_lives_elsewhere() {
    let mut machine = Machine::with_systemd();
    machine.root("winterop enable");
    let table = "/proc/sys/fs/binfmt_misc";
    let run = "$W/hello.exe 2>/dev/null";
    for removed in [format!("echo -1 >{table}/WSLInterop"), format!("umount {table}")] {
        machine.root(&removed);
        expect_soon("the registration is back", || {
            (machine.user("alice", run) == "hello\n").then_some(())
        });
    }
    let said = machine.root("unshare --mount --pid --fork $W/hello.exe; echo $?");
    assert!(said.contains("in another namespace") && said.ends_with("\n126\n"), "{said}");
    // Guests have their directories there, too, whatever mask the service's files have.
    machine.root("winterop guest add build");
    expect_soon("the guest's socket is there", || {
        let mode = machine
            .root("stat -L -c %a /run/winterop/guests/build /run/winterop/guests/build/1_interop");
        (mode == "755\n666\n").then_some(())
    });
    let said = machine.root("journalctl -u winterop.service --no-pager");
    assert!(!said.contains("cannot be kept"), "{said}");
}

#[test]
fn an_init_that_does_not_serve_is_ended_and_started_again() {
    let mut machine = Machine::with_systemd();
    machine.root("winterop enable");
    let show = |machine: &mut Machine, property: &str| {
        machine.root(&format!("systemctl show -P {property} winterop.service")).trim().to_owned()
    };
    let run = "WSL_INTEROP=/run/WSL/1_interop $W/hello.exe 2>/dev/null";
    assert_eq!(machine.user("alice", run), "hello\n");
    // Time goes faster here.
    machine.root(
        "sed -i 's/^WatchdogSec=.*/WatchdogSec=5/' /usr/lib/systemd/system/winterop.service; \
         systemctl daemon-reload; systemctl restart winterop.service",
    );
    let mut main = show(&mut machine, "MainPID");
    // One serves nobody because it was stopped; one because the thread that serves was, and nothing else
    // of it; and one because it can open nothing any more.
    machine.write("/opt/stop-thread.py", STOP_THREAD);
    let stop_thread = "python3 /opt/stop-thread.py >/opt/stopped 2>&1 & \
        until grep -q . /opt/stopped; do :; done; cat /opt/stopped; :";
    for broken in ["kill -STOP $MAIN", stop_thread, "prlimit --nofile=3:16384 --pid $MAIN"] {
        // It says that it lives, for as long as it serves.
        for _ in 0..2 {
            let before = show(&mut machine, "WatchdogTimestampMonotonic");
            expect_soon("it says that it lives", || {
                (show(&mut machine, "WatchdogTimestampMonotonic") != before).then_some(())
            });
        }
        assert_eq!(show(&mut machine, "MainPID"), main);
        let said = machine.root(&format!("export MAIN={main}; {broken}"));
        assert!(said.is_empty() || said == "stopped\n", "{said}");
        main = expect_soon("another init", || {
            let now = show(&mut machine, "MainPID");
            (now != "0" && now != main).then_some(now)
        });
        assert_eq!(machine.user("alice", run), "hello\n");
    }
    assert_eq!(show(&mut machine, "NRestarts"), "3");
}
