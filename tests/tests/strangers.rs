//! Peers of which a server must hold nothing, believe nothing, and for which nobody else may wait.

use winterop_tests::{Machine, expect_soon, hex, quoted};
use winterop_wire::{CommonBlock, Extensions, Role, Tag};

const RUN: &str = "$W/hello.exe 2>/dev/null; echo $?";

/// A socket that is not closed before its peer has read what nobody reads.
const LINGERING: &str = r#"
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen(100)
def lingering():
    one = socket.create_connection(listener.getsockname())
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 3600))
    one.setblocking(False)
    kept.append(one)
    try:
        while True:
            one.send(bytes(65536))
    except BlockingIOError:
        return one
kept = []
"#;

/// A request as an interpreter sends it, for a program that is there.
fn request() -> Vec<u8> {
    let mut extensions = Extensions::new();
    extensions.push(Tag::LINUX_EXECUTABLE, &b"/opt/windows/hello.exe"[..]);
    extensions.push_roles([Role::Stdin; 0]);
    winterop_tests::request(CommonBlock {
        filename: b"Z:\\opt\\windows\\hello.exe",
        working_directory: b"Z:\\",
        arguments: vec![b"hello.exe"],
        extensions,
        ..CommonBlock::default()
    })
}

/// Puts a script on the machine that knows a request besides; the command that runs it.
fn python(machine: &mut Machine, script: &str) -> String {
    let known = format!("REQUEST = bytes.fromhex('{}')\n", hex(&request()));
    machine.python("script", &format!("{known}{script}"))
}

/// How many files the machine's init has open.
fn open_files(machine: &mut Machine) -> usize {
    let count = machine.root("ls /proc/$(pgrep -o -f -- --machine)/fd | wc -l");
    count.trim().parse().unwrap_or_else(|_| panic!("{count}"))
}

#[test]
fn roots_init_holds_nothing_that_a_peer_has_sent() {
    let mut machine = Machine::enabled();
    for user in ["alice", "bob"] {
        assert_eq!(machine.user(user, RUN), "hello\n0\n");
    }
    let before = open_files(&mut machine);
    // Whole requests and halves of such, with as many files as fit, some of which cannot be closed;
    // connections on which nothing comes; more of them than one may have.
    let attack = python(
        &mut machine,
        &format!(
            r#"{LINGERING}
null = open('/dev/null')
held = []
for number in range(400):
    try:
        connection = connect(INIT)
        if number % 4:
            files = [lingering()] if number % 40 == 1 else [null] * 15
            send(connection, [REQUEST[:30], REQUEST, b'x' * 100][number % 3], files)
        held.append(connection)
    except OSError:
        pass
print('attacked', flush=True)
signal.pause()
"#
        ),
    );
    machine.root("mkdir -m 777 /opt/said");
    machine.user("bob", &format!("{attack} >/opt/said/attack 2>&1 & echo $! >/opt/said/pid"));
    machine.root("until grep -q attacked /opt/said/attack; do :; done");
    let through_init = format!("export WSL_INTEROP=/run/WSL/1_interop; {RUN}");
    for _ in 0..5 {
        assert_eq!(machine.user("alice", &through_init), "hello\n0\n");
    }
    // It has a place for each of those that are being handed over, and none of their files.
    let during = open_files(&mut machine);
    assert!(during < before + 128 * 2 + 16, "{before} files, then {during}");
    machine.root("kill -9 $(cat /opt/said/pid)");
    expect_soon("everything is closed", || (open_files(&mut machine) <= before + 4).then_some(()));
    assert_eq!(machine.user("bob", &through_init), "hello\n0\n");
}

#[test]
fn what_cannot_be_closed_holds_up_neither_init_nor_host() {
    let mut machine = Machine::enabled();
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    for socket in ["INIT", "ALICE"] {
        let attack = python(
            &mut machine,
            &format!(
                r#"{LINGERING}
for number in range(24):
    # Who ends closes at once; the last to close is whoever has what was sent.
    child = os.fork()
    if child == 0:
        connection = connect({socket})
        send(connection, b'x' * 100, [lingering()])
        if number % 2:
            connection.shutdown(socket.SHUT_WR)
        os._exit(0)
    os.waitpid(child, 0)
print('attacked', flush=True)
os._exit(0)
"#
            ),
        );
        assert_eq!(machine.user("alice", &attack), "attacked\n");
        for placement in ["", "WINTEROP_PLACEMENT=hosted"] {
            let run = format!("WSL_INTEROP=/run/WSL/1_interop {placement} $W/hello.exe; echo $?");
            assert_eq!(machine.user("alice", &run), "hello\n0\n");
        }
    }
}

#[test]
fn a_connection_that_is_another_process_s_by_now_is_refused() {
    let mut machine = Machine::enabled();
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    for socket in ["INIT", "ALICE"] {
        // Who has connected ends; its child goes on with the connection.
        let handed_on = python(
            &mut machine,
            &format!(
                r#"
reader, writer = os.pipe()
if os.fork() == 0:
    os.close(reader)
    os.setsid()
    parent = os.getppid()
    connection = None
    first = os.fork()
    if first == 0:
        own = os.getpid()
        connection = connect({socket})
        if os.fork():
            os._exit(0)
        while os.path.exists(f'/proc/{{own}}'):
            pass
        send(connection, REQUEST)
        os.write(writer, answer(connection).encode())
        os._exit(0)
    os.waitpid(first, 0)
    os._exit(0)
os.close(writer)
text = b''
while part := os.read(reader, 65536):
    text += part
print('ended' if b'the process that has connected has ended' in text else text)
"#
            ),
        );
        assert_eq!(machine.user("alice", &handed_on), "ended\n", "{socket}");
    }
}

#[test]
fn the_entrance_for_the_machine_takes_hand_overs_only() {
    let mut machine = Machine::enabled();
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    let direct = python(
        &mut machine,
        "connection = connect(ALICE)\nsend(connection, REQUEST)\nprint('not served here' in answer(connection))",
    );
    assert_eq!(machine.root(&direct), "True\n");
    // Others do not get that far.
    machine.root("chmod 755 /tmp/winterop-1000; chmod 666 /tmp/winterop-1000/interop");
    let foreign = python(
        &mut machine,
        "connection = connect(ALICE)\nsend(connection, REQUEST)\nprint('you are uid 1001' in answer(connection) or 'uid 1001' in answer(connection))",
    );
    let said = machine.user("bob", &foreign);
    machine.root("chmod 700 /tmp/winterop-1000");
    assert_eq!(said, "True\n");
}

#[test]
fn a_users_own_sandbox_is_a_guest_until_the_user_says_otherwise() {
    let mut machine = Machine::enabled();
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    let sandbox = |script: &str| {
        format!("unshare --user --map-current-user --mount sh -c {}", quoted(script))
    };
    let run = sandbox("WSL_INTEROP=/tmp/winterop-1000/interop $W/hello.exe; echo $?");
    let said = machine.user("alice", &run);
    assert!(said.contains("no rule lets uid 1000 in another namespace"), "{said}");
    assert!(said.contains("sandboxes = true") && said.ends_with("\n126\n"), "{said}");
    // It cannot make itself an instance of alice's either, nor hand others over.
    let own = python(
        &mut machine,
        r#"
for kind in [0x57490007, 0x57490006]:
    connection = connect(ALICE)
    send(connection, struct.pack('<4I', kind, 16, 1, 0), [connection])
    print('not served here' in answer(connection))
"#,
    );
    assert_eq!(machine.user("alice", &sandbox(&own)), "True\nTrue\n");
    machine.user(
        "alice",
        "mkdir -p .config/winterop; echo 'sandboxes = true' >.config/winterop/config.toml; winterop host stop",
    );
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    assert_eq!(machine.user("alice", &run), "hello\n0\n");
    // By the machine's entrance root decides, whatever the user says.
    machine.root("mkdir -p /etc/winterop; echo /run/WSL/1_interop >/etc/winterop/trusted-sockets");
    let run = sandbox("WSL_INTEROP=/run/WSL/1_interop $W/hello.exe; echo $?");
    let said = machine.user("alice", &run);
    assert!(said.contains("no rule lets uid 1000") && said.ends_with("\n126\n"), "{said}");
}

#[test]
fn an_instance_is_known_to_the_host_that_runs_now() {
    let mut machine = Machine::enabled();
    let host = "$(ps -u alice -o pid=,args= | awk '$2 == \"wslhost\" {print $1}')";
    // In the instance, through its server and without; then the same with another host.
    let runs = "$W/hello.exe; winterop run $W/hello.exe; ";
    let kill = format!("host={host}; kill -9 $host; while kill -0 $host; do :; done");
    let script = format!("{runs} {{ {kill}; {runs} }} 2>/dev/null; echo $?");
    let said = machine.user("alice", &format!("winterop shell sh -c {}", quoted(&script)));
    assert_eq!(said, "hello\nhello\nhello\nhello\n0\n");
}

#[test]
fn a_refusal_is_read_although_the_request_was_not_taken() {
    let mut machine = Machine::enabled();
    let long = "$(head -c 120000 /dev/zero | tr '\\0' x)";
    let run = format!(
        "long={long}; set --; for i in $(seq 14); do set -- \"$@\" $long; done; $W/hello.exe \"$@\"; echo $?"
    );
    let said = machine.root(&format!("unshare --mount sh -c {}", quoted(&run)));
    assert!(said.contains("no rule lets uid 0") && said.ends_with("\n126\n"), "{said}");
}
