//! Launching: rows L1 to L14 of the checklist, and what a program finds around itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use winterop_e2e::{Host, PLACEMENTS, Placement, assert_output, fetched, program, text};

#[test]
fn l1_l4_cmd_prints_and_exits_as_in_wsl() {
    let host = Host::new();
    host.expect("$T/hello.exe", "hello\n");
    host.expect(
        "C=$(wslpath -u 'C:\\windows\\system32\\cmd.exe'); $C /c 'echo \"hello world\"'",
        "\"hello world\"\r\n",
    );
    host.expect(
        "C=$(wslpath -u 'C:\\windows\\system32\\cmd.exe'); \
         $C /c 'exit 0'; echo $?; $C /c 'exit 1'; echo $?; $C /c 'cd /d C:\\windows && cd'",
        "0\n1\nC:\\windows\r\n",
    );
}

#[test]
fn l3_by_hand_a_missing_name_ends_by_exiting() {
    let host = Host::new();
    let output = host.shell(Placement::InPlace, "env -i /init no-such.exe; echo $?");
    assert_eq!(text(&output.stdout), "127\n");
    assert!(text(&output.stderr).contains("no-such.exe: no such file or directory"));
    host.expect("/init $T/hello.exe a b", "hello\n");
}

#[test]
fn l5_l11_arguments_arrive_whole() {
    let host = Host::new();
    let report = |script: &str| {
        PLACEMENTS.map(|placement| {
            let output = host.shell(placement, script);
            assert!(output.status.success(), "{script}: {}", text(&output.stderr));
            let printed = text(&output.stdout);
            arguments_in(&printed)
        })
    };
    for lines in report("$T/argv-report.exe '' a\\\"b 'tail\\' '' 'two words' \"it's\"") {
        let wanted = ["", "a\"b", "tail\\", "", "two words", "it's"].map(utf16_digits);
        assert_eq!(lines, wanted);
    }
    let long = "x".repeat(4095);
    for lines in report(&format!("$T/argv-report.exe {long}")) {
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
    // A whole command line close to Windows' limit of 32,767 units.
    let near = vec!["y".repeat(3000); 10].join(" ");
    for lines in report(&format!("$T/argv-report.exe {near}")) {
        assert_eq!(lines.len(), 10);
    }
    let over = vec!["z".repeat(4000); 9].join(" ");
    host.expect_failure(&format!("$T/argv-report.exe {over}"), 126, &["too long", "36"]);
}

fn utf16_digits(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("{unit:04x}")).collect()
}

/// The arguments behind argv[0] that `argv-report.exe` prints, as hexadecimal UTF-16.
fn arguments_in(report: &str) -> Vec<String> {
    let list = report.split("\"argv_hex\":[").nth(1).expect("a report");
    let list = list.split(']').next().unwrap();
    list.split(',').skip(1).map(|word| word.trim_matches('"').to_owned()).collect()
}

#[test]
fn l6_through_a_symbolic_link() {
    let host = Host::new();
    host.expect("ln -sf $T/hello.exe link.exe; ./link.exe", "hello\n");
}

#[test]
fn l7_with_the_instances_own_socket_named() {
    let host = Host::new();
    host.expect("cp $T/hello.exe own.exe; WSL_INTEROP=/run/WSL/1_interop ./own.exe", "hello\n");
}

#[test]
fn l8_large_binary_data_both_ways_at_once() {
    let host = Host::new();
    let data: Vec<u8> =
        (0..8_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(host.work().join("data"), &data).unwrap();
    for placement in PLACEMENTS {
        let output = host.shell(placement, "cat data | $T/cat.exe | cat > back; cmp data back");
        assert_output(&output, "", "8 MiB through pipes");
    }
}

#[test]
fn l10_as_process_1_of_a_pid_namespace() {
    let host = Host::new();
    host.expect("unshare -pf $T/hello.exe", "hello\n");
    host.expect("unshare -pf $T/exit-with.exe 7; echo $?", "7\n");
}

#[test]
fn l12_eight_and_sixty_four_in_parallel() {
    let host = Host::new();
    for placement in PLACEMENTS {
        for count in [8, 64] {
            let script = format!("for i in $(seq {count}); do $T/hello.exe & done; wait");
            let output = host.shell(placement, &script);
            assert_eq!(text(&output.stdout).lines().count(), count, "{}", text(&output.stderr));
        }
    }
}

#[test]
fn l13_input_is_not_read_ahead_of_the_program() {
    let host = Host::new();
    host.expect("printf 'one\\ntwo\\n' | { $T/reads-nothing.exe >/dev/null; cat; }", "one\ntwo\n");
    host.expect(
        "printf 'a\\nb\\nc\\n' | while read x; do $T/reads-nothing.exe >/dev/null; echo $x; done",
        "a\nb\nc\n",
    );
    host.expect("echo data > f; { $T/reads-nothing.exe >/dev/null; cat; } < f", "data\n");
}

#[test]
fn l14_what_begins_with_mz_and_is_no_program() {
    let host = Host::new();
    let work = host.work();
    let real = fs::read(program("hello.exe")).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        fs::write(work.join(name), bytes).unwrap();
        fs::set_permissions(work.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    file("junk.exe", b"MZ and nothing else");
    file("cut.exe", &real[..200]);
    let mut narrow = real.clone();
    let header = u32::from_le_bytes(real[0x3c..0x40].try_into().unwrap()) as usize;
    narrow[header + 4..header + 6].copy_from_slice(&0xaa64_u16.to_le_bytes());
    file("arm.exe", &narrow);
    host.expect_failure("./junk.exe", 126, &["junk.exe", "Windows program"]);
    host.expect_failure("./cut.exe", 126, &["cut.exe"]);
    host.expect_failure("./arm.exe", 126, &["arm.exe", "64-bit Arm"]);
    host.expect_failure("/init ./no-such.exe", 127, &["no such file"]);
    host.expect_failure("mkdir d.exe; /init ./d.exe", 126, &["directory"]);
    host.expect_failure("/init ''", 127, &["no such file"]);
    host.expect_failure(": > empty.exe; /init ./empty.exe", 126, &["empty.exe"]);
    // The server and the host go on.
    host.expect("$T/hello.exe", "hello\n");
}

#[test]
fn exit_codes_are_zero_only_for_zero() {
    let host = Host::new();
    host.expect(
        "for c in 0 1 255 256 259 4294967295; do $T/exit-with.exe $c; echo $?; done",
        "0\n1\n255\n255\n3\n255\n",
    );
    host.expect("WINTEROP_EXIT_FD=3 $T/exit-with.exe 300 3> code; cat code", "300\n");
}

#[test]
fn executables_without_a_name_of_their_own() {
    let host = Host::new();
    // Unlinked after it was opened for execution: run through the descriptor.
    host.expect(
        "cp $T/hello.exe gone.exe; exec 7< gone.exe; rm gone.exe; /proc/self/fd/7",
        "hello\n",
    );
    let python = "import os,sys; \
        f=os.memfd_create('x', 0); os.write(f, open(sys.argv[1],'rb').read()); \
        os.execve(f, ['x'], dict(os.environ))";
    host.expect(&format!("python3 -c \"{python}\" $T/hello.exe"), "hello\n");
}

#[test]
fn b4_a_root_without_the_interpreter_can_launch() {
    let host = Host::new();
    for placement in PLACEMENTS {
        let script = "mkdir -p jail/run/WSL; cp $T/hello.exe jail/; \
                      mount --bind /run/WSL jail/run/WSL && chroot jail /hello.exe; \
                      status=$?; umount jail/run/WSL; exit $status";
        assert_output(&host.shell(placement, script), "hello\n", "in a chroot");
    }
}

#[test]
fn programs_have_the_callers_own_files_and_nobody_else_keeps_them() {
    let host = Host::new();
    // Whoever serves is started before anybody's pipes exist.
    host.expect("$T/hello.exe", "hello\n");
    for placement in PLACEMENTS {
        let mut child = host
            .script(placement, "exec $T/wait-event.exe")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "{line}");
        let ours = rustix::fs::fstat(output.get_ref()).unwrap();
        let holders = holders_of(ours.st_dev, ours.st_ino);
        let names: Vec<String> = holders.iter().map(|pid| name_of(*pid)).collect();
        // In place the interpreter is the program's parent and a job of the caller's shell.
        let allowed = |pid: &u32| {
            *pid == std::process::id()
                // Wine's own server keeps what its programs have, as long as they live.
            || name_of(*pid).contains("wineserver")
            || is_program(*pid)
                || (placement == Placement::InPlace && *pid == child.id())
        };
        assert!(holders.iter().all(allowed), "{placement:?}: {holders:?} {names:?}");
        let program = holders.iter().find(|pid| is_program(**pid));
        let program = program.expect("the program itself has its output");
        let theirs = fs::metadata(format!("/proc/{program}/fd/1")).unwrap();
        assert_eq!((theirs.dev(), theirs.ino()), (ours.st_dev, ours.st_ino));
        drop(child.stdin.take());
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

/// The processes that have a descriptor of this pipe.
fn holders_of(device: u64, inode: u64) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        descriptors.into_iter().flatten().flatten().any(|fd| {
            // The writing end's own name does not matter: device and inode are the pipe's.
            fs::metadata(fd.path()).is_ok_and(|m| m.dev() == device && m.ino() == inode)
        })
    })
    .collect()
}

/// Whether this is the Windows program itself, not the interpreter that was called with its name.
fn is_program(pid: u32) -> bool {
    let name = name_of(pid);
    name.contains("wait-event") && !name.starts_with("/init") && !name.contains("winterop")
}

fn name_of(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text(&line).replace('\0', " ")
}

#[test]
fn files_keep_their_offsets_and_append_mode() {
    let host = Host::new();
    host.expect(
        "printf 'first\\n' > out; $T/hello.exe >> out; $T/hello.exe >> out; cat out",
        "first\nhello\nhello\n",
    );
    host.expect("printf '12345\\nrest\\n' > in; { read x; $T/cat.exe; } < in", "rest\n");
}

#[test]
fn closed_descriptors_stay_closed() {
    let host = Host::new();
    for placement in PLACEMENTS {
        for redirection in ["<&-", ">&-", "<&- >&- 2>&-"] {
            let output =
                host.shell(placement, &format!("$T/exit-with.exe 5 {redirection}; exit $?"));
            assert_eq!(output.status.code(), Some(5), "{placement:?} {redirection}");
        }
    }
}

#[test]
fn a_broken_pipe_ends_a_program_that_writes() {
    let host = Host::new();
    for placement in PLACEMENTS {
        let output = host.shell(placement, "$T/flood.exe 100000000 | head -c 10 | wc -c");
        assert_eq!(text(&output.stdout).trim(), "10");
    }
}

#[test]
fn the_program_sees_exactly_the_callers_processors() {
    let host = Host::new();
    for (cpus, mask) in [("0", "process 1\n"), ("0-1", "process 3\n")] {
        let output =
            host.shell(Placement::InPlace, &format!("taskset -c {cpus} $T/affinity-report.exe"));
        let printed = text(&output.stdout);
        assert!(printed.contains(mask), "{cpus}: {printed} {}", text(&output.stderr));
    }
}

#[test]
fn a_program_that_needs_pipes_gets_them() {
    let host = Host::new();
    let node = fetched("node.exe");
    let script = format!(
        "echo 'from stdin' | {} -e \"process.stdin.pipe(process.stdout); console.error('err')\" 2>e | cat; cat e",
        node.display()
    );
    for placement in PLACEMENTS {
        let output = host.shell(placement, &script);
        assert_eq!(text(&output.stdout), "from stdin\nerr\n", "{}", text(&output.stderr));
    }
}

#[test]
fn a_real_build_with_ninja() {
    let host = Host::new();
    fs::copy(fetched("ninja.exe"), host.work().join("ninja.exe")).unwrap();
    let rules = "rule copy\n  command = cmd /c copy $in $out\nbuild b.txt: copy a.txt\nbuild c.txt: copy b.txt\n";
    fs::write(host.work().join("build.ninja"), rules).unwrap();
    fs::write(host.work().join("a.txt"), "content\n").unwrap();
    for placement in PLACEMENTS {
        let output = host.shell(placement, "rm -f b.txt c.txt; ./ninja.exe && cat c.txt");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).ends_with("content\n"), "{}", text(&output.stdout));
    }
}

#[test]
fn run_needs_no_instance() {
    let host = Host::new();
    let hello = program("hello.exe");
    let output = host.command(&["run".as_ref(), hello.as_os_str()]).output().unwrap();
    assert_output(&output, "hello\n", "winterop run");
    let mut command =
        host.command(&["run", "--env", "A=1", "--env", "B=", "--unset", "C"].map(AsRef::as_ref));
    let output =
        command.arg(program("env-report.exe")).env("C", "3").env("D", "4").output().unwrap();
    let printed = text(&output.stdout);
    assert!(printed.lines().any(|line| line == "A=1"), "{printed}");
    assert!(!printed.lines().any(|line| line.starts_with("C=") || line.starts_with("D=")));
    let output = host.command(&["run", "no-such-program"].map(AsRef::as_ref)).output().unwrap();
    assert!(!output.status.success() && text(&output.stderr).contains("no-such-program"));
    let mut child = host.command(&["run".as_ref(), program("cat.exe").as_os_str()]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through\n").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), "through\n");
}

#[test]
fn a_killed_interpreter_takes_its_program_along() {
    let host = Host::new();
    for placement in PLACEMENTS {
        let mut child = host
            .script(placement, "exec $T/wait-event.exe")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        // The end of its output is the end of the last process that had it; its input stays open.
        let mut rest = Vec::new();
        output.read_to_end(&mut rest).unwrap();
    }
}

#[test]
fn the_runner_runs_a_crates_tests() {
    let host = Host::new();
    let cargo = program("hello.exe").with_file_name("cargo");
    if !cargo.exists() {
        println!("skipped: no cargo for Windows in {}", cargo.display());
        return;
    }
    let fixture = winterop_e2e::root().join("windows/fixtures/runner-crate");
    let runner = format!("{} runner", winterop_e2e::winterop().display());
    let run = |fail: bool| {
        let mut command = Command::new(&cargo);
        host.dress(&mut command);
        command.args(["test", "--release"]).current_dir(&fixture);
        command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", &runner);
        command.env("CARGO_TARGET_DIR", host.path().join("crate-target"));
        if fail {
            command.env("RUNNER_CRATE_FAIL", "1");
        }
        command.output().unwrap()
    };
    let output = run(false);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", text(&output.stderr));
    assert!(printed.contains("test result: ok"), "{printed}");
}
