//! What goes on in the background has nothing of whoever started it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use winterop_tests::{Host, Output, Placement, Process, expect_soon, finish, needs_root};

/// After this a pipe counts as held.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_pipe_behind_a_session_ends_with_its_command_whatever_is_left_in_the_instance() {
    let host = Host::new();
    host.settled();
    let script = "setsid sleep 1000 <&- >/dev/null 2>&1 & echo $!; hello.exe";
    let session = format!("exec winterop shell sh -c '{script}' 2>&1");
    let mut command = host.command("sh", Placement::InPlace);
    let mut shell =
        command.args(["-c", &session]).stdout(Stdio::piped()).spawn().expect("winterop shell");
    let output = Output::of(shell.stdout.take().expect("a pipe")).rest(PATIENCE);
    let output = output.unwrap_or_else(|silence| panic!("{silence}"));
    let output = String::from_utf8_lossy(&output).replace('\r', "");
    let left = output.strip_suffix("\nhello\n").unwrap_or_else(|| panic!("{output}"));
    let left = Process(left.parse().expect("a pid"));
    assert!(left.is_alive(), "what is left of the session keeps its instance");
    let left = Pid::from_raw(left.0).expect("a pid");
    kill_process(left, Signal::KILL).expect("it was alive");
    assert_eq!(shell.wait().expect("a status").into_raw(), 0);
}

/// What whoever starts a host may have of their own. Limits are soft ones: a hard one not even root can
/// raise everywhere.
const ODD: &str = "trap '' USR1 HUP INT QUIT; umask 077; ulimit -S -n 80; ulimit -S -t 5000; \
                   exec 7>>lock 2>>errors; flock 7; ";

#[test]
fn the_host_and_its_wine_and_an_instance_have_nothing_of_whoever_came_first() {
    needs_root("only root takes a niceness back");
    let host = Host::new();
    let session = "exec nice -n 5 taskset -c 0 winterop shell sh -c 'hello.exe; read line'";
    let mut command = host.command("sh", Placement::InPlace);
    command.args(["-c", &format!("{ODD}{session}")]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = command.spawn().expect("winterop shell");
    let own = Process(shell.id().cast_signed());
    let line = Output::of(shell.stdout.take().expect("a pipe")).line(PATIENCE);
    let line = line.unwrap_or_else(|silence| panic!("{silence}\n{}", host.log()));
    assert_eq!(line, "hello", "{}", host.log());
    let everything = host.everything();
    let background: Vec<_> = everything.into_iter().filter(|process| *process != own).collect();
    for process in &background {
        leaves_files_alone(*process, &host);
    }
    let serving = ["wslhost", "winterop-starter", "wineserver", "services.exe"];
    for name in serving {
        let is_it = |process: &&Process| process.command_line().contains(name);
        let process = background.iter().find(is_it).unwrap_or_else(|| panic!("no {name}"));
        has_terms_of_its_own(*process, name);
    }
    drop(shell.stdin.take());
    shell.wait().expect("a status");
}

#[test]
fn who_may_open_too_few_files_starts_no_host_that_others_would_have_to_use() {
    let host = Host::of_plain_user();
    let hello = host.windows().join("hello.exe").display().to_string();
    let few = format!("ulimit -n 80; exec winterop run {hello}");
    let few = || finish(host.command("sh", Placement::InPlace).args(["-c", &few]));
    few().refused(126, &["80", "winterop host start", "[host-confined]"]);
    host.settled();
    // One that is there serves everybody.
    assert_eq!(few().clean().text(), "hello\n");
}

fn leaves_files_alone(process: Process, host: &Host) {
    let own = |file: &std::ffi::OsString| PathBuf::from(file).starts_with(host.work());
    // Wine's server has a program's files until it has seen that it has ended.
    expect_soon(&format!("{} holds nothing of its caller's", process.command_line()), || {
        (!process.open_files().iter().any(own)).then_some(())
    });
    // One that has ended meanwhile is nowhere.
    let directory = std::fs::read_link(format!("/proc/{}/cwd", process.0)).ok();
    assert_ne!(directory, Some(host.work().to_owned()), "{}", process.command_line());
}

fn has_terms_of_its_own(process: Process, name: &str) {
    let this = Process(std::process::id().cast_signed());
    for (line, expected) in
        [("Umask", Some("0022".to_owned())), ("Cpus_allowed", this.status("Cpus_allowed"))]
    {
        assert_eq!(process.status(line), expected, "{name}: {line}");
    }
    let ignored = process.status("SigIgn").expect("a mask");
    let ignored = u64::from_str_radix(&ignored, 16).expect("a number");
    for signal in [Signal::USR1, Signal::HUP, Signal::INT, Signal::QUIT] {
        assert_eq!(ignored >> (signal.as_raw() - 1) & 1, 0, "{name} ignores {signal:?}");
    }
    let [soft, hard] = limit(process, "Max open files");
    assert_ne!(soft, "80", "{name}");
    // Whoever serves others has as many as there may be.
    assert!(soft == hard || !["wslhost", "wineserver"].contains(&name), "{name}: {soft}");
    assert_eq!(limit(process, "Max cpu time")[0], "unlimited", "{name}");
    assert_eq!(niceness(process), "0", "{name}");
}

/// The soft and the hard limit.
fn limit(process: Process, name: &str) -> [String; 2] {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.0)).expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("this limit");
    let mut words = line.split_whitespace().map(str::to_owned);
    [words.next().expect("a soft one"), words.next().expect("a hard one")]
}

fn niceness(process: Process) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0)).expect("its state");
    // The state is the first field behind the name, the niceness the 17th.
    let fields = stat.get(stat.rfind(')').expect("a name") + 1..).expect("fields");
    fields.split_whitespace().nth(16).expect("a niceness").to_owned()
}
