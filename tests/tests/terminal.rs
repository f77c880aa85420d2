//! Interactive programs on a real terminal, in real shells.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use rustix::process::{Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios};
use winterop_tests::{Host, Placement, Process, Shell, expect_soon, fetched, placements};

/// What a shell user would notice of changed modes.
fn same(left: &Termios, right: &Termios) -> bool {
    left.local_modes == right.local_modes
        && left.input_modes == right.input_modes
        && left.output_modes == right.output_modes
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
        expect_soon("the program reads keys", || {
            (!shell.modes().local_modes.contains(LocalModes::ICANON)).then_some(())
        });
        // Typed, one taken back, and run.
        shell.types("echo he\u{7f}hello\r");
        shell.expect("hhello\x1b");
        shell.types("exit 5\r");
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
            let mut shell = Shell::start(&host, placement, words);
            shell.runs(&format!("{} 0", program(&host, "signal-report.exe")));
            shell.expect("ready");
            shell.key('z');
            shell.does("echo sto''pped", "stopped");
            shell.does("stty -a | grep -c ' icanon ' | sed s/^/icanon:/", "icanon:1");
            shell.wait_for_prompt();
            shell.types("fg\r");
            shell.wait_for_job();
            shell.key('c');
            shell.wait_for_prompt();
            shell.does("echo sta''tus $?", "status 130");
        }
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
        shell.wait_for_job();
        // The interpreter leads the job's group.
        kill_process(shell.foreground(), Signal::KILL).expect("it is there");
        shell.expect("Killed");
        expect_soon("the modes as before", || same(&before, &shell.modes()).then_some(()));
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
        shell.runs(&format!("{report} 0 &"));
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
            expect_soon(text, || tmux(&["capture-pane", "-p"]).contains(text).then_some(()));
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
        // A program below it learns of the window's new size.
        let console = format!("Z:{}", program(&host, "console.exe").replace('/', "\\"));
        tmux(&["send-keys", &format!("{console} size resized"), "Enter"]);
        screen_has("size 90 20");
        tmux(&["resize-window", "-x", "70", "-y", "15"]);
        screen_has("resized 70 15");
        tmux(&["send-keys", "exit 3", "Enter"]);
        screen_has("status 3");
        tmux(&["kill-server"]);
    }
}

#[test]
fn a_program_learns_of_a_new_size() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        let console = program(&host, "console.exe");
        // By an event, and by looking.
        shell.runs(&format!("{console} say=ready resized size resized until=60 say=done"));
        shell.expect("ready");
        for (rows, columns) in [(25, 80), (40, 120)] {
            shell.resize(rows, columns);
            shell.expect(&format!("resized {columns} {rows}"));
        }
        shell.resize(20, 60);
        shell.expect("size 60 20");
        shell.expect("done");
        shell.wait_for_prompt();
        // One that changes while the program is stopped.
        shell.runs(&format!("{console} say=ready key until=90"));
        shell.expect("ready");
        shell.wait_for_job();
        shell.key('z');
        shell.expect("Stopped");
        shell.resize(30, 90);
        shell.types("fg\r");
        shell.wait_for_job();
        shell.types("q");
        shell.expect("size 90 30");
        shell.wait_for_prompt();
    }
}

#[test]
fn a_program_that_starts_other_programs_resizes_their_console() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        let console = format!("Z:{}", program(&host, "console.exe").replace('/', "\\"));
        let command = r"'C:\windows\system32\cmd.exe'";
        shell.runs(&format!("{command} /c '{console}' say=ready resized"));
        shell.expect("ready");
        shell.resize(25, 80);
        shell.expect("resized 80 25");
        shell.wait_for_prompt();
    }
}

#[test]
fn nothing_asks_the_terminal_for_an_answer() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        // The other side of this terminal answers nothing.
        let mut shell = Shell::bash(&host, placement);
        shell.runs(r"'C:\windows\system32\cmd.exe'");
        shell.expect("Microsoft Windows");
        shell.expect(">");
        shell.types("ver\r");
        shell.expect("Microsoft Windows");
        shell.expect(">");
        shell.types("exit\r");
        shell.wait_for_prompt();
        shell.does("echo he''re", "here");
        // Where the cursor is, what the terminal is, which colours and modes it has.
        let queries = ["\u{1b}[6n", "\u{1b}[5n", "\u{1b}[c", "\u{1b}[0c", "\u{1b}[>", "$p", ";?"];
        for query in queries {
            assert!(!shell.written().contains(query), "{query:?} in {:?}", shell.written());
        }
    }
}

#[test]
fn a_graphical_program_leaves_the_terminal_alone() {
    let host = Host::new();
    host.settled();
    for (number, placement) in placements().enumerate() {
        let mut shell = Shell::bash(&host, placement);
        let before = shell.modes();
        let file = host.work().join(format!("pid{number}"));
        let name = format!("Z:{}", file.to_str().expect("UTF-8"));
        shell.runs(&format!("{} '{name}' --wait", program(&host, "gui.exe")));
        expect_soon("a graphical program", || file.exists().then_some(()));
        assert!(same(&before, &shell.modes()));
        let consoles = host.everything().into_iter();
        let consoles: Vec<_> = consoles.filter(|it| it.command_line().contains("--unix")).collect();
        assert!(consoles.is_empty(), "{consoles:?}");
        // What is typed now is for the shell, which has the terminal after a stop as after the end.
        shell.types("echo ty''ped\r");
        shell.key('z');
        shell.expect("Stopped");
        shell.types("echo ty''ped; kill -KILL %1\r");
        shell.expect("typed");
        shell.does("wait; echo al''ive", "alive");
        let is_it = |process: &Process| process.command_line().contains("gui.exe");
        let left = || host.everything().into_iter().filter(is_it).collect::<Vec<_>>();
        match placement {
            // It is a part of the job that was killed.
            Placement::InPlace => expect_soon("its end", || left().is_empty().then_some(())),
            // A graphical program outlives its interpreter.
            Placement::Hosted => {
                assert!(!left().is_empty(), "it has ended with its interpreter");
                for process in left() {
                    let pid = rustix::process::Pid::from_raw(process.0).expect("a pid");
                    kill_process(pid, Signal::KILL).expect("it is there");
                }
            }
        }
    }
}

#[test]
fn l2_words_of_the_command_processor_on_a_terminal() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let winterop = host.winterop(placement, &[]);
        let mut command = host.command(winterop.get_program(), placement);
        command.args(["run", r"C:\windows\system32\cmd.exe", "/c", "echo", "hello world"]);
        let shell = Shell::of(&host, placement, command);
        assert_eq!(shell.end().trim_end(), "\"hello world\"");
    }
}

#[test]
fn arrow_keys_bring_the_command_processors_old_lines_back() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        shell.runs(r"'C:\windows\system32\cmd.exe'");
        shell.expect("Microsoft Windows");
        shell.expect(">");
        shell.types("echo one\r");
        shell.expect("\u{1b}[?25lone");
        shell.expect(">");
        // The line again, three to the left, and a letter there.
        shell.types("\u{1b}[A\u{1b}[D\u{1b}[D\u{1b}[Dt\r");
        shell.expect("tone");
        shell.expect("\u{1b}[?25ltone");
        shell.types("exit\r");
        shell.wait_for_prompt();
        shell.does("echo he''re", "here");
    }
}

#[test]
fn nodes_prompt_answers_remembers_and_ends() {
    let node = fetched("node");
    let node = node.to_str().expect("UTF-8");
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        for end in [".exit\r", "\u{4}"] {
            shell.runs(&format!("{node}; echo sta''tus $?"));
            shell.expect("Welcome to Node.js");
            // The prompt, and the cursor behind it.
            shell.expect("\u{1b}[3G");
            shell.types("6*7\r");
            shell.expect("42");
            shell.expect("\u{1b}[3G");
            shell.types("\u{1b}[A+1\r");
            shell.expect("43");
            shell.expect("\u{1b}[3G");
            shell.types(end);
            shell.expect("status 0");
        }
    }
}
