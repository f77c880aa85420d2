//! Which variables reach a Windows program, and as what.

use winterop_tests::{Host, Outcome, Placement, finish, placements};

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
