//! Who connects to the machine's server all the time, or sends what cannot be closed again, and what
//! others notice of it.

use winterop_tests::Machine;

const RUN: &str = "$W/hello.exe 2>/dev/null; echo $?";

/// Connects until the server's door is shut, and says so; then until it is open again.
const FLOOD: &str = r#"
import os, socket
def connect():
    connection = socket.socket(socket.AF_UNIX)
    connection.connect('/run/WSL/1_interop')
    return connection
held = []
while True:
    try:
        held.append(connect())
    except PermissionError:
        break
    if len(held) > 100:
        held.pop(0).close()
print('shut', flush=True)
while not os.path.exists('/opt/said/go'):
    pass
while True:
    try:
        connect()
        break
    except PermissionError:
        pass
print('open', flush=True)
"#;

#[test]
fn whoever_connects_all_the_time_is_shut_out_for_a_while_and_nobody_else_is() {
    flood(&mut Machine::enabled());
}

#[test]
fn a_sandboxed_init_shuts_out_whoever_connects_all_the_time() {
    let mut machine = Machine::with_systemd();
    assert!(machine.root("winterop enable; echo $?").ends_with("\n0\n"));
    flood(&mut machine);
}

/// One user floods, the other one's programs run.
fn flood(machine: &mut Machine) {
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    machine.write("/opt/flood.py", FLOOD);
    machine.root("mkdir -m 777 /opt/said");
    machine.user("bob", "python3 /opt/flood.py >/opt/said/bob 2>&1 &");
    machine.root("until grep -q -e shut -e Error /opt/said/bob; do :; done");
    assert_eq!(machine.root("cat /opt/said/bob"), "shut\n");
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    let said = machine.root("touch /opt/said/go; until grep -q -e open -e Error /opt/said/bob; do :; done; cat /opt/said/bob");
    assert_eq!(said, "shut\nopen\n");
    let lists = "import os; print(os.listxattr('/run/WSL/1_interop'))";
    assert_eq!(machine.root(&format!("python3 -c \"{lists}\"")), "[]\n");
    assert_eq!(machine.user("bob", RUN), "hello\n0\n");
}
