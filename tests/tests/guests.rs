//! Who is let in, and to what: paths in rules, guests' variables and directories, servers that are not
//! believed.

use winterop_tests::{Machine, hex, needs, quoted};
use winterop_wire::{CommonBlock, Extensions, Role, Tag};

/// A client of its own: sends the request that its second argument has in hexadecimal digits, with its
/// standard descriptors, and prints what is refused or what the program printed.
const CLIENT: &str = "import re, socket, sys\n\
    s = socket.socket(socket.AF_UNIX)\n\
    s.settimeout(60)\n\
    s.connect(sys.argv[1])\n\
    try: socket.send_fds(s, [bytes.fromhex(sys.argv[2])], [0, 1, 2])\n\
    except (BrokenPipeError, ConnectionResetError): pass\n\
    r = s.recv(65536)\n\
    ok = int.from_bytes(r[16:20], 'little') == 0\n\
    s.recv(65536) if ok else print('refused:', re.sub('[^ -~]+', ' ', r.decode('latin1')))\n";

/// A server that says what it was sent.
const SERVER: &str = "import os, socket, sys\n\
    s = socket.socket(socket.AF_UNIX)\n\
    s.bind(sys.argv[1])\n\
    os.chmod(sys.argv[1], 0o777)\n\
    s.listen(8)\n\
    print('listens', flush=True)\n\
    sys.stdin.readline()\n\
    s.setblocking(False)\n\
    def heard():\n\
    \x20   try: return len(s.accept()[0].recv(65536))\n\
    \x20   except BlockingIOError: return 0\n\
    print('heard', heard(), flush=True)\n";

/// Puts the scripts there, and has alice's Wine ready: nobody is told to wait from here on.
fn write_scripts(machine: &mut Machine) {
    machine.user("alice", "$W/hello.exe");
    machine.write("/opt/client.py", CLIENT);
    machine.write("/opt/server.py", SERVER);
    machine.root("mkdir -p /etc/winterop");
}

/// A request that brings no program, and names it by `tag`.
fn request(tag: Tag, name: &str) -> String {
    let mut extensions = Extensions::new();
    extensions.push(tag, name.as_bytes());
    extensions.push_roles([Role::Stdin, Role::Stdout, Role::Stderr]);
    hex(&winterop_tests::request(CommonBlock {
        filename: b"Z:\\x.exe",
        arguments: vec![b"x.exe"],
        extensions,
        ..CommonBlock::default()
    }))
}

fn ask(tag: Tag, name: &str) -> String {
    format!("python3 /opt/client.py /run/WSL/1_interop {}", request(tag, name))
}

/// The policy, a rule for each text.
fn policy(machine: &mut Machine, rules: &[&str]) {
    let text: String = rules.iter().map(|rule| format!("[[rule]]\n{rule}\n")).collect();
    machine.write("/etc/winterop/policy.toml", &text);
    let said = machine.root("winterop config check");
    assert!(said.contains("in order"), "{said}");
}

/// A script in namespaces of its own, as root.
fn elsewhere(script: &str) -> String {
    let script = format!("mount -t tmpfs tmpfs /tmp; mount -t proc proc /proc; {script}");
    format!("unshare --mount --pid --fork sh -c {}", quoted(&script))
}

#[test]
fn a_rule_for_one_folder_runs_nothing_that_lies_in_another() {
    let mut machine = Machine::enabled();
    write_scripts(&mut machine);
    machine.root(
        "mkdir /opt/tools; cp /opt/windows/hello.exe /opt/tools/good.exe; \
        ln -s ../windows /opt/tools/link; ln -s /opt/windows/hello.exe /opt/tools/hello.exe",
    );
    policy(
        &mut machine,
        &[
            "action = \"allow\"\nprogram = [\"/opt/tools/**\"]",
            "name = \"nothing else\"\naction = \"refuse\"",
        ],
    );
    assert_eq!(machine.user("alice", "/opt/tools/good.exe"), "hello\n");
    assert_eq!(
        machine.user("alice", &ask(Tag::LINUX_EXECUTABLE, "/opt/tools/good.exe")),
        "hello\n"
    );
    for claimed in [
        "/opt/tools/../windows/hello.exe",
        "/opt/tools//./../windows/hello.exe",
        "/opt/tools/link/hello.exe",
        "/opt/tools/hello.exe",
        "/proc/self/root/opt/tools/hello.exe",
    ] {
        let said = machine.user("alice", &ask(Tag::LINUX_EXECUTABLE, claimed));
        assert!(said.starts_with("refused:"), "{claimed}: {said}");
        let said = machine.user("alice", &format!("{claimed}; echo $?"));
        assert!(said.contains("nothing else") && said.ends_with("\n126\n"), "{claimed}: {said}");
    }
}

#[test]
fn a_refusal_is_not_got_round_by_another_way_to_write_the_name() {
    let mut machine = Machine::enabled();
    write_scripts(&mut machine);
    machine.root(
        "mkdir /srv/a; ln -s /opt/windows /srv/a/link; mkdir /srv/bound; \
        mount --bind /opt/windows /srv/bound",
    );
    policy(
        &mut machine,
        &["name = \"no hello\"\naction = \"refuse\"\n\
        program = [\"/opt/Windows/hello.exe\", \"**/hostname.exe\"]"],
    );
    assert_eq!(machine.user("alice", "$W/exit-with.exe 3; echo $?"), "3\n");
    for claimed in [
        "/opt/windows/hello.exe",
        "/opt/../opt/windows/hello.exe",
        "/srv/a/link/hello.exe",
        "/srv/bound/hello.exe",
    ] {
        let said = machine.user("alice", &format!("{claimed}; echo $?"));
        assert!(said.contains("no hello") && said.ends_with("\n126\n"), "{claimed}: {said}");
        let said = machine.user("alice", &ask(Tag::LINUX_EXECUTABLE, claimed));
        assert!(said.contains("no hello"), "{claimed}: {said}");
    }
    for name in ["hostname", "HOSTNAME.EXE", "C:\\windows\\system32\\HostName.exe"] {
        let said = machine.user("alice", &ask(Tag::SEARCH_NAME, name));
        assert!(said.contains("no hello"), "{name}: {said}");
    }
}

#[test]
fn a_guest_brings_its_program_or_names_one_of_the_hosts() {
    let mut machine = Machine::enabled();
    write_scripts(&mut machine);
    let system = "/home/alice/.local/share/winterop/prefix/drive_c/windows/system32";
    machine.user("alice", "$W/hello.exe");
    policy(
        &mut machine,
        &[&format!(
            "action = \"allow\"\nuser = [\"bob\"]\nhost = \"alice\"\n\
         program = [\"/opt/windows/hello.exe\", \"{system}/hostname.exe\"]"
        )],
    );
    assert_eq!(machine.user("bob", "cd /; $W/hello.exe"), "hello\n");
    let said = machine.user("bob", "cd /; $W/exit-with.exe 0; echo $?");
    assert!(said.contains("no rule lets uid 1001") && said.ends_with("\n126\n"), "{said}");
    // By its path alone: what is there may be another file in a moment.
    let said = machine.user("bob", &ask(Tag::LINUX_EXECUTABLE, "/opt/windows/hello.exe"));
    assert!(said.starts_with("refused:") && said.contains("guest-without-program"), "{said}");
    // By its name: the host's own program of that name, and only what the rule says.
    let said = machine.user("bob", &ask(Tag::SEARCH_NAME, "hostname"));
    assert_eq!(said.to_lowercase(), machine.root("hostname").to_lowercase());
    let said = machine.user("bob", &ask(Tag::SEARCH_NAME, "whoami"));
    assert!(said.starts_with("refused:"), "{said}");
    let full = "C:\\windows\\system32\\hostname.exe";
    let said = machine.user("bob", &ask(Tag::SEARCH_NAME, full));
    assert!(said.starts_with("refused:") && said.contains("guest-without-program"), "{said}");
    // Where the guest itself could put another file at the name that was decided on, the file that it
    // has passed is what runs.
    policy(
        &mut machine,
        &[
            "action = \"refuse\"\nprogram = [\"/opt/windows/*.exe\"]",
            "action = \"allow\"\nuser = [\"bob\"]\nhost = \"alice\"",
        ],
    );
    machine.root("mkdir /srv/bob; cp /opt/windows/self-path.exe /srv/bob; chown -R bob: /srv/bob");
    let said = machine.user("bob", "cd /; /srv/bob/self-path.exe");
    assert!(said.contains("\\proc\\") && said.contains("\\fd\\"), "{said}");
}

#[test]
fn a_containers_paths_count_only_where_the_machine_has_them_and_nobody_else_changes_them() {
    let mut machine = Machine::enabled();
    write_scripts(&mut machine);
    machine.root(
        "mkdir /opt/tools /srv/shared; cp /opt/windows/hello.exe /opt/tools; \
        cp /opt/windows/hello.exe /srv/shared; chown bob: /srv/shared; mkdir -p /srv/own/tools",
    );
    let rule = "action = \"allow\"\nnamespace = \"other\"\nhost = \"alice\"\n\
        program = [\"/opt/tools/*.exe\", \"/srv/shared/*.exe\"]";
    policy(&mut machine, &[rule]);
    let run = |program: &str| elsewhere(&format!("cd /; {program}; echo $?"));
    assert_eq!(machine.root(&run("/opt/tools/hello.exe")), "hello\n0\n");
    // Another may change it, or has it at the path in a root of its own.
    let refused = |said: &str| said.contains("policy-changeable") && said.ends_with("\n126\n");
    let said = machine.root(&run("/srv/shared/hello.exe"));
    assert!(refused(&said), "{said}");
    let said = machine.root(&elsewhere(
        "mount --bind /srv/own/tools /opt/tools; cp /opt/windows/hello.exe /opt/tools; cd /; \
         /opt/tools/hello.exe; echo $?",
    ));
    assert!(said.ends_with("\n126\n"), "{said}");
    let said = machine.root(&elsewhere(
        "mount -t tmpfs tmpfs /opt/tools; cp /opt/windows/hello.exe /opt/tools; cd /; \
         /opt/tools/hello.exe; echo $?",
    ));
    assert!(refused(&said), "{said}");
    // Each of these makes the path one that others can change.
    for (change, back) in [
        ("chmod 757 /opt/tools/hello.exe", "chmod 755 /opt/tools/hello.exe"),
        ("chmod 1777 /opt/tools", "chmod 755 /opt/tools"),
        ("chmod 775 /opt", "chmod 755 /opt"),
        ("chown bob /opt", "chown root /opt"),
    ] {
        machine.root(change);
        let said = machine.root(&run("/opt/tools/hello.exe"));
        assert!(refused(&said), "{change}: {said}");
        machine.root(back);
    }
    // The host's own user may change it, and so may root.
    machine.root("chown -R alice /opt/tools");
    assert_eq!(machine.root(&run("/opt/tools/hello.exe")), "hello\n0\n");
    // With what is in it, it runs wherever it lies.
    let sum = machine.root("sha256sum </opt/windows/hello.exe | cut -d' ' -f1");
    policy(&mut machine, &[&format!("{rule}\nsha256 = [\"{}\"]", sum.trim())]);
    assert_eq!(machine.root(&run("/srv/shared/hello.exe")), "hello\n0\n");
    machine.root("cp /opt/windows/exit-with.exe /srv/shared/hello.exe");
    let said = machine.root(&run("/srv/shared/hello.exe"));
    assert!(said.contains("no rule lets") && said.ends_with("\n126\n"), "{said}");
}

#[test]
fn a_guests_variables_and_directory_steer_nothing() {
    let mut machine = Machine::enabled();
    write_scripts(&mut machine);
    policy(
        &mut machine,
        &["action = \"allow\"\nnamespace = \"other\"\nhost = \"alice\"\n\
        program = [\"/opt/windows/*.exe\"]\nvariables = [\"BUILD_*\", \"P*\"]"],
    );
    let said = machine.root(&elsewhere(
        "cd /; export WSLENV=FOO:BUILD_ID:TERM:PATH/l:NODE_OPTIONS:PIN FOO=1 BUILD_ID=7 TERM=xterm \
         NODE_OPTIONS=evil PIN=3 DISPLAY=evil:0 WINEDEBUG=+all; \
         $W/env-report.exe FOO BUILD_ID TERM NODE_OPTIONS PIN DISPLAY XDG_RUNTIME_DIR WSLENV; \
         $W/env-report.exe PATH | grep -c opt.winterop",
    ));
    assert_eq!(
        said,
        "FOO\nBUILD_ID=7\nTERM=xterm\nNODE_OPTIONS\nPIN=3\nDISPLAY\nXDG_RUNTIME_DIR\n\
         WSLENV=BUILD_ID:TERM:PIN\n0\n"
    );
    // What lies in a directory that only the guest has is not where a program looks for libraries.
    let said = machine.root(&elsewhere("mkdir /tmp/d; cd /tmp/d; $W/cwd-report.exe; echo $?"));
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].contains("guest's working directory"), "{said}");
    assert_eq!(lines[1..], ["Z:\\opt\\windows", "0"], "{said}");
    // One that the host sees stays.
    assert_eq!(machine.root(&elsewhere("cd /opt; $W/cwd-report.exe")), "Z:\\opt\n");
}

/// Has `user` serve `socket` while `script` runs as alice; returns what the script printed, and what
/// the server was sent.
fn against_server(machine: &mut Machine, user: &str, socket: &str, script: &str) -> String {
    machine.root(&format!(
        "rm -f /srv/in /srv/out {socket}; mkfifo -m 666 /srv/in /srv/out; \
         setpriv --reuid={user} --regid={user} --clear-groups python3 /opt/server.py {socket} \
         </srv/in >/srv/out & exec 8>/srv/in 9</srv/out; read -r line <&9; \
         cd /; setpriv --reuid=alice --regid=alice --init-groups env -i HOME=/home/alice W=/opt/windows \
         PATH=/usr/bin:/bin timeout -k 1 30 sh -c {} >/srv/said 2>&1; \
         echo >&8; read -r line <&9; echo $line >>/srv/said; wait",
        quoted(script)
    ));
    machine.root("cat /srv/said")
}

#[test]
fn who_has_no_uid_in_a_user_namespace_is_not_believed_to_be_oneself() {
    let mut machine = Machine::enabled();
    write_scripts(&mut machine);
    let unmapped = machine.root("cat /proc/sys/kernel/overflowuid");
    let directory = format!("/tmp/winterop-{}", unmapped.trim());
    machine.user("bob", &format!("mkdir -m 755 {directory}"));
    let socket = format!("{directory}/interop");
    let said = against_server(&mut machine, "bob", &socket, "unshare --user $W/hello.exe; echo $?");
    assert!(said.contains("is not known in this user namespace"), "{said}");
    assert!(said.ends_with("\n126\nheard 0\n"), "{said}");
    // Nor where the environment names it, whatever the number is.
    let script = format!("WSL_INTEROP={socket} unshare --user $W/hello.exe; echo $?");
    let said = against_server(&mut machine, "bob", &socket, &script);
    assert!(said.ends_with("\n126\nheard 0\n"), "{said}");
    let said = machine.user("alice", "unshare --user winterop doctor; true");
    assert!(!said.contains(&format!("{socket}, process")), "{said}");
}

#[test]
fn a_socket_whose_name_says_no_process_is_not_believed() {
    let mut machine = Machine::enabled();
    write_scripts(&mut machine);
    for name in ["extra_interop", "interop", "0_interop", "-1_interop"] {
        let socket = format!("/run/WSL/{name}");
        for named in [socket.clone(), format!("/run/../run//WSL/./{name}")] {
            let script = format!("WSL_INTEROP={named} $W/hello.exe; echo $?");
            let said = against_server(&mut machine, "root", &socket, &script);
            assert_eq!(said, "hello\n0\nheard 0\n", "{named}");
        }
        let said = machine.root(&format!("rm {socket}; test -e {socket}; echo $?"));
        assert_eq!(said, "1\n");
    }
}

/// What a guest tries with its directory of sockets; each that works is printed, as the last one does,
/// which is no attack.
const ATTACKS: &str = "for attack in \
    'rm /run/WSL/1_interop' 'rm /run/WSL/*_interop' 'mv /run/WSL/1_interop /run/WSL/2_interop' \
    'touch /run/WSL/x' 'ln -s /tmp/x /run/WSL/9_interop' 'ln -sfn /tmp/x /run/WSL/1_interop' \
    'mkdir /run/WSL/d' 'chmod 777 /run/WSL' 'chown 1 /run/WSL' 'rmdir /run/WSL' \
    'mount -o remount,bind,rw /run/WSL && touch /run/WSL/y' 'touch /tmp/control'; do \
    sh -c \"$attack\" >/dev/null 2>&1 && echo \"worked: $attack\"; done";

/// What is in a guest's directory, as the machine sees it.
const LISTING: &str = "ls -ld /run/winterop/guests/build | cut -c1-10; \
    ls /run/winterop/guests/build | sed 's/^[0-9][0-9][0-9]*_/N_/' | sort -u";

const RULE: &str = "action = \"allow\"\nnamespace = \"other\"\nhost = \"alice\"\n\
    program = [\"/opt/windows/*.exe\"]";

/// Runs a container that attacks its directory, runs a program, and one more when the machine's init
/// was started again meanwhile.
fn through_a_restart(machine: &mut Machine, container: &str, attacks: &str) -> String {
    let inside = format!(
        "cd /; {attacks}; /tools/hello.exe; /tools/cat.exe </etc/said; echo first; read -r go; \
         /tools/hello.exe; ls /run/WSL | grep -c interop"
    );
    machine.write("/opt/inside.sh", &inside);
    machine.root(&format!(
        "rm -f /srv/in; mkfifo -m 666 /srv/in; : >/srv/out; chmod 666 /srv/out; \
         {container} </srv/in >/srv/out 2>&1 & exec 7>/srv/in; \
         until grep -q first /srv/out; do kill -0 $! || break; done; \
         kill $(ps -e -o pid=,args= | awk '$2 == \"init\" && $3 == \"--machine\" {{print $1}}'); \
         until ! ps -e -o args= | grep -q '^init --machine'; do :; done; \
         winterop enable >/dev/null; echo go >&7; exec 7>&-; wait"
    ));
    machine.root("cat /srv/out")
}

#[test]
fn a_guests_directory_is_made_served_and_taken_away() {
    let mut machine = Machine::enabled();
    write_scripts(&mut machine);
    assert_eq!(machine.root("ls /run/winterop 2>&1 | grep -c guests; winterop guest list"), "0\n");
    let said = machine.user("alice", "winterop guest add build; echo $?");
    assert!(said.contains("only root can add a guest") && said.ends_with("\n126\n"), "{said}");
    for wrong in ["../x", ".x", "a/b", "''"] {
        let said = machine.root(&format!("winterop guest add {wrong}; echo $?"));
        assert!(said.contains("guest's name") && !said.ends_with("\n0\n"), "{wrong}: {said}");
    }
    let said = machine.root("winterop guest add build; echo $?");
    let option = "--volume /run/winterop/guests/build:/run/WSL:ro";
    assert!(said.contains(option) && said.ends_with("\n0\n"), "{said}");
    assert_eq!(machine.root(LISTING), "drwxr-xr-x\n1_interop\nN_interop\n");
    let list = "winterop guest list; echo $?";
    let listed = "build\t/run/winterop/guests/build\tserved\n0\n";
    assert_eq!(machine.user("alice", list), listed);
    // A server that was killed leaves its sockets; the next one makes its own, in the same directory.
    let inode = machine.root("stat -c %i /run/winterop/guests/build");
    machine
        .root("kill -9 $(ps -e -o pid=,args= | awk '$2 == \"init\" {print $1}'); winterop enable");
    assert_eq!(machine.user("alice", list), listed);
    assert_eq!(machine.root(LISTING), "drwxr-xr-x\n1_interop\nN_interop\n");
    assert_eq!(machine.root("ls /run/winterop/guests/build | wc -l"), "2\n");
    assert_eq!(machine.root("stat -c %i /run/winterop/guests/build"), inode);
    // Who comes by it is a guest, although it is a user of the machine in no namespace of its own.
    let by = "export WSL_INTEROP=/run/winterop/guests/build/1_interop; cd /; $W/hello.exe; echo $?";
    let said = machine.user("alice", &by.replace("$W/hello.exe", "env WSL_INTEROP= $W/hello.exe"));
    assert_eq!(said, "hello\n0\n");
    let asked = format!(
        "cd /; python3 /opt/client.py /run/winterop/guests/build/1_interop {}",
        request(Tag::SEARCH_NAME, "hostname")
    );
    let said = machine.user("alice", &asked);
    assert!(said.starts_with("refused:") && said.contains("no rule lets uid 1000"), "{said}");
    policy(&mut machine, &[RULE]);
    let said = machine.user("alice", &asked);
    assert!(said.starts_with("refused:"), "{said}");
    // A folder of names that others may write is not believed.
    machine.root("chmod 777 /etc/winterop/guests; touch /etc/winterop/guests/evil");
    let said = machine.root("winterop guest list; echo $?");
    assert!(said.contains("/etc/winterop/guests") && said.ends_with("\n126\n"), "{said}");
    assert_eq!(machine.root("ls /run/winterop/guests"), "build\n");
    machine.root("rm /etc/winterop/guests/evil; chmod 755 /etc/winterop/guests");
    assert_eq!(machine.root("winterop guest remove build; echo $?"), "0\n");
    assert_eq!(
        machine.root("ls /run/winterop/guests; winterop guest remove build; echo $?"),
        "there is no guest build\n1\n"
    );
    // What is noted is there again with the next server; and disabling takes it away.
    machine.root("winterop guest add build; winterop disable");
    assert_eq!(machine.root("ls /run/winterop 2>/dev/null; ls /etc/winterop/guests"), "build\n");
    machine.root("winterop enable");
    assert_eq!(machine.user("alice", list), listed);
}

#[test]
fn a_container_of_podmans_has_a_socket_and_cannot_touch_it() {
    let mut machine = Machine::enabled();
    write_scripts(&mut machine);
    policy(&mut machine, &[RULE]);
    machine.root("winterop guest add build; mkdir -p /srv/c; cd /srv/c; \
        mkdir -p bin dev proc sys etc run/WSL tmp tools; cp /bin/busybox bin; echo said >etc/said; \
        for p in sh rm mv touch ln mkdir chmod chown rmdir ls grep cat mount; do ln -sf busybox bin/$p; done; \
        : >inside.sh; echo root:x:0:0::/:/bin/sh >etc/passwd; mkdir etc/winterop; \
        echo /run/WSL/1_interop >etc/winterop/trusted-sockets; : >etc/hosts; : >etc/resolv.conf; : >etc/hostname; chown -R 100000:100000 /srv/c");
    // Its root has every capability in its own user namespace.
    let run = "podman --storage-driver vfs --root /srv/storage --runroot /srv/run \
        --cgroup-manager cgroupfs --events-backend none run -i --rm --cgroups disabled \
        --network none --cap-add ALL --uidmap 0:100000:65536 --gidmap 0:100000:65536 --security-opt seccomp=unconfined \
        --security-opt apparmor=unconfined --volume /opt/inside.sh:/inside.sh:ro \
        --volume /opt/windows:/tools:ro --volume /run/winterop/guests/build:/run/WSL:ro \
        --rootfs /srv/c sh /inside.sh";
    // It wants cgroups of one version only.
    let cgroups = "mount -t tmpfs tmpfs /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup";
    let mounted = machine.root(&format!("unshare --mount --cgroup sh -c '{cgroups}'; echo $?"));
    needs(mounted == "0\n", "cgroups of version 2 cannot be mounted");
    let podman = format!("unshare --mount --cgroup sh -c '{cgroups}; exec {run}'");
    let said = through_a_restart(&mut machine, &podman, ATTACKS);
    assert_eq!(said, "worked: touch /tmp/control\nhello\nsaid\nfirst\nhello\n2\n");
    assert_eq!(machine.root(LISTING), "drwxr-xr-x\n1_interop\nN_interop\n");
    assert_eq!(machine.root("ps -u root -o args= | grep -c ^wslhost"), "0\n");
}

#[test]
fn a_container_with_all_capabilities_in_its_user_namespace_cannot_touch_its_sockets() {
    let mut machine = Machine::enabled();
    write_scripts(&mut machine);
    machine.root(
        "winterop guest add build; echo said >/etc/said; \
        echo /run/WSL/1_interop >/etc/winterop/trusted-sockets",
    );
    policy(&mut machine, &[RULE]);
    let wrap = "setpriv --reuid=alice --regid=alice --init-groups env -i PATH=/usr/bin:/bin \
         bwrap --unshare-all --uid 0 --gid 0 --cap-add ALL --ro-bind /usr /usr --symlink usr/bin /bin \
         --symlink usr/lib64 /lib64 --symlink usr/lib /lib --ro-bind /opt/windows /tools --proc /proc \
         --dev /dev --tmpfs /tmp --ro-bind /etc /etc --ro-bind /opt/inside.sh /inside.sh \
         --dir /run --ro-bind /run/winterop/guests/build /run/WSL --chdir / sh /inside.sh";
    let said = through_a_restart(&mut machine, wrap, ATTACKS);
    assert_eq!(said, "worked: touch /tmp/control\nhello\nsaid\nfirst\nhello\n2\n");
    assert_eq!(machine.root(LISTING), "drwxr-xr-x\n1_interop\nN_interop\n");
}
