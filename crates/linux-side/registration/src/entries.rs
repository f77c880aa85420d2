//! The registration of Windows executables with binfmt_misc.

use rustix::mount::{MountFlags, mount};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use winterop_words::{Failure, Words};

/// Where binfmt_misc is mounted.
pub const BINFMT_MISC: &str = "/proc/sys/fs/binfmt_misc";

pub use winterop_settings::machine::ENTRY;

/// The entries for batch files, and the extensions that they are for. The kernel tells upper from
/// lower case; mixed ones nobody writes.
const BATCH_ENTRIES: [(&str, &str); 4] = [
    ("WSLInterop-bat", "bat"),
    ("WSLInterop-cmd", "cmd"),
    ("WSLInterop-BAT", "BAT"),
    ("WSLInterop-CMD", "CMD"),
];

/// What the entry for programs matches: the middle of the kernel's line.
const PROGRAMS: &str = "M::MZ:";

/// Flags of the entry: the original `argv[0]` is passed (`P`), the executable is passed open (`O`), so
/// that one that was unlinked, is a memfd or lies in another root still launches, and the interpreter
/// is opened at registration (`F`), so that roots without it can launch too.
pub const FLAGS: &str = "POF";

/// Mounts the table of executables, of the user namespace that this process lives in.
///
/// # Errors
/// The system's.
pub fn mount_table() -> io::Result<()> {
    mount("binfmt_misc", BINFMT_MISC, "binfmt_misc", MountFlags::empty(), c"")?;
    Ok(())
}

/// Why a registration failed.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum RegistrationError {
    /// binfmt_misc is not mounted where the kernel has it.
    NotMounted(io::Error),
    /// An entry of this name points somewhere else.
    Taken {
        /// The entry's name.
        entry: String,
        /// What it starts.
        interpreter: String,
    },
    /// The kernel refused it.
    Refused {
        /// The entry's name.
        entry: String,
        /// What was to be started.
        interpreter: String,
        /// Why not.
        source: io::Error,
    },
}

impl RegistrationError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        let table = &BINFMT_MISC;
        match self {
            Self::NotMounted(error) => Failure::NoTable { table, error }.words(),
            Self::Taken { entry, interpreter } => {
                Failure::EntryTaken { entry, interpreter, table }.words()
            }
            Self::Refused { entry, interpreter, source } => {
                Failure::RegistrationRefused { entry, interpreter, error: source }.words()
            }
        }
    }
}

/// An entry as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whether it is switched on.
    pub enabled: bool,
    /// The interpreter's path, as given at registration.
    pub interpreter: String,
    /// The flags, in the kernel's order.
    pub flags: String,
    /// The magic bytes, as hexadecimal digits; empty where the extension decides.
    pub magic: String,
}

impl Entry {
    /// Reads the text of an entry's file; lines of other kernels are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        Self {
            enabled: text.lines().next() == Some("enabled"),
            interpreter: field("interpreter "),
            flags: field("flags: "),
            magic: field("magic "),
        }
    }
}

/// Reads the entry that Winterop registers for programs, if it is there.
#[must_use]
pub fn current() -> Option<Entry> {
    read(ENTRY)
}

/// Reads the entry of this name.
#[must_use]
pub fn read(entry: &str) -> Option<Entry> {
    fs::read_to_string(entry_file(entry)).ok().map(|text| Entry::parse(&text))
}

fn entry_file(entry: &str) -> PathBuf {
    Path::new(BINFMT_MISC).join(entry)
}

/// Registers `interpreter` for every file that begins with `MZ`.
///
/// # Errors
/// binfmt_misc is not mounted, the name is taken by something else, or the kernel refuses: the
/// interpreter is not there, or this process may not.
pub fn register(interpreter: &str) -> Result<(), RegistrationError> {
    register_as(ENTRY, interpreter)
}

/// The same under another name than [`ENTRY`].
///
/// # Errors
/// Those of [`register`].
pub fn register_as(entry: &str, interpreter: &str) -> Result<(), RegistrationError> {
    add(entry, PROGRAMS, interpreter)
}

/// The line that registers an entry for programs: what systemd-binfmt reads from its folders.
#[must_use]
pub fn line(entry: &str, interpreter: &str) -> String {
    format!(":{entry}:{PROGRAMS}:{interpreter}:{FLAGS}")
}

/// Registers `interpreter` for every file whose name ends with a batch file's extension.
///
/// # Errors
/// Those of [`register`].
pub fn register_batch_files(interpreter: &str) -> Result<(), RegistrationError> {
    BATCH_ENTRIES
        .iter()
        .try_for_each(|(entry, extension)| add(entry, &format!("E::{extension}:"), interpreter))
}

/// Adds an entry, unless it is there already; `matching` is the middle of the kernel's line.
fn add(entry: &str, matching: &str, interpreter: &str) -> Result<(), RegistrationError> {
    if is_there(entry, interpreter)? {
        return Ok(());
    }
    match write(entry, matching, interpreter) {
        // The machine's init puts back what is gone: who has just removed it may find that it was quicker.
        Err(RegistrationError::Refused { source, .. })
            if source.kind() == io::ErrorKind::AlreadyExists && is_there(entry, interpreter)? =>
        {
            Ok(())
        }
        written => written,
    }
}

/// Whether the entry is there.
fn is_there(entry: &str, interpreter: &str) -> Result<bool, RegistrationError> {
    match read(entry) {
        None => Ok(false),
        Some(present) if present.interpreter == interpreter => Ok(true),
        Some(Entry { interpreter, .. }) => {
            Err(RegistrationError::Taken { entry: entry.to_owned(), interpreter })
        }
    }
}

/// Writes the kernel's line.
fn write(entry: &str, matching: &str, interpreter: &str) -> Result<(), RegistrationError> {
    let register = Path::new(BINFMT_MISC).join("register");
    let mut file =
        fs::OpenOptions::new().write(true).open(register).map_err(RegistrationError::NotMounted)?;
    // One write: the kernel takes the whole line or nothing.
    let line = format!(":{entry}:{matching}:{interpreter}:{FLAGS}");
    file.write_all(line.as_bytes()).map_err(|source| RegistrationError::Refused {
        entry: entry.to_owned(),
        interpreter: interpreter.to_owned(),
        source,
    })
}

/// Removes the entries.
///
/// # Errors
/// The system's; none where they are not there.
pub fn unregister() -> io::Result<()> {
    let mut entries = BATCH_ENTRIES.iter().map(|(entry, _)| *entry).chain([ENTRY]);
    entries.try_for_each(remove)
}

/// Removes one entry.
///
/// # Errors
/// The system's; none where it is not there.
pub fn remove(entry: &str) -> io::Result<()> {
    // Not `fs::write`, which would try to create what is not there, and may not.
    let file = fs::OpenOptions::new().write(true).open(entry_file(entry));
    match file.and_then(|mut file| file.write_all(b"-1")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b1_an_entry_as_the_kernel_shows_it() {
        let text = "enabled\ninterpreter /init\nflags: POF\noffset 0\nmagic 4d5a\n";
        let entry = Entry::parse(text);
        assert!(entry.enabled);
        assert_eq!(entry.interpreter, "/init");
        assert_eq!(entry.flags, "POF");
        assert_eq!(entry.magic, "4d5a");
        assert!(!Entry::parse("disabled\n").enabled);
    }
}
