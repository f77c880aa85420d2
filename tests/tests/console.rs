//! What a program takes of its terminal, and what it leaves of it.

use rustix::process::{Pid, Signal, kill_process};
use winterop_tests::{Host, Process, Shell, expect_soon, placements};

/// How often something is tried that could depend on a moment: at each of three kinds of moment.
const ROUNDS: usize = 3;

/// Modes that programs set: the other screen, mouse, paste, keypad, cursor keys, colours.
const MODES: &str = "~[?1049h~[?1000h~[?1006h~[?2004h~[?1h~=~[31;1mtext";

/// `console.exe`, as a shell's word, with steps.
fn console(host: &Host, steps: &str) -> String {
    let program = host.windows().join("console.exe");
    let program = program.to_str().expect("UTF-8");
    steps.split(' ').fold(program.to_owned(), |line, step| format!("{line} '{step}'"))
}

#[test]
fn what_is_typed_ahead_reaches_the_shell() {
    typed_ahead(ROUNDS);
}

#[test]
fn what_is_typed_ahead_reaches_the_shell_however_often() {
    typed_ahead(6 * ROUNDS);
}

/// Types ahead of every kind of program, in so many rounds.
fn typed_ahead(rounds: usize) {
    let host = Host::new();
    host.settled();
    // Which steps, what is typed for them, and what the program says when it has that.
    let programs = [
        ("say=ready file", "x\r", "line \"x\\r\\n\""),
        ("say=ready line", "x\r", "line \"x\\r\\n\""),
        ("say=ready key", "x", "key 58 78"),
        ("say=ready wait", "x", "key 58 78"),
        ("say=ready sleep", "\u{3}", "\u{1b}[?2004h"),
    ];
    for placement in placements() {
        let mut shell = Shell::editing_bash(&host, placement);
        for round in 0..rounds {
            for (number, (steps, typed, says)) in programs.into_iter().enumerate() {
                shell.runs(&console(&host, steps));
                shell.expect("ready");
                let next = format!("echo ty''ped {round}-{number}-abcdefghijklmnop\r");
                match round % 3 {
                    // All at once.
                    0 => shell.types(&format!("{typed}{next}")),
                    // When the program has said its last.
                    1 => {
                        shell.types(typed);
                        shell.expect(says);
                        shell.types(&next);
                    }
                    // When the shell has the terminal.
                    _ => {
                        shell.types(typed);
                        shell.wait_for_prompt();
                        shell.types(&next);
                    }
                }
                shell.expect(&format!("typed {round}-{number}-abcdefghijklmnop"));
            }
        }
    }
}

#[test]
fn what_is_typed_behind_a_command_processors_exit_reaches_the_shell() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::editing_bash(&host, placement);
        for round in 0..ROUNDS {
            shell.runs(r"'C:\windows\system32\cmd.exe'");
            shell.expect("Microsoft Windows");
            shell.expect(">");
            shell.types(&format!("exit {round}\recho ty''ped $?-abcdefghijklmnop\r"));
            shell.expect(&format!("typed {round}-abcdefghijklmnop"));
        }
    }
}

#[test]
fn events_are_found_by_whoever_waits_for_them_looks_for_them_or_reads_them() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        // In line mode, and then with every flag off.
        for mode in ["1f7", "0"] {
            let steps = format!("say=ready mode={mode} wait wait poll poll key key wait say=done");
            shell.runs(&console(&host, &steps));
            shell.expect("ready");
            for letter in 'a'..='g' {
                shell.types(&letter.to_string());
                let code = letter as u32;
                shell.expect(&format!("key {:x} {code:x}", letter.to_ascii_uppercase() as u32));
            }
            shell.expect("done");
            shell.wait_for_prompt();
        }
        // One below a command processor that has read in its own way before, and twice, because
        // Wine tells its console host of the first wait only.
        shell.runs(r"'C:\windows\system32\cmd.exe'");
        shell.expect(">");
        let program = format!("Z:{}", host.windows().join("console.exe").to_str().expect("UTF-8"));
        for letter in ['h', 'i'] {
            shell.types(&format!("{} say=ready wait\r", program.replace('/', "\\")));
            // Once as it is typed, and once from the program.
            shell.expect("say=ready");
            shell.expect("ready");
            shell.types(&letter.to_string());
            shell.expect(&format!("key {:x}", letter.to_ascii_uppercase() as u32));
        }
        shell.types("exit\r");
        shell.wait_for_prompt();
    }
}

#[test]
fn keys_of_several_bytes_arrive_as_one() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        shell.runs(&console(&host, "say=ready key key key key key"));
        shell.expect("ready");
        // Arrow up, End, Escape by itself, and letters that are no ASCII.
        for (typed, says) in [
            ("\u{1b}[A", "key 26 0"),
            ("\u{1b}[F", "key 23 0"),
            ("\u{1b}", "key 1b "),
            ("é", " e9"),
            ("漢", " 6f22"),
        ] {
            shell.types(typed);
            shell.expect(says);
        }
        shell.wait_for_prompt();
    }
}

#[test]
fn ctrl_d_is_the_end_of_input_where_lines_are_read() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        shell.runs(&format!("{}; echo sta''tus $?", console(&host, "say=ready lines line")));
        shell.expect("ready");
        shell.types("one\r");
        shell.expect("line \"one\\r\\n\"");
        // Not at the begin of a line, where it is a key, and after a line was taken back.
        shell.types("ab\u{7f}\u{7f}\u{4}");
        shell.expect("end");
        // Input goes on after its end, as on Windows and on Linux.
        shell.types("two\r");
        shell.expect("line \"two\\r\\n\"");
        shell.expect("status 0");
        // Who reads keys gets the key.
        shell.runs(&console(&host, "say=ready mode=0 key"));
        shell.expect("ready");
        shell.types("\u{4}");
        shell.expect("key 44 4");
        // Two programs that read lines in their own ways.
        for (program, typed, says) in [
            (r"'C:\windows\system32\cmd.exe'", "ver\r", "Microsoft Windows"),
            (&*host.windows().join("cat.exe").to_string_lossy(), "three\r", "three"),
        ] {
            shell.runs(&format!("{program}; echo sta''tus $?"));
            shell.wait_for_job();
            shell.types(typed);
            shell.expect(says);
            shell.types("\u{4}");
            shell.expect("status 0");
        }
    }
}

#[test]
fn what_is_typed_before_the_program_reads_is_read_by_it() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        // Typed while the terminal still has the shell's modes, where Enter is another character.
        shell.runs(&format!("{}; echo sta''tus $?", console(&host, "file line lines")));
        shell.wait_for_job();
        shell.types("one\rtwo\rthree\r");
        for text in ["one", "two", "three"] {
            shell.expect(&format!("line \"{text}\\r\\n\""));
        }
        shell.types("\u{4}");
        shell.expect("end");
        shell.expect("status 0");
    }
}

/// That the terminal is in no mode in which it was not at its start.
#[track_caller]
fn assert_plain(shell: &Shell, what: &str) {
    let screen = shell.screen();
    assert!(!screen.alternate_screen(), "{what}: the other screen");
    assert!(!screen.hide_cursor(), "{what}: no cursor");
    assert!(!screen.application_keypad() && !screen.application_cursor(), "{what}: keys");
    assert!(!screen.bracketed_paste(), "{what}: bracketed paste");
    assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "{what}");
    assert_eq!(screen.mouse_protocol_encoding(), vt100::MouseProtocolEncoding::Default, "{what}");
    assert!(screen.fgcolor() == vt100::Color::Default && !screen.bold(), "{what}: colours");
}

/// That it is in all that [`MODES`] sets.
#[track_caller]
fn assert_changed(shell: &Shell) {
    let screen = shell.screen();
    assert!(screen.alternate_screen() && screen.bracketed_paste(), "{:?}", shell.written());
    assert!(screen.application_keypad() && screen.application_cursor());
    assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::PressRelease);
    assert_eq!(screen.mouse_protocol_encoding(), vt100::MouseProtocolEncoding::Sgr);
    assert!(screen.fgcolor() == vt100::Color::Idx(1) && screen.bold());
}

/// Starts a program that sets modes and reads, and waits until it has.
fn changed(host: &Host, shell: &mut Shell) {
    shell.runs(&console(host, &format!("vt={MODES} key say=last")));
    shell.expect("text");
    expect_soon("raw modes", || {
        (!shell.modes().local_modes.contains(rustix::termios::LocalModes::ICANON)).then_some(())
    });
    assert_changed(shell);
}

#[test]
fn what_a_program_made_of_the_terminal_is_undone_on_every_way_out() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        let before = shell.modes();
        type Way = (&'static str, fn(&Host, &mut Shell), u8);
        let ways: [Way; 6] = [
            ("its end", |_, shell| shell.types("q"), 0),
            ("Ctrl-C", |_, shell| shell.key('c'), 130),
            ("SIGTERM", |_, shell| send(shell.foreground(), Signal::TERM), 143),
            ("a killed program", |host, _| send(program(host), Signal::KILL), 137),
            ("Ctrl-\\", |_, shell| shell.types("\u{1c}"), 131),
            ("a killed interpreter", |_, shell| send(shell.foreground(), Signal::KILL), 137),
        ];
        for (what, way, status) in ways {
            changed(&host, &mut shell);
            way(&host, &mut shell);
            shell.wait_for_prompt();
            shell.does("echo sta''tus $?", &format!("status {status}"));
            // Where the interpreter was killed the host undoes it, a little later.
            expect_soon(&format!("{what}: a plain screen"), || {
                shell.does("echo he''re", "here");
                (!shell.screen().alternate_screen()).then_some(())
            });
            assert_plain(&shell, what);
            assert!(same_modes(&before, &shell), "{what}");
        }
    }
}

fn send(process: Pid, signal: Signal) {
    kill_process(process, signal).expect("it is there");
}

/// The Windows program `console.exe` of this host.
fn program(host: &Host) -> Pid {
    let is_one = |process: &Process| {
        process.command_line().starts_with(&*host.windows().to_string_lossy())
            || process.command_line().contains("\\console.exe")
    };
    let found = expect_soon("the program", || host.everything().into_iter().find(is_one));
    Pid::from_raw(found.0).expect("a pid")
}

fn same_modes(before: &rustix::termios::Termios, shell: &Shell) -> bool {
    let now = shell.modes();
    before.local_modes == now.local_modes
        && before.input_modes == now.input_modes
        && before.output_modes == now.output_modes
}

#[test]
fn whoever_is_left_puts_the_terminal_back() {
    let host = Host::new();
    for placement in placements() {
        host.settled();
        let mut shell = Shell::bash(&host, placement);
        let before = shell.modes();
        changed(&host, &mut shell);
        let program = program(&host);
        send(Pid::from_raw(host.process().expect("a host").0).expect("a pid"), Signal::KILL);
        send(shell.foreground(), Signal::KILL);
        shell.expect("Killed");
        shell.expect("\u{1b}[?1049l");
        shell.does("echo he''re", "here");
        assert_plain(&shell, "both killed");
        expect_soon("the modes as before", || same_modes(&before, &shell).then_some(()));
        // Nobody was left who could have ended it.
        send(program, Signal::KILL);
        // A new host, for whatever was left behind.
        let hello = host.windows().join("hello.exe");
        shell.runs(hello.to_str().expect("UTF-8"));
        shell.expect("hello");
        shell.wait_for_prompt();
    }
}

#[test]
fn a_program_that_changes_nothing_is_not_undone() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        shell.runs(&format!("{}; echo sta''tus $?", console(&host, "say=ready key say=last")));
        shell.expect("ready");
        let from = shell.written().len();
        shell.types("q");
        shell.expect("status 0");
        let written = &shell.written()[from..];
        let behind = written.rsplit("last").next().expect("the last line");
        // Wine shows the cursor that it had hidden, and nothing else is written.
        let behind = behind.replace("\u{1b}[?25h", "");
        assert!(!behind.contains('\u{1b}'), "{written:?}");
        assert_plain(&shell, "nothing");
    }
}

#[test]
fn a_stopped_program_leaves_a_sane_terminal_and_gets_its_own_back() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        let before = shell.modes();
        changed(&host, &mut shell);
        let within = shell.modes();
        shell.key('z');
        shell.expect("Stopped");
        shell.does("echo he''re", "here");
        assert_plain(&shell, "stopped");
        assert!(same_modes(&before, &shell));
        // In the background it takes nothing of what is typed.
        shell.types("bg\r");
        for number in 0..5 {
            shell.does(&format!("echo ty''ped {number}"), &format!("typed {number}"));
        }
        assert_plain(&shell, "in the background");
        shell.types("fg\r");
        shell.expect("\u{1b}[31;1m");
        assert_changed(&shell);
        expect_soon("the program's modes", || same_modes(&within, &shell).then_some(()));
        shell.types("q");
        shell.expect("last");
        shell.does("echo he''re", "here");
        assert_plain(&shell, "ended");
        assert!(same_modes(&before, &shell));
    }
}

#[test]
fn modes_that_the_shell_has_got_meanwhile_stay() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut shell = Shell::bash(&host, placement);
        shell.runs(&console(&host, "say=ready key say=last"));
        shell.expect("ready");
        expect_soon("raw modes", || {
            (!shell.modes().local_modes.contains(rustix::termios::LocalModes::ICANON)).then_some(())
        });
        shell.key('z');
        shell.expect("Stopped");
        shell.does("stty -echoctl; echo do''ne", "done");
        shell.types("fg\r");
        shell.wait_for_job();
        shell.types("q");
        shell.expect("last");
        shell.wait_for_prompt();
        let modes = shell.modes().local_modes;
        assert!(!modes.contains(rustix::termios::LocalModes::ECHOCTL), "{modes:?}");
    }
}
