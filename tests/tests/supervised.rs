//! Under systemd users' hosts are services of their users', and the machine's init is sandboxed.

use winterop_tests::{Machine, expect_soon};

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
    let Some(mut machine) = Machine::with_systemd() else { return };
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
fn the_sandboxed_init_keeps_the_registration_and_knows_who_lives_elsewhere() {
    let Some(mut machine) = Machine::with_systemd() else { return };
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
