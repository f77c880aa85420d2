//! Checks of the registration: our entry, what takes a file, and which interpreter the kernel holds.

use crate::context::{Context, is_same_content};
use crate::finding::Finding;
use crate::probe;
use std::fs;
use std::path::{Path, PathBuf};
use winterop_registration::table::{self, Table, TableEntry};
use winterop_registration::{self as registration, BINFMT_MISC};

/// What an MZ file is like that nobody has named: its beginning, and its name.
const ANY_PROGRAM: (&str, &[u8]) = ("program.exe", b"MZ\x90\0\x03\0\0\0");

fn read() -> Option<Table> {
    Table::read(Path::new(BINFMT_MISC)).ok()
}

fn no_table() -> Finding {
    Finding::skipped("there is no table of executables to look at")
}

fn own<'a>(context: &Context, table: &'a Table) -> Option<&'a TableEntry> {
    table.entries.iter().find(|entry| entry.name == context.entry.as_str())
}

fn is_ours(context: &Context, entry: &TableEntry) -> bool {
    entry.name == context.entry.as_str() || entry.name.starts_with("WSLInterop-")
}

pub(crate) fn entry(context: &Context) -> Finding {
    let Some(table) = read() else { return no_table() };
    let Some(entry) = own(context, &table) else { return not_registered(context) };
    let name = &context.entry;
    if !entry.enabled {
        let says = format!("the entry {name} is there and switched off, as `echo 0` does");
        return Finding::wrong(says, format!("echo 1 > {BINFMT_MISC}/{name} (as root)"));
    }
    let missing: String =
        registration::FLAGS.chars().filter(|f| !entry.flags.contains(*f)).collect();
    let (interpreter, flags) = (&entry.interpreter, &entry.flags);
    if missing.is_empty() {
        return Finding::good(format!("{name} starts {interpreter}, flags {flags}"));
    }
    let says = format!(
        "{name} starts {interpreter} with the flags {flags}: {missing} is missing, so argv[0] (P), \
         unlinked programs (O) or chroots (F) do not work"
    );
    with_registration(context, Finding::wrong(says, context.renew()), interpreter.clone())
}

fn not_registered(context: &Context) -> Finding {
    let name = &context.entry;
    let says = format!("there is no entry {name}: Windows programs do not run by name here");
    if context.is_expected() {
        let finding = Finding::wrong(says, context.renew());
        return with_registration(context, finding, "/init".to_owned());
    }
    Finding::note(says).with_mend("`winterop shell` for a session, or as root `winterop enable`")
}

/// Offers to register again, where this process may and the interpreter is this program's own.
fn with_registration(context: &Context, finding: Finding, interpreter: String) -> Finding {
    let own_init = context.own_init().ok();
    let is_own =
        own_init.is_some_and(|own| is_same_content(&own, Path::new(&interpreter)).unwrap_or(false));
    let register = Path::new(BINFMT_MISC).join("register");
    if !is_own || rustix::fs::access(&register, rustix::fs::Access::WRITE_OK).is_err() {
        return finding;
    }
    let name = context.entry.clone();
    finding.with_fix(format!("registered {interpreter} as {name} again"), move |_| {
        registration::remove(name.as_str())?;
        registration::register_as(name.as_str(), &interpreter).map_err(|error| error.words())?;
        Ok(())
    })
}

/// Says which entry takes the file, and why.
pub(crate) fn taker(context: &Context) -> Finding {
    let Some(table) = read() else { return no_table() };
    let (path, head) = match &context.program {
        None => (PathBuf::from(ANY_PROGRAM.0), ANY_PROGRAM.1.to_vec()),
        Some(program) => match table::head(program) {
            Ok(head) => (program.clone(), head),
            Err(error) => {
                return Finding::skipped(format!("{} cannot be read: {error}", program.display()));
            }
        },
    };
    let shown = match &context.program {
        Some(program) => program.display().to_string(),
        None => "a Windows program".to_owned(),
    };
    let Some(taker) = table.taker(&path, &head) else {
        return nobody_takes(context, &table, &path, &head, &shown);
    };
    let rule = taker.rule.words();
    let says = format!("{} takes {shown}: it asks for {rule}", taker.name);
    let others = table.matching(&path, &head).filter(|entry| *entry != taker);
    let details = others.map(|other| beside(other, taker, &table));
    let details: Vec<String> = [format!("it starts {} (flags {})", taker.interpreter, taker.flags)]
        .into_iter()
        .chain(details)
        .collect();
    if is_ours(context, taker) {
        return Finding::good(says).with_details(details);
    }
    let says = format!("{says}; {}, not Winterop", maker(taker));
    Finding::wrong_if(context.is_expected(), says, removal(taker)).with_details(details)
}

fn nobody_takes(
    context: &Context,
    table: &Table,
    path: &Path,
    head: &[u8],
    shown: &str,
) -> Finding {
    let details: Vec<String> = table
        .matching(path, head)
        .map(|entry| format!("{} would, and is switched off", entry.name))
        .collect();
    if !head.starts_with(b"MZ") {
        let says =
            format!("no entry takes {shown}, which does not begin with MZ: it is Linux's own");
        return Finding::note(says).with_details(details);
    }
    let says = format!("no entry takes {shown}");
    let mend = if context.is_expected() {
        context.renew()
    } else {
        "`winterop run`, `winterop shell`, or as root `winterop enable`"
    };
    Finding::wrong_if(context.is_expected(), says, mend).with_details(details)
}

fn beside(other: &TableEntry, taker: &TableEntry, table: &Table) -> String {
    let place = |entry: &TableEntry| table.entries.iter().position(|it| it == entry);
    let why = match (other.enabled, place(other) > place(taker)) {
        (false, _) => "is switched off",
        (true, true) => "was registered before, so it is asked later",
        (true, false) => "is asked first",
    };
    format!("{} ({}) matches too, and {why}", other.name, other.interpreter)
}

/// Who registers such entries.
fn maker(entry: &TableEntry) -> &'static str {
    let interpreter = entry.interpreter.to_ascii_lowercase();
    let program = interpreter.rsplit('/').next().unwrap_or_default();
    if program.starts_with("wine") || entry.name == "DOSWin" {
        "that is Wine's own entry, as Debian's package wine-binfmt makes it"
    } else if program.starts_with("mono") || program == "cli" || entry.name == "cli" {
        "that is Mono's, for .NET programs"
    } else if program.starts_with("ape") || entry.name.starts_with("APE") {
        "that is Cosmopolitan's loader for APE programs"
    } else {
        "that is another program's entry"
    }
}

/// How to take another's entry away, now and for good.
fn removal(entry: &TableEntry) -> String {
    let name = &entry.name;
    if Path::new("/var/lib/binfmts").join(name).exists() {
        return format!("update-binfmts --disable {name} (as root)");
    }
    let live = format!("echo -1 > {BINFMT_MISC}/{name}");
    match drop_in(name) {
        Some(file) => {
            let name = file.file_name().unwrap_or_default().display().to_string();
            format!(
                "{live}; ln -s /dev/null /etc/binfmt.d/{name} (as root; the link keeps it away)"
            )
        }
        None => format!("{live} (as root)"),
    }
}

/// The file by which systemd registers an entry at each start.
fn drop_in(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/lib/binfmt.d", "/run/binfmt.d"].into_iter().map(fs::read_dir);
    let files = folders.flatten().flatten().flatten().map(|entry| entry.path());
    let start = format!(":{name}:");
    let mut files = files.filter(|file| {
        fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line.starts_with(&start)))
    });
    files.next()
}

/// Compares the interpreter that the kernel holds open with the one that belongs to this program.
pub(crate) fn interpreter(context: &Context) -> Finding {
    let Some(table) = read() else { return no_table() };
    let Some(entry) = own(context, &table).filter(|entry| entry.enabled) else {
        return Finding::skipped(format!("no entry {} is switched on", context.entry));
    };
    let path = Path::new(ANY_PROGRAM.0);
    if !table.enabled || table.taker(path, ANY_PROGRAM.1) != Some(entry) {
        return Finding::skipped("Windows programs do not reach it");
    }
    let own_init = match context.own_init() {
        Ok(init) => init,
        Err(error) => return Finding::error(&error),
    };
    let shown = &entry.interpreter;
    let held = match probe::interpreter(ANY_PROGRAM.1) {
        Ok(held) => held,
        Err(error) => {
            let says =
                format!("the kernel does not start {shown} so that it asks anybody: {error}");
            return Finding::wrong(says, context.renew());
        }
    };
    if held.is_same_as(&own_init) {
        return Finding::good(format!("the kernel holds the {shown} that belongs to this version"));
    }
    let says = format!(
        "the kernel holds another interpreter ({}) than {}, which belongs to this version",
        held.name,
        own_init.display()
    );
    with_registration(context, Finding::wrong(says, context.renew()), shown.clone())
}
