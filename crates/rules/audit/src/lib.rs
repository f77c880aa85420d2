//! The audit log: a line for every launch and every refusal, never with a variable's value.
//!
//! Lines are JSON. In the journal they are messages of `winterop`, and journald adds who has sent
//! them. Users' hosts write of launches and of what they refuse: where files are wanted, into the
//! user's own `audit.log` beside the prefix, which is told apart by nobody from one that its user has
//! written. The machine's init writes of what it refuses into root's [`OF_MACHINE`].
//!
//! Who is refused is anybody, as often as they like: so each uid has a share ([`Limits`]), and a line says
//! how many more there were. What a line has of others, a program's name above all, steers no terminal.
#![forbid(unsafe_code)]

mod bucket;
mod limits;
mod log;

pub use bucket::{Bucket, Measure};
pub use limits::{Limits, Taken};
pub use log::{Log, Printable, keep_log};

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use winterop_settings::machine::AuditSetting;
use winterop_words::steers;

/// The machine's init's file.
pub const OF_MACHINE: &str = "/var/log/winterop-audit.log";

const JOURNAL: &str = "/run/systemd/journal/socket";

/// A file that has grown to this is put aside as `audit.log.1`, that one as `audit.log.2`, and so on.
const LARGEST: u64 = 8 << 20;

/// How many are kept beside the file itself.
const KEPT: u32 = 7;

/// The most bytes of a text in a line, so that lines are written whole.
const LONGEST: usize = 1024;

/// What is written of a launch when it has ended.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Record {
    /// Seconds since 1970.
    pub time: u64,
    /// The caller's uid.
    pub uid: u32,
    /// Its process.
    pub pid: i32,
    /// The program as the caller sees it; empty where it was refused before it could say.
    pub program: String,
    /// `in place`, `hosted` or `refused`.
    pub placement: &'static str,
    /// The exit code as the user's side reports it; none where it reported none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

impl Record {
    /// A record of something that has just ended.
    #[must_use]
    pub fn ended(
        uid: u32,
        pid: i32,
        program: &str,
        placement: &'static str,
        took: Duration,
    ) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            time: now.as_secs(),
            uid,
            pid,
            program: cut(program),
            placement,
            code: None,
            refusal: None,
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// With why it was refused.
    #[must_use]
    pub fn refused(self, why: &str) -> Self {
        Self { refusal: Some(cut(why)), ..self }
    }
}

fn cut(text: &str) -> String {
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or_default()).unwrap_or_default().to_owned()
}

/// Where records go.
#[derive(Clone, Debug)]
pub struct Audit {
    file: PathBuf,
    limits: Arc<Limits>,
    /// Whose records are not limited: they are in a file of that user's own.
    free: Option<u32>,
}

/// Lines that are to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(Vec<String>);

/// How much of a share is a line of the init's log.
const LOG_LINE: u64 = 512;

/// What the machine's init refuses.
#[must_use]
pub fn of_machine() -> &'static Audit {
    static MACHINE: OnceLock<Audit> = OnceLock::new();
    MACHINE.get_or_init(|| Audit { free: None, ..Audit::new(OF_MACHINE.into(), 0) })
}

/// Whether the machine's init may log one more line that this user is the cause of, and how many were
/// left out before it.
pub fn may_log(uid: u32) -> Option<Taken> {
    static LOG: OnceLock<Limits> = OnceLock::new();
    LOG.get_or_init(Limits::default).take(uid, LOG_LINE)
}

impl Audit {
    /// A log of `user`'s own, whose file, where files are wanted, is this one.
    #[must_use]
    pub fn new(file: PathBuf, user: u32) -> Self {
        Self { file, limits: Arc::default(), free: Some(user) }
    }

    /// The lines for a record; `None` where its user has had so many that it is left out. It is quick,
    /// so that nothing needs to be done for what is left out.
    #[must_use]
    pub fn take(&self, record: &Record) -> Option<Lines> {
        let line = serde_json::to_string(record).ok()?;
        let line = unsteered(&line).into_owned();
        if self.free == Some(record.uid) {
            return Some(Lines(vec![line]));
        }
        let Taken { left_out } = self.limits.take(record.uid, line.len() as u64 + 1)?;
        let (time, uid) = (record.time, record.uid);
        let summary = (left_out > 0)
            .then(|| format!("{{\"time\":{time},\"uid\":{uid},\"left_out\":{left_out}}}"));
        Some(Lines(summary.into_iter().chain([line]).collect()))
    }

    /// Writes lines. That they cannot be written is told in the host's log, and keeps nothing from
    /// running.
    pub fn put(&self, setting: AuditSetting, lines: &Lines) {
        for line in &lines.0 {
            let written = match setting {
                AuditSetting::Off => Ok(()),
                AuditSetting::Journal => to_journal(line),
                AuditSetting::File => append(&self.file, line),
            };
            if let Err(error) = written {
                tracing::error!(%error, ?setting, line, "the audit log cannot be written");
            }
        }
    }

    /// Writes a record, unless its user has had too many.
    pub fn write(&self, setting: AuditSetting, record: &Record) {
        if let Some(lines) = self.take(record) {
            self.put(setting, &lines);
        }
    }
}

/// The same JSON, in which nothing steers what shows it: JSON escapes C0 by itself, and no more.
fn unsteered(json: &str) -> Cow<'_, str> {
    if !json.chars().any(steers) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        match steers(character) {
            true => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }),
            false => text.push(character),
        }
    }
    Cow::Owned(text)
}

fn to_journal(line: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // A journal that does not read is not waited for.
    socket.set_nonblocking(true)?;
    let message = format!("SYSLOG_IDENTIFIER=winterop\nPRIORITY=6\nMESSAGE={line}\n");
    socket.send_to(message.as_bytes(), JOURNAL).map(drop)
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let mut file: File = open()?;
    if file.metadata()?.len() >= LARGEST {
        put_aside(path, KEPT)?;
        file = open()?;
    }
    file.write_all(format!("{line}\n").as_bytes())
}

/// Makes room for a new file: the one that is there becomes the first of those that are kept, each of
/// them the next, and the last one goes.
fn put_aside(path: &Path, kept: u32) -> io::Result<()> {
    let aside = |number: u32| {
        let mut name = path.to_owned().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..kept).rev() {
        match std::fs::rename(aside(number), aside(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, aside(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_the_file_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::new(path.clone(), 7);
        let record = Record::ended(7, 8, &"é\n".repeat(5000), "refused", Duration::from_secs(1));
        audit.write(AuditSetting::File, &record.clone().refused("no\nway"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() == 1 && text.len() < 4096 && text.contains("no\\nway"));
        File::options().write(true).open(&path).unwrap().set_len(LARGEST).unwrap();
        audit.write(AuditSetting::File, &record);
        audit.write(AuditSetting::Off, &record);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn nothing_in_a_file_steers_a_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::new(folder.path().join("audit.log"), 7);
        let name = "/a\u{1b}[2J\u{7f}\u{9b}2J\u{202e}\u{2028}\u{e0041}/x.exe";
        let record = Record::ended(7, 8, name, "refused", Duration::ZERO).refused(name);
        audit.write(AuditSetting::File, &record);
        let text = std::fs::read_to_string(&audit.file).unwrap();
        assert!(!text.trim_end().chars().any(steers), "{text:?}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(line["program"] == name && line["refusal"] == name, "{line}");
    }

    #[test]
    fn one_user_does_not_push_out_what_is_kept_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::new(path.clone(), 0);
        let of = |uid| Record::ended(uid, 1, &"x".repeat(900), "refused", Duration::ZERO);
        audit.write(AuditSetting::File, &of(1));
        (0..20_000).for_each(|_| audit.write(AuditSetting::File, &of(2)));
        audit.write(AuditSetting::File, &of(3));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < 1 << 20, "{}", text.len());
        let of =
            |uid: u32| text.lines().filter(|it| it.contains(&format!("\"uid\":{uid},"))).count();
        assert_eq!((of(1), of(3)), (1, 1));
        assert!(of(2) > 100);
    }

    #[test]
    fn a_number_of_files_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("winterop-audit.log");
        for number in 0..5 {
            std::fs::write(&path, number.to_string()).unwrap();
            put_aside(&path, 3).unwrap();
        }
        let read = |number: u32| std::fs::read_to_string(format!("{}.{number}", path.display()));
        assert_eq!([1, 2, 3].map(|it| read(it).unwrap()), ["4", "3", "2"]);
        assert!(read(4).is_err() && !path.exists());
    }
}
