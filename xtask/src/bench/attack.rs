//! What another user's attack costs a user's launches: on a machine of its own, with real uids.
//!
//! One process of bob's does to the machine's init what is known to be worst: half requests and whole
//! ones with as many files as fit, sockets among them that cannot be closed at once, connections on
//! which nothing comes, and more of all of them than one may have. Alice starts programs through the
//! same init, and hers alone are timed.

use anyhow::{Result, ensure};
use winterop_tests::Machine;

/// Alice's launches, one after the other; the milliseconds of each.
const LAUNCHES: &str = r#"
import os, sys, time
os.environ['WSL_INTEROP'] = '/run/WSL/1_interop'
for _ in range(int(sys.argv[1])):
    begin = time.monotonic()
    status = os.spawnl(os.P_WAIT, '/opt/windows/nothing.exe', 'nothing.exe')
    print((time.monotonic() - begin) * 1000 if status == 0 else 'failed')
"#;

const ATTACK: &str = r#"
import array, os, socket, struct
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen()
def lingering():
    one = socket.create_connection(listener.getsockname())
    kept.append(listener.accept()[0])
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 3600))
    one.setblocking(False)
    try:
        while True:
            one.send(bytes(65536))
    except BlockingIOError:
        return one.fileno(), one
kept, held, number = [], [], 0
null = [os.open('/dev/null', os.O_RDONLY)] * 15
slow = [lingering() for _ in range(4)]
half = struct.pack('<4I', 7, 2 << 20, 0, 1)
print('attacking', flush=True)
while True:
    number += 1
    try:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(1)
        connection.connect('/run/WSL/1_interop')
        files = [slow[number % 4][0]] if number % 8 == 0 else null
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', files))]
        if number % 3:
            connection.sendmsg([half + bytes(number % 5000)], rights)
        held.append(connection)
    except OSError:
        pass
    if len(held) > 300:
        held.pop(0).close()
"#;

/// The medians of alice's launches in milliseconds, with bob's attack and without, by turns.
///
/// # Errors
/// Where no such machine can be made, or a launch fails.
pub(super) fn measure(turns: usize) -> Result<(f64, f64)> {
    ensure!(rustix::process::geteuid().is_root(), "only root can make a machine with other users");
    let mut machine = Machine::enabled();
    machine.write("/opt/launches.py", LAUNCHES);
    machine.write("/opt/attack.py", ATTACK);
    machine.root("mkdir -m 777 /opt/said");
    launches(&mut machine, 3)?;
    let (mut attacked, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        alone.extend(launches(&mut machine, turns)?);
        machine
            .user("bob", "python3 /opt/attack.py >/opt/said/attack 2>&1 & echo $! >/opt/said/pid");
        machine.root("until grep -q attacking /opt/said/attack; do :; done");
        let measured = launches(&mut machine, turns);
        machine.root("kill -9 $(cat /opt/said/pid); rm -f /opt/said/*");
        attacked.extend(measured?);
    }
    Ok((median(attacked), median(alone)))
}

fn launches(machine: &mut Machine, count: usize) -> Result<Vec<f64>> {
    let said = machine.user("alice", &format!("python3 /opt/launches.py {count}"));
    let times: Vec<f64> = said.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(times.len() == count, "a launch failed: {said}");
    Ok(times)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
