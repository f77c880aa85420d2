//! L: what a caller sees of a launch.

use std::process::Command;
use winterop_tests::{Host, Placement, fnv, noise, placements};

#[test]
fn l1_l4_l6_l7_words_and_statuses_of_the_command_processor() {
    let host = Host::new();
    for placement in placements() {
        let outcome = host.shell(placement, "cmd.exe /c echo 'hello world'").clean();
        assert_eq!(outcome.stdout, b"\"hello world\"\r\n");
        let script = "cmd.exe /c 'exit 0'; echo $?; cmd.exe /c 'exit 1'; echo $?";
        assert_eq!(host.shell(placement, script).clean().text(), "0\n1\n");
        let script = "ln -sf $W/hello.exe link; ./link; ln -sf link second.exe; ./second.exe";
        assert_eq!(host.shell(placement, script).clean().text(), "hello\nhello\n");
        // On the Linux file system, with the variable of the instance's own socket.
        let script = "cp $W/hello.exe own.exe; test -S $WSL_INTEROP && ./own.exe";
        assert_eq!(host.shell(placement, script).clean().text(), "hello\n");
    }
}

#[test]
fn l3_a_name_that_is_not_there_ends_by_exiting() {
    let host = Host::new();
    for placement in placements() {
        let script = "env -i /init not-there.exe; echo $?; /init not-there.exe; echo $?";
        let outcome = host.shell(placement, script);
        assert_eq!(outcome.text(), "127\n127\n");
        let expected = "winterop: opening not-there.exe: no such file or directory; check its \
                        name, and the directory that you are in [program-not-there]\n";
        assert_eq!(outcome.errors(), expected.repeat(2));
    }
    // Without any server as well, and without a program's name.
    let mut alone = Command::new(host.init());
    winterop_tests::finish(alone.arg("not-there.exe").env_clear()).refused(127, &["not-there.exe"]);
    winterop_tests::finish(Command::new(host.init()).env_clear())
        .refused(126, &["no program is named"]);
}

/// The arguments as the program `argv-report` splits them.
fn arguments(report: &str) -> Vec<String> {
    let report: serde_json::Value = serde_json::from_str(report).expect("JSON");
    let list = report["argv"].as_array().expect("argv");
    list.iter().map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn l5_l11_arguments_arrive() {
    let host = Host::new();
    let long = "x".repeat(4095);
    // With the program's name and its blanks this is just below the limit of 32,767 units.
    let longest = "y".repeat(32_700);
    let cases: [&[&str]; 5] = [
        &["", "a", "", "b c", ""],
        &[&long],
        &[&longest],
        &["\"", "\\\"", "a\\", "a b\\", "\\\\", "$HOME", "%PATH%", "*", "a\tb", "a\nb"],
        &["äöü", "日本語", "\u{1F600}"],
    ];
    for placement in placements() {
        for case in cases {
            let mut command = host.winterop(placement, &["shell", "argv-report.exe"]);
            host.settled();
            let outcome = winterop_tests::finish(command.args(case)).clean();
            let arrived = arguments(&outcome.text());
            assert_eq!(arrived[1..], *case, "{placement:?}");
        }
        // One that is too long for Windows is refused, and said to be.
        let too_long = "z".repeat(32_800);
        let mut command = host.winterop(placement, &["shell", "argv-report.exe"]);
        winterop_tests::finish(command.arg(too_long)).refused(126, &["argv-report.exe", "32"]);
    }
}

#[test]
fn l8_large_data_both_ways_at_once() {
    let host = Host::new();
    let data = noise(24 << 20);
    let hash = format!("{:016x}", fnv(&data));
    for placement in placements() {
        let outcome = host.shell_with(placement, "exec cat.exe", data.clone()).clean();
        assert!(outcome.stdout == data, "{} of {} bytes", outcome.stdout.len(), data.len());
        let outcome = host.shell_with(placement, "exec sink.exe", data.clone()).clean();
        assert_eq!(outcome.text(), format!("{} {hash}\n", data.len()));
        let outcome = host.shell_with(placement, "exec both.exe 20000000", data.clone());
        assert_eq!(outcome.code(), 0);
        assert!(outcome.stdout == data, "{} of {} bytes", outcome.stdout.len(), data.len());
        let pattern: Vec<u8> = (0..20_000_000_u64 / 8).flat_map(u64::to_le_bytes).collect();
        assert!(outcome.stderr == pattern, "{} bytes on 2", outcome.stderr.len());
        let script = "cat.exe | cat.exe | sink.exe";
        let outcome = host.shell_with(placement, script, data.clone()).clean();
        assert_eq!(outcome.text(), format!("{} {hash}\n", data.len()));
    }
}

#[test]
fn l8_files_keep_their_offsets_and_append_mode() {
    let host = Host::new();
    for placement in placements() {
        let script = "printf 0123456789 >in; { dd bs=1 count=4 of=/dev/null 2>/dev/null; \
                      cat.exe; } <in >out; echo x >>out; echo y | cat.exe >>out; cat out; \
                      { echo one; hello.exe; echo two; } >order; cat order";
        let outcome = host.shell(placement, script).clean();
        assert_eq!(outcome.text(), "456789x\ny\none\nhello\ntwo\n");
    }
}

#[test]
fn l10_as_process_1_of_a_pid_namespace() {
    // Whoever is in another namespace is a guest, unless the user says otherwise.
    let host = Host::with_settings("sandboxes = true\n");
    for placement in placements() {
        let outcome = host.shell(placement, "unshare -pf cmd.exe /c echo ok").clean();
        assert_eq!(outcome.text(), "ok\n");
        let script = "unshare -pf exit-with.exe 3; echo $?; unshare -pf --mount-proc hello.exe";
        assert_eq!(host.shell(placement, script).clean().text(), "3\nhello\n");
    }
}

#[test]
fn l12_many_in_parallel() {
    let host = Host::new();
    for placement in placements() {
        for count in [8, 64] {
            let script = format!(
                "i=0; while [ $i -lt {count} ]; do i=$((i+1)); \
                 {{ exit-with.exe $i; echo $i $?; }} & done; wait"
            );
            let outcome = host.shell(placement, &script).clean();
            let mut lines: Vec<_> = outcome.text().lines().map(str::to_owned).collect();
            lines.sort();
            let mut expected: Vec<_> = (1..=count).map(|i| format!("{i} {i}")).collect();
            expected.sort();
            assert_eq!(lines, expected);
        }
    }
}

#[test]
fn l13_input_is_not_read_ahead() {
    let host = Host::new();
    for placement in placements() {
        let input = noise(100_000);
        let script = "{ cmd.exe /c ver >/dev/null; reads-nothing.exe >/dev/null; cat; }";
        let outcome = host.shell_with(placement, script, input.clone()).clean();
        assert!(outcome.stdout == input, "{} bytes are left", outcome.stdout.len());
        let script = "printf 'a\\nb\\nc\\n' | while read -r line; do echo $line; \
                      hello.exe; done";
        let outcome = host.shell(placement, script).clean();
        assert_eq!(outcome.text(), "a\nhello\nb\nhello\nc\nhello\n");
    }
}

#[test]
fn l14_executables_that_cannot_run() {
    let host = Host::new();
    let program = std::fs::read(host.windows().join("hello.exe")).expect("hello.exe");
    let header = usize::try_from(u32::from_le_bytes(program[60..64].try_into().expect("4 bytes")))
        .expect("an offset");
    let mut small = program.clone();
    // The machine of 32-bit programs, and their kind of optional header.
    small[header + 4..header + 6].copy_from_slice(&0x014C_u16.to_le_bytes());
    small[header + 24..header + 26].copy_from_slice(&0x010B_u16.to_le_bytes());
    let mut arm = program.clone();
    arm[header + 4..header + 6].copy_from_slice(&0xAA64_u16.to_le_bytes());
    let files: [(&str, &[u8], &[&str]); 5] = [
        ("text.exe", b"MZ this is no program at all, only text that begins as one would", &[]),
        ("short.exe", b"MZ", &[]),
        ("cut.exe", &program[..header + 10], &[]),
        ("small.exe", &small, &["32"]),
        ("arm.exe", &arm, &["Arm"]),
    ];
    for (name, bytes, _) in files {
        let path = host.work().join(name);
        std::fs::write(&path, bytes).expect(name);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect(name);
    }
    for placement in placements() {
        for (name, _, words) in files {
            let words = [&[name], words].concat();
            host.shell(placement, &format!("exec ./{name}")).refused(126, &words);
            host.shell(placement, &format!("exec /init ./{name}")).refused(126, &words);
        }
        let script = "mkdir -p folder.exe; : >empty.exe; chmod +x empty.exe; \
                      for f in folder.exe empty.exe; do /init ./$f; echo $?; done; \
                      winterop run ./gone.exe; echo $?; winterop run ./folder.exe; echo $?";
        let outcome = host.shell(placement, script);
        assert_eq!(outcome.text(), "126\n126\n127\n126\n", "{}", outcome.errors());
        assert_eq!(outcome.errors().lines().count(), 4, "{}", outcome.errors());
        assert_eq!(host.shell(placement, "hello.exe").clean().text(), "hello\n");
    }
}

/// How often a start asks Wine's server something, by what strace sees: requests have 64 bytes, and data
/// behind them may be.
fn requests(log: &str) -> usize {
    let is_request = |line: &&str| {
        line.contains(" write(") && line.ends_with(", 64) = 64")
            || line.contains(" writev(") && line.contains(", iov_len=64}, {")
    };
    log.lines().filter(is_request).count()
}

#[test]
fn a_start_finds_the_time_zone_where_the_last_one_has_found_it() {
    let host = Host::new();
    let zone = r"reg.exe query 'HKLM\System\CurrentControlSet\Control\TimeZoneInformation'";
    let zone = || host.shell(Placement::InPlace, &format!("winterop run {zone}")).clean().text();
    let before = zone();
    assert!(before.contains("TimeZoneKeyName"), "{before}");
    let script = "strace -qq -f -e trace=write,writev -o log $W/hello.exe && cat log";
    let outcome = host.shell(Placement::InPlace, script);
    let count = requests(&outcome.text());
    // A search from the beginning alone would be more.
    assert!((1..400).contains(&count), "{count} requests: {}", outcome.errors());
    assert_eq!(zone(), before);
}
