//! The door of a listening socket: users whose connections cannot even be closed any more, or come all
//! the time, find it shut.
//!
//! Every connection that is accepted costs something to look at, and has to be closed some time, which
//! may hang for as long as its sender likes. Whoever has too many must therefore not connect at all, and
//! that only the kernel can see to: connecting takes the right to write to the socket's file, and an
//! access control list takes it from a user.
//!
//! The kernel asks the list about the id for files, which whoever has many ids can choose among them,
//! whatever id the connection shows. So where something hangs it is no use to name who may not: then
//! only those are let in whom the machine knows, without the user whose it is.

use rustix::fs::{XattrFlags, getxattr, removexattr, setxattr};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::{Permissions, set_permissions, symlink_metadata};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The attribute that holds the list.
const LIST: &str = "system.posix_acl_access";

/// The most entries of a list that is written: it has to fit into one attribute.
const MOST_ENTRIES: usize = 4096;

/// Of how many that were served it is remembered that they were.
const MOST_SERVED: usize = 1024;

/// Whose entry marks a list as written here: root is let in whatever it says, so its rights can say what
/// those of all others were.
const MARK: u32 = 0;

/// No user: the kernel takes no list with it.
const NOBODY: u32 = u32::MAX;

/// Whom the machine knows; asked only where something hangs.
pub type Known = fn() -> Vec<u32>;

/// Somebody who connects: the id that the connection shows, and the user to whom it was given, which is
/// the same but for those who have many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    /// The id.
    pub uid: u32,
    /// To whom it counts.
    pub user: u32,
}

/// Why somebody is shut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Too many of theirs hang.
    Hangs,
    /// They connect all the time.
    TooFast,
}

/// The door of a socket that all users of a machine may connect to.
#[derive(Clone, Debug)]
pub struct Door(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The socket's file; none where it has none, and nobody can be shut out then.
    file: Option<PathBuf>,
    /// What the file has while nobody is shut out.
    before: Before,
    known: Known,
    state: Mutex<State>,
    /// Whether it was said that it cannot be written.
    told: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    barred: HashMap<(Who, Reason), Weak<Bar>>,
    /// Whom the server has served lately, the last one last.
    served: VecDeque<Who>,
}

/// A file's mode, and a list of root's own.
#[derive(Debug, Default)]
struct Before {
    mode: u32,
    list: Option<Vec<u8>>,
}

/// Keeps somebody out, until the last one for the same reason is dropped.
#[derive(Debug)]
pub struct Bar {
    door: Arc<Shared>,
    whom: (Who, Reason),
}

impl Door {
    /// The door of the socket at `file`, open for everybody whom it lets in as it is.
    #[must_use]
    pub fn new(file: Option<PathBuf>, known: Known) -> Self {
        let before = file.as_deref().map(Before::of).transpose();
        let before = before
            .inspect_err(|error| tracing::error!(%error, "who may connect cannot be looked at"))
            .ok()
            .flatten()
            .unwrap_or_default();
        let (state, told) = (Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Shared { file, before, known, state, told }))
    }

    /// Remembers that somebody was served: they are let in where only those are whom one knows.
    pub fn has_served(&self, who: Who) {
        let mut state = self.0.lock();
        if state.served.back() == Some(&who) {
            return;
        }
        state.served.retain(|it| *it != who);
        if state.served.len() >= MOST_SERVED {
            state.served.pop_front();
        }
        state.served.push_back(who);
    }

    /// Shuts somebody out for as long as what is returned lives.
    #[must_use]
    pub fn bar(&self, who: Who, reason: Reason) -> Arc<Bar> {
        let whom = (who, reason);
        let mut state = self.0.lock();
        if let Some(bar) = state.barred.get(&whom).and_then(Weak::upgrade) {
            return bar;
        }
        let bar = Arc::new(Bar { door: Arc::clone(&self.0), whom });
        state.barred.insert(whom, Arc::downgrade(&bar));
        self.0.write(&state);
        bar
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        let mut state = self.door.lock();
        // Another one may have come meanwhile.
        if state.barred.get(&self.whom).is_some_and(|bar| bar.strong_count() == 0) {
            state.barred.remove(&self.whom);
            self.door.write(&state);
        }
    }
}

impl Before {
    /// What a file has. What one that went before has written, and left when it ended, is taken away.
    fn of(file: &Path) -> io::Result<Self> {
        let mode = symlink_metadata(file)?.permissions().mode() & 0o777;
        let mut list = vec![0; 1 << 16];
        let list = match getxattr(file, LIST, &mut list) {
            Ok(length) => {
                list.truncate(length);
                list
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(Self { mode, list: None }),
            Err(error) => return Err(error.into()),
        };
        let Some(others) = marked(&list) else { return Ok(Self { mode, list: Some(list) }) };
        let before = Self { mode: mode & !7 | u32::from(others), list: None };
        before.restore(file)?;
        Ok(before)
    }

    /// Lets in whom the file let in.
    fn restore(&self, file: &Path) -> io::Result<()> {
        match &self.list {
            Some(list) => setxattr(file, LIST, list, XattrFlags::empty())?,
            None => {
                removexattr(file, LIST)?;
                set_permissions(file, Permissions::from_mode(self.mode))?;
            }
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &State) {
        let Some(file) = &self.file else { return };
        let written = match self.list(state) {
            Some(list) => setxattr(file, LIST, &list, XattrFlags::empty()).map_err(Into::into),
            None => self.before.restore(file),
        };
        // Whoever causes it can do so often.
        if let Err(error) = written
            && !self.told.swap(true, Ordering::Relaxed)
        {
            let file = file.display();
            tracing::error!(%file, %error, "who may connect cannot be changed");
        }
    }

    /// The list that keeps out who is barred, if anybody is.
    fn list(&self, state: &State) -> Option<Vec<u8>> {
        if state.barred.is_empty() {
            return None;
        }
        let whose = |wanted: Option<Reason>| -> BTreeSet<u32> {
            let barred = state.barred.keys().filter(|(_, it)| wanted.is_none_or(|one| *it == one));
            barred.flat_map(|(who, _)| [who.uid, who.user]).collect()
        };
        let (barred, hanging) = (whose(None), whose(Some(Reason::Hangs)));
        let known = if hanging.is_empty() { Vec::new() } else { (self.known)() };
        let others = self.before.mode & 7;
        // Where nobody is known, as where the file cannot be read, that says nothing.
        if known.is_empty() {
            return Some(list(self.before.mode, others, barred.into_iter().map(|uid| (uid, 0))));
        }
        let served = state.served.iter().filter(|who| !barred.contains(&who.user));
        let allowed: BTreeSet<u32> = known.into_iter().chain(served.map(|who| who.uid)).collect();
        let allowed = allowed.difference(&barred).map(|uid| (*uid, others));
        Some(list(self.before.mode & !7, others, allowed))
    }
}

/// A list as the kernel takes it: a version, then entries of tag, rights and id, users in their order.
fn list(mode: u32, mark: u32, users: impl Iterator<Item = (u32, u32)>) -> Vec<u8> {
    let users = users.filter(|(uid, _)| *uid != NOBODY && *uid != MARK).take(MOST_ENTRIES);
    let users: BTreeMap<u32, u32> = users.chain([(MARK, mark)]).collect();
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    let mut add = |tag: u16, rights: u32, id: u32| {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(rights & 7).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    };
    add(0x01, mode >> 6, NOBODY);
    users.into_iter().for_each(|(user, rights)| add(USER, rights, user));
    add(0x04, mode >> 3, NOBODY);
    add(0x10, mode >> 3, NOBODY);
    add(0x20, mode, NOBODY);
    bytes
}

/// The tag of an entry for one user.
const USER: u16 = 2;

/// The rights in the entry that marks a list as written here.
fn marked(list: &[u8]) -> Option<u16> {
    list.get(4..)?.chunks_exact(8).find_map(|entry| match entry {
        [a, b, c, d, id @ ..]
            if u16::from_le_bytes([*a, *b]) == USER && id == MARK.to_le_bytes() =>
        {
            Some(u16::from_le_bytes([*c, *d]) & 7)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    fn nobody() -> Vec<u32> {
        Vec::new()
    }

    fn somebody() -> Vec<u32> {
        vec![0, 7, 8, 9]
    }

    fn who(uid: u32) -> Who {
        let user = if uid >= 100_000 { 7 } else { uid };
        Who { uid, user }
    }

    /// The users in a file's list with their rights, and the rights of all others.
    fn users(file: &Path) -> Option<(Vec<(u32, u16)>, u16)> {
        let mut bytes = [0_u8; 1 << 16];
        let length = rustix::fs::getxattr(file, LIST, &mut bytes).ok()?;
        let entries: Vec<(u16, u16, u32)> = bytes[4..length]
            .chunks_exact(8)
            .map(|entry| {
                let short = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
                (short(0), short(2), u32::from_le_bytes(entry[4..8].try_into().unwrap()))
            })
            .collect();
        let named = entries.iter().filter(|(tag, _, id)| *tag == USER && *id != MARK);
        let others = entries.iter().find(|(tag, ..)| *tag == 0x20).unwrap();
        Some((named.map(|(_, rights, id)| (*id, *rights)).collect(), others.1))
    }

    fn mode(file: &Path) -> u32 {
        std::fs::metadata(file).unwrap().mode() & 0o777
    }

    fn socket() -> (tempfile::TempDir, PathBuf) {
        // Not every file system of a temporary folder has lists.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let file = folder.path().join("socket");
        let _ = std::os::unix::net::UnixListener::bind(&file).unwrap();
        set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        (folder, file)
    }

    #[test]
    fn who_connects_all_the_time_is_kept_out_and_so_is_whose_id_it_is() {
        let (_folder, file) = socket();
        let door = Door::new(Some(file.clone()), somebody);
        assert_eq!(users(&file), None);
        let bars =
            [door.bar(who(100_005), Reason::TooFast), door.bar(who(100_005), Reason::TooFast)];
        let other = door.bar(who(5), Reason::TooFast);
        assert_eq!(users(&file), Some((vec![(5, 0), (7, 0), (100_005, 0)], 6)));
        let [first, second] = bars;
        drop(first);
        drop(other);
        assert_eq!(users(&file), Some((vec![(7, 0), (100_005, 0)], 6)));
        drop(second);
        assert_eq!((users(&file), mode(&file)), (None, 0o666));
    }

    #[test]
    fn where_something_hangs_only_those_who_are_known_are_let_in() {
        let (_folder, file) = socket();
        let door = Door::new(Some(file.clone()), somebody);
        door.has_served(who(300));
        door.has_served(who(100_001));
        // Whatever other ids the user has, none of them helps.
        let hangs = door.bar(who(100_005), Reason::Hangs);
        assert_eq!(users(&file), Some((vec![(8, 6), (9, 6), (300, 6)], 0)));
        let fast = door.bar(who(8), Reason::TooFast);
        assert_eq!(users(&file), Some((vec![(9, 6), (300, 6)], 0)));
        drop(hangs);
        assert_eq!(users(&file), Some((vec![(8, 0)], 6)));
        drop(fast);
        assert_eq!((users(&file), mode(&file)), (None, 0o666));
    }

    #[test]
    fn no_id_is_barred_that_would_keep_the_list_from_being_written() {
        let (_folder, file) = socket();
        let door = Door::new(Some(file.clone()), nobody);
        let bars = [u32::MAX, 0, 9].map(|uid| door.bar(who(uid), Reason::Hangs));
        // Nor is everybody shut out where nobody is known.
        assert_eq!(users(&file).unwrap().0.last(), Some(&(9, 0)));
        drop(bars);
        assert_eq!(users(&file), None);
    }

    #[test]
    fn what_one_that_went_before_has_left_is_taken_away() {
        let (_folder, file) = socket();
        for mode_before in [0o666, 0o660] {
            set_permissions(&file, Permissions::from_mode(mode_before)).unwrap();
            let door = Door::new(Some(file.clone()), somebody);
            std::mem::forget(door.bar(who(9), Reason::Hangs));
            assert_eq!(users(&file).unwrap().1, 0);
            let _ = Door::new(Some(file.clone()), somebody);
            assert_eq!((users(&file), mode(&file)), (None, mode_before));
        }
    }

    #[test]
    fn what_root_has_set_is_as_it_was_afterwards() {
        let (_folder, file) = socket();
        let roots = {
            let mut bytes = list(0o660, 0, [(9, 6)].into_iter());
            // Without the mark.
            bytes.drain(12..20);
            bytes
        };
        setxattr(&file, LIST, &roots, XattrFlags::empty()).unwrap();
        let before = (users(&file), mode(&file));
        let door = Door::new(Some(file.clone()), nobody);
        assert_eq!((users(&file), mode(&file)), before);
        drop(door.bar(who(5), Reason::TooFast));
        assert_eq!((users(&file), mode(&file)), before);
    }

    #[test]
    fn a_bounded_number_of_those_who_were_served_is_remembered() {
        let door = Door::new(None, nobody);
        (0..5000).for_each(|uid| door.has_served(who(uid)));
        door.has_served(who(4000));
        let state = door.0.lock();
        assert_eq!((state.served.len(), state.served.back()), (MOST_SERVED, Some(&who(4000))));
    }
}
