//! Windows programs from wherever people start programs, on a machine where Winterop is enabled: the
//! real ssh, cron, sudo, su, tmux, node, chroot, bubblewrap and systemd, with two real users; and for
//! each something that is refused.

use winterop_tests::{Machine, become_user, expect_soon, quoted};

/// Lets everybody's rule say no: the refusal that each place has to bring to its user.
const REFUSE: &str = "mkdir -p /etc/winterop; \
    printf '[[rule]]\\nname = \"not today\"\\naction = \"refuse\"\\n' >/etc/winterop/policy.toml";

/// Both outputs in one: over ssh they arrive in any order.
const RUN: &str = "exec 2>&1; id -un; /opt/windows/hello.exe; echo $?";

#[track_caller]
fn ran_as(said: &str, user: &str) {
    assert_eq!(said.replace('\r', ""), format!("{user}\nhello\n0\n"));
}

#[track_caller]
fn refused(said: &str, user: &str) {
    let said = said.replace('\r', "");
    let is_said = said.starts_with(&format!("{user}\n")) && said.ends_with("\n126\n");
    assert!(is_said && said.contains("rule 1 \u{201C}not today\u{201D}"), "{said}");
}

#[test]
fn su_and_sudo() {
    let mut machine = Machine::enabled();
    machine.root(
        "echo 'alice ALL=(bob) NOPASSWD: ALL' >/etc/sudoers.d/test; chmod 440 /etc/sudoers.d/test",
    );
    let su = |user: &str| format!("su - {user} -c {}", quoted(RUN));
    let sudo = format!("cd /; sudo -u bob sh -c {}", quoted(RUN));
    ran_as(&machine.root(&su("alice")), "alice");
    ran_as(&machine.root(&su("bob")), "bob");
    ran_as(&machine.user("alice", &sudo), "bob");
    // With the variables of whoever called: the socket that they name is another user's.
    machine.root(
        "echo 'Defaults env_keep += \"WSL_INTEROP XDG_RUNTIME_DIR HOME\"' >>/etc/sudoers.d/test",
    );
    let with = format!("export WSL_INTEROP=/tmp/winterop-1000/interop; {sudo}");
    ran_as(&machine.user("alice", &with), "bob");
    machine.root(REFUSE);
    refused(&machine.root(&su("alice")), "alice");
    refused(&machine.user("alice", &sudo), "bob");
}

#[test]
fn ssh() {
    let mut machine = Machine::enabled();
    machine.root(
        "mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/test; \
         for u in alice bob; do mkdir -p /home/$u/.ssh; cp /etc/ssh/test.pub /home/$u/.ssh/authorized_keys; \
         chown -R $u:$u /home/$u/.ssh; done; printf 'HostKey /etc/ssh/test\\nUsePAM no\\n' >/etc/ssh/test_config",
    );
    // A connection without a network: the server is the other end of the client's pipe.
    let ssh = |user: &str| {
        format!(
            "ssh -F none -q -i /etc/ssh/test -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             -o ProxyCommand='/usr/sbin/sshd -i -f /etc/ssh/test_config' {user}@machine {}",
            quoted(RUN)
        )
    };
    for user in ["alice", "bob"] {
        ran_as(&machine.root(&ssh(user)), user);
    }
    machine.root(REFUSE);
    refused(&machine.root(&ssh("alice")), "alice");
}

#[test]
fn cron() {
    let mut machine = Machine::enabled();
    // What cron does once when it starts needs no waiting for a minute.
    let job = |machine: &mut Machine, user: &str| {
        machine.root(&format!(
            "rm -f /run/crond.* /etc/cron.d/*; printf '@reboot {user} (id -un; /opt/windows/hello.exe; echo $?) \
             >/tmp/said-{user}.new 2>&1; mv /tmp/said-{user}.new /tmp/said-{user}\\n' >/etc/cron.d/test; rm -f /tmp/said-{user}; cron"
        ));
        let read = format!("cat /tmp/said-{user} 2>/dev/null");
        let said =
            expect_soon("cron's job", || Some(machine.root(&read)).filter(|it| !it.is_empty()));
        machine.root("kill $(cat /run/crond.pid)");
        said
    };
    for user in ["alice", "bob"] {
        ran_as(&job(&mut machine, user), user);
    }
    machine.root(REFUSE);
    refused(&job(&mut machine, "alice"), "alice");
}

#[test]
fn tmux_whose_first_session_has_ended() {
    let mut machine = Machine::enabled();
    // A terminal's server, started in a session of which nothing is left but its variables.
    machine.user(
        "alice",
        "env WSL_INTEROP=/run/WSL/4000000_interop setsid tmux -L test -f /dev/null new-session -d sh",
    );
    let say = |machine: &mut Machine| {
        machine.user(
            "alice",
            &format!(
                "rm -f said; tmux -L test send-keys {} Enter",
                quoted("(id -un; echo $WSL_INTEROP >&2; $W/hello.exe; echo $?) >said.new 2>&1; mv said.new said")
            ),
        );
        expect_soon("what tmux's shell says", || {
            Some(machine.user("alice", "cat said 2>/dev/null")).filter(|it| !it.is_empty())
        })
    };
    assert_eq!(say(&mut machine).replace('\r', ""), "alice\n/run/WSL/4000000_interop\nhello\n0\n");
    machine.root(REFUSE);
    refused(&say(&mut machine), "alice");
    machine.user("alice", "tmux -L test kill-server");
}

#[test]
fn node_with_the_variables_of_a_session_that_is_dead() {
    let mut machine = Machine::enabled();
    // As VS Code's server starts its children. A socket is there and nobody serves it.
    machine.root(
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/run/WSL/77_interop\")'",
    );
    let script = "const c = require('child_process'); \
        const r = c.spawnSync('/opt/windows/hello.exe', {encoding: 'utf8'}); \
        process.stdout.write(c.execSync('id -un') + r.stdout + r.stderr + r.status + '\\n')";
    let node = format!(
        "WSL_INTEROP=/run/WSL/77_interop node -e {}",
        quoted(script).replace("'\\''", "\"")
    );
    ran_as(&machine.user("bob", &node), "bob");
    machine.root(REFUSE);
    refused(&machine.user("bob", &node), "bob");
}

#[test]
fn chroot() {
    let mut machine = Machine::enabled();
    machine.root(
        "mkdir -p /srv/root/bin /srv/root/run/WSL /srv/root/etc; cp /bin/busybox /srv/root/bin; \
         ln -s busybox /srv/root/bin/sh; ln -s busybox /srv/root/bin/id; cp /opt/windows/hello.exe /srv/root; \
         cp /etc/passwd /etc/group /srv/root/etc; mount --bind /run/WSL /srv/root/run/WSL",
    );
    let chroot = |user: &str| {
        format!(
            "chroot --userspec={user}:{user} /srv/root /bin/sh -c '/bin/id -un; /hello.exe; echo $?'"
        )
    };
    for user in ["alice", "bob"] {
        ran_as(&machine.root(&chroot(user)), user);
    }
    machine.root(REFUSE);
    refused(&machine.root(&chroot("bob")), "bob");
    // Without the directory of sockets there is nobody to ask.
    machine.root("rm /etc/winterop/policy.toml; umount /srv/root/run/WSL");
    let said = machine.root(&chroot("alice"));
    assert!(said.contains("/run/WSL/1_interop") && said.contains("126"), "{said}");
}

#[test]
fn bubblewrap_with_one_mount_and_a_rule() {
    let mut machine = Machine::enabled();
    // Nothing of the machine's but its programs, the program to be run, and a socket of its own.
    let wrap = "bwrap --unshare-all --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib64 /lib64 \
        --symlink usr/lib /lib --ro-bind /opt/windows /tools --proc /proc --dev /dev --tmpfs /tmp \
        --dir /etc/winterop --ro-bind /etc/passwd /etc/passwd \
        --ro-bind /etc/winterop/trusted-sockets /etc/winterop/trusted-sockets \
        --ro-bind /run/winterop/guests/wrap /run/WSL \
        --chdir / sh -c 'id -un; /tools/hello.exe; echo $?'";
    machine.root("winterop guest add wrap; : >/etc/winterop/trusted-sockets");
    // A server of somebody whom the container does not know is not believed ...
    let said = machine.user("alice", wrap);
    assert!(said.contains("/run/WSL/1_interop") && said.ends_with("\n126\n"), "{said}");
    // ... unless root has said so; and who lives elsewhere needs a rule.
    machine.root("echo /run/WSL/1_interop >/etc/winterop/trusted-sockets");
    let said = machine.user("alice", wrap);
    assert!(said.contains("no rule lets uid 1000 in another namespace"), "{said}");
    machine.root(
        "printf '[[rule]]\\naction = \"allow\"\\nnamespace = \"other\"\\nuser = [\"alice\"]\\nprogram = [\"/opt/windows/*.exe\"]\\n' \
         >/etc/winterop/policy.toml",
    );
    ran_as(&machine.user("alice", wrap), "alice");
    let said = machine.user("bob", wrap);
    assert!(said.contains("no rule lets uid 1001") && said.ends_with("\n126\n"), "{said}");
}

#[test]
fn another_users_shell() {
    let mut machine = Machine::enabled();
    // A shell of alice's, in which bob's things are named: her own host serves her.
    let alice = become_user("alice");
    machine.user("bob", "/opt/windows/hello.exe");
    let said = machine.root(&format!(
        "cd /; WSL_INTEROP=/tmp/winterop-1001/interop {alice} sh -c {}",
        quoted(RUN)
    ));
    ran_as(&said, "alice");
    // What bob may not read, alice's host does not run for bob either.
    machine.user("alice", "cp $W/hello.exe secret.exe; chmod 700 secret.exe");
    let said = machine.user("bob", "/home/alice/secret.exe; echo $?");
    assert!(said.contains("Permission denied") && said.ends_with("126\n"), "{said}");
}

#[test]
fn services_of_a_real_systemd() {
    let mut machine = Machine::with_systemd();
    let said = machine.root("winterop enable; echo $?");
    assert!(said.contains("systemd runs winterop.socket") && said.ends_with("\n0\n"), "{said}");
    assert_eq!(
        machine.root("systemctl is-active winterop.socket winterop.service"),
        "active\nactive\n"
    );
    assert_eq!(
        machine.root("systemctl is-enabled winterop.socket winterop.service"),
        "enabled\nenabled\n"
    );
    assert_eq!(machine.root("winterop status >/dev/null; echo $?"), "0\n");
    let service = |user: &str| {
        format!(
            "systemd-run --quiet --pipe --wait --collect --uid={user} sh -c {}",
            quoted(&RUN.replace('$', "$$"))
        )
    };
    for user in ["alice", "bob"] {
        ran_as(&machine.root(&service(user)), user);
    }
    // The socket starts the server when somebody asks.
    machine.root("systemctl stop winterop.service");
    ran_as(&machine.root(&service("bob")), "bob");
    machine.root("rm -rf /tmp/winterop-1000; pkill -u alice");
    ran_as(&machine.root(&service("alice")), "alice");
    assert_eq!(machine.root("systemctl is-active winterop.service"), "active\n");
    // What a user runs goes on when the server ends: as it does at an upgrade.
    machine.root("mkfifo -m 666 /tmp/f; setpriv --reuid=bob --regid=bob --init-groups env HOME=/home/bob \
        /opt/windows/cat.exe </tmp/f >/tmp/o 2>&1 & exec 7>/tmp/f; echo a >&7; until grep -q a /tmp/o; do :; done; \
        systemctl restart winterop.service; echo b >&7; exec 7>&-; wait");
    assert_eq!(machine.root("cat /tmp/o"), "a\nb\n");
    // systemd-binfmt takes all entries away, and brings them back from the files.
    let entry = "head -2 /proc/sys/fs/binfmt_misc/WSLInterop 2>/dev/null";
    for reload in
        ["systemctl restart systemd-binfmt", "/usr/lib/systemd/systemd-binfmt --unregister"]
    {
        machine.root(reload);
        expect_soon("the registration is back", || {
            (machine.root(entry) == "enabled\ninterpreter /init\n").then_some(())
        });
    }
    // A service that lives elsewhere needs a rule.
    let private = service("alice").replace("--uid", "-p PrivateTmp=yes --uid");
    let said = machine.root(&private);
    assert!(said.contains("no rule lets uid 1000 in another namespace"), "{said}");
    machine.root(REFUSE);
    refused(&machine.root(&service("alice")), "alice");
    machine.root("rm /etc/winterop/policy.toml");
    let said = machine.root("winterop disable; echo $?");
    assert!(said.ends_with("\n0\n"), "{said}");
    let left = "ls /init /run/WSL /usr/lib/systemd/system/winterop.* /etc/systemd/system/*/winterop.* 2>/dev/null; \
        ls /proc/sys/fs/binfmt_misc | grep WSL; systemctl is-active winterop.socket";
    assert_eq!(machine.root(left), "inactive\n");
}
