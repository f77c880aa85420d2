//! Users and groups, as `/etc/passwd` and `/etc/group` have them; the ids that users are given beside
//! their own ([`subordinates`]); and what the system says of itself ([`release`]).
//!
//! A static program has no name services. Whoever needs those as well asks `getent`, which is a program
//! to be started and so above this.
#![forbid(unsafe_code)]

pub mod release;
pub mod subordinates;

use winterop_places::inside::Directory;

/// Where programs are, unless somebody says otherwise.
pub const PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games";

/// The largest file of accounts that is read: 8 MiB.
pub const LARGEST: u64 = 8 << 20;

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

/// An id, as the files have it.
#[must_use]
pub fn number(text: &[u8]) -> Option<u32> {
    // 4294967295 stands for "no id" in system calls.
    std::str::from_utf8(text).ok()?.parse().ok().filter(|id| *id != u32::MAX)
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: Vec<u8>,
    id: u32,
    members: Vec<Vec<u8>>,
}

/// All users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<Account>,
    groups: Vec<Group>,
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

    /// The id of the group of this name.
    #[must_use]
    pub fn group_by_name(&self, name: &[u8]) -> Option<u32> {
        self.groups.iter().find(|group| group.name == name).map(|group| group.id)
    }

    /// The groups of a user, its own first.
    #[must_use]
    pub fn groups_of(&self, account: &Account) -> Vec<u32> {
        let others = self.groups.iter().filter(|group| group.members.contains(&account.name));
        let mut groups = vec![account.group];
        for group in others.map(|group| group.id) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }
}

fn parse_group(line: &[u8]) -> Option<Group> {
    let fields: Vec<&[u8]> = line.trim_ascii_end().split(|byte| *byte == b':').collect();
    let [name, _, id, members] = fields.as_slice() else { return None };
    let members = members.split(|byte| *byte == b',').filter(|member| !member.is_empty());
    let members = members.map(<[u8]>::to_vec).collect();
    Some(Group { name: name.to_vec(), id: number(id)?, members })
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
        assert_eq!(accounts.group_by_name(b"audio"), Some(29));
        assert_eq!(accounts.group_by_name(b"broken"), None);
    }
}
