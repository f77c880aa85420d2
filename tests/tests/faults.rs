//! What others may do to a machine's launches, on purpose or not: each is told in words to whom it
//! concerns, and nobody else notices.

use winterop_tests::{Machine, expect_soon, quoted};

const RUN: &str = "$W/hello.exe; echo $?";

/// A file system with one program, `x.exe`, of which it gives what the kernel's exec reads. Whoever
/// reads more, or closes it, is never answered.
const SILENT_FUSE: &str = r#"
import ctypes, os, struct, sys
head = open('/opt/windows/hello.exe', 'rb').read(4096)
fuse = os.open('/dev/fuse', os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f'fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other'.encode()
if libc.mount(b'silent', b'/mnt', b'fuse', 0, options):
    sys.exit(os.strerror(ctypes.get_errno()))
print('mounted', flush=True)
def attributes(node):
    mode = 0o40755 if node == 1 else 0o100755
    return struct.pack('<6Q10I', node, 1 << 20, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
while True:
    request = os.read(fuse, 1 << 17)
    _, code, unique, node = struct.unpack_from('<IIQQ', request)
    size = struct.unpack_from('<I', request, 56)[0] if code == 15 else 0
    if code in (18, 25) or size > 256:
        continue
    error, body = 0, b''
    if code == 26:
        body = struct.pack('<4I2H2I2H8I', 7, 31, 65536, 0, 12, 10, 4096, 1, 0, 0, *[0] * 8)
    elif code == 1:
        body = struct.pack('<4Q2I', 2, 0, 3600, 3600, 0, 0) + attributes(2)
    elif code == 3:
        body = struct.pack('<Q2I', 3600, 0, 0) + attributes(node)
    elif code == 14:
        body = struct.pack('<Q2I', 0, 1, 0)
    elif code == 15:
        body = head[:size]
    else:
        error = -38
    os.write(fuse, struct.pack('<IiQ', 16 + len(body), error, unique) + body)
"#;

#[test]
fn an_executable_on_a_file_system_that_never_answers_holds_up_nobody() {
    let mut machine = Machine::enabled();
    for user in ["alice", "bob"] {
        assert_eq!(machine.user(user, RUN), "hello\n0\n");
    }
    machine.write("/opt/fuse.py", SILENT_FUSE);
    machine.root("python3 /opt/fuse.py >/tmp/mounted 2>&1 & echo $! >/tmp/fuse-pid; until grep -q mounted /tmp/mounted; do :; done");
    // Straight to the host, and through the machine's init: with the program and with a standard
    // descriptor that is a file there.
    machine.root(&format!(
        "for socket in /tmp/winterop-1000/interop /run/WSL/1_interop; do \
         setpriv --reuid=alice --regid=alice --init-groups env HOME=/home/alice WSL_INTEROP=$socket sh -c {} & done; \
         until test $(pgrep -c -f '^/init /mnt/x') = 2; do :; done",
        quoted("cd /; exec /mnt/x.exe </dev/null >/tmp/alice-said 2>&1")
    ));
    for _ in 0..5 {
        for user in ["alice", "bob"] {
            assert_eq!(machine.user(user, RUN), "hello\n0\n", "{user}");
            let through = format!("WSL_INTEROP=/run/WSL/1_interop; export WSL_INTEROP; {RUN}");
            assert_eq!(machine.user(user, &through), "hello\n0\n", "{user}");
        }
    }
    // When its server is gone, so is the wait.
    machine.root("kill -9 $(cat /tmp/fuse-pid)");
    expect_soon("the launches end", || {
        (machine.root("pgrep -c -f '^/init /mnt/x'") == "0\n").then_some(())
    });
    machine.root("umount /mnt");
}

#[test]
fn odd_sockets_are_passed_over() {
    let mut machine = Machine::enabled();
    assert_eq!(machine.user("bob", RUN), "hello\n0\n");
    // Another user's, by a link; another user's, for a moment when others could write there; one that
    // is a file, a directory, a link to itself.
    machine
        .root("ln -s /tmp/winterop-1001/interop /run/WSL/71_interop; chmod 755 /tmp/winterop-1001; chmod 777 /tmp/winterop-1001/interop");
    machine.root("echo x >/run/WSL/72_interop; mkdir /run/WSL/73_interop; ln -s 74_interop /run/WSL/74_interop");
    machine.root("chmod 777 /run/WSL");
    machine.user(
        "bob",
        "python3 -c 'import socket, os; s = socket.socket(socket.AF_UNIX); s.bind(\"/run/WSL/75_interop\"); s.listen(); \
         os.chmod(\"/run/WSL/75_interop\", 0o777); os.fork() and os._exit(0); [s.accept() for _ in iter(int, 1)]' >/dev/null 2>&1",
    );
    machine.root("chmod 755 /run/WSL");
    for number in 70..76 {
        let run = format!("export WSL_INTEROP=/run/WSL/{number}_interop; {RUN}");
        assert_eq!(machine.user("alice", &run), "hello\n0\n", "{number}");
    }
    // Under the pid of the shell that starts the program.
    let run = "ln -s 75_interop /tmp/x; $W/hello.exe; echo $?";
    assert_eq!(machine.user("alice", run), "hello\n0\n");
    // With nobody else to ask, each is named with what is wrong with it.
    machine.root("winterop disable; mkdir -p /run/WSL");
    machine.root("kill -9 $(ps -u alice -o pid=,args= | awk '$2 == \"wslhost\" {print $1}'); rm -rf /tmp/winterop-1000");
    machine.root("cp /opt/winterop/lib/winterop/init /opt/init");
    let ask = |socket: &str| format!("WSL_INTEROP={socket} /opt/init $W/hello.exe; echo $?");
    for (socket, words) in [
        ("/run/WSL/71_interop", "its server runs as uid 1001, which is neither you nor root"),
        ("/run/WSL/72_interop", "permission denied"),
        ("/run/WSL/75_interop", "its server runs as uid 1001"),
        ("/run/WSL/70_interop", "no such file"),
    ] {
        let said = machine.user("alice", &ask(socket));
        assert!(
            said.contains(&format!("{socket}: {words}")) && said.ends_with("\n126\n"),
            "{said}"
        );
    }
    // The directory missing, and one that nobody can write.
    machine.root("mount -t tmpfs -o ro,mode=755 tmpfs /run/WSL");
    assert!(machine.user("alice", &ask("")).contains("/run/WSL/1_interop: no such file"));
    let said = machine.root("winterop enable; echo $?");
    assert!(said.contains("Read-only file system") && said.ends_with("\n126\n"), "{said}");
    machine.root("umount /run/WSL; rm -rf /run/WSL");
    assert!(machine.user("alice", &ask("")).contains("/run/WSL/1_interop: no such file"));
    assert!(machine.root("winterop enable; echo $?").ends_with("\n0\n"));
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_told_of() {
    let mut machine = Machine::enabled();
    let silent = "python3 -c 'import socket, os; s = socket.socket(socket.AF_UNIX); s.bind(\"/tmp/silent\"); s.listen(); \
        os.fork() and os._exit(0); c = s.accept(); s.accept()' >/dev/null 2>&1; ";
    let said =
        machine.user("alice", &format!("{silent} WSL_INTEROP=/tmp/silent $W/hello.exe; echo $?"));
    assert!(said.contains("it was silent for 10 s") && said.ends_with("\n1\n"), "{said}");
}

#[test]
fn set_uid_callers_start_nothing() {
    let mut machine = Machine::enabled();
    machine.root("cp /usr/bin/env /opt/as-root; chmod 4755 /opt/as-root; cp /usr/bin/env /opt/as-bob; chown bob /opt/as-bob; chmod 4755 /opt/as-bob");
    for program in ["/opt/as-root", "/opt/as-bob"] {
        let said = machine.user("alice", &format!("{program} $W/hello.exe; echo $?"));
        assert!(said.contains("set-uid") && said.ends_with("\n126\n"), "{said}");
        let hosts = machine.root("ps -e -o args= | grep -c ^wslhost");
        assert_eq!(hosts, "0\n");
    }
}

#[test]
fn a_host_that_dies_while_it_is_asked_and_wines_server_that_was_killed() {
    let mut machine = Machine::enabled();
    let host = "$(ps -u alice -o pid=,args= | awk '$2 == \"wslhost\" {print $1}')";
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    for socket in ["/tmp/winterop-1000/interop", "/run/WSL/1_interop"] {
        // Stopped, so that the request is on its way when it dies.
        let said = machine.user(
            "alice",
            &format!(
                "host={host}; kill -STOP $host; WSL_INTEROP={socket} $W/hello.exe >said 2>&1 & caller=$!; \
                 until readlink /proc/$caller/exe | grep -q ^/init && grep -q S /proc/$caller/stat; do :; done; \
                 kill -9 $host; wait $caller; echo $?; cat said"
            ),
        );
        // It was told, or has found the next host; nothing else.
        let is_right =
            said == "0\nhello\n" || said.starts_with("1\n") && said.contains("without an answer");
        assert!(is_right, "{said}");
        assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    }
    machine.root("kill -9 $(pgrep -u alice wineserver)");
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
}
