//! The program `wslpath` as WSL's behaves, on a table of mounts as WSL has it.

use std::process::Command;
use winterop_tests::{Outcome, built, finish, workspace};

/// What a distribution's table of mounts shows; the last source is an empty field.
const MOUNTS: &str = "\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
20 1 0:50 / /mnt/c rw,noatime - 9p drvfs rw,dirsync,aname=drvfs;path=C:\\134;uid=0;gid=0,trans=fd
21 1 0:51 / /mnt/d rw - drvfs D:/ rw
22 1 0:52 / /mnt/share rw - 9p  rw,aname=drvfs;path=UNC\\134server\\134share
23 1 0:53 / /mnt/wsl rw - tmpfs  rw,size=1k
";

/// Puts that table in the place of the process's own, and folders in the place of the drives.
const SETTING: &str = "mount -t tmpfs none /mnt; mkdir -p /mnt/c/Users/me/sub /mnt/d /mnt/share; \
                       ln -s Users /mnt/c/lnk; ln -s /mnt/c/Users /mnt/d/users; \
                       ln -s loop /mnt/d/loop; \
                       cd /mnt/c/Users/me; mount --bind \"$1\" /proc/$$/mountinfo; shift; \
                       exec \"$@\"";

/// A folder with the table.
struct Distribution(tempfile::TempDir);

impl Distribution {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mountinfo"), MOUNTS).expect("the table");
        Self(folder)
    }

    fn wslpath(&self, arguments: &[&str]) -> Outcome {
        let namespaces = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
        let mut command = Command::new("unshare");
        command
            .args([namespaces, "sh", "-e", "-c", SETTING, "sh"])
            .args([self.0.path().join("mountinfo"), built("winterop/bin/wslpath")])
            .args(arguments)
            // No Wine prefix: there are no drives but those that are mounted.
            .env("XDG_DATA_HOME", self.0.path())
            .env("WSL_DISTRO_NAME", "Debian");
        finish(&mut command)
    }

    #[track_caller]
    fn prints(&self, arguments: &[&str], expected: &str) {
        let outcome = self.wslpath(arguments).clean();
        assert_eq!(outcome.text(), format!("{expected}\n"), "{arguments:?}");
    }
}

fn vectors() -> serde_json::Value {
    let text = std::fs::read(workspace().join("docs/vectors/wslpath.json")).expect("the cases");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn recorded_cases() {
    let vectors = vectors();
    let distribution = Distribution::new();
    let cases = vectors["cases"].as_array().expect("cases");
    assert!(!cases.is_empty());
    for case in cases {
        let arguments = case["args"].as_array().expect("args");
        let arguments: Vec<&str> = arguments.iter().filter_map(|text| text.as_str()).collect();
        if case["stderr"].as_str().is_some_and(|line| !line.is_empty() && !line.ends_with('\n')) {
            // This one was recorded without the end of the name and of the message.
            continue;
        }
        let outcome = distribution.wslpath(&arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(Some(text(&outcome.stdout).as_str()), case["stdout"].as_str(), "{arguments:?}");
        assert_eq!(Some(text(&outcome.stderr).as_str()), case["stderr"].as_str(), "{arguments:?}");
        assert_eq!(Some(i64::from(outcome.code())), case["rc"].as_i64(), "{arguments:?}");
    }
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let distribution = Distribution::new();
    let name = "x".repeat(300);
    let outcome = distribution.wslpath(&["-w", &name]);
    outcome.refused(1, &[&format!("wslpath: {name}: File name too long")]);
    assert!(outcome.stdout.is_empty());
}

#[test]
fn flags_may_be_joined_and_end() {
    let distribution = Distribution::new();
    for arguments in [&["-aw", "new"][..], &["-wa", "new"], &["-a", "-w", "--", "new"]] {
        distribution.prints(arguments, "C:\\Users\\me\\new");
    }
    distribution.prints(&["-w", "new"], "new");
    distribution.prints(&["-w", "--", "-w"], "-w");
    distribution.prints(&["-am", "new"], "C:/Users/me/new");
    let outcome = distribution.wslpath(&["-w", "-u", "x"]);
    assert!(outcome.code() == 1 && outcome.errors().starts_with("Usage:"), "{}", outcome.errors());
    let outcome = distribution.wslpath(&[]);
    assert_eq!((outcome.code(), &*outcome.errors()), (1, "wslpath: Invalid argument\n"));
}

#[test]
fn links_are_followed_to_what_is_there() {
    let distribution = Distribution::new();
    distribution.prints(&["-w", "/mnt/c/lnk/me/sub"], "C:\\Users\\me\\sub");
    distribution.prints(&["-w", "/mnt/d/users/me"], "C:\\Users\\me");
    distribution.prints(&["-w", "sub/"], "C:\\Users\\me\\sub\\");
    let outcome = distribution.wslpath(&["-w", "/mnt/d/loop/x"]);
    outcome.refused(1, &["wslpath: /mnt/d/loop/x: Too many levels of symbolic links"]);
}

#[test]
fn names_that_windows_cannot_have_come_back_or_stay() {
    let distribution = Distribution::new();
    distribution.prints(&["-w", "/mnt/c/a\\b:c"], "C:\\a\u{f05c}b\u{f03a}c");
    distribution
        .prints(&["-w", "/etc/a\\b:c"], "\\\\wsl.localhost\\Debian\\etc\\a\u{f05c}b\u{f03a}c");
    distribution.prints(&["\\\\wsl$\\debian\\etc\\a\u{f05c}b\u{f03a}c"], "/etc/a\\b:c");
    let outcome = distribution.wslpath(&["\\\\wsl.localhost\\Debian-2\\x"]);
    outcome.refused(1, &["wslpath: \\\\wsl.localhost\\Debian-2\\x"]);
    distribution.prints(&["D:\\x"], "/mnt/d/x");
}
