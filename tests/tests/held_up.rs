//! Nobody is held up by what others keep: a host that was stopped, a file that cannot be closed, a `/proc`
//! that says nothing.

use winterop_tests::{Machine, expect_soon, hex};
use winterop_wire::{CommonBlock, Extensions, Role, Tag};

/// That the first launch takes long is said on standard error.
const THROUGH_INIT: &str =
    "WSL_INTEROP=/run/WSL/1_interop timeout 60 $W/hello.exe 2>/dev/null; echo $?";

/// Starts a script as a user; what it prints is in `/opt/said/NAME`, its pid in `/opt/said/NAME.pid`.
fn start(machine: &mut Machine, user: &str, name: &str, command: &str) {
    machine.root("mkdir -p -m 777 /opt/said");
    let start = format!("{command} >/opt/said/{name} 2>&1 & echo $! >/opt/said/{name}.pid");
    match user {
        "root" => machine.root(&start),
        user => machine.user(user, &start),
    };
}

/// Waits until a script has printed something.
fn wait_for(machine: &mut Machine, name: &str, words: &str) -> String {
    expect_soon(words, || {
        let said = machine.root(&format!("cat /opt/said/{name}"));
        // What Python says at the end of its trace.
        assert!(!said.contains("Error:"), "{said}");
        said.contains(words).then_some(said)
    })
}

/// The pid of alice's host.
fn host_of_alice(machine: &mut Machine) -> String {
    let host = "ps -u alice -o pid=,args= | awk '$2 == \"wslhost\" {print $1}'";
    machine.root(host).trim().to_owned()
}

#[test]
fn a_stopped_host_has_few_connections_in_flight_and_others_are_served() {
    let mut machine = Machine::enabled();
    for user in ["alice", "bob"] {
        assert_eq!(machine.user(user, THROUGH_INIT), "hello\n0\n");
    }
    let host = host_of_alice(&mut machine);
    machine.root(&format!("kill -STOP {host}"));
    // Each connection is refused with words before long, or in flight, which the kernel counts.
    let many = machine.python(
        "many",
        r#"
connections, texts = [connect(INIT) for _ in range(400)], []
for connection in connections:
    send(connection, b'x')
print('sent', flush=True)
def in_flight():
    folder, count = f'/proc/{sys.argv[1]}/fdinfo', 0
    for descriptor in os.listdir(folder):
        for line in open(f'{folder}/{descriptor}'):
            count += int(line.split()[1]) if line.startswith('scm_fds:') else 0
    return count
waiting = select.poll()
silent = {connection.fileno(): connection for connection in connections}
for descriptor in silent:
    waiting.register(descriptor, select.POLLIN)
deadline = time.monotonic() + 25
while len(silent) > in_flight():
    if time.monotonic() > deadline:
        sys.exit('Error: some are neither refused nor in flight')
    # That one is in flight by now no event tells.
    for descriptor, _ in waiting.poll(50):
        waiting.unregister(descriptor)
        texts.append(answer(silent.pop(descriptor)))
known = ['the host took no launch for', 'are being handed over already']
print('other words:', [text for text in texts if not any(words in text for words in known)])
print('in flight:', len(silent), flush=True)
"#,
    );
    start(&mut machine, "alice", "many", &format!("{many} {host}"));
    wait_for(&mut machine, "many", "sent");
    for _ in 0..3 {
        assert_eq!(machine.user("bob", THROUGH_INIT), "hello\n0\n");
    }
    let said = wait_for(&mut machine, "many", "in flight:");
    machine.root(&format!("kill -CONT {host}"));
    assert!(said.contains("other words: []"), "{said}");
    let in_flight = said.trim().rsplit(' ').next().and_then(|it| it.parse::<u32>().ok());
    assert!(in_flight.is_some_and(|it| (32..=130).contains(&it)), "{said}");
    for user in ["alice", "bob"] {
        assert_eq!(machine.user(user, THROUGH_INIT), "hello\n0\n");
    }
}

/// Mounts [`NEVER_CLOSED`] at `/opt/never`, when alice's host runs.
fn mount_never_closed(machine: &mut Machine) {
    assert_eq!(machine.user("alice", THROUGH_INIT), "hello\n0\n");
    let fuse = machine.python("fuse", NEVER_CLOSED);
    start(machine, "root", "fuse", &format!("{fuse} /opt/never"));
    wait_for(machine, "fuse", "mounted");
}

/// A file system with one file, whose server answers everything but that the file is closed or written.
const NEVER_CLOSED: &str = r#"
import ctypes
place = sys.argv[1]
os.makedirs(place, exist_ok=True)
fuse = os.open('/dev/fuse', os.O_RDWR)
options = f'fd={fuse},rootmode=40755,user_id=0,group_id=0,allow_other'.encode()
if ctypes.CDLL(None, use_errno=True).mount(b'test', place.encode(), b'fuse', 0, options):
    sys.exit('mount: ' + os.strerror(ctypes.get_errno()))
print('mounted', flush=True)
LOOKUP, FORGET, GETATTR, OPEN, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 18, 25, 26
READ, WRITE, INTERRUPT, BATCH_FORGET = 15, 16, 36, 42
def attributes(node):
    mode = 0o40755 if node == 1 else 0o100666
    return struct.pack('<6Q10I', node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
while True:
    request = os.read(fuse, 1 << 20)
    _, kind, unique, node = struct.unpack_from('<IIQQ', request)
    if kind in (FORGET, BATCH_FORGET, INTERRUPT):
        continue
    if kind in (FLUSH, WRITE):
        print('closing' if kind == FLUSH else 'writing', flush=True)
        continue
    answers = {
        INIT: struct.pack('<4I2H2I2HI28x', 7, 31, 4096, 0, 12, 9, 4096, 1, 1, 0, 0),
        LOOKUP: struct.pack('<4Q2I', 2, 0, 3600, 3600, 0, 0) + attributes(2),
        GETATTR: struct.pack('<Q2I', 3600, 0, 0) + attributes(node),
        OPEN: struct.pack('<Q2I', 1, 0, 0),
        READ: bytes(4096),
        RELEASE: b'',
    }
    error = 0 if kind in answers else -38
    body = answers.get(kind, b'')
    os.write(fuse, struct.pack('<IiQ', 16 + len(body), error, unique) + body)
"#;

#[test]
fn a_file_that_is_never_closed_holds_up_no_program_that_the_host_starts() {
    let mut machine = Machine::enabled();
    mount_never_closed(&mut machine);
    // Who has handed a client over may take its time with the next: the host keeps what has come.
    let holder = machine.python(
        "holder",
        r#"
file = os.open('/opt/never/file', os.O_RDONLY)
ours, theirs = socket.socketpair()
connection = connect(ALICE)
send(connection, struct.pack('<4I', 0x57490006, 16, 1, 0), [theirs.fileno()])
theirs.close()
send(ours, b'x')
ours.shutdown(socket.SHUT_WR)
print('handed over' if answer(ours) else 'not served', flush=True)
send(connection, struct.pack('<2I', 0x57490006, 16), [file])
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print('passed', flush=True)
signal.sigwait([signal.SIGUSR1])
# Who closes the file itself hangs.
connection.close()
signal.pause()
"#,
    );
    start(&mut machine, "alice", "holder", &holder);
    let said = wait_for(&mut machine, "holder", "passed");
    assert_eq!(said, "handed over\npassed\n");
    let host = host_of_alice(&mut machine);
    let held = format!("ls -l /proc/{host}/fd | grep -c /opt/never/file");
    expect_soon("the host has the file", || (machine.root(&held) == "1\n").then_some(()));
    let run = format!("export WINTEROP_PLACEMENT=hosted; {THROUGH_INIT}");
    let direct = run.replace("/run/WSL/1_interop", "/tmp/winterop-1000/interop");
    for run in [&run, &direct] {
        assert_eq!(machine.user("alice", run), "hello\n0\n");
    }
    assert_eq!(machine.root(&held), "1\n");
    assert!(!machine.root("cat /opt/said/fuse").contains("closing"));
    // Nor does it when the host closes it.
    machine.root("kill -USR1 $(cat /opt/said/holder.pid)");
    wait_for(&mut machine, "fuse", "closing");
    for run in [&run, &direct] {
        assert_eq!(machine.user("alice", run), "hello\n0\n");
    }
    // Without its server everything that waits for it goes on.
    machine.root("kill -9 $(cat /opt/said/fuse.pid)");
}

#[test]
fn what_no_hand_over_should_have_holds_up_no_host() {
    let mut machine = Machine::enabled();
    mount_never_closed(&mut machine);
    // A file where a connection should be, more than one, and one where a process should be.
    let sender = machine.python(
        "sender",
        r#"
file = os.open('/opt/never/file', os.O_RDONLY)
for kind, files in [(6, [file]), (6, [file, file]), (7, [file]), (7, [file, file])]:
    connection = connect(ALICE)
    send(connection, struct.pack('<4I', 0x57490000 + kind, 16, 1, 0), files)
    # It is answered, or the next message is taken.
    connection.shutdown(socket.SHUT_WR)
    answer(connection)
    print('passed', flush=True)
signal.pause()
"#,
    );
    start(&mut machine, "alice", "sender", &sender);
    wait_for(&mut machine, "sender", "passed\npassed\npassed\npassed");
    // Each time something is being closed; what came with it waits.
    wait_for(&mut machine, "fuse", "closing\nclosing\nclosing\nclosing");
    for placement in ["hosted", "auto"] {
        let run = format!("export WINTEROP_PLACEMENT={placement}; {THROUGH_INIT}");
        assert_eq!(machine.user("alice", &run), "hello\n0\n");
    }
    machine.root("kill -9 $(cat /opt/said/fuse.pid)");
}

/// The same on alice's own socket.
const DIRECT: &str = "export WINTEROP_PLACEMENT=hosted; WSL_INTEROP=/tmp/winterop-1000/interop \
    timeout 60 $W/hello.exe 2>/dev/null; echo $?";

/// The process that serves alice, and its program.
fn who_serves_alice(machine: &mut Machine) -> (String, String) {
    let said = machine.user("alice", "/opt/winterop/bin/winterop host status");
    let pid = said.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let program = machine.root(&format!("readlink /proc/{pid}/exe")).trim().to_owned();
    (pid, program)
}

/// Puts another build in the place of alice's host's program.
fn replace_program(machine: &mut Machine) -> (String, String) {
    let (pid, program) = who_serves_alice(machine);
    machine.root(&format!("cp -p {program} {program}.new; mv {program}.new {program}"));
    (pid, program)
}

/// A request of a guest's, which brings its program.
fn request() -> String {
    let mut extensions = Extensions::new();
    extensions.push(Tag::LINUX_EXECUTABLE, &b"/opt/windows/wait-event.exe"[..]);
    extensions.push_roles([Role::Stdin, Role::Stdout, Role::Stderr, Role::Executable]);
    hex(&winterop_tests::request(CommonBlock {
        filename: b"Z:\\opt\\windows\\wait-event.exe",
        working_directory: b"Z:\\",
        arguments: vec![b"wait-event.exe"],
        extensions,
        ..CommonBlock::default()
    }))
}

#[test]
fn a_guest_whose_program_runs_has_few_files_closed_that_cannot_be() {
    let mut machine = Machine::enabled();
    machine.root(
        "mkdir -p /etc/winterop; printf '[[rule]]\\naction = \"allow\"\\nuser = [\"bob\"]\\nhost = \"alice\"\\n' \
         >/etc/winterop/policy.toml",
    );
    mount_never_closed(&mut machine);
    let guest = machine.python(
        "guest",
        r#"
program = os.open('/opt/windows/wait-event.exe', os.O_RDONLY)
(silence, _), (output, written) = os.pipe(), os.pipe()
connection = connect(INIT)
send(connection, bytes.fromhex(sys.argv[1]), [silence, written, written, program])
os.close(written)
response = connection.recv(65536)
print('result', int.from_bytes(response[16:20], 'little'), os.read(output, 64), flush=True)
file = os.open('/opt/never/file', os.O_RDONLY)
connection.settimeout(None)
for _ in range(100):
    send(connection, struct.pack('<4I', 4711, 16, 1, 0), [file])
print('passed', flush=True)
signal.pause()
"#,
    );
    start(&mut machine, "bob", "guest", &format!("{guest} {}", request()));
    let said = wait_for(&mut machine, "guest", "result");
    assert!(said.starts_with("result 0 b'ready"), "{said}");
    // Its connection ends with the first of them, and so does its program.
    wait_for(&mut machine, "guest", "passed");
    let runs = "ps -u alice -o args= | grep -c '[w]ait-event.exe'; :";
    expect_soon("the program has ended", || (machine.root(runs) == "0\n").then_some(()));
    for run in [THROUGH_INIT, DIRECT] {
        assert_eq!(machine.user("alice", run), "hello\n0\n");
    }
    let closing = machine.root("grep -c closing /opt/said/fuse");
    assert!(closing.trim().parse::<u32>().is_ok_and(|count| count <= 3), "{closing}");
    machine.root("kill -9 $(cat /opt/said/fuse.pid)");
}

#[test]
fn what_is_never_closed_keeps_no_host_from_giving_way() {
    let mut machine = Machine::enabled();
    mount_never_closed(&mut machine);
    let sender = machine.python(
        "sender",
        r#"
file = os.open('/opt/never/file', os.O_RDONLY)
connection = connect(ALICE)
send(connection, struct.pack('<4I', 0x57490006, 16, 1, 0), [file])
connection.shutdown(socket.SHUT_WR)
answer(connection)
print('passed', flush=True)
signal.pause()
"#,
    );
    start(&mut machine, "alice", "sender", &sender);
    wait_for(&mut machine, "sender", "passed");
    wait_for(&mut machine, "fuse", "closing");
    // The successor's programs have the limits of before.
    let starter = |pid: &str| format!("$(pgrep -P {pid} -f winterop-starter)");
    let limit = |machine: &mut Machine, pid: &str| {
        machine.root(&format!("grep 'open files' /proc/{}/limits", starter(pid)))
    };
    let (before, program) = replace_program(&mut machine);
    machine.root(&format!("prlimit --nofile=1000: --pid {}", starter(&before)));
    let limits = limit(&mut machine, &before);
    assert!(limits.contains(" 1000 "), "{limits}");
    expect_soon("the new host", || {
        assert_eq!(machine.user("alice", DIRECT), "hello\n0\n");
        (who_serves_alice(&mut machine) != (before.clone(), format!("{program} (deleted)")))
            .then_some(())
    });
    let (after, now) = who_serves_alice(&mut machine);
    assert!(after != before && now == program, "{after} {now}");
    assert_eq!(limit(&mut machine, &after), limits);
    machine.root("kill -9 $(cat /opt/said/fuse.pid)");
}

#[test]
fn a_process_that_lets_nobody_look_at_it_holds_up_no_host() {
    let mut machine = Machine::enabled();
    mount_never_closed(&mut machine);
    let silent = machine.python(
        "silent",
        r#"
import ctypes
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
def mapped(place, flags, file):
    return libc.mmap(ctypes.c_void_p(place), ctypes.c_size_t(4096), 3, flags, file, ctypes.c_long(0))
place = mapped(None, 1, os.open('/opt/never/file', os.O_RDWR))
ctypes.memset(place, 1, 1)
# What was there is written before that comes back, with the memory locked.
mapped(place, 0x32, -1)
"#,
    );
    start(&mut machine, "alice", "silent", &silent);
    wait_for(&mut machine, "fuse", "writing");
    let (before, program) = replace_program(&mut machine);
    // Nobody can say that nothing of the host's runs: it goes on.
    for run in [THROUGH_INIT, DIRECT, DIRECT] {
        assert_eq!(machine.user("alice", run), "hello\n0\n");
    }
    assert_eq!(who_serves_alice(&mut machine), (before, format!("{program} (deleted)")));
    machine.root("kill -9 $(cat /opt/said/fuse.pid)");
    expect_soon("the new host", || (who_serves_alice(&mut machine).1 == program).then_some(()));
}

#[test]
fn who_cannot_be_seen_in_proc_is_nobodys_guest_and_is_told_why() {
    let mut machine = Machine::enabled();
    assert_eq!(machine.user("alice", THROUGH_INIT), "hello\n0\n");
    let ask = machine.python(
        "ask",
        r#"
import ctypes
if sys.argv[1:]:
    # PR_SET_DUMPABLE: nobody of its own user's may look at it.
    ctypes.CDLL(None).prctl(4, 0)
for path in [INIT, ALICE]:
    connection = connect(path)
    send(connection, b'x')
    text = answer(connection)
    unknown = 'who has connected cannot be found out' in text and '/proc must be' in text
    print('unknown' if unknown else text)
"#,
    );
    machine.root("mount -t tmpfs tmpfs /proc");
    let said = machine.user("alice", &ask);
    machine.root("umount /proc");
    assert_eq!(said, "unknown\nunknown\n");
    // Init may look at everybody; the host, to which it passes this one on, may not.
    assert_eq!(machine.user("alice", &format!("{ask} closed")), "unknown\nunknown\n");
    // What is hidden from other users only keeps nobody from their own host, or from another's by a rule.
    machine.root("mount -o remount,hidepid=2 /proc");
    assert_eq!(machine.user("alice", THROUGH_INIT), "hello\n0\n");
    machine.root(
        "mkdir -p /etc/winterop; printf '[[rule]]\\naction = \"allow\"\\nuser = [\"bob\"]\\nhost = \"alice\"\\n' \
         >/etc/winterop/policy.toml",
    );
    assert_eq!(machine.user("bob", &format!("cd /; {THROUGH_INIT}")), "hello\n0\n");
}
