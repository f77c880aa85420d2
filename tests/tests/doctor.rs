//! `winterop doctor`: each check by breaking what it looks at, and mending it as it says.

use serde_json::Value;
use winterop_tests::{Host, Outcome, Placement, Session, finish, needs_root};

const TABLE: &str = "/proc/sys/fs/binfmt_misc";

/// What the doctor has said.
#[derive(Debug)]
struct Report(Value);

impl Report {
    #[track_caller]
    fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    #[track_caller]
    fn check(&self, id: &str) -> &Value {
        let checks = self.0["checks"].as_array().expect("checks");
        checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no check {id}"))
    }

    /// Asserts how a check is, and that it says all of these words, there or in its details.
    #[track_caller]
    fn says(&self, id: &str, state: &str, words: &[&str]) {
        let check = self.check(id);
        let text = format!("{} {}", check["says"], check["details"]);
        assert_eq!(check["state"], state, "{id}: {check}");
        assert!(words.iter().all(|word| text.contains(word)), "{id}: {words:?} in {check}");
        if state == "wrong" {
            assert_eq!(self.0["well"], false);
        }
    }

    /// The command that mends it, without what is said beside it.
    #[track_caller]
    fn mend(&self, id: &str) -> String {
        let mend = self.check(id)["mend"].as_str().unwrap_or_else(|| panic!("{id}: no mend"));
        mend.split(" (").next().unwrap_or_default().to_owned()
    }

    /// Asserts that nothing is wrong.
    #[track_caller]
    fn well(&self) {
        let checks = self.0["checks"].as_array().expect("checks");
        let wrong: Vec<_> = checks.iter().filter(|check| check["state"] == "wrong").collect();
        assert!(self.0["well"] == true && wrong.is_empty(), "{wrong:#?}");
    }
}

/// Runs the doctor in a session.
#[track_caller]
fn doctor(session: &mut Session, arguments: &str) -> Report {
    Report::parse(&session.eval(&format!("winterop doctor --json {arguments} 2>/dev/null")))
}

/// The same outside of any session, where the host lives.
#[track_caller]
fn doctor_outside(host: &Host, arguments: &[&str]) -> Report {
    let arguments = [&["doctor", "--json"], arguments].concat();
    Report::parse(&finish(&mut host.winterop(Placement::InPlace, &arguments)).text())
}

/// Breaks something in a session and sees the cross; does what it names and sees the tick.
#[track_caller]
fn break_and_mend(session: &mut Session, id: &str, breaking: &str, words: &[&str]) {
    session.eval(breaking);
    let broken = doctor(session, "");
    broken.says(id, "wrong", words);
    let mend = broken.mend(id);
    let output = session.eval(&format!("({mend}) 2>&1"));
    let mended = doctor(session, "");
    assert_eq!(mended.check(id)["state"], "ok", "`{mend}`: {output}{}", mended.check(id));
}

/// The same with `--fix`, which must say that it has done something.
#[track_caller]
fn break_and_fix(session: &mut Session, id: &str, breaking: &str, words: &[&str]) {
    session.eval(breaking);
    let broken = doctor(session, "");
    broken.says(id, if broken.0["well"] == true { "note" } else { "wrong" }, words);
    assert_eq!(broken.check(id)["fixable"], true, "{}", broken.check(id));
    let fixed = doctor(session, "--fix");
    let check = fixed.check(id);
    assert!(check["state"] == "ok" && check["fixed"].is_string(), "{check}");
    doctor(session, "").well();
}

/// Runs a script with an `/etc` of its own.
fn with_etc(host: &Host, script: &str) -> Outcome {
    let prelude = "mkdir -p $PWD/etc; mount -t tmpfs tmpfs $PWD/etc; mkdir etc/new etc/work; \
        mount -t overlay overlay -o lowerdir=/etc,upperdir=$PWD/etc/new,workdir=$PWD/etc/work /etc; \
        mkdir -p /etc/winterop; rm -f /etc/wsl.conf /etc/winterop/*; winterop host stop; \
        d() { winterop doctor --json \"$@\" 2>/dev/null; echo; echo ---; };";
    let script = format!("{prelude} {script}");
    let arguments = ["--mount", "--propagation", "private", "sh", "-c", &script];
    finish(host.command("unshare", Placement::InPlace).args(arguments))
}

/// The reports that a script has printed.
#[track_caller]
fn reports(outcome: &Outcome) -> Vec<Report> {
    let text = outcome.text();
    let parts = text.split("---\n").filter(|part| !part.trim().is_empty());
    let reports: Vec<Report> = parts.map(Report::parse).collect();
    assert!(!reports.is_empty(), "{}", outcome.errors());
    reports
}

#[test]
fn all_is_well_with_and_without_a_session() {
    let host = Host::new();
    host.settled();
    let outcome = finish(&mut host.winterop(Placement::InPlace, &["doctor", "--json"]));
    assert_eq!(outcome.code(), 0, "{}", outcome.text());
    let report = Report::parse(&outcome.text());
    report.well();
    assert_eq!(report.0["session"], false);
    report.says("launch", "ok", &["hostname.exe ran", "by `winterop run`"]);
    let mut session = host.session(Placement::InPlace);
    let report = doctor(&mut session, "$W/hello.exe");
    report.well();
    assert_eq!(report.0["session"], true);
    report.says("launch", "ok", &["hostname.exe ran by the kernel"]);
    report.says("taker", "ok", &["WSLInterop takes", "hello.exe", "the bytes 4d5a at 0", "/init"]);
    report.says("interpreter", "ok", &["the kernel holds"]);
    for check in report.0["checks"].as_array().expect("checks") {
        assert_eq!(check["state"], "ok", "{check}");
    }
    // For people: marks, without colours where nobody looks at a terminal.
    let text = session.eval("winterop doctor $W/hello.exe; echo $?");
    assert!(text.ends_with("\nAll is well.\n0\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with('✓')).count(), 19, "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let text =
        session.eval("LC_ALL=C winterop doctor; LC_ALL=C winterop doctor >/dev/full; echo $?");
    assert!(
        text.starts_with("ok kernel") && text.is_ascii() && text.ends_with("\n126\n"),
        "{text}"
    );
    let coloured = "TERM=xterm script -qec 'winterop doctor' /dev/null";
    assert!(session.eval(coloured).contains("\u{1b}[32m✓"));
    assert!(!session.eval(&format!("NO_COLOR=1 {coloured}")).contains('\u{1b}'));
}

#[test]
fn a_plain_users_session_is_well_too() {
    let host = Host::of_plain_user();
    let mut session = host.session(Placement::InPlace);
    let report = doctor(&mut session, "$W/hello.exe");
    report.well();
    report.says("interpreter", "ok", &["the kernel holds"]);
    report.says("launch", "ok", &["by the kernel"]);
}

#[test]
fn the_kernel_and_its_table() {
    needs_root("only root's sessions may change their table");
    let host = Host::new();
    let mut session = host.session(Placement::InPlace);
    let old = "setarch x86_64 --uname-2.6 winterop doctor --json 2>/dev/null";
    let report = Report::parse(&session.eval(old));
    report.says("kernel", "note", &["Linux 2.6", "needs 6.7"]);
    assert!(report.mend("kernel").contains("winterop run"));
    doctor(&mut session, "").says("kernel", "ok", &["private tables"]);

    let table = |line: &str| format!("echo {line} >{TABLE}/status");
    break_and_mend(&mut session, "table", &table("0"), &["switched off as a whole"]);
    break_and_mend(&mut session, "table", &format!("umount {TABLE}"), &["not mounted"]);
    // Its entries have gone with it.
    doctor(&mut session, "--fix").says("entry", "ok", &[]);
    doctor(&mut session, "").well();
    // Outside of sessions, where namespaces are denied: in a namespace that allows none below it.
    let script = "echo 0 >/proc/sys/user/max_user_namespaces; winterop doctor --json; echo ---; \
                  sysctl -q user.max_user_namespaces=10000; winterop doctor --json";
    let mut denied = host.command("unshare", Placement::InPlace);
    let outcome = finish(denied.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]));
    let [before, after] = &reports(&outcome)[..] else { panic!("{}", outcome.text()) };
    before.says("user-namespaces", "wrong", &["user.max_user_namespaces is 0"]);
    assert_eq!(before.mend("user-namespaces"), "sysctl user.max_user_namespaces=10000");
    after.says("user-namespaces", "ok", &[]);
}

#[test]
fn the_registration_and_who_takes_a_file() {
    needs_root("only root's sessions may change their table");
    let host = Host::new();
    let mut session = host.session(Placement::InPlace);
    let s = &mut session;
    let entry = format!("{TABLE}/WSLInterop");
    let register = |line: &str| format!("echo '{line}' >{TABLE}/register");
    break_and_mend(s, "entry", &format!("echo 0 >{entry}"), &["switched off"]);
    break_and_fix(s, "entry", &format!("echo -1 >{entry}"), &["no entry WSLInterop"]);
    let without = format!("echo -1 >{entry}; {}", register(":WSLInterop:M::MZ::/init:P"));
    break_and_fix(s, "entry", &without, &["OF is missing", "flags P"]);
    // Others that want the same files.
    for (name, line, words) in [
        ("wine", ":wine:M::MZ::/usr/bin/wine:", "Wine's own entry"),
        ("cli", ":cli:M::MZ::/usr/bin/cli:", "Mono's"),
        ("APE", ":APE:M::MZ::/usr/bin/ape:", "Cosmopolitan's"),
        ("odd", ":odd:E::exe::/bin/true:", "another program's"),
    ] {
        let words =
            [&*format!("{name} takes"), words, "WSLInterop (/init) matches too", "asked later"];
        break_and_mend(s, "taker", &register(line), &words);
    }
    // One that was registered before is asked later, and is no harm.
    s.eval(&format!("echo -1 >{entry}; {}", register(":early:M::MZ::/bin/true:")));
    s.eval(&register(":WSLInterop:M::MZ::/init:POF"));
    let report = doctor(s, "$W/hello.exe");
    report.well();
    report.says(
        "taker",
        "ok",
        &["WSLInterop takes", "early (/bin/true) matches too", "asked later"],
    );
    s.eval(&format!("echo -1 >{TABLE}/early"));
    // What is no Windows program, and what is none any more.
    doctor(s, "/bin/sh").says("taker", "note", &["does not begin with MZ"]);
    s.eval("cp $W/hello.exe x.exe; chmod -x x.exe");
    let report = doctor(s, "x.exe");
    report.says("program", "wrong", &["not executable"]);
    s.eval(&report.mend("program"));
    doctor(s, "x.exe").well();
    s.eval("truncate -s 100 x.exe");
    let report = doctor(s, "x.exe");
    report.says("program", "wrong", &["ends inside its headers"]);
    assert_eq!(report.check("program")["error"], "cut-off");
    doctor(s, "not-there.exe").says("program", "wrong", &["No such file"]);
    // One that nobody ever writes to: the checks that wait for it are given up, the others are not.
    s.eval("mkfifo pipe.exe");
    let report = doctor(s, "pipe.exe");
    report.says("program", "wrong", &["takes longer than"]);
    report.says("launch", "ok", &["by the kernel"]);
}

#[test]
fn the_entry_that_is_named_is_the_one_that_the_kernel_starts() {
    needs_root("only root's sessions may change their table");
    let host = Host::new();
    let mut session = host.session(Placement::InPlace);
    session.eval(&format!("echo -1 >{TABLE}/WSLInterop; printf 'MZabc' >x.exe; chmod +x x.exe"));
    let rules = [
        "M::MZ:",
        "M:2:abc:",
        "M:1:Z:",
        "E::exe:",
        r"M::\x4d\x00:\xff\x00",
        "M::MZab:",
        "M::MZx:",
        "E::EXE:",
        r"M:2:\x61\x62\x63\x00:",
    ];
    // Each in turn is the last that is registered, and three are switched off.
    for turn in 0..rules.len() {
        for (index, rule) in rules.iter().cycle().skip(turn).take(rules.len()).enumerate() {
            let name = format!("e{index}");
            // The interpreter prints its own name, which is the entry's.
            session.eval(&format!(
                "printf '#!/bin/sh\\necho {name}\\n' >{name}; chmod +x {name}; \
                 echo ':{name}:{rule}:'$PWD/{name}: >{TABLE}/register"
            ));
        }
        for off in [turn, (turn + 3) % 9, (turn + 7) % 9] {
            session.eval(&format!("echo 0 >{TABLE}/e{off}"));
        }
        let started = session.eval("./x.exe");
        let report = doctor(&mut session, "./x.exe");
        report.says("taker", "wrong", &[&format!("{} takes", started.trim())]);
        session.eval(&format!("for e in {TABLE}/e?; do echo -1 >$e; done"));
    }
}

#[test]
fn the_interpreter_that_the_kernel_holds() {
    needs_root("only root's sessions may change their table");
    let host = Host::new();
    let mut session = host.session(Placement::InPlace);
    let s = &mut session;
    // As an upgrade leaves it: the kernel holds the old file, and /init is the new one.
    let old = format!(
        "cp /init old; printf x >>old; mount --bind old /init; echo -1 >{TABLE}/WSLInterop; \
         echo ':WSLInterop:M::MZ::/init:POF' >{TABLE}/register; umount -l /init"
    );
    break_and_fix(s, "interpreter", &old, &["another interpreter", "lib/winterop/init"]);
    // One that is there and asks nobody.
    let mute = format!(
        "echo -1 >{TABLE}/WSLInterop; echo ':WSLInterop:M::MZ::/bin/true:POF' >{TABLE}/register"
    );
    s.eval(&mute);
    let report = doctor(s, "");
    report.says("interpreter", "wrong", &["does not start /bin/true so that it asks"]);
    assert!(report.mend("interpreter").contains("winterop shell"));
    drop(session);
    doctor(&mut host.session(Placement::InPlace), "").well();
}

#[test]
fn sockets_and_who_serves_them() {
    needs_root("only root's sessions may change their table");
    let host = Host::new();
    let mut session = host.session(Placement::InPlace);
    let s = &mut session;
    let run = "$XDG_RUNTIME_DIR/winterop";
    let open = format!("chmod 755 {run}");
    break_and_mend(s, "runtime-directory", &open, &["does not belong to you alone"]);
    break_and_fix(s, "runtime-directory", &open, &["does not belong to you alone"]);
    break_and_mend(s, "sockets", "chmod 777 /run/WSL", &["written by others", "0777"]);
    break_and_fix(s, "sockets", "chmod 1777 /run/WSL", &["written by others"]);
    break_and_mend(s, "sockets", "chown 64123 /run/WSL", &["belongs to uid 64123"]);
    let bind = "$s = IO::Socket::UNIX->new(Local => shift, Listen => 5) or die $!;";
    let left = format!("perl -MIO::Socket::UNIX -e '{bind}' /run/WSL/99_interop");
    break_and_fix(s, "sockets", &left, &["nobody serves", "/run/WSL/99_interop"]);
    break_and_mend(s, "sockets", "echo x >/run/WSL/98_interop", &["98_interop is not a socket"]);
    // Squatted: by another user, who could write there for a moment; and under another's pid.
    let stay = format!("{bind} $| = 1; print \"1\\n\"; <STDIN>");
    let squat = |before: &str| {
        format!(
            "chmod 777 /run/WSL; mkfifo in out; \
             {before} perl -MIO::Socket::UNIX -e '{stay}' /run/WSL/97_interop <in >out & \
             exec 8>in; read -r line <out; rm in out; chmod 755 /run/WSL"
        )
    };
    let another = "setpriv --reuid 64123 --clear-groups";
    let squatters = [(squat(another), "uid 64123"), (squat(""), "which its name does not say")];
    for (squatter, words) in squatters {
        break_and_mend(s, "sockets", &squatter, &["97_interop is served by", words]);
        s.eval("exec 8>&-; wait");
    }
    // A link to elsewhere; nothing at all.
    let elsewhere = "umount /run/WSL; mount -t tmpfs tmpfs /run; mkdir -p $XDG_RUNTIME_DIR; \
                     mkdir elsewhere; ln -s $PWD/elsewhere /run/WSL";
    s.eval(elsewhere);
    let report = doctor(s, "");
    report.says("sockets", "wrong", &["a link to elsewhere"]);
    s.eval(&report.mend("sockets"));
    doctor(s, "").says("sockets", "wrong", &["/run/WSL is not there"]);
}

#[test]
fn the_server_that_a_launch_would_find() {
    // A user whom nobody else is, or another host of theirs could be found.
    let host = Host::of_plain_user();
    let mut session = host.session(Placement::InPlace);
    let report = Report::parse(&session.eval("WSL_INTEROP=/nowhere winterop doctor --json"));
    report.says("server", "note", &["WSL_INTEROP names /nowhere", "instead: /"]);
    assert_eq!(report.mend("server"), "unset WSL_INTEROP");
    report.well();
    // A session that has lost its init, and no host.
    let init = session.init();
    session.eval(&format!("winterop host stop; kill -9 {}; rm /run/WSL/*", init.0));
    assert!(init.ends_within(std::time::Duration::from_secs(20)));
    let report = doctor(&mut session, "");
    report.says("server", "wrong", &["no interop server answers", "1_interop", "no such file"]);
    report.says("launch", "wrong", &["did not run by the kernel"]);
    assert_eq!(report.check("launch")["error"], "no-server");
    assert!(report.mend("server").contains("winterop shell"));
    drop(session);
    let mut session = host.session(Placement::InPlace);
    doctor(&mut session, "").says("server", "ok", &["/run/WSL/"]);
}

#[test]
fn settings_switches_and_policy() {
    needs_root("only root's sessions may change their table");
    let host = Host::new();
    host.settled();
    let own = "$XDG_CONFIG_HOME/winterop/config.toml";
    let script = format!(
        "d; echo 'placement = \"moon\"' >{own}; d; : >{own}; \
         echo 'odd = 1' >/etc/winterop/config.toml; d; \
         : >/etc/winterop/config.toml; chmod 666 /etc/winterop/config.toml; d; \
         chown root: /etc/winterop/config.toml; chmod 644 /etc/winterop/config.toml; \
         printf '[interop]\\nodd = 1\\n' >/etc/wsl.conf; d; \
         printf '[interop]\\nenabled = false\\n' >/etc/wsl.conf; d; rm /etc/wsl.conf; \
         winterop config set-flags 1; d; winterop config set-flags 0; \
         p=/etc/winterop/policy.toml; echo '[[rule' >$p; d; \
         printf '[[rule]]\\nname = \"no hello\"\\naction = \"refuse\"\\nprogram = [\"**/hello.exe\"]\\n' >$p; \
         d $W/hello.exe; d $W/cat.exe; \
         sum=$(sha256sum <$W/hello.exe | cut -d' ' -f1); \
         printf '[[rule]]\\naction = \"allow\"\\nsha256 = [\"%s\"]\\n[[rule]]\\naction = \"refuse\"\\n' $sum >$p; \
         d $W/hello.exe; d $W/cat.exe; rm $p; d"
    );
    let outcome = with_etc(&host, &script);
    let reports = reports(&outcome);
    let expected: [(&str, &str, &[&str]); 14] = [
        ("settings", "ok", &[]),
        ("settings", "wrong", &["config/winterop/config.toml", "line 1", "moon"]),
        ("settings", "wrong", &["/etc/winterop/config.toml", "line 1", "odd"]),
        ("settings", "wrong", &["must belong to root", "0666"]),
        ("wsl-conf", "wrong", &["Unknown key 'interop.odd' in /etc/wsl.conf:2"]),
        ("switches", "wrong", &["[interop] enabled is false in /etc/wsl.conf:2"]),
        ("switches", "wrong", &["DistributionFlags is 0x1 in /etc/winterop/system.reg"]),
        ("policy", "wrong", &["/etc/winterop/policy.toml", "line 1"]),
        ("policy", "wrong", &["hello.exe", "rule 1 “no hello”"]),
        ("policy", "ok", &["no rule is about", "cat.exe"]),
        ("policy", "ok", &["hello.exe may run: rule 1"]),
        ("policy", "wrong", &["cat.exe", "rule 2"]),
        ("policy", "ok", &["there is none"]),
        ("launch", "ok", &[]),
    ];
    assert_eq!(reports.len(), 13, "{}", outcome.text());
    for (report, (id, state, words)) in reports.iter().chain(reports.last()).zip(expected) {
        report.says(id, state, words);
    }
    assert!(reports[3].mend("settings").contains("chmod 644 /etc/winterop/config.toml"));
    assert_eq!(
        reports[6].mend("switches"),
        "`winterop config set-flags 0` as root switches them on"
    );
    for report in &reports[5..7] {
        report.says("launch", "skipped", &["switched off"]);
    }
    // A rule that refuses the trial's program is somebody's wish.
    reports[11].says("launch", "skipped", &["the policy refuses hostname.exe"]);
    assert_eq!(reports[6].check("switches")["error"], "off-for-all-users");
    reports[12].well();
}

/// Kills a host and starts another, so often. One that was killed takes connections until the kernel has
/// closed the last of its descriptors.
#[track_caller]
fn each_time_another_host(session: &mut Session, count: usize) {
    let started = session.eval(&format!(
        "for i in $(seq {count}); do p=$(winterop host status | tr -dc 0-9); kill -STOP $p; \
            kill -9 $p; winterop host start && winterop host status; done | sort -u | wc -l",
    ));
    assert_eq!(started.trim(), count.to_string(), "each time another host");
}

#[test]
fn of_fifty_hosts_that_were_killed_each_is_replaced() {
    let host = Host::new();
    let mut session = host.session(Placement::InPlace);
    session.eval("winterop host start");
    each_time_another_host(&mut session, 50);
}

#[test]
fn the_host_answers_and_is_of_this_version() {
    let host = Host::new();
    let mut session = host.session(Placement::InPlace);
    let s = &mut session;
    s.eval("winterop host stop");
    let report = doctor(s, "");
    report.says("host", "note", &["does not run"]);
    assert_eq!(report.mend("host"), "winterop host start");
    // The trial has started it.
    doctor(s, "").says("host", "ok", &["answers"]);
    // Stopped, it takes connections and says nothing.
    let process = host.process().expect("a host");
    s.eval(&format!("kill -STOP {}", process.0));
    let report = Report::parse(&s.eval("timeout 60 winterop doctor --json 2>/dev/null"));
    report.says("host", "wrong", &["listens and does not answer", &process.0.to_string()]);
    assert!(report.mend("host").starts_with(&format!("kill -9 {}", process.0)));
    s.eval(&report.mend("host"));
    doctor(s, "").says("host", "ok", &["answers"]);
    each_time_another_host(s, 5);
    // Of another installation: as after an upgrade.
    s.eval(
        "winterop host stop; mkdir -p other/bin; l=$(dirname $(dirname $(command -v winterop))); \
            cp $l/bin/winterop other/bin; cp -r $l/lib other",
    );
    // In the instance its keeper would start a host, of the installation that has made the instance.
    let other = host.work().join("other/bin/winterop");
    finish(host.command(other, Placement::InPlace).args(["host", "start"])).clean();
    doctor(s, "").says("host", "ok", &["answers", "cannot be seen"]);
    let report = doctor_outside(&host, &[]);
    report.says("host", "wrong", &["another program", "other/bin/winterop"]);
    assert_eq!(report.mend("host"), "winterop host stop");
    // While something runs, it is not ended.
    s.eval(
        "mkfifo busy back; cat.exe <busy >back & exec 7>busy 9<back; echo x >&7; read -r line <&9",
    );
    let busy = doctor_outside(&host, &["--fix"]);
    busy.says("host", "wrong", &["other/bin/winterop"]);
    assert!(busy.check("host")["fixed"].is_null() && busy.check("host")["fixable"] == false);
    assert_eq!(s.eval("echo y >&7; read -r line <&9; echo $line"), "y\n");
    s.eval("exec 7>&- 9<&-; wait");
    let fixed = doctor_outside(&host, &["--fix"]);
    assert!(fixed.check("host")["fixed"].is_string(), "{}", fixed.check("host"));
    doctor_outside(&host, &[]).says("host", "ok", &["answers", "of this version"]);
    doctor(s, "").well();
}

#[test]
fn wine_its_prefix_and_its_server() {
    needs_root("only root's sessions may change their table");
    let host = Host::new();
    let mut session = host.session(Placement::InPlace);
    let s = &mut session;
    // No Wine on this machine, as this session sees it.
    let hide = "for d in /usr/lib/wine /opt; do mount -t tmpfs tmpfs $d; done; PATH=$(dirname $(command -v winterop)):/none:/bin; \
                mount -t tmpfs tmpfs /usr/lib/x86_64-linux-gnu/wine";
    s.eval(&format!("keep=$PATH; {hide}; hash -r"));
    let report = doctor(s, "");
    report.says("wine", "wrong", &["no usable 64-bit Wine found"]);
    assert!(report.check("wine")["mend"].as_str().is_some_and(|mend| mend.contains("wine64")));
    report.says("launch", "skipped", &["no Wine"]);
    s.eval("PATH=$keep; umount /usr/lib/wine /opt /usr/lib/x86_64-linux-gnu/wine");
    doctor(s, "").says("wine", "ok", &["wine-"]);

    let prefix = "$XDG_DATA_HOME/winterop/prefix";
    let library = format!("rm {prefix}/drive_c/windows/system32/bcryptprimitives.dll");
    break_and_fix(s, "prefix", &library, &["bcryptprimitives.dll is missing"]);
    let older = format!(
        "winterop host stop; cp {prefix}/system.reg whole; \
         sed -i 's/\"CurrentVersion\"=\"10.0\"/\"CurrentVersion\"=\"6.1\"/' {prefix}/system.reg"
    );
    s.eval(&older);
    let report = doctor(s, "");
    report.says("prefix", "wrong", &["does not say Windows 10"]);
    // What it names is what `--fix` has done above, and takes long.
    assert!(report.mend("prefix").contains("/prefix/.winterop; winterop run"));
    s.eval(&format!("winterop host stop; cp whole {prefix}/system.reg"));
    // The server of another Wine holds the prefix.
    let other = format!(
        "winterop host stop; mkdir -p own; cp /usr/lib/wine/wineserver64 own/wineserver; \
         WINEPREFIX={prefix} own/wineserver -p"
    );
    s.eval(&other);
    let report = doctor(s, "");
    report.says("wine-server", "wrong", &["own/wineserver, not"]);
    s.eval(&format!(
        "winterop host stop; {}; WINEPREFIX={prefix} timeout 60 own/wineserver -w",
        report.mend("wine-server")
    ));
    drop(doctor(s, ""));
    doctor(s, "").says("wine-server", "ok", &["process"]);
}

#[test]
fn every_errors_identifier_can_be_explained() {
    let host = Host::new();
    let page = std::fs::read_to_string(winterop_tests::workspace().join("docs/errors.md"));
    let page = page.expect("docs/errors.md");
    let ids = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let ids: Vec<&str> = ids.collect();
    assert!(ids.len() > 70);
    let listed = finish(&mut host.winterop(Placement::InPlace, &["explain"])).clean().text();
    assert_eq!(listed.lines().count(), ids.len());
    for id in ["no-server", "[cut-off]", ids[0]] {
        let outcome = finish(&mut host.winterop(Placement::InPlace, &["explain", id])).clean();
        let status = outcome.text().lines().any(|line| line == "Exit status:  126");
        assert!(status && outcome.text().contains("What to do:"), "{}", outcome.text());
    }
    let unknown = finish(&mut host.winterop(Placement::InPlace, &["explain", "nothing"]));
    unknown.refused(126, &["nothing", "`winterop explain` lists"]);
    // What a launch says has one.
    let outcome = host.shell(Placement::InPlace, "printf MZ >bad.exe; chmod +x bad.exe; ./bad.exe");
    outcome.refused(126, &["starting", "bad.exe", "get it again [cut-off]"]);
}
