//! Who connects to the machine's server all the time, or sends what cannot be closed again, and what
//! others notice of it.

use winterop_tests::Machine;

const RUN: &str = "$W/hello.exe; echo $?";

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
    let mut machine = Machine::enabled();
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    machine.write("/opt/flood.py", FLOOD);
    machine.root("mkdir -m 777 /opt/said");
    machine.user("bob", "python3 /opt/flood.py >/opt/said/bob 2>&1 &");
    machine.root("until grep -q shut /opt/said/bob; do :; done");
    assert_eq!(machine.user("alice", RUN), "hello\n0\n");
    machine.root("touch /opt/said/go; until grep -q open /opt/said/bob; do :; done");
    let lists = "import os; print(os.listxattr('/run/WSL/1_interop'))";
    assert_eq!(machine.root(&format!("python3 -c \"{lists}\"")), "[]\n");
    assert_eq!(machine.user("bob", RUN), "hello\n0\n");
}
