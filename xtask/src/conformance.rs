//! `cargo xtask conformance`: the checklist of how WSL behaves, and which tests hold us to it.
//!
//! A test covers the ids that its name begins with, in any part of its path: `l5_l11_arguments`,
//! `wslpath::tests::flags_may_be_joined`. One test that goes through a whole table of cases is
//! named in [`CHECKLIST`] instead.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::runner::Runner;
use crate::test::{self, Plan, Reason, Selection, Set};

/// What `cargo xtask conformance` is told.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask conformance\n  \
                        cargo xtask conformance --list\n  \
                        cargo xtask conformance --json | jq '.[] | select(.status == \"failed\")'")]
pub(crate) struct Options {
    /// Print the checklist and run nothing.
    #[arg(long)]
    list: bool,
    /// Print an array of objects with id, description, status and tests.
    #[arg(long)]
    json: bool,
    /// Run the tests with large counts, too.
    #[arg(long)]
    long: bool,
}

/// A row of the checklist.
struct Row {
    id: &'static str,
    description: &'static str,
    /// The end of the path of a test that covers this row without carrying its id.
    table: Option<&'static str>,
}

const fn row(id: &'static str, description: &'static str) -> Row {
    Row { id, description, table: None }
}

/// The test with all rows of the WSLENV table.
const WSLENV_TABLE: &str = "wslenv::tests::to_windows_as_the_table_says";

const fn wslenv(id: &'static str, description: &'static str) -> Row {
    Row { id, description, table: Some(WSLENV_TABLE) }
}

const CHECKLIST: &[Row] = &[
    row("L1", "stdout a pipe: cmd.exe /c echo \"hello world\" gives exactly that, CR LF, exit 0"),
    row("L2", "the same on a terminal"),
    row("L3", "by hand, a name that does not exist, empty environment: exits, no signal"),
    row("L4", "cmd.exe /c \"exit 0\" gives 0, \"exit 1\" gives 1"),
    row("L5", "an argument of 4095 characters, a command line near 32767 units, arrive whole"),
    row("L6", "launch through a symbolic link"),
    row("L7", "an executable on the Linux file system, the instance's own socket named"),
    row("L8", "three pipes, large binary data both ways at once: no deadlock, same hash"),
    row("L9", "terminal descriptors without a controlling terminal"),
    row("L10", "as pid 1 of a new pid namespace"),
    row("L11", "empty arguments survive"),
    row("L12", "eight launches in parallel, sixty-four in parallel"),
    row("L13", "stdin is not read ahead of the program"),
    row("L14", "a file that begins with MZ and is not PE: clear error, exit 126"),
    row("F1", "WSL_INTEROP empty counts as unset"),
    row("F2", "parents with names such as `bash )` and `(bash(`"),
    row("F3", "variable unset: own pid first, then each parent, up to init"),
    row("F4", "variable names a socket that is gone, refuses or is not permitted: fall back"),
    row("F5", "a child of a dead session still launches"),
    row("B1", "the entry is called WSLInterop; its flags contain F and P"),
    row("B2", "argv is interpreter, path as given, original argv[0], arguments; AT_FLAGS bit 0"),
    row("B3", "./x.exe stays relative"),
    row("B4", "the interpreter is opened at registration and works in a chroot that lacks it"),
    row("B5", "binfmt_misc in a new user namespace is private, also for a plain user"),
    row("B6", "echo 0 disables, 1 enables, -1 removes; -1 into status removes all"),
    row("B7", "a peer instance that ends does not take the registration with it"),
    row("S1", "registry value DistributionFlags: interop on or off for all users"),
    row("S2", "[interop] enabled and appendWindowsPath in wsl.conf; both true by default"),
    row("S3", "either level off: an immediate refusal that names the switch"),
    row("S4", "wsl.conf diagnostics name file and line"),
    wslenv("WSLENV-A", "A: sent as it is"),
    wslenv("WSLENV-PATHS", "A/p, A/l: each element translated, joined with ;"),
    wslenv("WSLENV-W", "A/w: sent to Windows only"),
    wslenv("WSLENV-U", "A/u: not sent to Windows"),
    wslenv("WSLENV-UNKNOWN", "an unknown flag letter: the entry is ignored"),
    wslenv("WSLENV-UNSET", "listed and not set: `A=`"),
    wslenv("WSLENV-UNTRANSLATABLE", "/p, the value empty or not translatable: ignored"),
    wslenv("WSLENV-TRIMMED", "white space at the end of WSLENV is trimmed"),
    Row {
        id: "WSLENV-SWAPPED",
        description: "Windows to Linux: /u and /w swapped, lists split at ;",
        table: Some("wslenv::tests::to_linux_with_the_roles_swapped"),
    },
    row("WSLENV", "WSLENV itself always travels"),
    row("WSLPATH", "wslpath: -u -w -m -a, joined flags, recorded cases, failures exit 1"),
    row("P1", "the peer never connects: an error within a second of knowing"),
    row("P2", "the peer closes without an exit status: an error, not a hang"),
    row("P3", "exit status first, stdout kept open: output is drained, then exit"),
    row("P4", "messages byte by byte, longer than known, junk in id and step: works"),
    row("P5", "impossible sizes, unknown type, truncated header: one clear line, exit 1"),
];

impl Row {
    /// Whether the test with this path covers the row.
    fn is_covered_by(&self, path: &str) -> bool {
        let carried = path.split("::").flat_map(ids_of);
        self.table.is_some_and(|table| path.ends_with(table))
            || carried.into_iter().any(|id| id.eq_ignore_ascii_case(self.id))
    }
}

/// The ids that a part of a path begins with. An id is a letter and a number, or a word.
fn ids_of(part: &str) -> impl Iterator<Item = &str> {
    part.split('_').take_while(|word| {
        let number = word.strip_prefix(|first: char| "lfbsp".contains(first));
        let is_numbered =
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        is_numbered || ["wslenv", "wslpath"].contains(word)
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Passed,
    Failed,
    Skipped,
    NotCovered,
}

impl Status {
    fn words(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotCovered => "not covered",
        }
    }
}

/// A row with what the tests said.
#[derive(Serialize)]
struct Finding<'a> {
    id: &'a str,
    description: &'a str,
    status: Status,
    tests: Vec<&'a str>,
}

/// What became of a test, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Failed,
    /// The machine cannot run it.
    CannotRun,
    Passed,
    /// Nobody has asked for it.
    InAnotherSet,
}

/// Each test's path, with its program's name in front where the runner tells it, and its ending.
type Results = BTreeMap<String, Ending>;

impl<'a> Finding<'a> {
    /// The worst of its tests decides. What is in another set covers nothing, and takes nothing away.
    fn of(row: &'a Row, results: &'a Results) -> Self {
        let covering = results.iter().filter(|(path, _)| row.is_covered_by(path));
        let (tests, endings): (Vec<_>, Vec<_>) =
            covering.map(|(path, ending)| (path.as_str(), *ending)).unzip();
        let status = match endings.iter().min() {
            None => Status::NotCovered,
            Some(Ending::Failed) => Status::Failed,
            Some(Ending::Passed) => Status::Passed,
            Some(Ending::CannotRun | Ending::InAnotherSet) => Status::Skipped,
        };
        Self { id: row.id, description: row.description, status, tests }
    }
}

/// Runs the tests that carry ids, prints every row, and fails if one of them failed.
///
/// # Errors
/// If the tests cannot be prepared, built or started.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        return list(options.json);
    }
    let set = if options.long { Set::Long } else { Set::Usual };
    let results = results(Runner::find(), set)?;
    let findings: Vec<_> = CHECKLIST.iter().map(|row| Finding::of(row, &results)).collect();
    if options.json {
        print(&(serde_json::to_string_pretty(&findings)? + "\n"))?;
    } else {
        print(&table(&findings))?;
    }
    let failed = findings.iter().any(|finding| finding.status == Status::Failed);
    Ok(ExitCode::from(u8::from(failed)))
}

fn list(json: bool) -> Result<ExitCode> {
    let text = if json {
        let rows = CHECKLIST
            .iter()
            .map(|row| serde_json::json!({ "id": row.id, "description": row.description }));
        serde_json::to_string_pretty(&rows.collect::<Vec<_>>())? + "\n"
    } else {
        CHECKLIST.iter().map(|row| format!("{:<22} {}\n", row.id, row.description)).collect()
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let Finding { id, description, status, tests } = finding;
        text.push_str(&format!("{id:<22} {:<12} {description}\n", status.words()));
        if matches!(status, Status::Failed | Status::Skipped) {
            tests.iter().for_each(|test| text.push_str(&format!("{:<22} {test}\n", "")));
        }
    }
    let count = |status| findings.iter().filter(|finding| finding.status == status).count();
    let all = [Status::Passed, Status::Failed, Status::Skipped, Status::NotCovered];
    let [passed, failed, skipped, open] = all.map(count);
    text + &format!("\n{passed} passed, {failed} failed, {skipped} skipped, {open} not covered\n")
}

/// Writes to stdout; whoever reads it may have had enough, as `head` has.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("write the checklist")
        }
        _ => Ok(()),
    }
}

/// The tests that may carry an id; a test's path is what the expression looks at.
const WITH_IDS: &str = "test(/(^|::)([lfbsp][0-9]+_|wslenv|wslpath)/)";

/// Runs the tests, and says of each that may carry an id how it ended, or why it did not run.
fn results(runner: Runner, set: Set) -> Result<Results> {
    let mut command = runner.command();
    let mut results = Results::new();
    match runner {
        Runner::Nextest => {
            let plan = Plan::prepare(Selection::of(WITH_IDS), set)?;
            results.extend(skipped(&plan));
            command.args(plan.arguments());
            // Its way to report to programs, which it wants to be asked for twice.
            command.env("NEXTEST_EXPERIMENTAL_LIBTEST_JSON", "1");
            command.args(["--message-format", "libtest-json"]);
        }
        Runner::Cargo => test::prepare_everything()?,
    }
    results.extend(run_tests(runner, command)?);
    Ok(results)
}

/// What a plan leaves out.
fn skipped(plan: &Plan) -> impl Iterator<Item = (String, Ending)> {
    plan.left_out.iter().flat_map(|group| {
        let ending = match group.reason {
            Reason::Machine => Ending::CannotRun,
            Reason::Set => Ending::InAnotherSet,
        };
        group.names.iter().map(move |name| (name.clone(), ending))
    })
}

/// Runs the tests and reads from the runner how each of them ended.
fn run_tests(runner: Runner, mut command: Command) -> Result<Results> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().context("the test runner cannot be started")?;
    let mut results = Results::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.context("read what the test runner says")?;
            if let Some((path, ending)) = ended(runner, &line) {
                // The same path may be in several programs: all of them have to pass.
                let worst = results.entry(path).or_insert(ending);
                *worst = ending.min(*worst);
            }
        }
    }
    let status = child.wait().context("wait for the test runner")?;
    anyhow::ensure!(
        status.success() || results.values().any(|ending| *ending == Ending::Failed),
        "the tests did not run to their end ({status}); `cargo xtask test` shows more"
    );
    Ok(results)
}

/// What a line says of a test that ended.
fn ended(runner: Runner, line: &str) -> Option<(String, Ending)> {
    let ending = |passed| if passed { Ending::Passed } else { Ending::Failed };
    match runner {
        Runner::Nextest => {
            let event: Event = serde_json::from_str(line).ok()?;
            let passed = match (event.kind.as_str(), event.event.as_str()) {
                ("test", "ok") => true,
                ("test", "failed" | "timeout") => false,
                _ => return None,
            };
            Some((event.name?.replacen('$', "::", 1), ending(passed)))
        }
        Runner::Cargo => {
            let (path, word) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
            matches!(word, "ok" | "FAILED").then(|| (path.to_owned(), ending(word == "ok")))
        }
    }
}

/// An object of libtest's report to programs.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    event: String,
    name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(lines: &[&str]) -> Vec<(&'static str, Status)> {
        let results = lines.iter().filter_map(|line| ended(Runner::Cargo, line)).collect();
        let findings = CHECKLIST.iter().map(|row| (row.id, Finding::of(row, &results).status));
        findings.filter(|(_, status)| *status != Status::NotCovered).collect()
    }

    #[test]
    fn a_name_may_carry_several_ids() {
        let lines = ["test l5_l11_arguments_arrive ... ok", "test other::f2_f3_x ... FAILED"];
        let (passed, failed) = (Status::Passed, Status::Failed);
        let expected = [("L5", passed), ("L11", passed), ("F2", failed), ("F3", failed)];
        assert_eq!(statuses(&lines), expected);
    }

    #[test]
    fn one_failure_among_several_tests_counts() {
        let lines = ["test a::l1_x ... ok", "test b::l1_y ... FAILED"];
        assert_eq!(statuses(&lines), [("L1", Status::Failed)]);
    }

    #[test]
    fn what_was_skipped_has_not_passed() {
        let row = row("L1", "any");
        let status = |endings: &[Ending]| {
            let named = endings.iter().zip('a'..).map(|(it, name)| (format!("{name}::l1_x"), *it));
            let results: Results = named.collect();
            Finding::of(&row, &results).status
        };
        use Ending::{CannotRun, Failed, InAnotherSet, Passed};
        assert_eq!(status(&[Passed, CannotRun]), Status::Skipped);
        assert_eq!(status(&[CannotRun, Failed]), Status::Failed);
        assert_eq!(status(&[InAnotherSet]), Status::Skipped);
        // A smaller one of this set has run.
        assert_eq!(status(&[InAnotherSet, Passed]), Status::Passed);
        assert_eq!(status(&[]), Status::NotCovered);
    }

    #[test]
    fn ids_stand_at_the_beginning() {
        let lines = ["test arguments_l5 ... ok", "test lines::x ... ok", "test l_5 ... ok"];
        assert_eq!(statuses(&lines), []);
        assert_eq!(statuses(&["test wslpath::tests::any ... ok"]), [("WSLPATH", Status::Passed)]);
    }

    #[test]
    fn nextest_names_the_program_too() {
        let line = r#"{"type":"test","event":"failed","name":"winterop-tests::launching$l1_x"}"#;
        let expected = Some(("winterop-tests::launching::l1_x".to_owned(), Ending::Failed));
        assert_eq!(ended(Runner::Nextest, line), expected);
        assert_eq!(ended(Runner::Nextest, r#"{"type":"suite","event":"started"}"#), None);
    }
}
