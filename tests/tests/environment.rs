//! Which variables reach a Windows program, and as what.

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::path::Path;
use winterop_tests::{Host, Outcome, Placement, Process, expect_soon, finish, placements};

/// `winterop run ARGUMENTS…`.
fn run(host: &Host, placement: Placement, arguments: &[&str]) -> Outcome {
    host.settled();
    finish(host.winterop(placement, &["run"]).args(arguments))
}

/// Standard output, if the one line on standard error has all these words.
#[track_caller]
fn told(outcome: &Outcome, words: &[&str]) -> String {
    let errors = outcome.errors();
    assert!(outcome.status.success() && errors.lines().count() == 1, "{errors}");
    assert!(words.iter().all(|word| errors.contains(word)), "{errors}");
    outcome.text()
}

#[test]
fn variables_that_would_steer_wine_are_told_of_once() {
    let host = Host::new();
    let script = "export WINEPREFIX=/none TMPDIR=/none A=1; \
                  export LANG=x; \
                  export WSLENV=WINEPREFIX:A:TMPDIR:LANG:NOT_SET; env-report.exe A NOT_SET";
    for placement in placements() {
        // A host tells it once: the first session hears of it, the second does not.
        let outcome = host.shell(placement, script);
        let text = match placement {
            Placement::InPlace => told(&outcome, &["env-report.exe", "WINEPREFIX, TMPDIR, LANG"]),
            Placement::Hosted => outcome.clean().text(),
        };
        assert_eq!(text, "A=1\nNOT_SET\n");
        // What was asked for by name is told of each time.
        for _ in 0..2 {
            let asked = ["--env", "LD_PRELOAD=/none.so", "--env", "A=2", "env-report.exe", "A"];
            let text = told(&run(&host, placement, &asked), &["env-report.exe: ", "LD_PRELOAD"]);
            assert_eq!(text, "A=2\n");
        }
        // What goes along with everything else is not asked for.
        let mut command = host.winterop(placement, &["run", "--keep-env", "env-report.exe", "A"]);
        let outcome = finish(command.env("LANG", "x").env("MALLOC_ARENA_MAX", "1").env("A", "3"));
        assert_eq!(outcome.clean().text(), "A=3\n");
    }
}

#[test]
fn a_bare_name_is_found_before_there_is_a_prefix() {
    for placement in placements() {
        let host = Host::new();
        assert!(!host.base().join("data/winterop/prefix").exists());
        // Not `cmd.exe`, of which the tests have a copy on PATH.
        let outcome = finish(&mut host.winterop(placement, &["run", "HostName"]));
        assert!(outcome.status.success(), "{}", outcome.errors());
        assert_eq!(outcome.text().lines().count(), 1, "{}", outcome.text());
    }
}

/// Writes a value into the registry and has Wine write it to its files.
fn set_variable(host: &Host, name: &str, value: &str) {
    let arguments = ["reg", "add", "HKCU\\Environment", "/f", "/v", name, "/d", value];
    run(host, Placement::InPlace, &arguments).clean();
    assert!(host.stop().status.success());
}

#[test]
fn names_are_found_as_windows_finds_them() {
    let host = Host::new();
    host.settled();
    let prefix = host.base().join("data/winterop/prefix");
    set_variable(&host, "PATH", "C:\\my tools;Z:\\none");
    let tools = prefix.join("drive_c/My Tools");
    std::fs::create_dir(&tools).expect("a folder");
    std::fs::copy(host.windows().join("argv-report.exe"), tools.join("report.exe"))
        .expect("a copy");
    std::fs::write(tools.join("Twice.bat"), "@echo batch %1\r\n").expect("a batch file");
    std::fs::write(tools.join("text"), "no program").expect("a file");
    for placement in placements() {
        let text = |arguments: &[&str]| run(&host, placement, arguments).clean().text();
        for name in ["hostname", "HOSTNAME.exe", "C:\\windows\\system32\\hostname"] {
            assert_eq!(text(&[name]), text(&["hostname.exe"]), "{name}");
        }
        assert!(text(&["report", "a b"]).contains("\"a b\""));
        assert_eq!(text(&["twice", "x"]), "batch x\n");
        assert_eq!(text(&["C:\\MY TOOLS\\twice.BAT", "y"]), "batch y\n");
        for name in ["text", "gone", "gone.exe", "C:\\gone.exe", "dir", "a\tb"] {
            let refused = run(&host, placement, &[name]);
            refused.refused(
                127,
                &["there is no such program", "C:\\windows\\system32", "C:\\my tools"],
            );
        }
    }
}

#[test]
fn names_on_linuxs_path_may_lack_their_extension() {
    let host = Host::new();
    let folder = host.base().join("bin");
    for (name, text) in [("first.bat", "@echo one %1\r\n"), ("second.CMD", "@echo two\r\n")] {
        std::fs::write(folder.join(name), text).expect(name);
    }
    // Linux's own programs of the same name are passed over; a file here comes first.
    std::fs::write(folder.join("hello"), "#!/bin/sh\necho no\n").expect("a script");
    std::fs::write(host.work().join("here.cmd"), "@echo here\r\n").expect("a batch file");
    std::fs::write(folder.join("here.cmd"), "@echo not here\r\n").expect("a batch file");
    for placement in placements() {
        let text = |arguments: &[&str]| run(&host, placement, arguments).clean().text();
        assert_eq!(text(&["first.bat", "a b"]), "one \"a b\"\n");
        assert_eq!(text(&["first", "a&b"]), "one \"a&b\"\n");
        assert_eq!(text(&["second"]), "two\n");
        assert_eq!(text(&["hello"]), "hello\n");
        assert_eq!(text(&["here"]), "here\n");
    }
}

#[test]
fn groups_of_variables_are_passed_where_the_settings_say_so() {
    let script = "export http_proxy=http://p:1 CI=true TERM=dumb HTTPS_PROXY=http://q:2 OTHER=o; \
                  env-report.exe HTTP_PROXY https_proxy CI TERM OTHER";
    let host = Host::with_settings("pass-environment = [\"proxy\", \"ci\"]\n");
    for placement in placements() {
        let expected = "HTTP_PROXY=http://p:1\nhttps_proxy=http://q:2\nCI=true\nTERM\nOTHER\n";
        assert_eq!(host.shell(placement, script).clean().text(), expected);
        // What is said for this one program is stronger, and so is WSLENV.
        let script = format!(
            "export WSLENV=CI:TERM; {script}; winterop run --unset ci --env HTTP_PROXY=own \
             --env https_proxy= env-report.exe http_proxy HTTPS_PROXY CI"
        );
        let text = host.shell(placement, &script).clean().text();
        assert!(text.contains("\nTERM=dumb\n"), "{text}");
        assert!(text.ends_with("http_proxy=own\nHTTPS_PROXY=\nCI\n"), "{text}");
    }
    let host = Host::new();
    let outcome = host.shell(Placement::InPlace, script).clean();
    assert_eq!(outcome.text(), "HTTP_PROXY\nhttps_proxy\nCI\nTERM\nOTHER\n");
}

#[test]
fn one_program_is_given_what_run_says() {
    let host = Host::new();
    for placement in placements() {
        let text = |arguments: &[&str]| {
            host.settled();
            let mut command = host.winterop(placement, &["run"]);
            command.args(arguments).env("A", "outer").env("B", "outer").env("P", "/usr:rel/x");
            finish(command.env("WSLENV", "A:P/l")).clean().text()
        };
        let report = ["env-report.exe", "A", "B", "P", "C"];
        assert_eq!(text(&report), "A=outer\nB\nP=Z:\\usr;rel\\x\nC\n");
        let run = |options: &[&str]| text(&[options, &report].concat());
        assert_eq!(run(&["--env", "C=a=b c"]), "A=outer\nB\nP=Z:\\usr;rel\\x\nC=a=b c\n");
        // Empty is not unset.
        assert_eq!(run(&["--env", "A=", "--env", "P=/x"]), "A=\nB\nP=/x\nC\n");
        assert_eq!(run(&["--unset", "A", "--unset", "P"]), "A\nB\nP\nC\n");
        let kept = run(&["--keep-env", "--unset", "A", "--env", "C=1"]);
        assert_eq!(kept, "A\nB=outer\nP=Z:\\usr;rel\\x\nC=1\n");
        let kept = run(&["--keep-env", "--env", "b=own"]);
        assert_eq!(kept, "A=outer\nB=own\nP=Z:\\usr;rel\\x\nC\n");
    }
}

/// The directories of a session's PATH.
fn session_path(host: &Host, placement: Placement) -> Vec<String> {
    let text = host.shell(placement, "echo \"$PATH\"").clean().text();
    text.trim_end().split(':').map(str::to_owned).collect()
}

#[test]
fn a_sessions_path_ends_with_the_windows_directories() {
    let host = Host::new();
    let windows = host.base().join("data/winterop/prefix/drive_c/windows");
    let folders = ["system32", "", "system32/wbem", "system32/WindowsPowerShell/v1.0"];
    let expected = folders.map(|folder| windows.join(folder).to_string_lossy().into_owned());
    let expected = expected.map(|folder| folder.trim_end_matches('/').to_owned());
    // Before there is a prefix, too.
    let outcome = finish(&mut host.script(Placement::InPlace, "echo \"$PATH\""));
    let first: Vec<String> = outcome.text().trim_end().split(':').map(str::to_owned).collect();
    assert!(first.ends_with(&expected), "{first:?}");
    let list = host.base().join("data/winterop/windows-path");
    expect_soon("the host has written the directories", || list.exists().then_some(()));
    for placement in placements() {
        let path = session_path(&host, placement);
        assert!(path.ends_with(&expected), "{path:?}");
        // A session in a session does not have them twice.
        let script = "winterop shell sh -c 'echo \"$PATH\"' | tr : '\\n' | sort | uniq -d";
        let outcome = host.shell(placement, script);
        assert!(!outcome.text().contains("system32"), "{}", outcome.text());
        let script = "ipconfig.exe >/dev/null; echo $?; wmic.exe os get caption >/dev/null; echo $?; \
                      whoami.exe >/dev/null && command -v ipconfig; echo $?";
        let text = host.shell(placement, script).text();
        assert_eq!(text, "0\n0\n127\n");
    }
}

#[test]
fn nothing_is_appended_where_the_settings_say_so() {
    let host = Host::with_settings("append-windows-path = false\n");
    let path = session_path(&host, Placement::InPlace);
    assert!(path.iter().all(|folder| !folder.contains("drive_c")), "{path:?}");
}

#[test]
fn no_session_looks_into_the_windows_directories() {
    let host = Host::new();
    host.settled();
    let list = host.base().join("data/winterop/windows-path");
    expect_soon("the host has written the directories", || list.exists().then_some(()));
    let shell = host.winterop(Placement::InPlace, &["shell", "sh", "-c", "echo $PATH"]);
    let mut traced = host.command("strace", Placement::InPlace);
    traced.args(["-f", "-o", "trace", "-e", "trace=file,getdents64"]);
    let outcome = finish(traced.arg(shell.get_program()).args(shell.get_args())).clean();
    assert!(outcome.text().contains("system32"), "{}", outcome.text());
    let trace = std::fs::read_to_string(host.work().join("trace")).expect("the trace");
    assert!(trace.contains("windows-path"), "{trace}");
    let looks = trace.lines().filter(|line| line.contains("drive_c") && !line.contains("execve"));
    assert_eq!(looks.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn one_folder_of_links_has_programs_with_and_without_their_extension() {
    let host = Host::with_settings("windows-path = \"links\"\n");
    host.settled();
    let data = host.base().join("data/winterop");
    let programs = data.join("programs");
    expect_soon("the programs are linked", || programs.join("ipconfig").exists().then_some(()));
    let tool = data.join("prefix/drive_c/windows/argv-tool.exe");
    for placement in placements() {
        let path = session_path(&host, placement);
        assert_eq!(path.last().map(Path::new), Some(programs.as_path()));
        assert!(path.iter().all(|folder| !folder.contains("drive_c")), "{path:?}");
        let script = "ipconfig >/dev/null; echo $?; ipconfig.exe >/dev/null; echo $?; \
                      command -v sh; hello.exe";
        let text = host.shell(placement, script).clean().text();
        assert!(text.starts_with("0\n0\n/") && text.ends_with("sh\nhello\n"), "{text}");
        // What is installed while the host runs is there soon after another launch.
        assert!(!programs.join("argv-tool").exists());
        std::fs::copy(host.windows().join("argv-report.exe"), &tool).expect("a copy");
        expect_soon("the new program is linked", || {
            host.shell(placement, "hello.exe").clean();
            programs.join("argv-tool").exists().then_some(())
        });
        let text = host.shell(placement, "argv-tool 'a b'").clean().text();
        assert!(text.contains("\"a b\""), "{text}");
        std::fs::remove_file(&tool).expect("the copy");
        expect_soon("the link is gone", || {
            host.shell(placement, "hello.exe").clean();
            programs.join("argv-tool").symlink_metadata().is_err().then_some(())
        });
    }
}

#[test]
fn wslenv_says_what_travels_and_how() {
    let host = Host::new();
    for placement in placements() {
        let arrives = |wslenv: &str, report: &str| {
            let script = format!(
                "export V=value P=/usr:/etc R=a/b:/usr E= S='a  b' U=ü WSLENV=\"{wslenv}\"; \
                 unset N; env-report.exe {report}"
            );
            host.shell(placement, &script).clean().text()
        };
        for (wslenv, report, expected) in [
            ("V", "V P", "V=value\nP\n"),
            ("V/w:P/u", "V P", "V=value\nP\n"),
            ("P/p", "P", "P=Z:\\usr;Z:\\etc\n"),
            ("P/l", "P", "P=Z:\\usr;Z:\\etc\n"),
            ("P/lw:V/p", "P V", "P=Z:\\usr;Z:\\etc\nV=value\n"),
            ("P/ul", "P", "P\n"),
            ("R/l", "R", "R=a\\b;Z:\\usr\n"),
            ("V/x:V/X:P/pz", "V P", "V\nP\n"),
            ("N:N/p:E:E/p", "N E", "N\nE\n"),
            ("S:U", "S U", "S=a  b\nU=ü\n"),
            ("V \t", "V", "V=value\n"),
            (":::V::/p:=", "V", "V=value\n"),
        ] {
            assert_eq!(arrives(wslenv, report), expected, "{wslenv}");
        }
        // The list itself always travels, and as it is.
        assert_eq!(arrives("V/x::", "WSLENV"), "WSLENV=V/x::\n");
        // Nothing else does; upper and lower case are the same to Windows.
        let text = arrives("v", "V HOME_ SHELL XDG_DATA_HOME W");
        assert_eq!(text, "V\nHOME_\nSHELL\nXDG_DATA_HOME\nW\n");
        let script = "export V=value WSLENV=V; env-report.exe v";
        assert_eq!(host.shell(placement, script).clean().text(), "v=value\n");
    }
}

#[test]
fn a_linux_program_of_a_windows_program_gets_what_wslenv_lists() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let arrives = |wslenv: &str| {
            let script = format!(
                "export V=value P=/usr:/etc WSLENV='{wslenv}'; \
                 cmd.exe /c 'set W=win& set L=Z:\\usr\\bin;rel;C:\\windows& \
                 set D=\\\\wsl.localhost\\%WSL_DISTRO_NAME%\\etc& wsl.exe -e env'"
            );
            let text = host.shell(placement, &script).clean().text();
            let wanted = |line: &&str| {
                let name = line.split('=').next().unwrap_or_default();
                ["V", "v", "P", "W", "L", "D", "WSLENV", "OS", "COMSPEC"].contains(&name)
            };
            text.lines().filter(wanted).map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let drive_c = host.base().join("data/winterop/prefix/drive_c").canonicalize().expect("C:");
        let list = format!("L=/usr/bin:{}/windows", drive_c.display());
        for (wslenv, expected) in [
            // Windows cannot have a variable without a value.
            ("", vec![]),
            ("V", vec!["WSLENV=V", "V=value"]),
            // What only travels the one way does not come back.
            ("V/w:W", vec!["WSLENV=V/w:W", "W=win"]),
            ("W/u:V/x", vec!["WSLENV=W/u:V/x", "W=win"]),
            ("P/l", vec!["WSLENV=P/l", "P=/usr:/etc"]),
            ("L/l:none", vec!["WSLENV=L/l:none", &list]),
            ("WSL_DISTRO_NAME:D/p", vec!["WSLENV=WSL_DISTRO_NAME:D/p", "D=/etc"]),
        ] {
            let expected = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(arrives(wslenv), expected, "{wslenv}");
        }
    }
}

#[test]
fn what_a_windows_program_writes_behind_wsl_reaches_the_shell_as_it_is() {
    let host = Host::new();
    host.settled();
    for folder in ["sub", "a dir"] {
        std::fs::create_dir(host.work().join(folder)).expect("a folder");
    }
    for placement in placements() {
        let said = |command: &str| host.shell(placement, &format!("cmd.exe /c '{command}'"));
        for (command, text) in [
            ("wsl echo \"a  b\"", "a  b\n"),
            ("wsl sh -c \"echo x\"", "x\n"),
            ("wsl echo $((1+1));  echo b", "2\nb\n"),
            ("wsl  --cd \"a dir\"  basename \"$PWD\"", "a dir\n"),
            ("wsl -- printf \"%s_\" a\\ b  c", "a b_c_"),
            ("wsl -e printf %s_ \"a  b\" c", "a  b_c_"),
        ] {
            assert_eq!(said(command).clean().text(), text, "{command}");
        }
        assert_eq!(said("wsl sh -c \"exit 5\"").code(), 5);
        // What was to happen in one folder happens in no other.
        let (here, there) = (host.work().join("here.txt"), host.work().join("sub/there.txt"));
        for file in [&here, &there] {
            std::fs::write(file, "text").expect("a file");
        }
        said("wsl sh -c \"cd sub && rm -f *.txt\"").clean();
        assert!(here.exists() && !there.exists());
    }
}

#[test]
fn a_windows_program_sees_how_its_linux_program_ends() {
    let host = Host::new();
    for placement in placements() {
        let said = |command: &str| host.shell(placement, &format!("cmd.exe /c '{command}'"));
        assert_eq!(said("wsl.exe --list").clean().text(), said("wsl --list").clean().text());
        for (command, code) in
            [("wsl -e true", 0), ("wsl -e sh -c \"exit 7\"", 7), ("wsl -e nosuch", 127)]
        {
            assert_eq!(said(command).status.code(), Some(code), "{command}");
        }
        let both = "(echo in & echo put) | wsl -e sh -c \"cat; echo err >&2; kill -9 $$\" 2>&1";
        let outcome = said(both);
        assert_eq!(outcome.text().split_whitespace().collect::<Vec<_>>(), ["in", "put", "err"]);
        // Standard error goes where the Windows program wants it, and arguments stay as they are.
        let outcome = said("wsl -e sh -c \"printf %s_ a b >&2\" \"x  y\" 2>err.txt & type err.txt");
        assert_eq!(outcome.clean().text(), "a_b_");
        let outcome = said("wsl -e printf \"%s|\" \"x  y\" \"\" z");
        assert!(outcome.text().contains("x  y||z|"), "{}", outcome.text());
        // The working directory is the caller's.
        let outcome = said("cd /d Z:\\usr & wsl -e pwd");
        assert_eq!(outcome.clean().text(), "/usr\n");
    }
}

#[test]
fn a_linux_program_is_hung_up_on_where_the_windows_side_goes() {
    let host = Host::new();
    host.settled();
    for placement in placements() {
        let files = ["started", "hung-up"].map(|name| host.work().join(name));
        let linux = "sleep 1000 & trap \"kill $!; echo >hung-up\" HUP; echo >started; wait";
        std::fs::write(host.work().join("linux.sh"), linux).expect("the script");
        let mut caller = host
            .script(placement, "cmd.exe /c 'wsl -e sh linux.sh'")
            .stdin(std::process::Stdio::null())
            .spawn()
            .expect("the caller");
        expect_soon("the Linux program runs", || files[0].exists().then_some(()));
        let is_windows_side = |process: &Process| {
            let line = process.command_line();
            let is_wine = process.executable().to_string_lossy().contains("/wine");
            is_wine && line.contains("linux.sh") && !line.contains("cmd.exe")
        };
        let everything = host.everything();
        let windows_side = everything.into_iter().find(is_windows_side).expect("wsl.exe");
        kill_process(Pid::from_raw(windows_side.0).expect("a pid"), Signal::KILL).expect("its end");
        expect_soon("the Linux program is told", || files[1].exists().then_some(()));
        caller.wait().expect("the caller's end");
        for file in files {
            std::fs::remove_file(file).expect("a file");
        }
    }
}

#[test]
fn who_does_not_know_the_token_costs_wsl_exe_nothing_and_holds_up_nobody() {
    use std::io::{Read as _, Write as _};
    let host = Host::new();
    host.settled();
    let linux = "mkfifo go; echo >started; read line <go; echo error >&2; exit 7";
    std::fs::write(host.work().join("linux.sh"), linux).expect("the script");
    let mut caller = host
        .script(Placement::Hosted, "cmd.exe /c 'wsl -e sh linux.sh 2>errors.txt'")
        .stdin(std::process::Stdio::null())
        .spawn()
        .expect("the caller");
    let started = host.work().join("started");
    expect_soon("the Linux program runs", || started.exists().then_some(()));
    let everything = host.everything();
    let variable = "WINTEROP_WINDOWS_CALLER=";
    let told = everything.iter().find_map(|process| {
        let environment = std::fs::read(format!("/proc/{}/environ", process.0)).ok()?;
        let environment = String::from_utf8_lossy(&environment).into_owned();
        environment.split('\0').find_map(|it| it.strip_prefix(variable)).map(str::to_owned)
    });
    let told = told.expect("where wsl.exe waits");
    let (port, token) = told.split_once(' ').expect("a port and a token");
    let is_windows_side = |process: &&Process| {
        let line = process.command_line();
        let is_wine = process.executable().to_string_lossy().contains("/wine");
        is_wine && line.contains("linux.sh") && !line.contains("cmd.exe")
    };
    let windows_side = everything.iter().find(is_windows_side).expect("wsl.exe");
    let threads =
        || std::fs::read_dir(format!("/proc/{}/task", windows_side.0)).map_or(0, Iterator::count);
    let before = threads();
    let connect = || {
        let port = port.parse::<u16>().expect("a port");
        let stream = std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port));
        let stream = stream.expect("wsl.exe's port");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("a deadline");
        stream
    };
    let is_closed = |stream: &mut std::net::TcpStream| match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    };
    // Many that say nothing, of which the oldest go; and wrong tokens, one of them with the right end.
    let mut silent: Vec<_> = (0..48).map(|_| connect()).collect();
    assert!(is_closed(&mut silent[0]), "the oldest is closed");
    assert!(threads() < before + 8, "{before} threads, now {}", threads());
    let wrong = format!("x{}s", &token[1..32]);
    for said in [wrong.as_bytes(), &[0; 33]] {
        let mut stream = connect();
        stream.write_all(said).expect("a wrong token");
        assert!(is_closed(&mut stream));
    }
    if rustix::process::geteuid().is_root() {
        // Nor does it help another user to know it.
        let script = "exec 3<>/dev/tcp/127.0.0.1/$0; printf '%ss\\11\\0\\0\\0' $1 >&3; cat <&3";
        let other =
            ["--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", script, port];
        let mut command = std::process::Command::new("setpriv");
        command.args(other).arg(&token[..32]).current_dir("/");
        command.stderr(std::process::Stdio::null()).status().expect("another user");
    }
    std::fs::write(host.work().join("go"), "\n").expect("the program goes on");
    assert_eq!(caller.wait().expect("the caller's end").code(), Some(7));
    let errors = std::fs::read_to_string(host.work().join("errors.txt")).expect("errors");
    assert_eq!(errors.trim_end(), "error");
}

#[test]
fn f5_sessions_name_their_distribution_and_their_server() {
    let host = Host::new();
    for placement in placements() {
        let script = "echo $WSL_DISTRO_NAME; sh -c 'test -S $WSL_INTEROP && echo socket'; \
                      basename $WSL_INTEROP; wslpath -w /etc; \
                      WSLENV=WSL_DISTRO_NAME:WSL_INTEROP/p env-report.exe WSL_DISTRO_NAME WSL_INTEROP; \
                      env -i PATH=$PATH hello.exe; wsl --list";
        let text = host.shell(placement, script).clean().text();
        let lines: Vec<&str> = text.lines().collect();
        let [name, socket, file, path, sent, interop, hello, list] = lines[..] else {
            panic!("{text}")
        };
        assert!(!name.is_empty() && list.starts_with(name), "{text}");
        assert_eq!((socket, hello), ("socket", "hello"));
        assert!(file.ends_with("_interop") && file.starts_with(|c: char| c.is_ascii_digit()));
        assert!(path.ends_with("\\etc"), "{path}");
        assert_eq!(sent, format!("WSL_DISTRO_NAME={name}"));
        assert!(interop.starts_with("WSL_INTEROP=") && interop.ends_with(file), "{interop}");
    }
}

#[test]
fn values_are_text_and_what_is_none_is_replaced() {
    let host = Host::new();
    for placement in placements() {
        let script = "export A='ü 日本 😀' B=$(printf 'a\\nb\\tc') C=$(printf 'a\\377b') D=' = '; \
                      WSLENV=A:B:C:D env-report.exe A B C D";
        let text = host.shell(placement, script).clean().text();
        assert_eq!(text, "A=ü 日本 😀\nB=a\nb\tc\nC=a\u{fffd}b\nD= = \n");
    }
}
