//! Interactive programs on a real terminal, in real shells.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rexpect::session::{PtySession, spawn_command};
use rustix::process::Pid;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcgetpgrp, tcsetwinsize};
use winterop_tests::{Host, Placement, placements};

/// How long a shell may take to answer, in milliseconds.
const PATIENCE: u64 = 30_000;

/// A shell on a terminal of 30 rows and 100 columns.
struct Shell {
    session: PtySession,
    terminal: File,
    winterop: String,
    /// The shell's own process group.
    group: Option<Pid>,
}

impl Shell {
    fn start(host: &Host, placement: Placement, words: &[&str]) -> Self {
        let mut command = host.command(words[0], placement);
        command.args(&words[1..]).env("PS1", "").env("TERM", "xterm-256color");
        let session = spawn_command(command, Some(PATIENCE)).expect("a shell");
        let terminal = session.process().get_file_handle().expect("its terminal");
        let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).expect("a size");
        let winterop = host.winterop(placement, &[]);
        let winterop = winterop.get_program().to_str().expect("UTF-8").to_owned();
        let mut shell = Self { session, terminal, winterop, group: None };
        shell.does("echo be''gun", "begun");
        // A shell with job control makes a group of its own.
        shell.group = tcgetpgrp(&shell.terminal).ok();
        shell
    }

    fn bash(host: &Host, placement: Placement) -> Self {
        Self::start(host, placement, &["bash", "--norc", "--noprofile", "--noediting", "-i"])
    }

    /// Starts a Windows program in the foreground.
    fn runs(&mut self, words: &str) {
        let line = format!("{} run {words}", self.winterop);
        self.session.send_line(&line).expect("a terminal");
    }

    fn expect(&mut self, text: &str) {
        if let Err(error) = self.session.exp_string(text) {
            panic!("{text:?} was expected: {error}");
        }
    }

    fn does(&mut self, line: &str, answer: &str) {
        self.session.send_line(line).expect("a terminal");
        self.expect(answer);
    }

    fn key(&mut self, key: char) {
        self.session.send_control(key).expect("a terminal");
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.terminal).expect("a terminal")
    }
}

/// What a shell user would notice of changed modes.
fn same(left: &Termios, right: &Termios) -> bool {
    left.local_modes == right.local_modes
        && left.input_modes == right.input_modes
        && left.output_modes == right.output_modes
}

impl Drop for Shell {
    fn drop(&mut self) {
        // An interactive shell ignores what rexpect would end it with.
        if let Some(group) = self.group {
            let _ = rustix::process::kill_process(group, rustix::process::Signal::KILL);
        }
    }
}

fn program(host: &Host, name: &str) -> String {
    host.windows().join(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_command_processor_is_talked_to_and_the_terminal_is_as_before() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        let before = shell.modes();
        shell.runs(r"'C:\windows\system32\cmd.exe'; echo sta''tus $?");
        shell.expect("Microsoft Windows");
        shell.expect(">");
        let within = shell.modes();
        assert!(!within.local_modes.contains(LocalModes::ICANON), "the program reads keys");
        // Typed, one taken back, and run.
        shell.session.send("echo he\u{7f}hello\r").expect("a terminal");
        shell.session.flush().expect("a terminal");
        shell.expect("hhello\x1b");
        shell.session.send("exit 5\r").expect("a terminal");
        shell.session.flush().expect("a terminal");
        // What is typed just after the end may be lost (`docs/terminal.md`), so it is asked before.
        shell.expect("status 5");
        assert!(same(&before, &shell.modes()), "{before:?} {:?}", shell.modes());
    }
}

#[test]
fn a_program_knows_the_terminals_size_at_its_start() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        shell.runs(&program(&host, "tty-report.exe"));
        shell.expect("stdin console");
        shell.expect("stdout console 3 vt");
        shell.expect("size 100 30");
    }
}

#[test]
fn job_control_works_in_every_shell() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        for words in [
            ["bash", "--norc", "--noediting", "-i"].as_slice(),
            ["dash", "-i"].as_slice(),
            ["zsh", "-f", "+Z", "-i"].as_slice(),
        ] {
            if !has(words[0]) {
                println!("skipped: {} is not installed", words[0]);
                continue;
            }
            let mut shell = Shell::start(&host, placement, words);
            shell.runs(&format!("{} 0", program(&host, "signal-report.exe")));
            shell.expect("ready");
            shell.key('z');
            shell.does("echo sto''pped", "stopped");
            shell.does("stty -a | grep -c ' icanon ' | sed s/^/icanon:/", "icanon:1");
            wait_for_shell(&shell);
            shell.session.send_line("fg").expect("a terminal");
            wait_for_foreground(&shell);
            shell.key('c');
            wait_for_shell(&shell);
            shell.does("echo sta''tus $?", "status 130");
        }
    }
}

fn has(program: &str) -> bool {
    let quiet = Command::new(program).args(["-c", ":"]).stdin(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Waits until another group than the shell's has the terminal.
fn wait_for_foreground(shell: &Shell) {
    wait_for_group(shell, |group| Some(group) != shell.group);
}

/// Waits until the shell has the terminal again: what is typed before that is the program's.
fn wait_for_shell(shell: &Shell) {
    wait_for_group(shell, |group| Some(group) == shell.group);
}

fn wait_for_group(shell: &Shell, is_it: impl Fn(Pid) -> bool) {
    let deadline = Instant::now() + Duration::from_millis(PATIENCE);
    while !is_it(tcgetpgrp(&shell.terminal).expect("a terminal")) {
        assert!(Instant::now() < deadline, "the terminal is not given on");
        std::thread::yield_now();
    }
}

#[test]
fn the_terminal_is_as_before_when_the_interpreter_is_killed() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        let before = shell.modes();
        shell.runs(&format!("{} 0", program(&host, "signal-report.exe")));
        shell.expect("ready");
        wait_for_foreground(&shell);
        let group = tcgetpgrp(&shell.terminal).expect("a terminal");
        // The interpreter leads the job's group.
        rustix::process::kill_process(group, rustix::process::Signal::KILL).expect("it is there");
        shell.expect("Killed");
        let deadline = Instant::now() + Duration::from_millis(PATIENCE);
        while !same(&before, &shell.modes()) {
            assert!(Instant::now() < deadline, "{before:?} {:?}", shell.modes());
            std::thread::yield_now();
        }
        shell.does("echo al''ive", "alive");
    }
}

#[test]
fn a_program_in_the_background_takes_nothing_of_the_shells_input() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        let report = program(&host, "signal-report.exe");
        shell
            .session
            .send_line(&format!("{} run {report} 0 &", shell.winterop))
            .expect("a terminal");
        shell.expect("ready");
        for number in 0..5 {
            shell.does(&format!("echo ty''ped {number}"), &format!("typed {number}"));
        }
        shell.does("kill %1; wait %1; echo sta''tus $?", "status 143");
    }
}

#[test]
fn l9_a_terminal_that_controls_nobody_is_written_to() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&controller).expect("a terminal");
        unlockpt(&controller).expect("a terminal");
        let name = ptsname(&controller, Vec::new()).expect("a name");
        let open = || {
            let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
            rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).expect("its other side")
        };
        let winterop = host.winterop(placement, &[]);
        let mut command = host.command("setsid", placement);
        command.arg("--wait").arg(winterop.get_program());
        command.args(["run", r"C:\windows\system32\cmd.exe", "/c", "echo OK"]);
        let status = command
            .stdin(Stdio::from(open()))
            .stdout(Stdio::from(open()))
            .stderr(Stdio::from(open()))
            .status()
            .expect("setsid");
        drop(command);
        assert!(status.success(), "{status}");
        let mut written = [0; 256];
        let length = File::from(controller).read(&mut written).expect("what was written");
        assert_eq!(String::from_utf8_lossy(&written[..length]), "OK\r\r\n");
    }
}

#[test]
fn a_program_is_talked_to_in_tmux() {
    if !Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_ok_and(|s| s.success()) {
        println!("skipped: tmux is not installed");
        return;
    }
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let socket = host.base().join(format!("tmux-{placement:?}"));
        let socket = socket.to_str().expect("UTF-8").to_owned();
        let tmux = |arguments: &[&str]| {
            let mut command = host.command("tmux", placement);
            command.args(["-f", "/dev/null", "-S", &socket]).args(arguments);
            let output = command.stdin(Stdio::null()).output().expect("tmux");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let screen_has = |text: &str| {
            let deadline = Instant::now() + Duration::from_millis(PATIENCE);
            loop {
                let screen = tmux(&["capture-pane", "-p"]);
                if screen.contains(text) {
                    return;
                }
                assert!(Instant::now() < deadline, "no {text:?} on\n{screen}");
            }
        };
        let winterop = host.winterop(placement, &[]);
        let line = format!(
            "{} run 'C:\\windows\\system32\\cmd.exe'; echo status $?; cat",
            winterop.get_program().to_str().expect("UTF-8")
        );
        tmux(&["new-session", "-d", "-x", "90", "-y", "20", &line]);
        screen_has(">");
        tmux(&["send-keys", "echo %OS%-here", "Enter"]);
        screen_has("Windows_NT-here");
        tmux(&["send-keys", "exit 3", "Enter"]);
        screen_has("status 3");
        tmux(&["kill-server"]);
    }
}
