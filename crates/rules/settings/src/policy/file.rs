//! The policy's file: its text into rules.

use super::rule::{Action, Digest, Namespace, Rule};
use crate::file::{FileError, Limits};
use crate::{SettingsError, from_toml};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Deserialize;
use std::path::Path;
use winterop_accounts::Accounts;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPolicy {
    #[serde(default)]
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRule {
    name: Option<String>,
    action: Action,
    #[serde(default)]
    user: Vec<Named>,
    #[serde(default)]
    group: Vec<Named>,
    #[serde(default)]
    namespace: Namespace,
    #[serde(default)]
    program: Vec<String>,
    #[serde(default)]
    sha256: Vec<String>,
    host: Option<Named>,
    #[serde(default)]
    variables: Vec<String>,
}

/// A user or group, by name or by number.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Named {
    Number(u32),
    Name(String),
}

pub(super) fn parse(bytes: Option<&[u8]>, path: &Path) -> Result<Vec<Rule>, SettingsError> {
    let Some(bytes) = bytes else { return Ok(Vec::new()) };
    let raw: RawPolicy = from_toml(bytes, path)?;
    let accounts = accounts()?;
    let rules = raw.rule.into_iter().enumerate().map(|(index, rule)| {
        let quoted = match &rule.name {
            Some(name) => format!("rule {} \u{201C}{name}\u{201D}", index + 1),
            None => format!("rule {}", index + 1),
        };
        let named = quoted.clone();
        understand(rule, quoted, &accounts).map_err(|problem| SettingsError::Content {
            path: path.to_owned(),
            problem: format!("{named}: {problem}"),
        })
    });
    rules.collect()
}

/// What is wrong in a rule.
#[derive(Debug, thiserror::Error)]
enum RuleError {
    /// Root's programs are started by root alone.
    #[error("host: programs never go to root's host")]
    RootsHost,
    /// No name of a variable.
    #[error("variables: {0:?} must be a name, or the beginning of names with * behind")]
    Variable(String),
    /// No pattern of an absolute path.
    #[error("program: {0:?} must begin with / or **")]
    Relative(String),
    /// No pattern at all.
    #[error("program: {0}")]
    Pattern(#[from] globset::Error),
    /// No hash.
    #[error("sha256: {0:?} is not 64 hexadecimal digits")]
    Digest(String),
    /// Nobody of this name.
    #[error("{kind}: {name:?} is not in {file}; write its number")]
    Unknown { kind: &'static str, name: String, file: &'static str },
}

fn understand(raw: RawRule, quoted: String, accounts: &Accounts) -> Result<Rule, RuleError> {
    let users: Result<_, _> = raw.user.iter().map(|named| user(named, accounts)).collect();
    let groups: Result<_, _> = raw.group.iter().map(|named| group(named, accounts)).collect();
    let host = raw.host.as_ref().map(|host| -> Result<_, RuleError> {
        let uid = user(host, accounts)?;
        if uid == 0 {
            return Err(RuleError::RootsHost);
        }
        let name = match host {
            Named::Number(number) => format!("uid {number}"),
            Named::Name(name) => name.clone(),
        };
        Ok((uid, name))
    });
    Ok(Rule {
        quoted,
        action: raw.action,
        users: users?,
        groups: groups?,
        namespace: raw.namespace,
        programs: match &*raw.program {
            [] => None,
            programs => Some(patterns(programs, raw.action == Action::Refuse)?),
        },
        digests: raw.sha256.iter().map(|text| digest_of(text)).collect::<Result<_, _>>()?,
        host: host.transpose()?,
        variables: raw.variables.into_iter().map(variable).collect::<Result<_, _>>()?,
    })
}

/// A variable's name, or its beginning with `*` behind.
fn variable(pattern: String) -> Result<String, RuleError> {
    let name = pattern.strip_suffix('*').unwrap_or(&pattern);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(RuleError::Variable(pattern));
    }
    Ok(pattern)
}

/// A set of patterns; in one that refuses upper and lower case are the same.
fn patterns(patterns: &[String], in_any_case: bool) -> Result<GlobSet, RuleError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        if !pattern.starts_with(['/', '*']) {
            return Err(RuleError::Relative(pattern.clone()));
        }
        let glob =
            GlobBuilder::new(pattern).literal_separator(true).case_insensitive(in_any_case).build();
        set.add(glob?);
    }
    Ok(set.build()?)
}

fn digest_of(text: &str) -> Result<Digest, RuleError> {
    let wrong = || RuleError::Digest(text.to_owned());
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        let digits = text.get(2 * index..2 * index + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(digest)
}

/// Where the machine's users and groups are.
pub(super) const ACCOUNTS: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// The machine's users and groups. That they cannot be read is no reason to take nobody for them.
fn accounts() -> Result<Accounts, FileError> {
    let table = |path: &str| {
        let content = crate::file::read(Path::new(path), Limits::up_to(16 << 20))?;
        Ok(content.map(|content| content.bytes).unwrap_or_default())
    };
    let [users, groups] = ACCOUNTS;
    Ok(Accounts::parse(&table(users)?, &table(groups)?))
}

/// The number of a user.
fn user(named: &Named, accounts: &Accounts) -> Result<u32, RuleError> {
    let of_name = |name: &[u8]| Some(accounts.by_name(name)?.user);
    number("user", named, of_name, ACCOUNTS[0])
}

/// The number of a group.
fn group(named: &Named, accounts: &Accounts) -> Result<u32, RuleError> {
    number("group", named, |name| accounts.group_by_name(name), ACCOUNTS[1])
}

fn number(
    kind: &'static str,
    named: &Named,
    of_name: impl Fn(&[u8]) -> Option<u32>,
    file: &'static str,
) -> Result<u32, RuleError> {
    match named {
        Named::Number(number) => Ok(*number),
        Named::Name(name) => of_name(name.as_bytes()).ok_or_else(|| RuleError::Unknown {
            kind,
            name: name.clone(),
            file,
        }),
    }
}
