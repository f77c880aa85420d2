//! What becomes of arguments: exactly what was said, or a refusal in words.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{SystemTime, UNIX_EPOCH};
use winterop_tests::{Host, Outcome, Placement, finish, placements};

/// `winterop run ARGUMENTS…`.
fn run(host: &Host, placement: Placement, arguments: &[&str]) -> Outcome {
    host.settled();
    finish(host.winterop(placement, &["run"]).args(arguments))
}

fn write(host: &Host, name: &str, text: &str) {
    let path = host.work().join(name);
    std::fs::write(&path, text).expect(name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect(name);
}

/// The command line that `argv-report` says it has.
fn command_line(report: &str) -> String {
    let report: serde_json::Value = serde_json::from_str(report).expect("JSON");
    report["command_line"].as_str().expect("command_line").to_owned()
}

#[test]
fn verbatim_is_one_raw_command_line() {
    let host = Host::new();
    write(&host, "x.cmd", "@echo started\r\n");
    for placement in placements() {
        let raw =
            ["--verbatim", "argv-report.exe", "/x:\"a b\"", "", "%PATH%", "a\\\\\"", "&", "c"];
        let line = command_line(&run(&host, placement, &raw).clean().text());
        assert!(line.ends_with("argv-report.exe /x:\"a b\"  %PATH% a\\\\\" & c"), "{line}");
        // Without it the same words are arguments.
        let line = command_line(&run(&host, placement, &raw[1..]).clean().text());
        assert!(line.ends_with("\"/x:\\\"a b\\\"\" \"\" %PATH% \"a\\\\\\\\\\\"\" & c"), "{line}");
        let outcome = run(&host, placement, &["--verbatim", "cmd.exe", "/c echo  a&echo \"b"]);
        assert_eq!(outcome.clean().stdout, b" a\r\n\"b\r\n");
        run(&host, placement, &["--verbatim", "./x.cmd", "a\" & echo b"])
            .refused(126, &["x.cmd: a batch file has no command line", "--verbatim cmd"]);
    }
}

#[test]
fn names_of_variables_are_checked_before_anything_starts() {
    let host = Host::new();
    for (option, value, words) in [
        ("--env", "=x", "no name before the ="),
        ("--env", "=", "no name before the ="),
        ("--env", "NAME", "no NAME=VALUE"),
        ("--unset", "", "no variable's name"),
        ("--unset", "A=B", "no variable's name"),
    ] {
        let outcome =
            finish(host.winterop(Placement::InPlace, &["run"]).args([option, value, "hello.exe"]));
        outcome.refused(126, &[option, words]);
        assert!(!host.socket().exists(), "the host was started for {option} {value}");
    }
}

/// Random numbers that a printed seed repeats (SplitMix64).
struct Random(u64);

impl Random {
    /// A new seed each time, unless `WINTEROP_TEST_SEED` names one.
    fn new() -> Self {
        let wanted = std::env::var("WINTEROP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = wanted.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
            now.as_secs() ^ u64::from(now.subsec_nanos()) << 32
        });
        println!("WINTEROP_TEST_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// Below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).expect("a number")).expect("a number")
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// An argument as people hardly ever write one, in UTF-16.
    fn argument(&mut self) -> Vec<u16> {
        let pieces = self.below(8);
        (0..pieces).flat_map(|_| self.piece()).collect()
    }

    fn piece(&mut self) -> Vec<u16> {
        match self.below(12) {
            0 | 1 => {
                let run = self.below(5);
                let quotes = self.below(3);
                [vec![u16::from(b'\\'); run], vec![u16::from(b'"'); quotes]].concat()
            }
            2 => vec![u16::from(self.one_of(b" \t\n\r\x0b\x0c\x01\x1a\x7f"))],
            3 => vec![u16::from(self.one_of(b"*?[]{}'~$`"))],
            4 => vec![u16::from(self.one_of(b"%^&|<>()!@,;="))],
            // A character beyond the basic plane, and halves of one.
            5 => char::from_u32(0x1_0000 + u32::try_from(self.below(0x1000)).expect("a number"))
                .map_or_else(Vec::new, |c| c.encode_utf16(&mut [0; 2]).to_vec()),
            6 => vec![0xD800 + u16::try_from(self.below(0x800)).expect("a number")],
            7 => vec![1 + u16::try_from(self.below(0xFFFF)).expect("a number")],
            8 => self
                .one_of(&["ü", "日本", "\u{feff}", "\u{a0}", "e\u{301}"])
                .encode_utf16()
                .collect(),
            _ => vec![u16::from(self.one_of(b"abcXYZ019-_./:\\"))],
        }
    }
}

/// UTF-16 as a Linux argument: UTF-8, with lone surrogates in their three-byte form.
fn linux_bytes(units: &[u16]) -> OsString {
    let mut bytes = Vec::new();
    for character in char::decode_utf16(units.iter().copied()) {
        match character {
            Ok(character) => bytes.extend(character.to_string().into_bytes()),
            Err(lone) => {
                let unit = u32::from(lone.unpaired_surrogate());
                let six = |shift: u32| 0x80 | u8::try_from(unit >> shift & 0x3F).expect("six bits");
                bytes.extend([0xED, six(6), six(0)]);
            }
        }
    }
    OsString::from_vec(bytes)
}

/// Lists of arguments, one after the other in one command line, each behind its own number.
struct Batch {
    arguments: Vec<Vec<u16>>,
}

impl Batch {
    /// As many of the lists as one command line has room for; they are taken out of `lists`.
    fn take(lists: &mut Vec<Vec<Vec<u16>>>) -> Self {
        let mut arguments = Vec::new();
        let mut room = 32_000;
        while let Some(list) = lists.pop() {
            let number: Vec<u16> = format!("=list={}=", lists.len()).encode_utf16().collect();
            // At worst each unit is escaped, and all is in quotes.
            let length = |argument: &Vec<u16>| 2 * argument.len() + 3;
            let needed = length(&number) + list.iter().map(length).sum::<usize>();
            if needed > room {
                lists.push(list);
                break;
            }
            room -= needed;
            arguments.push(number);
            arguments.extend(list);
        }
        Self { arguments }
    }

    /// Runs `argv-report` with these arguments and returns its command line.
    fn check(&self, host: &Host, placement: Placement) -> String {
        let mut command = host.winterop(placement, &["shell", "argv-report.exe"]);
        command.args(self.arguments.iter().map(|argument| linux_bytes(argument)));
        let report = finish(&mut command).clean().text();
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        self.compare(&report);
        report["command_line_hex"].as_str().expect("hex").to_owned()
    }

    fn compare(&self, report: &serde_json::Value) {
        let arrived = report["argv_hex"].as_array().expect("argv_hex");
        let hex = |units: &Vec<u16>| units.iter().map(|unit| format!("{unit:04x}")).collect();
        let expected: Vec<String> = self.arguments.iter().map(hex).collect();
        for (index, expected) in expected.iter().enumerate() {
            let found = arrived.get(index + 1).and_then(|text| text.as_str());
            assert_eq!(found, Some(&**expected), "argument {index} of {}", self.arguments.len());
        }
        assert_eq!(arrived.len(), expected.len() + 1);
    }
}

#[test]
fn l5_l11_random_lists_of_arguments_arrive() {
    lists_arrive(500);
}

#[test]
fn l5_l11_ten_thousand_random_lists_of_arguments_arrive() {
    lists_arrive(10_000);
}

/// Sends so many lists each way.
fn lists_arrive(count: usize) {
    let host = Host::new();
    host.settled();
    let mut random = Random::new();
    for placement in placements() {
        let list = |random: &mut Random| {
            let count = random.below(6);
            (0..count).map(|_| random.argument()).collect::<Vec<_>>()
        };
        let mut lists: Vec<_> = (0..count).map(|_| list(&mut random)).collect();
        let mut batches = Vec::new();
        while !lists.is_empty() {
            batches.push(Batch::take(&mut lists));
        }
        let lines: Vec<String> =
            batches.iter().map(|batch| batch.check(&host, placement)).collect();
        // What Rust's own library has split, Windows' splits in the same way.
        let input = lines.join("\n") + "\n";
        let outcome = host.shell_with(placement, "exec argv-split.exe", input.into_bytes()).clean();
        let reports = outcome.text();
        assert_eq!(reports.lines().count(), batches.len());
        for (report, batch) in reports.lines().zip(&batches) {
            batch.compare(&serde_json::from_str(report).expect("JSON"));
        }
        println!("{count} lists in {} starts", batches.len());
    }
}

#[test]
fn bytes_that_are_not_utf_8_become_replacement_characters() {
    let cases: [(&[u8], &[u16]); 7] = [
        (b"bad\xffbyte", &[0x62, 0x61, 0x64, 0xFFFD, 0x62, 0x79, 0x74, 0x65]),
        // A character that was cut off is one piece; what follows is whole.
        (b"\xe2\x82z", &[0xFFFD, 0x7A]),
        (b"\xf0\x9f\x98", &[0xFFFD]),
        // Overlong forms: each byte is a piece of its own.
        (b"\xc0\x80", &[0xFFFD, 0xFFFD]),
        (b"\xff\xfe", &[0xFFFD, 0xFFFD]),
        // A lone surrogate has a form of its own, and two that belong together are one character.
        (b"\xed\xa0\x80", &[0xD800]),
        (b"\xed\xa0\xbd\xed\xb8\x80", &[0xD83D, 0xDE00]),
    ];
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let mut command = host.winterop(placement, &["shell", "argv-report.exe"]);
        command.args(cases.iter().map(|(bytes, _)| OsStr::from_bytes(bytes)));
        let report = finish(&mut command).clean().text();
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        let batch = Batch { arguments: cases.iter().map(|(_, units)| units.to_vec()).collect() };
        batch.compare(&report);
    }
}

#[test]
fn l1_l4_lines_for_cmd_as_people_write_them() {
    let host = Host::new();
    std::fs::create_dir_all(host.work().join("x y/z")).expect("folders");
    write(&host, "x y/build.cmd", "@echo built in %CD% with %*\r\n@exit /b 3\r\n");
    let here = format!("Z:{}", host.work().to_string_lossy().replace('/', "\\"));
    for placement in placements() {
        for (line, expected) in [
            ("cmd.exe /c 'cd \"x y\" && build'", format!("built in {here}\\x y with \n3\n")),
            (
                "cmd.exe /c 'cd \"x y\"&&call build.cmd a \"b c\"&exit 5'",
                format!("built in {here}\\x y with a \"b c\"\n5\n"),
            ),
            ("cmd.exe /c echo 'hello world'", "\"hello world\"\n0\n".to_owned()),
            ("cmd.exe /c echo hello world", "hello world\n0\n".to_owned()),
            ("cmd.exe /c 'echo hello world'", "hello world\n0\n".to_owned()),
            ("cmd.exe /c 'echo a & echo b'", "a \nb\n0\n".to_owned()),
            ("cmd.exe /c 'exit 0'", "0\n".to_owned()),
            ("cmd.exe /c 'exit 1'", "1\n".to_owned()),
            ("cmd.exe /c exit 7", "7\n".to_owned()),
            ("cmd.exe /d /s /c 'if 1==1 (echo yes) else (echo no)'", "yes\n0\n".to_owned()),
            ("cmd.exe /c 'set V=1&& echo %CD%'", format!("{here}\n0\n")),
        ] {
            let outcome = host.shell(placement, &format!("{line}; echo $?"));
            assert_eq!(outcome.text(), expected, "{line}\n{}", outcome.errors());
        }
    }
}

/// A batch file that hands its arguments to `argv-report`.
fn write_reporting_batch(host: &Host) {
    let report = host.windows().join("argv-report.exe");
    let report = format!("Z:{}", report.to_string_lossy().replace('/', "\\"));
    write(host, "x.cmd", &format!("@\"{report}\" %*\r\n"));
}

/// The arguments behind the first, as text.
fn arguments(report: &str) -> Vec<String> {
    let report: serde_json::Value = serde_json::from_str(report).expect("JSON");
    let list = report["argv"].as_array().expect("argv").iter().skip(1);
    list.map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn batch_files_get_their_arguments_and_start_nothing_else() {
    let host = Host::new();
    write_reporting_batch(&host);
    let cases: [&[&str]; 8] = [
        &["plain", "a b", "", "C:\\dir\\", "a b\\", "\\"],
        &["a&echo x>canary", "a|echo x>canary", "^&echo x>canary", "a^", "&"],
        &["a\\", "&echo x>canary", "a b\\", "|echo x>canary"],
        &["a>canary", "a<canary", "(a)", "a)&(echo x>canary", ">canary"],
        &["!CD!", "a;b", "a,b", "a=b", "@echo", ":label", "~", "'"],
        &["*", "?", "a\tb", "\t", "ü 日本 😀", "\u{a0}&echo x>canary"],
        &["/c", "/k echo x>canary", "&& echo x>canary", "|| echo x>canary"],
        &["^^", "^", "a^&echo x>canary", "^|", "x\\\\", "\\\\server\\share x\\"],
    ];
    for placement in placements() {
        for case in cases {
            let outcome = run(&host, placement, &[&["./x.cmd"], case].concat());
            assert!(outcome.status.success(), "{case:?}: {}", outcome.errors());
            assert_eq!(arguments(&outcome.text()), case);
            assert!(!host.work().join("canary").exists(), "{case:?} started something else");
        }
    }
}

impl Random {
    /// An argument of what means something to cmd, without what is refused.
    fn for_cmd(&mut self) -> String {
        const PIECES: [&str; 24] = [
            "&",
            "|",
            "<",
            ">",
            "(",
            ")",
            "^",
            "!",
            ",",
            ";",
            "=",
            "\\",
            "/",
            " ",
            "\t",
            "a",
            "@",
            "'",
            "`",
            "ü",
            "&&",
            "||",
            "&mkdir canary",
            ">canary",
        ];
        let pieces = self.below(6);
        (0..pieces).map(|_| self.one_of(&PIECES)).collect()
    }
}

#[test]
fn random_arguments_of_batch_files_arrive_and_start_nothing_else() {
    arrive_in_batch_files(3);
}

#[test]
fn thousands_of_random_arguments_of_batch_files_arrive_and_start_nothing_else() {
    arrive_in_batch_files(12);
}

/// Calls a batch file so often each way, with 200 arguments each.
fn arrive_in_batch_files(calls: usize) {
    let host = Host::new();
    write_reporting_batch(&host);
    let mut random = Random::new();
    for placement in placements() {
        for _ in 0..calls {
            let list: Vec<String> = (0..200).map(|_| random.for_cmd()).collect();
            let views: Vec<&str> =
                ["./x.cmd"].into_iter().chain(list.iter().map(|s| &**s)).collect();
            let outcome = run(&host, placement, &views);
            assert!(outcome.status.success(), "{}", outcome.errors());
            for (index, (found, wanted)) in arguments(&outcome.text()).iter().zip(&list).enumerate()
            {
                assert_eq!(found, wanted, "argument {index}");
            }
            assert_eq!(arguments(&outcome.text()).len(), list.len());
            assert!(!host.work().join("canary").exists(), "another command was started");
        }
    }
}

#[test]
fn batch_files_may_have_any_name_that_cmd_can_take() {
    let host = Host::new();
    write_reporting_batch(&host);
    let reporting = std::fs::read_to_string(host.work().join("x.cmd")).expect("x.cmd");
    let folders =
        ["a & mkdir canary", "a^b", "(a)", "a!CD!b", "a;b,c=d", "ü 日本", "a'b`c", "@a", "a&&b"];
    for folder in folders {
        std::fs::create_dir(host.work().join(folder)).expect(folder);
        write(&host, &format!("{folder}/x y&z.cmd"), &reporting);
    }
    for name in ["x.cmd.", "x.cmd . ", "X.CMD "] {
        write(&host, name, &reporting);
    }
    std::fs::create_dir(host.work().join("%CD%")).expect("a folder");
    write(&host, "%CD%/x.cmd", &reporting);
    for placement in placements() {
        for folder in folders {
            let outcome = run(&host, placement, &[&format!("./{folder}/x y&z.cmd"), "a b", "c"]);
            assert!(outcome.status.success(), "{folder}: {}", outcome.errors());
            assert_eq!(arguments(&outcome.text()), ["a b", "c"], "{folder}");
        }
        // Windows passes over dots and blanks at the end of a name, so these are batch files too.
        for name in ["./x.cmd.", "./x.cmd . ", "./X.CMD "] {
            let outcome = run(&host, placement, &[name, "a b", "c & mkdir canary"]);
            assert!(outcome.status.success(), "{name}: {}", outcome.errors());
            assert_eq!(arguments(&outcome.text()), ["a b", "c & mkdir canary"], "{name}");
            run(&host, placement, &[name, "c\" & mkdir canary & \""])
                .refused(126, &["argument 1 (", "a quotation mark"]);
        }
        run(&host, placement, &["./%CD%/x.cmd"])
            .refused(126, &["x.cmd: argument 0 (", "a percent sign"]);
    }
    assert!(!host.work().join("canary").exists());
}

#[test]
fn what_a_file_is_decides_and_not_what_a_link_is_called() {
    let host = Host::new();
    write_reporting_batch(&host);
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, host.work().join(name)).expect(name);
    };
    link("x.cmd", "batch");
    link("batch", "batch.exe");
    std::fs::copy(host.windows().join("argv-report.exe"), host.work().join("program.cmd"))
        .expect("a copy");
    link("program.cmd", "program.bat");
    for placement in placements() {
        for name in ["./batch", "./batch.exe"] {
            let text = run(&host, placement, &[name, "a b", "c&d"]).clean().text();
            assert_eq!(arguments(&text), ["a b", "c&d"], "{name}");
            run(&host, placement, &[name, "\""]).refused(126, &["a quotation mark"]);
        }
        for name in ["./program.cmd", "./program.bat"] {
            let text = run(&host, placement, &[name, "a \"b\"", "%PATH%"]).clean().text();
            assert_eq!(arguments(&text), ["a \"b\"", "%PATH%"], "{name}");
        }
    }
}

#[test]
fn what_a_batch_file_cannot_be_told_safely_is_refused() {
    let host = Host::new();
    write(&host, "x.cmd", "@echo started\r\n");
    for placement in placements() {
        for (argument, word) in [
            ("\"&echo x>canary", "a quotation mark"),
            ("\"\"&echo x>canary", "a quotation mark"),
            ("a\\\"&echo x>canary", "a quotation mark"),
            ("%PATH%", "a percent sign"),
            ("100%", "a percent sign"),
            ("%~1&echo x>canary", "a percent sign"),
            ("a\necho x>canary", "a line feed"),
            ("a\recho x>canary", "a carriage return"),
            ("a\u{1a}b", "the character 0x1A"),
        ] {
            let outcome = run(&host, placement, &["./x.cmd", "first", argument]);
            outcome.refused(126, &["x.cmd: argument 2 (", word, "instead"]);
            assert_eq!(outcome.text(), "");
        }
        // An extension that only Windows sees is one too.
        for name in ["y.cmd.", "y.BAT ", "y.Cmd"] {
            write(&host, name, "@echo started\r\n");
            run(&host, placement, &[&format!("./{name}"), "\""])
                .refused(126, &["a quotation mark"]);
        }
    }
    assert!(!host.work().join("canary").exists());
}

#[test]
fn what_is_too_long_is_named() {
    let host = Host::new();
    write(&host, "x.cmd", "@echo started\r\n");
    let long = "l".repeat(40_000);
    let longest = "é".repeat(32_000);
    for placement in placements() {
        run(&host, placement, &["argv-report.exe", "a", &long, "b"]).refused(
            126,
            &["argv-report.exe: the command line", "argument 2", "40000 units", "32766"],
        );
        let outcome = run(&host, placement, &["argv-report.exe", &longest]).clean();
        assert_eq!(arguments(&outcome.text()), [longest.as_str()]);
        run(&host, placement, &["--verbatim", "argv-report.exe", &long])
            .refused(126, &["the command line is too long", "32766 that Windows takes"]);
        for program in ["cmd.exe", "./x.cmd"] {
            run(&host, placement, &[program, "/c", &long[..8_200]])
                .refused(126, &["the longest is argument 2 with 8200 units", "8191 that cmd.exe"]);
        }
        let variable = format!("LONG={long}");
        run(&host, placement, &["--env", &variable, "hello.exe"])
            .refused(126, &["hello.exe: the environment variable LONG", "40005", "32766"]);
        let mut listed = host.winterop(placement, &["shell", "hello.exe"]);
        finish(listed.env("WSLENV", "LONG").env("LONG", &long))
            .refused(126, &["the environment variable LONG", "32766 that Windows takes"]);
        let variable = format!("LONG={}", &long[..32_761]);
        let outcome = run(&host, placement, &["--env", &variable, "env-report.exe", "LONG"]);
        assert_eq!(outcome.clean().text().trim_end(), variable);
    }
}

#[test]
fn what_linux_does_not_start_is_named_as_too_big() {
    let host = Host::new();
    host.settled();
    // Each path is longer for Windows, so that Wine needs more than its caller had room for.
    let script = "ulimit -s 512; A=$(printf '/usr:%.0s' $(seq 4500)); B=$A; C=$A; D=$A; E=$A; \
                  export A B C D E WSLENV=A/l:B/l:C/l:D/l:E/l; env-report.exe A | wc -c";
    let outcome = host.shell(Placement::InPlace, script);
    assert_eq!(outcome.text(), "0\n");
    let errors = outcome.errors();
    let words = ["could not be started: its arguments have", " the most", "ulimit -s"];
    assert!(words.iter().all(|word| errors.contains(word)), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    // Below the host, its limits hold.
    let outcome = host.shell(Placement::Hosted, script).clean();
    assert_eq!(outcome.text(), format!("{}\n", "A=".len() + 4500 * 7 - 1 + "\n".len()));
}

#[test]
fn a_large_environment_arrives() {
    let host = Host::new();
    host.settled();
    let names: Vec<String> = (0..500).map(|number| format!("VARIABLE_{number}")).collect();
    for placement in placements() {
        let mut command = host.winterop(placement, &["shell", "env-report.exe"]);
        command.env("WSLENV", names.join(":")).args(&names);
        for (number, name) in names.iter().enumerate() {
            command.env(name, format!("{number} ").repeat(500));
        }
        let text = finish(&mut command).clean().text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), names.len());
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("VARIABLE_{number}={}", format!("{number} ").repeat(500)));
        }
    }
}
