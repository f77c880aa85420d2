//! B: the registration, and what the kernel does with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use winterop_tests::{Host, expect_soon, placements};

const TABLE: &str = "/proc/sys/fs/binfmt_misc";

#[test]
fn b1_b5_b6_b7_one_entry_in_a_private_table() {
    let host = Host::new();
    let outside = || fs::read_to_string(format!("{TABLE}/WSLInterop")).ok();
    let before = outside();
    for placement in placements() {
        let mut first = host.session(placement);
        let mut second = host.session(placement);
        let entry = first.eval(&format!("cat {TABLE}/WSLInterop"));
        let lines: Vec<_> = entry.lines().collect();
        assert_eq!(lines[..2], ["enabled", "interpreter /init"], "{entry}");
        assert!(lines.contains(&"magic 4d5a"), "{entry}");
        let flags = lines.iter().find_map(|line| line.strip_prefix("flags: ")).expect("flags");
        assert!(flags.contains('F') && flags.contains('P'), "{flags}");
        assert_eq!(outside(), before, "the machine's own table has changed");

        // Switched off in one instance, and on in the other all the while.
        first.eval(&format!("echo 0 >{TABLE}/WSLInterop"));
        assert_ne!(first.eval("$W/hello.exe 2>/dev/null; echo $?"), "hello\n0\n");
        assert_eq!(second.eval("hello.exe"), "hello\n");
        first.eval(&format!("echo 1 >{TABLE}/WSLInterop"));
        assert_eq!(first.eval("hello.exe"), "hello\n");
        first.eval(&format!("echo -1 >{TABLE}/WSLInterop"));
        assert_eq!(first.eval(&format!("ls {TABLE}")), "register\nstatus\n");
        assert_eq!(second.eval("hello.exe"), "hello\n");
        second.eval(&format!("echo ':Other:M::OTHER::/bin/true:' >{TABLE}/register"));
        assert_eq!(second.eval(&format!("ls {TABLE}")), "Other\nWSLInterop\nregister\nstatus\n");
        second.eval(&format!("echo -1 >{TABLE}/status"));
        assert_eq!(second.eval(&format!("ls {TABLE}")), "register\nstatus\n");
        // A peer that ends takes nothing with it.
        let mut third = host.session(placement);
        drop((first, second));
        assert_eq!(third.eval("hello.exe"), "hello\n");
        assert_eq!(third.eval(&format!("head -1 {TABLE}/WSLInterop")), "enabled\n");
        assert_eq!(outside(), before, "the machine's own table has changed");
    }
}

#[test]
fn b2_b3_the_path_stays_as_given_and_argv_0_is_kept() {
    let host = Host::new();
    for placement in placements() {
        // What the kernel does, shown by an interpreter that prints its arguments.
        let script = format!(
            "printf WTEST >x.zz; chmod +x x.zz; \
             echo ':Kept:M::WTEST::/bin/echo:P' >{TABLE}/register; \
             ./x.zz a 'b c'; perl -e 'exec {{\"./x.zz\"}} \"zero\", \"a\"'; \
             LD_SHOW_AUXV=1 ./x.zz | grep AT_FLAGS; echo -1 >{TABLE}/Kept; \
             echo ':Lost:M::WTEST::/bin/echo:' >{TABLE}/register; \
             perl -e 'exec {{\"./x.zz\"}} \"zero\", \"a\"'; LD_SHOW_AUXV=1 ./x.zz | grep AT_FLAGS"
        );
        let text = host.shell(placement, &script).clean().text();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words, "./x.zz ./x.zz a b c ./x.zz zero a AT_FLAGS: 0x1 ./x.zz a AT_FLAGS: 0x0");
        // What comes of it: the program's own idea of its name, and ours in messages.
        let script = "cp $W/argv-report.exe x.exe; ./x.exe; perl -e 'exec {\"./x.exe\"} \"zero\", \"a\"'; \
                      /init ./x.exe a; printf 'MZ' >bad.exe; chmod +x bad.exe; ./bad.exe";
        let outcome = host.shell(placement, script);
        let names: Vec<String> = outcome
            .text()
            .lines()
            .map(|line| {
                let report: serde_json::Value = serde_json::from_str(line).expect("JSON");
                report["command_line"].as_str().unwrap_or_default().to_owned()
            })
            .collect();
        assert_eq!(names, ["x.exe", "zero a", "x.exe a"]);
        assert!(outcome.errors().contains("bad.exe"), "{}", outcome.errors());
    }
}

#[test]
fn b4_the_interpreter_is_opened_at_registration() {
    let host = Host::new();
    for placement in placements() {
        let script = format!(
            "printf WTEST >x.zz; chmod +x x.zz; cp /bin/echo interpreter; \
             echo \":Fixed:M::WTEST::$PWD/interpreter:F\" >{TABLE}/register; rm interpreter; \
             ./x.zz a; \
             echo ':Gone:M::GONE::/not/there:F' 2>/dev/null >{TABLE}/register || echo refused"
        );
        let outcome = host.shell(placement, &script);
        assert_eq!(outcome.text(), "./x.zz a\nrefused\n", "{}", outcome.errors());
        // A root without the interpreter, with the folder of the sockets.
        let script = "mkdir -p root/run/WSL; cp $W/hello.exe $W/exit-with.exe root; \
                      mount --bind /run/WSL root/run/WSL; test ! -e root/init; \
                      chroot root /hello.exe; chroot root /exit-with.exe 7; echo $?";
        let outcome = host.shell(placement, script);
        assert_eq!(outcome.text(), "hello\n7\n", "{}", outcome.errors());
    }
}

#[test]
fn batch_files_start_by_name_where_the_settings_say_so() {
    let host = Host::with_settings("batch-files = true\n");
    let folder = host.work().join("own");
    fs::create_dir(&folder).expect("a folder");
    let text = "@echo off\r\necho [%~n0] [%1] [%2] [%3]\r\nexit /b 7\r\n";
    for name in ["a.bat", "b.cmd", "C.BAT", "D.CMD", "e.Bat", "plain"] {
        let path = folder.join(name);
        fs::write(&path, text).expect(name);
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect(name);
    }
    let entries = ["bat", "cmd", "BAT", "CMD"];
    for placement in placements() {
        let mut session = host.session(placement);
        for extension in entries {
            let entry = session.eval(&format!("cat {TABLE}/WSLInterop-{extension}"));
            assert!(entry.starts_with("enabled\ninterpreter /init\n"), "{entry}");
            assert!(entry.contains(&format!("extension .{extension}\n")), "{entry}");
        }
        // By a path, on PATH, through a link that has the extension, and by exec of any program.
        let script = "cd own; ./a.bat 1 'a b' 'x&y'; echo $?; export PATH=$PATH:$PWD; b.cmd; \
                      ln -sf D.CMD link.cmd; ./link.cmd; env C.BAT '' '^'; ./D.CMD 2 3 4 5; hello.exe; cd ..";
        let expected = "[a] [1] [\"a b\"] [\"x&y\"]\n7\n[b] [] [] []\n[D] [] [] []\n\
                        [C] [\"\"] [\"^\"] []\n[D] [2] [3] [4]\nhello\n";
        assert_eq!(session.eval(script), expected);
        // The kernel compares extensions as they are written; `run` does as Windows.
        let other =
            session.eval("cd own; ./e.Bat 2>/dev/null; winterop run e.Bat x; echo $?; cd ..");
        assert!(other.ends_with("[e] [x] [] []\n7\n"), "{other}");
    }
    // Nothing of it where it is not asked for.
    let host = Host::new();
    let mut session = host.session(winterop_tests::Placement::InPlace);
    assert_eq!(session.eval(&format!("ls {TABLE}")), "WSLInterop\nregister\nstatus\n");
}

#[test]
fn batch_files_start_by_name_for_plain_users_too() {
    let settings = "batch-files = true\nwindows-path = \"links\"\n";
    let host = Host::of_plain_user_with_settings(settings);
    for placement in placements() {
        let script = "printf '@echo [%%1]\\r\\n@exit /b 3\\r\\n' >x.cmd; chmod +x x.cmd; \
                      ./x.cmd 'a&b'; echo $?; hello.exe";
        assert_eq!(host.shell(placement, script).clean().text(), "[\"a&b\"]\n3\nhello\n");
        let programs = host.base().join("data/winterop/programs/ipconfig");
        expect_soon("the programs are linked", || programs.exists().then_some(()));
        assert_eq!(host.shell(placement, "ipconfig >/dev/null; echo $?").clean().text(), "0\n");
    }
}
