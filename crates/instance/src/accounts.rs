//! Users and groups, as `/etc/passwd` and `/etc/group` have them.
//!
//! A static program has no name services. Where the files do not know a user, `getent` may ([`ask`]).

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, kill_process, waitpid};
use std::path::Path;
use std::time::{Duration, Instant};
use winterop_serve::Starter;
use winterop_serve::starter::{self, Plan};
use winterop_settings::inside::Directory;

/// Where programs are, unless somebody says otherwise.
pub const PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games";

/// How long `getent` may take.
const ASKING: Duration = Duration::from_secs(5);

/// The largest file of accounts that is read: 8 MiB.
pub const LARGEST: u64 = 8 << 20;

/// The most bytes of an answer: 64 KiB.
const LONGEST_ANSWER: usize = 64 << 10;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: Vec<u8>,
    /// The user id.
    pub user: u32,
    /// The id of the user's own group.
    pub group: u32,
    /// The home directory.
    pub home: Vec<u8>,
    /// The login shell.
    pub shell: Vec<u8>,
}

impl Account {
    /// Reads a line of `/etc/passwd`; `None` where it is none.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = line.trim_ascii_end().split(|byte| *byte == b':').collect();
        let [name, _, user, group, _, home, shell] = fields.as_slice() else { return None };
        let or = |value: &[u8], default: &[u8]| {
            if value.is_empty() { default.to_vec() } else { value.to_vec() }
        };
        Some(Self {
            name: Some(name).filter(|name| !name.is_empty())?.to_vec(),
            user: number(user)?,
            group: number(group)?,
            home: or(home, b"/"),
            shell: or(shell, b"/bin/sh"),
        })
    }

    /// Root, in a distribution that knows no users.
    #[must_use]
    pub fn root() -> Self {
        Self {
            name: b"root".to_vec(),
            user: 0,
            group: 0,
            home: b"/root".to_vec(),
            shell: b"/bin/sh".to_vec(),
        }
    }
}

fn number(text: &[u8]) -> Option<u32> {
    // 4294967295 stands for "no id" in system calls.
    std::str::from_utf8(text).ok()?.parse().ok().filter(|id| *id != u32::MAX)
}

/// All users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<Account>,
    /// Id and members.
    groups: Vec<(u32, Vec<Vec<u8>>)>,
}

impl Accounts {
    /// Reads `/etc/passwd` and `/etc/group` of this process's own root.
    #[must_use]
    pub fn read() -> Self {
        Directory::root().map(|root| Self::in_root(&root)).unwrap_or_default()
    }

    /// Reads the texts of the two files; lines that are none are passed over.
    #[must_use]
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let lines = |text: &[u8]| -> Vec<Vec<u8>> {
            text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
        };
        let users = lines(passwd).iter().filter_map(|line| Account::parse(line)).collect();
        let groups = lines(group).iter().filter_map(|line| parse_group(line)).collect();
        Self { users, groups }
    }

    /// Reads the two files of a system; its links lead nowhere else. What cannot be read has no users.
    #[must_use]
    pub fn in_root(root: &Directory) -> Self {
        let read = |path: &str| root.begin(path, LARGEST).ok().flatten().unwrap_or_default();
        Self::parse(&read("etc/passwd"), &read("etc/group"))
    }

    /// Whether there are any users at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Everybody's id.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.users.iter().map(|account| account.user).collect()
    }

    /// The user of this name.
    #[must_use]
    pub fn by_name(&self, name: &[u8]) -> Option<Account> {
        self.users.iter().find(|account| account.name == name).cloned()
    }

    /// The user with this id.
    #[must_use]
    pub fn by_id(&self, user: u32) -> Option<Account> {
        self.users.iter().find(|account| account.user == user).cloned()
    }

    /// The groups of a user, its own first.
    #[must_use]
    pub fn groups_of(&self, account: &Account) -> Vec<u32> {
        let has = |members: &[Vec<u8>]| members.contains(&account.name);
        let others = self.groups.iter().filter(|(_, members)| has(members)).map(|(id, _)| *id);
        let mut groups = vec![account.group];
        for group in others {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }
}

fn parse_group(line: &[u8]) -> Option<(u32, Vec<Vec<u8>>)> {
    let fields: Vec<&[u8]> = line.trim_ascii_end().split(|byte| *byte == b':').collect();
    let [_, _, id, members] = fields.as_slice() else { return None };
    let members = members.split(|byte| *byte == b',').filter(|member| !member.is_empty());
    Some((number(id)?, members.map(<[u8]>::to_vec).collect()))
}

/// Who learns of the end of a child of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// Whoever has started it.
    Here,
    /// A process that takes the ends of all children.
    Elsewhere,
}

/// Asks the name services for a user that the file does not have, by name or by number. What asks them
/// is started by `starter`, where there is one.
#[must_use]
pub fn ask(key: &[u8], reaped: Reaped, starter: Option<&Starter>) -> Option<Account> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).ok()?;
    let getent =
        ["/usr/bin/getent", "/bin/getent"].into_iter().find(|it| Path::new(it).exists())?;
    let words = [&b"getent"[..], b"passwd", b"--", key];
    let plan = Plan {
        program: getent.as_bytes(),
        arguments: words.map(<[u8]>::to_vec).to_vec(),
        environment: vec![format!("PATH={PATH}").into_bytes()],
        standard: [None, Some(writer.as_fd()), None],
        patience: Some(starter::PATIENCE),
        ..Plan::default()
    };
    let child = starter::start(starter, &plan).ok()?;
    drop(writer);
    let answer = read_until(&reader, ASKING);
    if answer.is_none() {
        // Nobody has waited for it, so its pid is its own: where it is reaped elsewhere, it is by this
        // thread, later.
        let _ = kill_process(child, Signal::KILL);
    }
    if reaped == Reaped::Here {
        let _ = waitpid(Some(child), WaitOptions::empty());
    }
    let answer = answer?;
    let account = Account::parse(answer.split(|byte| *byte == b'\n').next()?)?;
    (account.name == key || number(key) == Some(account.user)).then_some(account)
}

/// Everything up to the end, if that comes in time.
pub(crate) fn read_until(reader: &OwnedFd, patience: Duration) -> Option<Vec<u8>> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let deadline = Instant::now() + patience;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let rest = deadline.checked_duration_since(Instant::now())?;
        let rest =
            Timespec { tv_sec: rest.as_secs().cast_signed(), tv_nsec: rest.subsec_nanos().into() };
        match poll(&mut [PollFd::new(reader, PollFlags::IN)], Some(&rest)) {
            Ok(0) => return None,
            Ok(_) => match rustix::io::read(reader, &mut buffer).ok()? {
                0 => return Some(text),
                _ if text.len() > LONGEST_ANSWER => return None,
                count => text.extend_from_slice(buffer.get(..count)?),
            },
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n# odd\n\nme:x:1000:1000::/home/me:\n\
        bad:x:minus:0::/:/bin/sh\n:x:5:5::/:\nnone:x:4294967295:0::/:/bin/sh\nlast:x:7:7:::/bin/sh";
    const GROUP: &[u8] = b"root:x:0:\nsudo:x:27:me,you\nme:x:1000:me\naudio:x:29:you\nbroken\n";

    #[test]
    fn users_are_found_by_name_and_by_id() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        let me = accounts.by_name(b"me").unwrap();
        assert_eq!((me.user, me.group, &*me.shell), (1000, 1000, &b"/bin/sh"[..]));
        assert_eq!(accounts.by_id(7).unwrap().home, b"/");
        assert_eq!(accounts.by_name(b"bad"), None);
        assert_eq!(accounts.by_name(b"none"), None);
        assert_eq!(accounts.by_name(b""), None);
        assert!(!accounts.is_empty() && Accounts::parse(b"x\n", b"").is_empty());
    }

    #[test]
    fn the_own_group_comes_first_and_each_once() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        let me = accounts.by_name(b"me").unwrap();
        assert_eq!(accounts.groups_of(&me), [1000, 27]);
        assert_eq!(accounts.groups_of(&Account::root()), [0]);
    }
}
