//! The audit log: a line for every launch and every refusal, never with a variable's value.
//!
//! Lines are JSON. In the journal they are messages of `winterop`, and journald adds who has sent
//! them. Users' hosts write of launches and of what they refuse: where files are wanted, into the
//! user's own `audit.log` beside the prefix, which is told apart by nobody from one that its user has
//! written. The machine's init writes of what it refuses into root's [`OF_MACHINE`].
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use winterop_settings::machine::AuditSetting;

/// The machine's init's file.
pub const OF_MACHINE: &str = "/var/log/winterop-audit.log";

const JOURNAL: &str = "/run/systemd/journal/socket";

/// A file that has grown to this is put aside as `audit.log.1`, in place of the one before it.
const LARGEST: u64 = 16 << 20;

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
}

impl Audit {
    /// A log whose file, where files are wanted, is this one.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Writes a record. That it cannot be written is told in the host's log, and keeps nothing
    /// from running.
    pub fn write(&self, setting: AuditSetting, record: &Record) {
        let Ok(line) = serde_json::to_string(record) else { return };
        let written = match setting {
            AuditSetting::Off => Ok(()),
            AuditSetting::Journal => to_journal(&line),
            AuditSetting::File => append(&self.file, &line),
        };
        if let Err(error) = written {
            tracing::error!(%error, ?setting, line, "the audit log cannot be written");
        }
    }
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
        std::fs::rename(path, path.with_extension("log.1"))?;
        file = open()?;
    }
    file.write_all(format!("{line}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_the_file_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::new(path.clone());
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
}
