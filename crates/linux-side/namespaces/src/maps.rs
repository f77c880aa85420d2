//! Which ids an instance has: root's instance keeps every one; anybody else's root is the user
//! outside, and what lies above are the user's subordinate ids, where the system has given any.
//!
//! Subordinate ids are written by `newuidmap` and `newgidmap`, which belong to root and look into
//! `/etc/subuid` and `/etc/subgid` themselves. Where they are not there a map of one id is left.

use crate::error::{NamespaceError, failed};
use std::fmt::{Display, Write as _};
use std::fs;
use std::io;
use std::process::{Command, Stdio};
use winterop_accounts::{Accounts, subordinates};
use winterop_words::Failure;

/// A row of a map: the first id inside, the first outside, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    inside: u32,
    outside: u32,
    count: u32,
}

/// Writes the maps of process `pid`, which has just entered a new user namespace. Returns what the
/// instance has to do without, in words.
///
/// # Errors
/// The system's, with the file.
pub fn write(pid: i32) -> io::Result<Option<String>> {
    if rustix::process::geteuid().is_root() {
        write_identity(pid.unsigned_abs())?;
        return Ok(None);
    }
    match write_subordinate(pid) {
        Ok(()) => Ok(None),
        Err(why) => {
            let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
            write_single(pid, (0, user.as_raw()), (0, group.as_raw()))?;
            Ok(Some(Failure::NoSubordinateIds { why: &why }.words().fault()))
        }
    }
}

/// A file of a map that could not be written.
#[derive(Debug)]
pub struct NotWritten {
    path: String,
    source: io::Error,
}

impl From<NotWritten> for io::Error {
    fn from(NotWritten { path, source }: NotWritten) -> Self {
        Self::other(format!("writing {path}: {source}"))
    }
}

impl From<NotWritten> for NamespaceError {
    fn from(NotWritten { path, source }: NotWritten) -> Self {
        failed("writing", path)(source)
    }
}

fn write_file(process: impl Display, kind: &str, text: &str) -> Result<(), NotWritten> {
    let path = format!("/proc/{process}/{kind}");
    fs::write(&path, text).map_err(|source| NotWritten { path, source })
}

/// Writes into both maps of process `pid` every id that this namespace knows, as it is. Only a process
/// outside with rights there may.
///
/// # Errors
/// The system's, with the file.
pub fn write_identity(pid: u32) -> io::Result<()> {
    for kind in ["uid_map", "gid_map"] {
        let own = fs::read_to_string(format!("/proc/self/{kind}"))?;
        write_file(pid, kind, &identity(&own))?;
    }
    Ok(())
}

/// A map that keeps every id which this namespace knows.
fn identity(own: &str) -> String {
    let lines = own.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (inside, count) = (fields.next()?, fields.nth(1)?);
        Some(format!("{inside} {inside} {count}\n"))
    });
    lines.collect()
}

/// Writes maps of one id each, inside and outside, of a user and a group. `process` is its number, or
/// `self`. Only with `setgroups` denied may a plain user do so.
///
/// # Errors
/// Which file the system does not take.
pub fn write_single(
    process: impl Display,
    user: (u32, u32),
    group: (u32, u32),
) -> Result<(), NotWritten> {
    let row = |(inside, outside): (u32, u32)| format!("{inside} {outside} 1");
    write_file(&process, "setgroups", "deny")?;
    write_file(&process, "gid_map", &row(group))?;
    write_file(&process, "uid_map", &row(user))
}

/// Why there are no subordinate ids.
#[derive(Debug, thiserror::Error)]
enum NoSubordinates {
    /// Nobody has given any.
    #[error("{0} gives you no subordinate ids")]
    NotGiven(&'static str),
    /// What maps them cannot be started.
    #[error("{program} cannot be started ({source})")]
    NotStarted { program: &'static str, source: io::Error },
    /// It does not map them.
    #[error("{program}{line} failed ({words})")]
    Refused { program: &'static str, line: String, words: String },
}

fn write_subordinate(pid: i32) -> Result<(), NoSubordinates> {
    let user = rustix::process::geteuid().as_raw();
    let name = Accounts::read().by_id(user).map(|account| account.name);
    let kinds = [
        ("newgidmap", "/etc/subgid", rustix::process::getegid().as_raw()),
        ("newuidmap", "/etc/subuid", user),
    ];
    let maps = kinds.map(|(program, file, own)| {
        let text = fs::read(file).unwrap_or_default();
        let ranges = ranges(&text, user, name.as_deref());
        if ranges.is_empty() {
            return Err(NoSubordinates::NotGiven(file));
        }
        Ok((program, rows(own, &ranges)))
    });
    for map in maps {
        let (program, rows) = map?;
        run(program, pid, &rows)?;
    }
    Ok(())
}

/// The ranges, first id and count, that `/etc/subuid` or `/etc/subgid` gives to this user.
fn ranges(text: &[u8], user: u32, name: Option<&[u8]>) -> Vec<(u32, u32)> {
    let own = subordinates::ranges(text).filter(|range| range.is_of(user, name));
    own.map(|range| (range.first, range.count)).collect()
}

/// Root inside is the user outside; the ranges follow each other from 1 on.
fn rows(own: u32, ranges: &[(u32, u32)]) -> Vec<Row> {
    let mut rows = vec![Row { inside: 0, outside: own, count: 1 }];
    let mut next = 1_u32;
    for (outside, count) in ranges {
        let count = (*count).min(u32::MAX - next);
        rows.push(Row { inside: next, outside: *outside, count });
        next += count;
    }
    rows
}

fn run(program: &'static str, pid: i32, rows: &[Row]) -> Result<(), NoSubordinates> {
    let mut line = String::new();
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    for row in rows {
        let fields = [row.inside, row.outside, row.count].map(|field| field.to_string());
        command.args(&fields);
        // Writing to a string cannot fail.
        let _ = write!(line, " {}", fields.join(" "));
    }
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| NoSubordinates::NotStarted { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(NoSubordinates::Refused { program, line, words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_users_own_ranges_count() {
        let text = b"me:100000:65536\nyou:200000:65536\n1000:300000:10\nme:4:0\nme:x:1\n\nodd\n";
        assert_eq!(ranges(text, 1000, Some(b"me")), [(100_000, 65_536), (300_000, 10)]);
        assert_eq!(ranges(text, 1000, None), [(300_000, 10)]);
        assert_eq!(ranges(text, 7, None), []);
    }

    #[test]
    fn root_inside_is_the_user_outside() {
        let rows = rows(1000, &[(100_000, 65_536), (300_000, u32::MAX)]);
        assert_eq!(rows[0], Row { inside: 0, outside: 1000, count: 1 });
        assert_eq!(rows[1], Row { inside: 1, outside: 100_000, count: 65_536 });
        assert_eq!(rows[2].inside, 65_537);
        assert_eq!(rows[2].inside.checked_add(rows[2].count), Some(u32::MAX));
    }

    #[test]
    fn a_map_of_a_namespace_is_kept_as_it_is_inside() {
        assert_eq!(identity("         0     100000      65536\n"), "0 0 65536\n");
    }
}
