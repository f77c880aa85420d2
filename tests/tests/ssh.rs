//! A program is talked to through ssh: a real server of this test's own, on a port of its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use winterop_tests::{Host, Placement, Shell, expect_soon, finish, placements};

/// A server for this user, until it is dropped.
struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts it.
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["host", "user"] {
            let key = folder.path().join(name);
            let mut keygen = Command::new("ssh-keygen");
            finish(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key)).clean();
        }
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = socket.local_addr().expect("its number").port();
        drop(socket);
        let base = folder.path().display();
        let settings = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {base}/host\nPidFile none\nUsePAM no\n\
             AuthorizedKeysFile {base}/user.pub\nStrictModes no\nPermitRootLogin yes\n\
             PasswordAuthentication no\nPermitUserRC no\nPrintMotd no\nPrintLastLog no\n"
        );
        std::fs::write(folder.path().join("settings"), settings).expect("the settings");
        // As root it wants an empty folder, which its package's service makes: here in a mount
        // namespace, so that nothing is left behind.
        let script = "if [ \"$(id -u)\" = 0 ]; then mount -t tmpfs none /run && mkdir /run/sshd; fi
            exec /usr/sbin/sshd -D -e -f \"$1\"";
        let mut command = match rustix::process::geteuid().is_root() {
            true => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--propagation", "private", "sh"]);
                command
            }
            false => Command::new("sh"),
        };
        command.args(["-c", script, "sh"]).arg(folder.path().join("settings"));
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("a server");
        let server = Self { child, port, folder };
        expect_soon("a server that listens", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).ok()
        });
        server
    }

    /// The client's words for a session with a terminal in which `script` runs.
    fn session(&self, script: &Path) -> String {
        let base = self.folder.path().display();
        format!(
            "ssh -F none -tt -q -p {} -i {base}/user -o IdentitiesOnly=yes \
             -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no 127.0.0.1 sh {}",
            self.port,
            script.display()
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            println!("--- the server's log\n{}", log.unwrap_or_default());
        }
    }
}

/// A script that sets this host's environment and runs these Windows programs, one after the other.
fn script(host: &Host, placement: Placement, programs: &[&str]) -> std::path::PathBuf {
    let command = host.winterop(placement, &[]);
    let mut text = String::from("unset WSL_INTEROP; trap : INT\n");
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default().to_str().expect("UTF-8");
        text.push_str(&format!("export {}='{value}'\n", name.to_str().expect("UTF-8")));
    }
    let winterop = command.get_program().to_str().expect("UTF-8");
    for program in programs {
        text.push_str(&format!("{winterop} run {program}\n"));
    }
    let file = host.base().join(format!("script-{placement:?}"));
    std::fs::write(&file, text).expect("a script");
    file
}

#[test]
fn a_program_is_talked_to_through_ssh() {
    let server = Server::start();
    let host = Host::with_settings("sandboxes = true\n");
    host.settled();
    for placement in placements() {
        let own = |name: &str| host.windows().join(name).to_str().expect("UTF-8").to_owned();
        let console = format!("{} say=ready size resized key", own("console.exe"));
        let report = format!("{} 1", own("signal-report.exe"));
        let words = [&*console, &*report, r"'C:\windows\system32\cmd.exe'"];
        let script = script(&host, placement, &words);
        let mut shell = Shell::bash(&host, placement);
        shell.types(&format!("{}; echo sta''tus $?\r", server.session(&script)));
        shell.expect("ready");
        shell.expect("size 100 30");
        shell.resize(25, 80);
        shell.expect("resized 80 25");
        shell.types("q");
        shell.expect("key 51 71");
        shell.expect("ready");
        shell.types("\u{3}");
        shell.expect("CTRL_C");
        shell.expect("Microsoft Windows");
        shell.expect(">");
        shell.types("echo %OS%-here\r");
        shell.expect("Windows_NT-here");
        shell.types("exit 7\r");
        shell.expect("status 7");
    }
}

#[test]
fn a_session_that_is_cut_off_takes_its_program_along() {
    let server = Server::start();
    let host = Host::with_settings("sandboxes = true\n");
    host.settled();
    for placement in placements() {
        let report = host.windows().join("signal-report.exe");
        let script = script(&host, placement, &[&format!("{} 0", report.display())]);
        let mut shell = Shell::bash(&host, placement);
        shell.types(&format!("{}; echo sta''tus $?\r", server.session(&script)));
        shell.expect("ready");
        shell.wait_for_job();
        kill_process(shell.foreground(), Signal::KILL).expect("the client");
        shell.expect("status 137");
        expect_soon("the program's end", || {
            let mut all = host.everything().into_iter();
            all.all(|process| !process.command_line().contains("signal-report")).then_some(())
        });
    }
}
