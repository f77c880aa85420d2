//! What a shell sees of each code in the table of `docs/exit-codes.md`.

use winterop_tests::{Host, placements, workspace};

/// A row of the table of crashes.
#[derive(Debug)]
struct Row {
    code: String,
    meaning: String,
    status: u8,
}

fn table() -> Vec<Row> {
    let text = std::fs::read_to_string(workspace().join("docs/exit-codes.md")).expect("the page");
    let rows = text.lines().filter(|line| line.starts_with("| 0x"));
    rows.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, code, meaning, _, status, _] = cells[..] else { panic!("{line}") };
        let status = status.parse().expect("a status");
        Row { code: code.to_owned(), meaning: meaning.to_owned(), status }
    })
    .collect()
}

/// The exceptions after which Wine has a program go on.
const MENDED: [&str; 3] = ["0xC000008C", "0xC0000092", "0xC0000095"];

#[test]
fn every_code_of_the_table_is_the_signal_there_and_one_line() {
    let rows = table();
    assert!(rows.len() >= 29, "{rows:?}");
    let host = Host::new();
    for placement in placements() {
        let mut session = host.session(placement);
        let mut mended = Vec::new();
        for row in &rows {
            // Ctrl-C is what a program ends with, and no crash.
            let is_interrupt = row.code == "0xC000013A";
            let kind = if is_interrupt { "terminate" } else { "exception" };
            // In a shell of its own, which ends as its program did.
            let line =
                |kind: &str| format!("(exec crash.exe {kind} {}) 2>&1; echo status $?", row.code);
            let mut text = session.eval(&line(kind));
            if text.contains("did not end the program") {
                mended.push(row.code.as_str());
                text = session.eval(&line("terminate"));
            }
            let status = format!("status {}", row.status);
            assert!(text.lines().any(|line| line == status), "{row:?}: {text}");
            let words = format!("{} ({})", row.meaning, row.code);
            let told = text.lines().filter(|line| line.contains(&words)).count();
            assert_eq!(told, usize::from(!is_interrupt), "{row:?}: {text}");
        }
        assert_eq!(mended, MENDED);
    }
}

#[test]
fn real_crashes_have_their_codes() {
    let rows = table();
    let host = Host::new();
    for placement in placements() {
        let mut session = host.session(placement);
        // Wine has one code for both: a quotient that does not fit is a division by zero to it.
        for (kind, code) in [
            ("access-violation", "0xC0000005"),
            ("div-zero", "0xC0000094"),
            ("int-overflow", "0xC0000094"),
            ("stack-overflow", "0xC00000FD"),
            ("illegal", "0xC000001D"),
            ("privileged", "0xC0000096"),
            ("breakpoint", "0x80000003"),
            ("abort", "0xC0000409"),
            ("fail-fast", "0xC0000602"),
        ] {
            let row = rows.iter().find(|row| row.code == code).expect("a row");
            let text = session.eval(&format!("(exec crash.exe {kind}) 2>&1; echo status $?"));
            let status = format!("status {}", row.status);
            assert!(text.lines().any(|line| line == status), "{kind}: {text}");
            assert!(text.contains(&format!("{} ({code})", row.meaning)), "{kind}: {text}");
            assert!(!text.contains("wine:") && !text.contains("core dumped"), "{kind}: {text}");
        }
    }
}

#[test]
fn a_program_without_its_library_says_so() {
    let host = Host::new();
    let mut program = std::fs::read(host.windows().join("hello.exe")).expect("hello.exe");
    let name = b"KERNEL32.dll";
    let places: Vec<usize> = (0..program.len() - name.len())
        .filter(|at| program[*at..*at + name.len()].eq_ignore_ascii_case(name))
        .collect();
    assert!(!places.is_empty(), "hello.exe needs {name:?}");
    for at in places {
        program[at..at + name.len()].copy_from_slice(b"NOTTHERE.dll");
    }
    std::fs::write(host.work().join("broken.exe"), program).expect("a copy");
    for placement in placements() {
        let mut session = host.session(placement);
        let text = session.eval("chmod +x broken.exe; (exec ./broken.exe) 2>&1; echo status $?");
        assert!(text.contains("a DLL was not found (0xC0000135)"), "{text}");
        assert!(text.contains("status 134"), "{text}");
    }
}
