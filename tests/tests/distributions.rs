//! Distributions on this kernel: instances, sessions, and the Windows programs started in them.
//!
//! The root is a busybox's, made in each test.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use winterop_channel::unix::receive;
use winterop_channel::{Frame, Inbox};
use winterop_tests::{
    Host, Outcome, Placement, Process, expect_soon, finish, needs_cgroups, needs_root, processes,
};
use winterop_wire::{
    CreateLinuxProcess, CreateSession, CreateSessionResponse, EncodeError, ErrorNotice, ExitStatus,
    Header, Initialize, InitializeResponse, LinuxProcess, Message, MessageType, Query,
    QueryEnvironmentVariable, Tag, TerminateInstance, TransactionResult, VmIdReply,
};

/// A distribution of a host's: a busybox, two users, and the Windows programs of the tests.
struct Distribution<'a> {
    host: &'a Host,
    name: &'static str,
}

/// What the busybox does.
const APPLETS: &str = "[ awk basename cat chmod chown cp cut date dd echo env expr false find grep head \
    hostname id kill ln ls mkdir mkfifo mknod mktemp mount mv printf ps pwd readlink rm rmdir \
    sed seq setsid sh sleep sort stat stty sync tail test timeout touch tr true tty umount uname uniq \
    usleep wc which xargs";

impl<'a> Distribution<'a> {
    fn new(host: &'a Host, name: &'static str) -> Self {
        let distribution = Self { host, name };
        let root = distribution.root();
        for folder in ["bin", "etc", "root", "home/me", "tmp", "win"] {
            fs::create_dir_all(root.join(folder)).expect(folder);
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("Debian's busybox-static");
        for applet in APPLETS.split_whitespace() {
            symlink("busybox", root.join("bin").join(applet)).expect(applet);
        }
        let passwd = "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n";
        fs::write(root.join("etc/passwd"), passwd).expect("passwd");
        let group = "root:x:0:\nme:x:1000:\naudio:x:29:root,me\nvideo:x:44:you\n";
        fs::write(root.join("etc/group"), group).expect("group");
        for program in ["hello.exe", "exit-with.exe", "cat.exe", "cwd-report.exe", "self-path.exe"]
        {
            let source = host.windows().join(program);
            if source.exists() {
                fs::copy(source, root.join("win").join(program)).expect(program);
            }
        }
        host.own(&root);
        distribution
    }

    fn root(&self) -> PathBuf {
        self.host.base().join(format!("{}-root", self.name))
    }

    fn directory(&self) -> PathBuf {
        self.host.base().join("run/winterop/instances").join(self.name)
    }

    /// `wsl` with these arguments.
    fn wsl(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command("wsl", Placement::InPlace);
        command.arg("--root").arg(self.root()).args(["-d", self.name]).args(arguments);
        command
    }

    /// A script in it, to its end.
    #[track_caller]
    fn sh(&self, script: &str) -> Outcome {
        finish(&mut self.wsl(&["-e", "sh", "-c", script]))
    }

    #[track_caller]
    fn terminate(&self) {
        finish(&mut self.wsl(&["--terminate"])).clean();
        assert!(!self.directory().exists(), "the instance's directory stays");
    }

    /// Its init, as seen from outside.
    fn init(&self) -> Process {
        let mark = format!("--distribution {} ", self.name);
        let root = self.root().to_string_lossy().into_owned();
        let inits = processes().into_iter().filter(|process| {
            let line = process.command_line();
            line.contains(&mark) && line.contains(&root) && process.is_first_in_its_namespace()
        });
        let inits: Vec<_> = inits.collect();
        assert_eq!(inits.len(), 1, "{inits:?}");
        inits[0]
    }

    /// The session leaders.
    fn leaders(&self) -> Vec<Process> {
        let init = self.init();
        let below = processes().into_iter().filter(|process| process.parent() == Some(init));
        below.filter(|process| process.command_line().starts_with("session-leader ")).collect()
    }
}

impl Drop for Distribution<'_> {
    fn drop(&mut self) {
        let _ = finish(&mut self.wsl(&["--terminate"]));
    }
}

/// A command whose standard output is read line by line while it runs.
struct Lines {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Lines {
    fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, output }
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn process(&self) -> Process {
        Process(self.child.id().cast_signed())
    }

    fn kill(&mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("its end");
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_command_runs_with_its_user_directory_variables_and_status() {
    let host = Host::new();
    let it = Distribution::new(&host, "Alpha");
    let outcome = it.sh("echo $$; cat /proc/1/comm; id -u; pwd; hostname >/dev/null && echo named; \
        echo $WSL_DISTRO_NAME $WSL_INTEROP $HOME $USER; head -1 /proc/sys/fs/binfmt_misc/WSLInterop");
    let text = outcome.clean().text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].parse::<i32>().is_ok_and(|pid| pid < 20), "{text}");
    assert_eq!(lines[2..5], ["0", "/root", "named"], "{text}");
    assert!(lines[5].starts_with("Alpha /run/WSL/") && lines[5].ends_with("_interop /root root"));
    assert_eq!(lines[6], "enabled");
    let outcome =
        finish(&mut it.wsl(&["-u", "me", "--cd", "/tmp", "-e", "sh", "-c", "id; pwd; umask"]));
    let expected = "uid=1000(me) gid=1000(me) groups=29(audio),1000(me)\n/tmp\n0022\n";
    assert_eq!(outcome.clean().text(), expected);
    let code = |arguments: &[&str]| finish(&mut it.wsl(arguments)).code();
    assert_eq!(code(&["exit", "7"]), 7);
    assert_eq!(code(&["-e", "sh", "-c", "kill -9 $$"]), 137);
    // A shell runs them, and has the same words.
    assert_eq!(finish(&mut it.wsl(&["echo", "$HOME;", "a  b"])).clean().text(), "$HOME; a  b\n");
    assert_eq!(code(&["sh", "-c", "exit 5"]), 5);
    assert_eq!(finish(&mut it.wsl(&["A=1", "eval", "echo $A"])).clean().text(), "1\n");
    let mut listed = it.wsl(&["-e", "sh", "-c", "echo $A $B $C"]);
    listed.env("WSLENV", "A:B/u:C/w").env("A", "1").env("B", "2").env("C", "3");
    assert_eq!(finish(&mut listed).clean().text(), "1 2\n");
    finish(&mut it.wsl(&["-u", "nobody-here", "-e", "true"]))
        .refused(1, &["nobody-here", "/etc/passwd"]);
    finish(&mut it.wsl(&["--cd", "/not/there", "-e", "true"])).refused(1, &["/not/there", "--cd"]);
    finish(&mut it.wsl(&["-e", "no-such-program"])).refused(127, &["no-such-program"]);
    finish(&mut it.wsl(&["-e", "/etc/passwd"])).refused(126, &["/etc/passwd"]);
    fs::remove_file(it.root().join("bin/sh")).expect("sh");
    finish(&mut it.wsl(&["true"])).refused(127, &["/bin/sh", "wsl -e"]);
    finish(&mut it.wsl(&["-e", "true"])).clean();
    it.terminate();
}

#[test]
fn what_is_piped_and_redirected_is_the_process_s_own() {
    let host = Host::new();
    let it = Distribution::new(&host, "Alpha");
    it.sh("true").clean();
    let bytes = winterop_tests::noise(3 << 20);
    let outcome = winterop_tests::finish_with(&mut it.wsl(&["-e", "cat"]), bytes.clone());
    assert!(outcome.clean().stdout == bytes);
    let script = "ls -l /proc/self/fd/0 >&2; echo out; echo err >&2; exec <&-; cat";
    let outcome = it.sh(script);
    assert_eq!(outcome.text(), "out\n");
    assert!(outcome.errors().contains("/dev/null") && outcome.errors().contains("err\n"));
}

#[test]
fn l7_f1_f3_f4_f5_windows_programs_find_their_server() {
    let host = Host::new();
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    let script = "cd /win; ./hello.exe; WSL_INTEROP= ./hello.exe; unset WSL_INTEROP; ./hello.exe; \
        WSL_INTEROP=/run/WSL/1_interop ./hello.exe; WSL_INTEROP=/gone ./hello.exe; \
        ./exit-with.exe 3; echo $?; echo a b | ./cat.exe; cd /tmp; cp /win/hello.exe 'x y.exe'; \
        './x y.exe'; sh -c 'setsid sh -c \"env -u WSL_INTEROP /win/hello.exe >/tmp/out; mv /tmp/out /tmp/done\" &'";
    let outcome = it.sh(script).clean();
    assert_eq!(outcome.text(), "hello\nhello\nhello\nhello\nhello\n3\na b\nhello\n");
    let done = it.root().join("tmp/done");
    expect_soon("a launch of a session that has ended", || done.exists().then_some(()));
    assert_eq!(fs::read_to_string(done).expect("a file").replace('\r', ""), "hello\n");
    it.terminate();
}

#[test]
fn f2_parents_with_odd_names_lead_to_the_session() {
    let host = Host::new();
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    // Without the instance's own socket only the session's is left, found by the parents.
    it.sh("rm /run/WSL/1_interop").clean();
    for name in ["bash )", "(bash(", "bash with space"] {
        let script = format!(
            "printf '{name}' >/proc/$$/comm; cat /proc/$$/comm; unset WSL_INTEROP; /win/hello.exe; true"
        );
        assert_eq!(it.sh(&script).clean().text(), format!("{name}\nhello\n"));
    }
}

#[test]
fn windows_programs_see_the_distribution_as_a_share() {
    let host = Host::new();
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    let outcome = it.sh("mkdir -p /home/me/x; cd /home/me/x; P=/home/me WSLENV=P/p /init /mnt/c/windows/system32/cmd.exe /c 'echo %P%'; \
        /win/cwd-report.exe; ls /mnt/c | grep -c windows");
    let text = outcome.clean().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], r"\\wsl.localhost\Alpha\home\me");
    assert!(lines[1].ends_with(r"Alpha-root\home\me\x"), "{text}");
    assert_eq!(lines[2], "1");
    // What Windows calls so is that file: read by a program of the machine's.
    fs::write(it.root().join("home/me/note"), "from Linux").expect("a file");
    let type_it = ["run", "cmd", "/c", "type", r"\\wsl.localhost\Alpha\home\me\note"];
    let outcome = finish(&mut host.winterop(Placement::InPlace, &type_it));
    assert_eq!(outcome.text(), "from Linux", "{}", outcome.errors());
}

#[test]
fn b1_b7_two_distributions_do_not_see_each_other() {
    let host = Host::new();
    host.settled();
    let (one, two) = (Distribution::new(&host, "Alpha"), Distribution::new(&host, "Beta"));
    let mut waiting = Lines::of(&mut one.wsl(&["-e", "sh", "-c", "echo here; /bin/sleep 7001"]));
    assert_eq!(waiting.next(), "here");
    let outcome = two.sh("ps | grep -c '[s]leep 7001'; grep -o 'flags.*' /proc/sys/fs/binfmt_misc/WSLInterop; \
        echo $WSL_DISTRO_NAME; echo -1 >/proc/sys/fs/binfmt_misc/WSLInterop; ls /proc/sys/fs/binfmt_misc/WSLInterop 2>&1 | grep -c No");
    assert_eq!(outcome.text(), "0\nflags: POF\nBeta\n1\n");
    assert_eq!(one.sh("/win/hello.exe").clean().text(), "hello\n");
    two.terminate();
    assert_eq!(one.sh("/win/hello.exe").clean().text(), "hello\n");
    one.terminate();
    assert_eq!(waiting.child.wait().expect("wsl").code(), Some(1), "its session was ended");
}

#[test]
fn fifty_sessions_at_once() {
    let host = Host::new();
    let it = Distribution::new(&host, "Alpha");
    it.sh("mkfifo /tmp/gate").clean();
    let mut sessions: Vec<Lines> = (0..50)
        .map(|number| {
            let script = format!("echo {number} $WSL_INTEROP; read -r x </tmp/gate; exit {number}");
            Lines::of(&mut it.wsl(&["-e", "sh", "-c", &script]))
        })
        .collect();
    let firsts: std::collections::BTreeSet<String> =
        sessions.iter_mut().map(|session| session.next()).collect();
    let servers: std::collections::BTreeSet<_> =
        firsts.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(servers.len(), 50, "each has a server of its own: {firsts:?}");
    // Whoever opens the gate while all wait lets all of them go on.
    let mut gate =
        fs::OpenOptions::new().write(true).open(it.root().join("tmp/gate")).expect("gate");
    gate.write_all("\n".repeat(50).as_bytes()).expect("all wait");
    for (number, session) in sessions.iter_mut().enumerate() {
        let code = session.child.wait().expect("wsl").code();
        assert_eq!(code, i32::try_from(number).ok());
    }
    drop(gate);
    expect_soon("every session leader ends", || it.leaders().is_empty().then_some(()));
}

#[test]
fn signals_and_the_end_of_wsl_reach_the_process() {
    let host = Host::new();
    let it = Distribution::new(&host, "Alpha");
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut session = Lines::of(&mut it.wsl(&["-e", "sh", "-c", script]));
    assert_eq!(session.next(), "ready");
    let pid = rustix::process::Pid::from_raw(session.process().0).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
    assert_eq!(session.next(), "caught");
    assert_eq!(session.child.wait().expect("wsl").code(), Some(9));
    // Killed: what is in the foreground is hung up, what was put aside lives on.
    let script = "/bin/sleep 7002 & (trap '' HUP; exec /bin/sleep 7003) & setsid /bin/sleep 7004 & echo ready; /bin/sleep 7005";
    let mut session = Lines::of(&mut it.wsl(&["-e", "sh", "-c", script]));
    assert_eq!(session.next(), "ready");
    let init = it.init();
    let sleeping = |seconds: &str| {
        let line = format!("/bin/sleep {seconds}");
        let mut all = processes().into_iter();
        all.any(|process| process.command_line() == line && process.is_below(init))
    };
    expect_soon("all of them run", || {
        ["7002", "7003", "7004", "7005"].iter().all(|s| sleeping(s)).then_some(())
    });
    session.kill();
    expect_soon("the foreground ends", || (!sleeping("7005")).then_some(()));
    for rest in ["7002", "7003", "7004"] {
        assert!(sleeping(rest), "{rest} was ended");
    }
    assert_eq!(it.leaders().len(), 1, "their session leader stays");
    it.terminate();
}

#[test]
fn a_terminal_is_the_distributions_own() {
    let host = Host::new();
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    let mut command = host.command("sh", Placement::InPlace);
    let line = "stty rows 31 cols 97; exec wsl --root \"$1\" -d Alpha -e sh -i";
    command.env("TERM", "xterm").args(["-c", line, "sh"]).arg(it.root());
    let mut terminal = rexpect::session::spawn_command(command, Some(30_000)).expect("a terminal");
    let mut ask = |line: &str, answer: &str| {
        terminal.send_line(line).expect("a line");
        terminal.exp_regex(answer).unwrap_or_else(|error| panic!("{line}: {error}"));
    };
    ask("tty", "/dev/pts/0");
    ask("stty size | sed s/^/size:/", "size:31 97");
    ask("/win/hello.exe | sed s/^/says:/", "says:hello");
    ask("test -t 0 && test -t 1 && test -t 2 && echo all''three", "allthree");
    // Once the line has run, keys are the terminal's and not the shell's.
    terminal.send_line("echo on; cat").expect("a line");
    terminal.exp_string("cat\r\non\r\n").expect("its echo, and the answer");
    terminal.send_control('c').expect("a key");
    terminal.exp_string("# ").expect("the shell again");
    terminal.send_line("echo status:$?").expect("a line");
    terminal.exp_string("status:130").expect("Ctrl-C ended cat and not the shell");
    terminal.send_line("exit 5").expect("a line");
    let status = terminal.process().wait().expect("its end");
    assert_eq!(format!("{status:?}").matches(", 5").count(), 1, "{status:?}");
}

#[test]
fn a_launch_that_is_under_way_ends_with_the_instance() {
    let host = Host::new();
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    let mut session = Lines::of(&mut it.wsl(&[
        "-e",
        "sh",
        "-c",
        "mkfifo /tmp/p; /bin/sleep 7006 >/tmp/p & echo on; /win/cat.exe </tmp/p",
    ]));
    assert_eq!(session.next(), "on");
    let running = || {
        processes().into_iter().find(|process| {
            process.environment().contains("WINEWINTEROPLAUNCH=")
                && process.environment().contains(&*host.base().to_string_lossy())
        })
    };
    let program = expect_soon("the program runs", running);
    it.terminate();
    assert!(program.ends_within(Duration::from_secs(20)), "the program stays");
    assert_ne!(session.child.wait().expect("wsl").code(), Some(0));
    assert_eq!(it.sh("/win/hello.exe").clean().text(), "hello\n");
}

#[test]
fn crashes_end_what_they_must_and_nothing_else() {
    let host = Host::new();
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    let mut first = Lines::of(&mut it.wsl(&["-e", "sh", "-c", "echo one; exec /bin/sleep 7007"]));
    let mut second = Lines::of(&mut it.wsl(&["-e", "sh", "-c", "echo two; exec /bin/sleep 7008"]));
    assert_eq!((first.next(), second.next()), ("one".into(), "two".into()));
    let kill = |process: Process| {
        let pid = rustix::process::Pid::from_raw(process.0).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
    };
    let init = it.init();
    // What a shell has said comes before what it becomes.
    let leader_of = |line: &str| {
        expect_soon("its session leader", || {
            let all = processes();
            let found = all.iter().find(|p| p.command_line() == line && p.is_below(init));
            found.and_then(|process| process.parent())
        })
    };
    // A session leader: its session ends with words, the other one does not notice.
    kill(leader_of("/bin/sleep 7007"));
    assert_eq!(first.child.wait().expect("wsl").code(), Some(1));
    assert!(second.process().is_alive());
    assert_eq!(it.sh("/win/hello.exe; ls /run/WSL | grep -c interop").clean().text(), "hello\n3\n");
    // The keeper: the instance goes on.
    kill(init.parent().expect("the keeper"));
    assert_eq!(it.sh("/win/hello.exe").clean().text(), "hello\n");
    // Init: everything ends, and the next start finds nothing in its way.
    kill(init);
    assert_eq!(second.child.wait().expect("wsl").code(), Some(1));
    assert_eq!(it.sh("/win/hello.exe").clean().text(), "hello\n");
    it.terminate();
}

#[test]
fn an_instance_ends_some_time_after_its_last_session() {
    let host = Host::with_settings("instance-idle-seconds = 0\n");
    let it = Distribution::new(&host, "Alpha");
    let mut session =
        Lines::of(&mut it.wsl(&["-e", "sh", "-c", "setsid /bin/sleep 7009 & echo on"]));
    assert_eq!(session.next(), "on");
    session.child.wait().expect("wsl");
    let init = it.init();
    let sleeping = expect_soon("the process of the session", || {
        processes().into_iter().find(|p| p.command_line() == "/bin/sleep 7009" && p.is_below(init))
    });
    assert!(!init.ends_within(Duration::from_millis(1500)), "a process of a session keeps it");
    let pid = rustix::process::Pid::from_raw(sleeping.0).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
    assert!(init.ends_within(Duration::from_secs(20)), "the instance stays");
    expect_soon("its directory goes", || (!it.directory().exists()).then_some(()));
}

#[test]
fn a_host_that_is_gone_is_started_again_from_inside() {
    let host = Host::new();
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    let script = "echo on; read -r x </tmp/gate; /win/hello.exe; echo $?";
    it.sh("mkfifo /tmp/gate").clean();
    let mut session = Lines::of(&mut it.wsl(&["-e", "sh", "-c", script]));
    assert_eq!(session.next(), "on");
    host.stop().clean();
    fs::write(it.root().join("tmp/gate"), "go\n").expect("the gate");
    let mut lines = vec![session.next(), session.next()];
    lines.retain(|line| !line.is_empty());
    assert_eq!(lines, ["hello", "0"]);
}

#[test]
fn wsl_conf_is_obeyed() {
    let host = Host::new();
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    let conf = "[user]\ndefault = me\n[network]\nhostname = box\ngenerateHosts = false\n\
        [boot]\ncommand = \"echo booted $WSL_DISTRO_NAME >/tmp/boot\"\n[automount]\nroot = /windows\n\
        [filesystem]\numask = 077\n[interop]\nenabled = false\n";
    fs::write(it.root().join("etc/wsl.conf"), conf).expect("wsl.conf");
    let outcome = it.sh("id -un; hostname; umask; ls -d /windows/c; ls /etc/hosts 2>&1 | grep -c No; \
        echo [$WSL_INTEROP]; ls /run/WSL | wc -l; case $PATH in *system32*) echo with;; *) echo without;; esac");
    assert_eq!(
        outcome.text(),
        "me\nbox\n0077\n/windows/c\n1\n[]\n0\nwithout\n",
        "{}",
        outcome.errors()
    );
    let boot = it.root().join("tmp/boot");
    let text = expect_soon("the boot command", || {
        fs::read_to_string(&boot).ok().filter(|t| !t.is_empty())
    });
    assert_eq!(text, "booted Alpha\n");
}

#[test]
fn a_plain_users_distribution_has_one_user_or_says_why() {
    let host = Host::of_plain_user();
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    let outcome = it.sh("id -u; id -g; cat /proc/self/uid_map; touch /mine; /win/hello.exe");
    let text = outcome.text();
    let lines: Vec<_> = text.split_whitespace().collect();
    assert_eq!(lines, ["0", "0", "0", "64123", "1", "hello"], "{}", outcome.errors());
    let words = ["/etc/subgid", "cannot be preserved"];
    assert!(words.iter().all(|word| outcome.errors().contains(word)), "{}", outcome.errors());
    let owner = finish(Command::new("stat").args(["-c", "%u"]).arg(it.root().join("mine"))).text();
    assert_eq!(owner, "64123\n");
    finish(&mut it.wsl(&["-u", "me", "-e", "id"])).refused(1, &["uid 1000", "cannot be preserved"]);
    it.terminate();
}

#[test]
fn a_plain_users_subordinate_ids_are_the_other_users() {
    let host = Host::of_plain_user_with_settings("sandboxes = true\n");
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    let root = it.root();
    let wsl = host.base().join("winterop/bin/wsl");
    // Files of its own in a mount namespace of its own: the machine's are nobody's to change. So it is
    // a sandbox of the user's, from which the distribution is started.
    let script = format!(
        "set -e; mkdir -p etc; mount -t tmpfs tmpfs etc; mkdir etc/new etc/work; mount -t overlay overlay \
         -o lowerdir=/etc,upperdir=$PWD/etc/new,workdir=$PWD/etc/work /etc; \
         echo tester:x:64123:64123::/:/bin/sh >>/etc/passwd; echo tester:x:64123: >>/etc/group; \
         echo 64123:700000:65536 >/etc/subuid; echo tester:700000:65536 >/etc/subgid; \
         w() {{ setpriv --reuid 64123 --regid 64123 --clear-groups {wsl} --root {root} -d Alpha \"$@\"; }}; \
         w -e chown 1000:1000 /home/me; w -u me -e sh -c 'id -u; touch ~/mine; /win/hello.exe; /win/exit-with.exe 4; echo $?'; \
         stat -c %u {root}/home/me/mine; w --terminate",
        wsl = wsl.display(),
        root = root.display()
    );
    let mut command = host.command_as_root("unshare", Placement::InPlace);
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    let outcome = finish(&mut command);
    assert_eq!(outcome.text(), "1000\nhello\n4\n700999\n", "{}", outcome.errors());
}

/// How many launches a session has whose `wsl` is killed meanwhile.
const LAUNCHES: usize = 10;

/// Once at each launch.
#[test]
fn f5_no_launch_is_lost_or_doubled_when_wsl_is_killed() {
    no_launch_is_lost_or_doubled(LAUNCHES);
}

#[test]
fn f5_of_a_thousand_launches_none_is_lost_or_doubled_when_wsl_is_killed() {
    no_launch_is_lost_or_doubled(100);
}

/// Kills so many that have started a session, whose programs are started in the background.
fn no_launch_is_lost_or_doubled(kills: usize) {
    let host = Host::new();
    host.settled();
    let it = Distribution::new(&host, "Alpha");
    it.sh("mkdir /tmp/log").clean();
    for round in 0..kills {
        // Each launch writes a line of its own, whatever becomes of the others.
        let script = format!(
            "setsid sh -c 'echo on; exec >/dev/null 2>&1; for i in $(seq {LAUNCHES}); do \
             echo $i | /win/cat.exe >>/tmp/log/{round}; done; echo end >>/tmp/log/{round}' & \
             /bin/sleep 7010"
        );
        let mut session = Lines::of(&mut it.wsl(&["-e", "sh", "-c", &script]));
        assert_eq!(session.next(), "on");
        // The instants differ: what the loop does until then is as long as the round says.
        let log = it.root().join(format!("tmp/log/{round}"));
        let wanted = round % LAUNCHES;
        expect_soon("so many launches", || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            (text.lines().count() >= wanted).then_some(())
        });
        session.kill();
        drop(session);
    }
    let expected: String =
        (1..=LAUNCHES).map(|i| format!("{i}\n")).chain(["end\n".to_owned()]).collect();
    for round in 0..kills {
        let log = it.root().join(format!("tmp/log/{round}"));
        let mut text = String::new();
        while !text.ends_with("end\n") {
            // The rounds go on at the same time: each line has half a minute.
            text = expect_soon("the next launch", || {
                fs::read_to_string(&log).ok().filter(|new| *new != text)
            });
        }
        assert_eq!(text.replace('\r', ""), expected, "round {round}");
    }
    expect_soon("every session ends", || it.leaders().is_empty().then_some(()));
}

#[test]
fn roots_that_are_no_distribution_are_refused_with_words() {
    let host = Host::new();
    let it = Distribution::new(&host, "Alpha");
    fs::set_permissions(it.root().join("bin/busybox"), fs::Permissions::from_mode(0o755))
        .expect("mode");
    let bad = host.base().join("bad");
    fs::create_dir(&bad).expect("bad");
    symlink("/", bad.join("run")).expect("a link");
    let run = |root: &PathBuf, name: &str| {
        let mut command = host.command("wsl", Placement::InPlace);
        finish(command.arg("--root").arg(root).args(["-d", name, "-e", "true"]))
    };
    run(&bad, "Bad").refused(126, &["run", "no directory"]);
    run(&host.base().join("nowhere"), "Bad").refused(126, &["nowhere"]);
    for name in ["a/b", "..", &"x".repeat(300)] {
        run(&it.root(), name).refused(126, &["a distribution's name"]);
    }
    assert!(!host.base().join("run/winterop/instances/Bad").exists());
    // Another directory under the name of one that runs is not taken for it.
    let other = Distribution::new(&host, "Beta");
    assert_eq!(finish(&mut it.wsl(&["-e", "echo", "up"])).clean().text(), "up\n");
    run(&other.root(), "Alpha").refused(126, &["Alpha runs already", "another directory"]);
    run(&it.root(), "Alpha").clean();
    // One that starts, and lacks what is asked for.
    finish(&mut it.wsl(&["-u", "nobody-of-this-name", "-e", "true"]))
        .refused(1, &["no user nobody-of-this-name"]);
    let outcome = finish(&mut it.wsl(&["--cd", "/no/such/place", "-e", "true"]));
    assert!(outcome.code() != 0 && outcome.errors().contains("/no/such/place"), "{outcome:?}");
    fs::remove_file(it.root().join("bin/sh")).expect("its shell");
    finish(&mut it.wsl(&["echo", "x"])).refused(127, &["/bin/sh", "wsl -e"]);
    assert_eq!(finish(&mut it.wsl(&["-e", "echo", "x"])).clean().text(), "x\n");
    // A file of users that is larger than any is nobody's.
    let passwd = it.root().join("etc/passwd");
    let file = fs::File::options().append(true).open(&passwd).expect("passwd");
    file.set_len(100 << 20).expect("100 MiB");
    assert_eq!(finish(&mut it.wsl(&["-u", "me", "-e", "id", "-u"])).clean().text(), "1000\n");
    it.terminate();
    // A root that cannot be written to needs what a system has, and then does.
    let mounted = host.base().join("read-only");
    fs::create_dir(&mounted).expect("a folder");
    for folder in ["run", "proc", "sys", "dev", "mnt/c"] {
        fs::create_dir_all(it.root().join(folder)).expect(folder);
    }
    let script = "mount --bind \"$1\" \"$2\" && mount -o remount,bind,ro \"$2\" && \
                  wsl -d Fixed --root \"$2\" -e sh -c 'echo up; touch /x' 2>&1; \
                  wsl -d Fixed --root \"$2\" --terminate";
    symlink("busybox", it.root().join("bin/sh")).expect("its shell");
    let mut command = host.command_as_root("unshare", Placement::InPlace);
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    let said = finish(command.arg(it.root()).arg(&mounted)).text();
    assert!(said.starts_with("up\n") && said.contains("Read-only file system"), "{said}");
}

/// A connection to the init of an instance, spoken to as `wsl` does.
struct Control(UnixStream);

impl Control {
    fn ask(&self, bytes: &[u8]) -> Frame {
        (&self.0).write_all(bytes).expect("a question");
        receive(&self.0, &mut Inbox::default(), None).expect("an answer")
    }
}

/// One message, encoded.
fn message(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes).expect("a message");
    bytes
}

#[test]
fn init_and_session_leaders_speak_the_protocols_messages() {
    let host = Host::new();
    let it = Distribution::new(&host, "Alpha");
    fs::write(it.root().join("etc/os-release"), "ID=busybox\nVERSION_ID=\"7\"\n").expect("it");
    fs::write(it.root().join("etc/wsl.conf"), "[user]\ndefault=me\n").expect("wsl.conf");
    finish(&mut it.wsl(&["-e", "true"])).clean();
    let control = || {
        let socket = it.directory().join("control");
        Control(UnixStream::connect(socket).expect("the instance"))
    };
    let header = |kind| Header::plain(kind, 7);
    let own = control();
    let frame = own.ask(&message(|out| {
        let message = Initialize { distribution: Some(b"Alpha"), ..Initialize::default() };
        message.encode(&header(MessageType::INITIALIZE), out)
    }));
    let answer = Message::parse(&frame.bytes).expect("a message");
    assert_eq!(answer.header.transaction_id, 7);
    let facts = InitializeResponse::decode(&answer).expect("an answer to initialize");
    assert_eq!((facts.default_uid, facts.interop_port, facts.plan9_port), (1000, 0, 0));
    assert_eq!((facts.flavour, facts.version), (Some(&b"busybox"[..]), Some(&b"7"[..])));
    assert!(!facts.systemd && facts.pid_namespace != 0);
    for (query, expected) in [
        (Query::DrvfsElevated, TransactionResult::Bool(false)),
        (Query::FeatureFlags, TransactionResult::U32(0)),
        (Query::NetworkingMode, TransactionResult::U8(0)),
    ] {
        let frame = own.ask(&message(|out| query.encode(&header(query.message_type()), out)));
        let answer = Message::parse(&frame.bytes).expect("a message");
        assert_eq!(TransactionResult::decode(&answer).expect("a result"), expected, "{query:?}");
    }
    let frame = own.ask(&message(|out| Query::VmId.encode(&header(MessageType::QUERY_VM_ID), out)));
    let answer = Message::parse(&frame.bytes).expect("a message");
    assert_eq!(VmIdReply::decode(&answer).expect("an id"), VmIdReply { id: b"" });
    let frame = own.ask(&message(|out| {
        let kind = MessageType::QUERY_ENVIRONMENT_VARIABLE;
        QueryEnvironmentVariable { text: b"NOT_SET" }.encode(&header(kind), out)
    }));
    let answer = Message::parse(&frame.bytes).expect("a message");
    let value = QueryEnvironmentVariable::decode(&answer).expect("a value");
    assert_eq!(value, QueryEnvironmentVariable { text: b"" });
    // What it does not serve is refused with words, and the connection goes on.
    let frame =
        own.ask(&message(|out| ExitStatus::new(0).encode(&header(MessageType::EXIT_STATUS), out)));
    let answer = Message::parse(&frame.bytes).expect("a message");
    let notice = ErrorNotice::decode(&answer).expect("a refusal");
    let text = notice.extensions.get(Tag::ERROR_TEXT).expect("words");
    assert!(String::from_utf8_lossy(text).contains("not served here"), "{notice:?}");
    // A session, a process in it, its window's size by a signal's way, its end.
    let frame = own.ask(&message(|out| {
        CreateSession::default().encode(&header(MessageType::CREATE_SESSION), out)
    }));
    let answer = Message::parse(&frame.bytes).expect("a message");
    let response = CreateSessionResponse::decode(&answer).expect("a session");
    assert_eq!(response, CreateSessionResponse { port: 0 });
    let session = Control(frame.descriptors.into_iter().next().expect("its connection").into());
    let frame = session.ask(&message(|out| {
        let process = LinuxProcess {
            filename: b"/bin/sh",
            arguments: vec![b"sh", b"-c", b"exit 300"],
            ..LinuxProcess::default()
        };
        CreateLinuxProcess { process, ..CreateLinuxProcess::default() }
            .encode(&header(MessageType::CREATE_PROCESS), out)
    }));
    let answer = Message::parse(&frame.bytes).expect("a message");
    assert_eq!(TransactionResult::decode(&answer).expect("it"), TransactionResult::U32(0));
    let process: UnixStream = frame.descriptors.into_iter().next().expect("its connection").into();
    let frame = receive(&process, &mut Inbox::default(), None).expect("its end");
    let answer = Message::parse(&frame.bytes).expect("a message");
    assert_eq!(ExitStatus::decode(&answer).expect("a status").code, 300 % 256);
    // The acknowledgement; then the leader closes.
    (&process).write_all(&frame.bytes).expect("an acknowledgement");
    assert_eq!((&process).read(&mut [0]).expect("the end"), 0);
    // Rubbish ends a connection, and nothing else.
    let rubbish = control();
    (&rubbish.0).write_all(&[0xFF; 64]).expect("rubbish");
    assert_eq!((&rubbish.0).read(&mut [0; 64]).unwrap_or(0), 0);
    // Not by a request while a session runs, but by force.
    for (force, ends) in [(false, false), (true, true)] {
        let frame = own.ask(&message(|out| {
            TerminateInstance { force }.encode(&header(MessageType::TERMINATE_INSTANCE), out)
        }));
        let answer = Message::parse(&frame.bytes).expect("a message");
        let result = TransactionResult::decode(&answer).expect("a result");
        assert_eq!(result, TransactionResult::Bool(ends), "force {force}");
    }
    expect_soon("the instance's end", || (!it.directory().exists()).then_some(()));
    drop(session);
}

/// While a root is being made the machine's lies somewhere in it, and process 1 has directories of the
/// machine's open: no link may lead there.
#[test]
fn links_in_a_root_lead_nowhere() {
    let host = Host::new();
    host.settled();
    let linked = Distribution::new(&host, "Alpha");
    let (etc, mnt) = (linked.root().join("etc"), linked.root().join("mnt"));
    let trap = host.base().join("trap");
    fs::rename(&etc, &trap).expect("its etc, outside");
    // It may have none.
    let _ = fs::remove_dir_all(&mnt);
    let before = names_in(&trap);
    let below = trap.strip_prefix("/").expect("absolute").display();
    let mut ways = vec![format!("/run/outside/{below}"), format!("/proc/1/root/{below}")];
    let up = "../".repeat(12);
    ways.extend((3..16).map(|number| format!("/proc/self/fd/{number}/{up}{below}")));
    for way in ways {
        for link in [&etc, &mnt] {
            // The last round's; the first time there is none.
            let _ = fs::remove_file(link);
            symlink(&way, link).expect("a link");
        }
        let outcome = finish(&mut linked.wsl(&["-e", "ls", "/proc/1/comm"]));
        assert_eq!(outcome.text(), "/proc/1/comm\n", "it starts: {}", outcome.errors());
        linked.terminate();
        assert_eq!(names_in(&trap), before, "{way} leads out");
    }
    for (name, distribution) in
        [("dev", "Beta"), ("proc", "Gamma"), ("sys", "Delta"), ("run", "Epsilon"), ("init", "Zeta")]
    {
        let odd = Distribution::new(&host, distribution);
        let place = odd.root().join(name);
        // Not all of them are there.
        let _ = fs::remove_dir_all(&place);
        symlink("/tmp", &place).expect("a link");
        finish(&mut odd.wsl(&["-e", "true"])).refused(126, &[name]);
    }
}

fn names_in(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(folder).expect("the folder").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

#[test]
fn odd_files_in_a_root_hold_nothing_up() {
    let host = Host::new();
    host.settled();
    let odd = Distribution::new(&host, "Beta");
    for name in ["os-release", "fstab", "hosts"] {
        let path = odd.root().join("etc").join(name);
        // Not all of them are there.
        let _ = fs::remove_file(&path);
        finish(Command::new("mkfifo").arg(path)).clean();
    }
    fs::write(odd.root().join("init"), "another's").expect("init");
    assert_eq!(odd.sh("/win/hello.exe").clean().text(), "hello\n");
    assert_eq!(fs::read(odd.root().join("init")).expect("init"), b"another's");
    odd.terminate();
    fs::create_dir(odd.root().join("etc/wsl.conf")).expect("a directory");
    assert_eq!(finish(&mut odd.wsl(&["-e", "true"])).code(), 0);
    odd.terminate();
}

/// Puts a root over this machine's at `root` in the folder `$1`, with systemd as its process 1, and
/// runs what `$2` says there; in a mount namespace of its own.
const WITH_SYSTEMD: &str = r#"
mount -t tmpfs -o mode=0755 tmpfs "$1"
cd "$1"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root || exit 77
printf '[boot]\nsystemd = true\n' >root/etc/wsl.conf
: >root/etc/machine-id
: >root/etc/fstab
rm -f root/init
# Everything but logins: those wait for what no test has.
ln -sf /usr/lib/systemd/system/basic.target root/etc/systemd/system/default.target
# systemd empties /tmp at the start, so the program is elsewhere.
cp "$3/hello.exe" root/opt
printf '[Service]\nType=oneshot\nExecStart=/bin/sh -c "/opt/hello.exe >/root/said 2>&1"\n' \
    >root/etc/systemd/system/tool.service
eval "$2"
"#;

#[test]
fn systemd_is_process_1_where_the_distribution_wants_it() {
    needs_root("only root can have a root with systemd over this machine's");
    let _ = needs_cgroups();
    let host = Host::with_settings("sandboxes = true\n");
    host.settled();
    let folder = host.base().join("system");
    fs::create_dir(&folder).expect("a folder");
    let script = r#"
wsl="wsl -d Sys --root $1/root -u root -e"
$wsl cat /proc/1/comm
$wsl sh -c 'readlink /run/WSL/1_interop | grep -c _interop; systemctl show -p Version | head -c 8; echo'
$wsl systemctl start tool.service; $wsl cat /root/said
$wsl systemctl is-active basic.target
$wsl sh -c 'exit 7'; echo $?
# The registration is kept from what unregisters.
$wsl sh -c 'echo -1 >/proc/sys/fs/binfmt_misc/status; until test -e /proc/sys/fs/binfmt_misc/WSLInterop; do :; done; echo back'
wsl -d Sys --root $1/root --terminate; echo $?
ls /sys/fs/cgroup | grep -c winterop-Sys
"#;
    let mut command = host.command_as_root("unshare", Placement::InPlace);
    command.args(["--mount", "--propagation", "private", "sh", "-c", WITH_SYSTEMD, "sh"]);
    let windows = host.windows().to_path_buf();
    let outcome = finish(command.arg(&folder).arg(script).arg(windows));
    assert_ne!(outcome.status.code(), Some(77), "no overlay can be mounted here");
    let expected = "systemd\n1\nVersion=\nhello\nactive\n7\nback\n0\n0\n";
    assert_eq!(outcome.text(), expected, "{}", outcome.errors());
}
