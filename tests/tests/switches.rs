//! S: the two switches, and what is wrong in their files.
//!
//! Each test has an `/etc` of its own, in a mount namespace, and a host that was started there.

use winterop_tests::{Host, Outcome, Placement, finish, needs_root, placements};

/// Puts a layer over `/etc` that goes with the namespace, and gets Wine ready.
const PRELUDE: &str = "mkdir -p $PWD/etc; mount -t tmpfs tmpfs $PWD/etc; mkdir etc/new etc/work; \
    mount -t overlay overlay -o lowerdir=/etc,upperdir=$PWD/etc/new,workdir=$PWD/etc/work /etc; \
    mkdir -p /etc/winterop; rm -f /etc/wsl.conf /etc/winterop/*; \
    winterop run $W/hello.exe >/dev/null 2>&1;";

/// Runs a script with an `/etc` of its own.
fn with_etc(host: &Host, placement: Placement, script: &str) -> Outcome {
    needs_root("only root has settings for all users");
    host.stop();
    let script = format!("{PRELUDE} {script}");
    let arguments = ["--mount", "--propagation", "private", "sh", "-c", &script];
    let outcome = finish(host.command("unshare", placement).args(arguments));
    host.stop();
    outcome
}

/// The lines of standard error with all of these words.
#[track_caller]
fn says(outcome: &Outcome, count: usize, words: &[&str]) {
    let errors = outcome.errors();
    let found = errors.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    assert_eq!(found.count(), count, "{words:?} in\n{errors}\n{}", outcome.text());
}

#[test]
fn s1_s3_the_registry_switches_off_for_all_users_at_once() {
    let host = Host::new();
    for placement in placements() {
        let script = "winterop shell sh -c 'hello.exe; winterop config set-flags 1; hello.exe; echo $?; \
             winterop run hello.exe; echo $?; winterop config set-flags 0; hello.exe'; \
             winterop config set-flags 1; \
             winterop shell sh -c 'echo [$WSL_INTEROP]; ls /run/WSL; $W/hello.exe; echo $?'; \
             printf 'distribution_flags = \"service\"\\n' >/etc/winterop/config.toml; \
             winterop shell hello.exe; winterop config check";
        let outcome = with_etc(&host, placement, script);
        let expected = "hello\n126\n126\nhello\n[]\n126\nhello\n\
                        all settings are in order; Windows programs are switched on\n";
        assert_eq!(outcome.text(), expected, "{}", outcome.errors());
        says(&outcome, 4, &["DistributionFlags is 0x1 in /etc/winterop/system.reg", "set-flags 0"]);
    }
}

#[test]
fn s1_a_prefix_can_only_restrict() {
    let host = Host::new();
    let key = r"HKLM\System\CurrentControlSet\Services\LxssManager";
    let script = format!(
        "add() {{ winterop run reg.exe add '{key}' /v DistributionFlags /t REG_DWORD /d $1 /f >/dev/null; \
         winterop host stop; }}; add 1; winterop run hello.exe; echo $?; \
         sed -i 's/\"DistributionFlags\"=dword:00000001/\"DistributionFlags\"=dword:00000000/' \
         $XDG_DATA_HOME/winterop/prefix/system.reg; winterop run hello.exe; \
         winterop config set-flags 1; winterop run hello.exe; echo $?"
    );
    let outcome = with_etc(&host, Placement::InPlace, &script);
    assert_eq!(outcome.text(), "126\nhello\n126\n", "{}", outcome.errors());
    says(&outcome, 1, &["in this Wine prefix", "prefix/system.reg"]);
    says(&outcome, 1, &["/etc/winterop/system.reg"]);
}

#[test]
fn s1_a_registry_file_that_was_cut_in_half_stays_as_it_is() {
    let host = Host::new();
    let script = "winterop host stop; r=$XDG_DATA_HOME/winterop/prefix/system.reg; cp $r whole; \
         size=$(($(stat -c %s $r) / 2)); truncate -s $size $r; winterop run hello.exe; echo $?; \
         winterop host stop; [ $(stat -c %s $r) = $size ] && echo kept; cp whole $r; rm whole; \
         winterop run hello.exe; winterop config set-flags 1; \
         truncate -s 60 /etc/winterop/system.reg; winterop run hello.exe; echo $?; \
         winterop config set-flags 0; winterop run hello.exe";
    let outcome = with_etc(&host, Placement::InPlace, script);
    assert_eq!(outcome.text(), "126\nkept\nhello\n126\nhello\n", "{}", outcome.errors());
    says(&outcome, 1, &["prefix/system.reg cannot be read as a registry file"]);
    says(&outcome, 1, &["/etc/winterop/system.reg cannot be read as a registry file"]);
}

#[test]
fn s2_s3_the_distribution_switches_off() {
    let host = Host::new();
    for placement in placements() {
        let script = "winterop shell sh -c 'hello.exe; printf \"[interop]\\nenabled=false\\n\" >/etc/wsl.conf; \
             hello.exe; echo $?; winterop run hello.exe; echo $?; rm /etc/wsl.conf; hello.exe'; \
             printf '[interop]\\r\\nenabled = false\\r\\n' >/etc/wsl.conf; \
             winterop shell sh -c 'echo [$WSL_INTEROP]; ls /run/WSL; $W/hello.exe; echo $?'";
        let outcome = with_etc(&host, placement, script);
        assert_eq!(outcome.text(), "hello\n126\n126\nhello\n[]\n126\n", "{}", outcome.errors());
        says(&outcome, 4, &["[interop] enabled is false in /etc/wsl.conf:2"]);
    }
}

#[test]
fn s2_the_distributions_word_on_path_comes_first() {
    let host = Host::with_settings("append-windows-path = false\n");
    let script = "p() { winterop shell sh -c 'case $PATH in *windows/system32*) echo yes;; *) echo no;; esac'; }; \
         until [ -s $XDG_DATA_HOME/winterop/windows-path ]; do winterop run hello.exe >/dev/null; done; p; \
         printf '[interop]\\nappendWindowsPath = true\\n' >/etc/wsl.conf; p; \
         printf '[interop]\\nappendWindowsPath = false\\n' >/etc/wsl.conf; p";
    let outcome = with_etc(&host, Placement::InPlace, script);
    assert_eq!(outcome.text(), "no\nyes\nno\n", "{}", outcome.errors());
}

#[test]
fn s4_what_is_wrong_is_named_and_never_waited_for() {
    let host = Host::new();
    let script = "printf '[interop]\\r\\nodd = 1\\r\\nenabled = perhaps\\r\\n[user\\r\\n' >/etc/wsl.conf; \
         winterop shell hello.exe; winterop config check; echo $?; rm /etc/wsl.conf; \
         t() { winterop shell $W/hello.exe; echo $?; rm -r /etc/wsl.conf; }; \
         mkdir /etc/wsl.conf; t; mkfifo /etc/wsl.conf; t; truncate -s 100M /etc/wsl.conf; t";
    let outcome = with_etc(&host, Placement::InPlace, script);
    let diagnostics = [
        "Unknown key 'interop.odd' in /etc/wsl.conf:2",
        "Invalid boolean value 'perhaps' for key 'interop.enabled' in /etc/wsl.conf:3",
        "Expected ']' in /etc/wsl.conf:4",
    ];
    let expected = format!("hello\n{}\n1\n126\n126\n126\n", diagnostics.join("\n"));
    assert_eq!(outcome.text(), expected, "{}", outcome.errors());
    for diagnostic in diagnostics {
        says(&outcome, 1, &[diagnostic]);
    }
    for words in ["is a directory", "is a pipe", "104857600 bytes"] {
        // The session says it, and so does the refusal.
        says(&outcome, 2, &["/etc/wsl.conf", words]);
    }
}

#[test]
fn the_policys_first_rule_that_matches_decides() {
    let host = Host::new();
    for placement in placements() {
        let script = "p=/etc/winterop/policy.toml; sum=$(sha256sum <$W/hello.exe | cut -d' ' -f1); cp $W/hello.exe other.exe; \
             printf '[[rule]]\\naction = \"allow\"\\nsha256 = [\"%s\"]\\n\
             [[rule]]\\nname = \"our tools\"\\naction = \"allow\"\\nprogram = [\"**/exit-with.exe\"]\\n\
             [[rule]]\\nname = \"nothing else\"\\naction = \"refuse\"\\n' $sum >$p; winterop config check; \
             winterop shell sh -c './other.exe; exit-with.exe 3; echo $?; cat.exe </dev/null; echo $?; \
             printf x >>other.exe; ./other.exe; echo $?'; \
             printf '[[rule]]\\naction = \"allow\"\\nnamespace = \"own\"\\n[[rule]]\\naction = \"refuse\"\\n' >$p; \
             winterop shell sh -c 'hello.exe; unshare -p --fork hello.exe; echo $?'; winterop run hello.exe; \
             echo '[[rule' >$p; winterop run hello.exe; echo $?; winterop config check >/dev/null; echo $?; \
             printf '[[rule]]\\naction = \"allow\"\\n' >$p; chmod 666 $p; winterop run hello.exe; echo $?; rm other.exe";
        let outcome = with_etc(&host, placement, script);
        let expected = "all settings are in order; Windows programs are switched on\n\
                        hello\n3\n126\n126\nhello\n126\nhello\n126\n1\n126\n";
        assert_eq!(outcome.text(), expected, "{}", outcome.errors());
        says(&outcome, 2, &["rule 3 “nothing else” in /etc/winterop/policy.toml"]);
        says(&outcome, 1, &["rule 2 in /etc/winterop/policy.toml"]);
        says(&outcome, 1, &["policy is mended: the settings in /etc/winterop/policy.toml"]);
        says(&outcome, 1, &["policy.toml must belong to root", "0666"]);
    }
}

#[test]
fn launches_and_refusals_are_written_down() {
    let host = Host::new();
    for placement in placements() {
        let script = "printf 'audit = \"file\"\\n' >/etc/winterop/config.toml; log=$XDG_DATA_HOME/winterop/audit.log; \
             WSLENV=SECRET SECRET=hidden winterop run exit-with.exe 7; winterop config set-flags 1; winterop run hello.exe; \
             until [ \"$(grep -c . $log)\" = 2 ]; do winterop host status >/dev/null; done; cat $log; rm $log";
        let outcome = with_etc(&host, placement, script);
        let text = outcome.text();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        let program = |line: &serde_json::Value| line["program"].as_str().map(str::to_owned);
        assert!(program(&lines[0]).is_some_and(|it| it.ends_with("exit-with.exe")), "{text}");
        let expected = if placement == Placement::Hosted { "hosted" } else { "in place" };
        assert_eq!((&lines[0]["code"], &lines[0]["placement"]), (&7.into(), &expected.into()));
        assert_eq!(lines[1]["placement"], "refused");
        assert!(lines[1]["refusal"].as_str().is_some_and(|it| it.contains("DistributionFlags")));
        assert!(lines.iter().all(|line| line["uid"] == 0) && !text.contains("hidden"), "{text}");
    }
}
