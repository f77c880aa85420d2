//! Writing a tree from an archive, or from the file system in an image.
//!
//! Nothing that a source claims is believed: what waits for the end is bounded, and what does not fit
//! on the disk is refused before it is written. Each entry's directory is opened from the root with
//! `RESOLVE_BENEATH` ([`beneath`]): a link on the way that leads out of the root, as every absolute one
//! does, is an error. The last part of a name is made by name in that open directory, and no call follows
//! it. Directories get their permissions and times at the end, when nothing more is made in them. A name
//! may be longer than the kernel takes at once.

mod beneath;
mod error;
mod space;

pub use error::ExtractError;

use super::{Lost, Notes, shown};
use crate::archive::{Attributes, Device, Entry, Kind, Source, Time};
use beneath::{DIRECTORY, open_long};
use error::failed;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use space::{Space, on_disk};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

/// The longest name from the root, in bytes. It bounds the depth too: what was exported comes in again
/// as deep as anybody can make it by hand, and nothing as deep as an archive can say.
const LONGEST: usize = 65_536;
/// The longest text of a link: the kernel takes no longer one.
const LONGEST_LINK: usize = 4095;
/// The longest part of a name.
const LONGEST_PART: usize = 255;

/// The most bytes of attributes of directories, which wait for the end, and of their names with what
/// each of them takes beside.
const MOST_ATTRIBUTES: usize = 64 << 20;
const MOST_NAMES: usize = 256 << 20;
const BESIDE: usize = 256;

/// What a file or directory gets when its content is there.
struct Looks<'a> {
    mode: u32,
    owner: (u32, u32),
    modified: Time,
    attributes: &'a Attributes,
}

impl<'a> Looks<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            mode: entry.mode,
            owner: (entry.uid, entry.gid),
            modified: entry.modified,
            attributes: &entry.attributes,
        }
    }
}

/// Whether a file has its permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permissions {
    /// It was made with them.
    AsMade,
    /// It is still to get them.
    Set,
}

/// What a directory gets at the end, when nothing more is made in it.
struct Waiting {
    mode: u32,
    owner: (u32, u32),
    modified: Time,
    attributes: Attributes,
}

impl Waiting {
    fn looks(&self) -> Looks<'_> {
        let Self { mode, owner, modified, attributes } = self;
        Looks { mode: *mode, owner: *owner, modified: *modified, attributes }
    }

    fn size(&self) -> usize {
        self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// A tree that is being written.
struct Tree {
    root: OwnedFd,
    /// The directory that was used last, by its name: entries come directory by directory.
    current: Option<(Vec<u8>, OwnedFd)>,
    /// Directories whose permissions and times are still to be set, by their names. The last entry of
    /// a name counts.
    directories: BTreeMap<Vec<u8>, Waiting>,
    /// How many bytes their names and their attributes have.
    names: usize,
    attributes: usize,
    space: Space,
    own: (u32, u32),
    notes: Notes,
}

/// Writes everything in `source` below the directory `root`, which should be empty. Returns what
/// could not be kept. What was written when an error is met stays there.
///
/// # Errors
/// An [`ExtractError`].
pub fn extract<S>(mut source: S, root: OwnedFd) -> Result<Notes, ExtractError>
where
    S: Source,
    ExtractError: From<S::Error>,
{
    // Each file is made with its own permissions.
    rustix::process::umask(Mode::empty());
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let space = Space::of(&root).map_err(failed("asking for the free space of", b"."))?;
    if source.size() > space.free {
        let name = "all of it".to_owned();
        return Err(ExtractError::Full { name, size: source.size(), free: space.free });
    }
    let mut tree = Tree {
        root,
        current: None,
        directories: BTreeMap::new(),
        names: 0,
        attributes: 0,
        space,
        own,
        notes: Notes::default(),
    };
    let mut is_empty = true;
    while let Some(entry) = source.next_entry()? {
        is_empty = false;
        tree.write(entry, &mut source)?;
    }
    tree.notes.extend(source.finish()?);
    if is_empty {
        return Err(ExtractError::Empty);
    }
    tree.finish_directories()?;
    Ok(tree.notes)
}

/// An entry's name without `.`, empty parts and a `/` at its end.
fn clean(name: &[u8]) -> Result<Vec<u8>, ExtractError> {
    let refused = |problem| Err(ExtractError::Refused { name: shown(name), problem });
    if name.len() > LONGEST {
        return refused("its name has more than 65,536 bytes");
    }
    if name.first() == Some(&b'/') {
        return refused("its name is absolute");
    }
    if name.contains(&0) {
        return refused("its name has a zero in it");
    }
    let parts = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    let parts: Vec<_> = parts.collect();
    if parts.iter().any(|part| part.len() > LONGEST_PART) {
        return refused("a part of its name has more than 255 bytes");
    }
    if parts.contains(&&b".."[..]) {
        return refused("its name has a part '..'");
    }
    Ok(parts.join(&b'/'))
}

fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
        None => (b"", name),
    }
}

impl Tree {
    fn write<S>(&mut self, entry: Entry, source: &mut S) -> Result<(), ExtractError>
    where
        S: Source,
        ExtractError: From<S::Error>,
    {
        let name = clean(&entry.name)?;
        let entry = Entry { name, ..entry };
        if entry.name.is_empty() {
            return match entry.kind {
                Kind::Directory => self.put_off(entry),
                _ => Err(ExtractError::Refused {
                    name: String::new(),
                    problem: "the root itself can only be a directory",
                }),
            };
        }
        self.fits(&entry)?;
        let (parent, last) = split(&entry.name);
        let parent = self.directory(parent)?;
        match &entry.kind {
            Kind::File => self.file(parent.as_fd(), last, &entry, source),
            Kind::HardLink(to) => self.hard_link(parent.as_fd(), last, &entry.name, to),
            Kind::Directory => self.make_directory(parent.as_fd(), last, &entry),
            _ => self.special(parent.as_fd(), last, &entry),
        }?;
        let (at, _) = split(&entry.name);
        self.current = Some((at.to_vec(), parent));
        match entry.kind {
            Kind::Directory => self.put_off(entry),
            _ => Ok(()),
        }
    }

    /// Whether an entry fits on the disk, as it says itself; a file's holes take nothing.
    fn fits(&mut self, entry: &Entry) -> Result<(), ExtractError> {
        let size = match &entry.pieces {
            Some(pieces) => on_disk(pieces),
            None => entry.size,
        };
        let attributes = entry.attributes.iter().map(|(name, value)| name.len() + value.len());
        let takes = size.saturating_add(attributes.sum::<usize>() as u64);
        let fits = self.space.take(takes, &self.root);
        match fits.map_err(failed("asking for the free space of", b"."))? {
            true => Ok(()),
            false => {
                Err(ExtractError::Full { name: shown(&entry.name), size, free: self.space.free })
            }
        }
    }

    /// Remembers what a directory gets at the end.
    fn put_off(&mut self, entry: Entry) -> Result<(), ExtractError> {
        let waiting = Waiting {
            mode: entry.mode,
            owner: (entry.uid, entry.gid),
            modified: entry.modified,
            attributes: entry.attributes,
        };
        self.attributes = self.attributes.saturating_add(waiting.size());
        match self.directories.remove(&entry.name) {
            Some(before) => self.attributes = self.attributes.saturating_sub(before.size()),
            None => self.names = self.names.saturating_add(entry.name.len() + BESIDE),
        }
        if self.attributes > MOST_ATTRIBUTES || self.names > MOST_NAMES {
            return Err(ExtractError::TooMuch { name: shown(&entry.name) });
        }
        self.directories.insert(entry.name, waiting);
        Ok(())
    }

    /// Opens a directory by its name from the root; makes it where an archive leaves it out.
    fn directory(&mut self, name: &[u8]) -> Result<OwnedFd, ExtractError> {
        if let Some((_, open)) = self.current.take_if(|(current, _)| current == name) {
            return Ok(open);
        }
        if let Some(open) = self.open_from_current(name) {
            return Ok(open);
        }
        match self.open(name) {
            Err(Errno::NOENT) => self.make_all(name)?,
            Ok(open) => return Ok(open),
            Err(_) => {}
        }
        self.open(name).map_err(|error| match error {
            Errno::XDEV => ExtractError::Refused {
                name: shown(name),
                problem: "a link on the way leads out of the root",
            },
            error => failed("opening the directory", name)(error),
        })
    }

    /// Opens a directory below the one that was used last, where no link leads out of that.
    fn open_from_current(&self, name: &[u8]) -> Option<OwnedFd> {
        let (current, open) = self.current.as_ref()?;
        let rest = name.strip_prefix(current.as_slice())?;
        let rest = if current.is_empty() { rest } else { rest.strip_prefix(b"/")? };
        open_long(open.as_fd(), rest, DIRECTORY).ok()
    }

    fn open(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        open_long(self.root.as_fd(), name, DIRECTORY)
    }

    fn make_all(&self, name: &[u8]) -> Result<(), ExtractError> {
        let ends = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([name.len()]) {
            let part = name.get(..end).unwrap_or_default();
            if self.open(part).err() == Some(Errno::NOENT) {
                let (above, last) = split(part);
                let above = self.open(above).map_err(failed("opening the directory", above))?;
                rustix::fs::mkdirat(&above, last, Mode::from_raw_mode(0o755))
                    .map_err(failed("making the directory", part))?;
            }
        }
        Ok(())
    }

    /// Makes something; what an earlier entry of that name has made is replaced.
    fn make<T>(
        &self,
        parent: BorrowedFd<'_>,
        last: &[u8],
        mut make: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match make() {
            Err(Errno::EXIST) => {
                match rustix::fs::unlinkat(parent, last, AtFlags::empty()) {
                    Err(Errno::ISDIR) => rustix::fs::unlinkat(parent, last, AtFlags::REMOVEDIR)?,
                    result => result?,
                }
                make()
            }
            result => result,
        }
    }

    fn file<S>(
        &mut self,
        parent: BorrowedFd<'_>,
        last: &[u8],
        entry: &Entry,
        source: &mut S,
    ) -> Result<(), ExtractError>
    where
        S: Source,
        ExtractError: From<S::Error>,
    {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        // The special bits come when the owner is right.
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let file = self
            .make(parent, last, || rustix::fs::openat(parent, last, flags, mode))
            .map_err(failed("making", &entry.name))?;
        source.copy_data(|offset, part| {
            write_at(&file, part, offset).map_err(failed("writing", &entry.name))
        })?;
        if entry.pieces.is_some() {
            rustix::fs::ftruncate(&file, entry.size).map_err(failed("writing", &entry.name))?;
        }
        let permissions = match entry.mode & 0o7000 {
            0 => Permissions::AsMade,
            // What runs with its owner's rights gets that after its owner.
            _ => Permissions::Set,
        };
        self.dress(file.as_fd(), &entry.name, &Looks::of(entry), permissions)
    }

    /// Gives an open file its owner, permissions, attributes and times.
    fn dress(
        &mut self,
        file: BorrowedFd<'_>,
        name: &[u8],
        looks: &Looks<'_>,
        permissions: Permissions,
    ) -> Result<(), ExtractError> {
        if looks.owner != self.own {
            let (uid, gid) = (Uid::from_raw(looks.owner.0), Gid::from_raw(looks.owner.1));
            let changed = rustix::fs::fchown(file, Some(uid), Some(gid));
            self.owner_kept(changed, name)?;
        }
        if permissions == Permissions::Set {
            rustix::fs::fchmod(file, Mode::from_raw_mode(looks.mode))
                .map_err(failed("setting the permissions of", name))?;
        }
        for (attribute, value) in looks.attributes {
            let set = rustix::fs::fsetxattr(file, attribute.as_slice(), value, XattrFlags::empty());
            self.attribute_kept(set, name)?;
        }
        rustix::fs::futimens(file, &times(looks.modified))
            .map_err(failed("setting the time of", name))
    }

    fn owner_kept(&mut self, changed: Result<(), Errno>, name: &[u8]) -> Result<(), ExtractError> {
        match changed {
            // Not mapped here, or not ours to give away.
            Err(Errno::INVAL | Errno::PERM) => self.notes.add(Lost::Owner, name),
            changed => changed.map_err(failed("setting the owner of", name))?,
        }
        Ok(())
    }

    fn attribute_kept(&mut self, set: Result<(), Errno>, name: &[u8]) -> Result<(), ExtractError> {
        match set {
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL | Errno::RANGE) => {
                self.notes.add(Lost::Attribute, name);
            }
            set => set.map_err(failed("setting an attribute of", name))?,
        }
        Ok(())
    }

    fn hard_link(
        &mut self,
        parent: BorrowedFd<'_>,
        last: &[u8],
        name: &[u8],
        to: &[u8],
    ) -> Result<(), ExtractError> {
        let to = clean(to)?;
        if to == name {
            return Ok(());
        }
        let (from, its_last) = split(&to);
        let from = self.directory(from)?;
        self.make(parent, last, || {
            rustix::fs::linkat(&from, its_last, parent, last, AtFlags::empty())
        })
        .map_err(failed("linking", name))
    }

    fn make_directory(
        &self,
        parent: BorrowedFd<'_>,
        last: &[u8],
        entry: &Entry,
    ) -> Result<(), ExtractError> {
        let status = rustix::fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW);
        let is_there =
            status.is_ok_and(|status| rustix::fs::FileType::from_raw_mode(status.st_mode).is_dir());
        if is_there {
            return Ok(());
        }
        // Closed to others until it has its owner.
        let mode = Mode::from_raw_mode(0o700);
        self.make(parent, last, || rustix::fs::mkdirat(parent, last, mode))
            .map_err(failed("making the directory", &entry.name))
    }

    /// Links, pipes and devices.
    fn special(
        &mut self,
        parent: BorrowedFd<'_>,
        last: &[u8],
        entry: &Entry,
    ) -> Result<(), ExtractError> {
        use rustix::fs::FileType;
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let node = |kind: FileType, device: Device| {
            let device = rustix::fs::makedev(device.major, device.minor);
            self.make(parent, last, || rustix::fs::mknodat(parent, last, kind, mode, device))
        };
        let made = match &entry.kind {
            Kind::SymbolicLink(text) if text.len() > LONGEST_LINK => {
                return Err(ExtractError::Refused {
                    name: shown(&entry.name),
                    problem: "its link has more than 4,095 bytes",
                });
            }
            Kind::SymbolicLink(text) => {
                self.make(parent, last, || rustix::fs::symlinkat(text.as_slice(), parent, last))
            }
            Kind::CharacterDevice(device) => node(FileType::CharacterDevice, *device),
            Kind::BlockDevice(device) => node(FileType::BlockDevice, *device),
            _ => node(FileType::Fifo, Device { major: 0, minor: 0 }),
        };
        let is_device = matches!(entry.kind, Kind::CharacterDevice(_) | Kind::BlockDevice(_));
        if made == Err(Errno::PERM) && is_device {
            self.notes.add(Lost::Device, &entry.name);
            return Ok(());
        }
        made.map_err(failed("making", &entry.name))?;
        if (entry.uid, entry.gid) != self.own {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let changed = rustix::fs::chownat(parent, last, Some(uid), Some(gid), flags);
            self.owner_kept(changed, &entry.name)?;
        }
        let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), last].concat();
        for (name, value) in &entry.attributes {
            let set =
                rustix::fs::lsetxattr(path.as_slice(), name.as_slice(), value, XattrFlags::empty());
            self.attribute_kept(set, &entry.name)?;
        }
        rustix::fs::utimensat(parent, last, &times(entry.modified), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("setting the time of", &entry.name))
    }

    /// Below comes before above, whose time it would change: a name stands behind those it begins with.
    fn finish_directories(&mut self) -> Result<(), ExtractError> {
        for (name, waiting) in std::mem::take(&mut self.directories).into_iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match open_long(self.root.as_fd(), &name, flags) {
                Ok(open) => self.dress(open.as_fd(), &name, &waiting.looks(), Permissions::Set)?,
                // A later entry took its place.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(failed("opening the directory", &name)(error)),
            }
        }
        Ok(())
    }
}

fn times(modified: Time) -> Timestamps {
    let time = Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn write_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(count) => {
                bytes = bytes.get(count..).unwrap_or_default();
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
