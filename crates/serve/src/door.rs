//! The door of a listening socket: users whose connections cannot even be closed any more, or come all
//! the time, find it shut.
//!
//! Every connection that is accepted costs something to look at, and has to be closed some time, which
//! may hang for as long as its sender likes. Whoever has too many must therefore not connect at all, and
//! that only the kernel can see to: connecting takes the right to write to the socket's file, and an
//! access control list takes it from a user.

use rustix::fs::{XattrFlags, removexattr, setxattr};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashMap};
use std::fs::{Permissions, set_permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The attribute that holds the list.
const LIST: &str = "system.posix_acl_access";

/// How many users may be shut out one by one. Where there are more, somebody has many user ids, and
/// only whom the machine knows gets in.
const MOST_BARRED: usize = 32;

/// The most entries of a list that is written: it has to fit into one attribute.
const MOST_ENTRIES: usize = 4096;

/// Whom the machine knows; asked only when somebody with many ids is about.
pub type Known = fn() -> Vec<u32>;

/// The door of a socket that all users of a machine may connect to.
#[derive(Clone, Debug)]
pub struct Door(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The socket's file; none where it has none, and nobody can be shut out then.
    file: Option<PathBuf>,
    /// The file's mode while nobody is shut out: a list changes it.
    mode: u32,
    known: Known,
    barred: Mutex<HashMap<u32, Weak<Bar>>>,
    /// Whether it was said that it cannot be written.
    told: AtomicBool,
}

/// Keeps a user out, until the last one of the same user's is dropped.
#[derive(Debug)]
pub struct Bar {
    door: Arc<Shared>,
    user: u32,
}

impl Door {
    /// The door of the socket at `file`, open for everybody whom `mode` lets in.
    #[must_use]
    pub fn new(file: Option<PathBuf>, mode: u32, known: Known) -> Self {
        let door =
            Shared { file, mode, known, barred: Mutex::default(), told: AtomicBool::new(false) };
        // One that went before may have ended while it kept somebody out.
        door.write(&[]);
        Self(Arc::new(door))
    }

    /// Shuts a user out for as long as what is returned lives.
    #[must_use]
    pub fn bar(&self, user: u32) -> Arc<Bar> {
        let mut barred = self.0.lock();
        if let Some(bar) = barred.get(&user).and_then(Weak::upgrade) {
            return bar;
        }
        let bar = Arc::new(Bar { door: Arc::clone(&self.0), user });
        barred.insert(user, Arc::downgrade(&bar));
        self.0.write(&users(&barred));
        bar
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        let mut barred = self.door.lock();
        // Another one may have come meanwhile.
        if barred.get(&self.user).is_some_and(|bar| bar.strong_count() == 0) {
            barred.remove(&self.user);
            self.door.write(&users(&barred));
        }
    }
}

fn users(barred: &HashMap<u32, Weak<Bar>>) -> Vec<u32> {
    barred.keys().copied().collect()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Weak<Bar>>> {
        self.barred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, barred: &[u32]) {
        let Some(file) = &self.file else { return };
        let written = match self.list(barred) {
            Some(list) => setxattr(file, LIST, &list, XattrFlags::empty()).map_err(Into::into),
            None => self.open(file),
        };
        // Whoever causes it can do so often.
        if let Err(error) = written
            && !self.told.swap(true, Ordering::Relaxed)
        {
            let file = file.display();
            tracing::error!(%file, %error, "who may connect cannot be changed");
        }
    }

    /// Lets in whom the mode lets in.
    fn open(&self, file: &Path) -> io::Result<()> {
        match removexattr(file, LIST) {
            Ok(()) => set_permissions(file, Permissions::from_mode(self.mode)),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The list that keeps these users out, if there are any.
    fn list(&self, barred: &[u32]) -> Option<Vec<u8>> {
        match barred.len() {
            0 => None,
            1..=MOST_BARRED => Some(list(self.mode, barred.iter().map(|user| (*user, 0)))),
            _ => {
                let known: BTreeSet<u32> = (self.known)().into_iter().collect();
                let allowed = known.into_iter().filter(|user| !barred.contains(user));
                let rights = self.mode & 7;
                Some(list(self.mode & !7, allowed.map(|user| (user, rights))))
            }
        }
    }
}

/// A list as the kernel takes it: a version, then entries of tag, rights and id, users in their order.
fn list(mode: u32, users: impl Iterator<Item = (u32, u32)>) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let mut users: Vec<_> = users.take(MOST_ENTRIES).collect();
    users.sort_unstable();
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    let mut add = |tag: u16, rights: u32, id: u32| {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(rights & 7).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    };
    add(0x01, mode >> 6, NOBODY);
    users.into_iter().for_each(|(user, rights)| add(0x02, rights, user));
    add(0x04, mode >> 3, NOBODY);
    add(0x10, mode >> 3, NOBODY);
    add(0x20, mode, NOBODY);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    fn nobody() -> Vec<u32> {
        Vec::new()
    }

    /// The entries of a file's list: tag, rights, id.
    fn entries(file: &std::path::Path) -> Vec<(u16, u16, u32)> {
        let mut bytes = [0_u8; 1 << 16];
        let Ok(length) = rustix::fs::getxattr(file, LIST, &mut bytes) else { return Vec::new() };
        let short = |entry: &[u8], at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        bytes[4..length]
            .chunks_exact(8)
            .map(|entry| {
                let id = u32::from_le_bytes(entry[4..8].try_into().unwrap());
                (short(entry, 0), short(entry, 2), id)
            })
            .collect()
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
    fn a_user_is_kept_out_as_long_as_something_of_theirs_hangs() {
        let (_folder, file) = socket();
        let door = Door::new(Some(file.clone()), 0o666, nobody);
        assert_eq!(entries(&file), []);
        let (first, second) = (door.bar(7), door.bar(7));
        let other = door.bar(5);
        let users = |file| entries(file).into_iter().filter(|(tag, ..)| *tag == 2);
        assert_eq!(users(&file).collect::<Vec<_>>(), [(2, 0, 5), (2, 0, 7)]);
        assert!(entries(&file).contains(&(0x20, 6, u32::MAX)), "others are let in");
        drop(first);
        assert_eq!(users(&file).count(), 2);
        drop(second);
        assert_eq!(users(&file).collect::<Vec<_>>(), [(2, 0, 5)]);
        drop(other);
        assert_eq!(entries(&file), []);
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o666);
    }

    #[test]
    fn where_too_many_are_kept_out_only_those_who_are_known_are_let_in() {
        let (_folder, file) = socket();
        let door = Door::new(Some(file.clone()), 0o666, || vec![3, 1, 100_007]);
        let many = u32::try_from(MOST_BARRED).unwrap() + 1;
        let mut bars: Vec<_> = (0..many).map(|number| door.bar(100_000 + number)).collect();
        let list = entries(&file);
        assert!(list.contains(&(2, 6, 1)) && list.contains(&(2, 6, 3)), "{list:?}");
        assert!(!list.iter().any(|(_, _, id)| *id == 100_007), "{list:?}");
        assert!(list.contains(&(0x20, 0, u32::MAX)), "{list:?}");
        bars.pop();
        assert!(entries(&file).contains(&(0x20, 6, u32::MAX)));
        drop(bars);
        assert_eq!(entries(&file), []);
    }

    #[test]
    fn what_one_that_went_before_has_left_is_taken_away() {
        let (_folder, file) = socket();
        let door = Door::new(Some(file.clone()), 0o666, nobody);
        let many = u32::try_from(MOST_BARRED).unwrap() + 1;
        (0..many).for_each(|user| std::mem::forget(door.bar(user)));
        assert_ne!(entries(&file), []);
        let _ = Door::new(Some(file.clone()), 0o666, nobody);
        assert_eq!(entries(&file), []);
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o666);
    }
}
