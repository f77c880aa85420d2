//! A pid that another process has by now: whoever signals by pid hits that one.
//!
//! In a pid namespace of a test's own the next pid can be chosen. The crates' own tests include this
//! file, too.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

/// Set where a test goes on in a pid namespace of its own.
const INSIDE: &str = "WINTEROP_TEST_OWN_PIDS";

/// Where the kernel keeps the pid that it has given away last.
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// How often a pid is asked for; a thread that starts at the same time may get it.
const ATTEMPTS: u32 = 1_000;

/// Has the calling test run again in a pid namespace of its own; `true` for that run, which goes on.
///
/// # Panics
/// Where it fails there.
#[track_caller]
pub(crate) fn has_own_pids() -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let thread = std::thread::current();
    let name = thread.name().expect("a test's name");
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(program).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let output = command.stdin(Stdio::null()).output().expect("unshare");
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    let has_run = said[0].contains("1 passed");
    assert!(output.status.success() && has_run, "{}\n{}{}", output.status, said[0], said[1]);
    false
}

/// A process that has the pid of one that has ended and was waited for.
#[derive(Debug)]
pub(crate) struct Successor(Child);

impl Successor {
    /// Starts it.
    ///
    /// # Panics
    /// Where nobody can have this pid: its process is still there.
    #[must_use]
    pub(crate) fn of(pid: u32) -> Self {
        for _ in 0..ATTEMPTS {
            fs::write(LAST_PID, (pid - 1).to_string()).expect(LAST_PID);
            let mut command = Command::new("cat");
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            let mut child = child.expect("cat");
            if child.id() == pid {
                return Self(child);
            }
            child.kill().expect("cat");
            child.wait().expect("cat");
        }
        panic!("somebody has pid {pid}");
    }

    /// Whether it goes on: no signal has ended it. It ends now.
    #[must_use]
    pub(crate) fn was_spared(mut self) -> bool {
        // A signal that it was sent comes before what it reads.
        let mut input = self.0.stdin.take().expect("a pipe");
        let _ = input.write_all(b"still here");
        drop(input);
        let mut said = String::new();
        let _ = self.0.stdout.take().expect("a pipe").read_to_string(&mut said);
        self.0.wait().expect("cat");
        said == "still here"
    }
}
