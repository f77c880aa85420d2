//! Writing a tree from an archive, or from the file system in an image.
//!
//! Nothing that a source claims is believed: what waits for the end is bounded, and what does not fit
//! on the disk is refused before it is written. Each entry's directory is opened from the root with
//! `RESOLVE_BENEATH`: a link on the way that leads out of the root, as every absolute one does, is an error. The last part of a name is made
//! by name in that open directory, and no call follows it. Directories get their permissions and
//! times at the end, when nothing more is made in them. A name may be longer than the kernel takes at
//! once.

use super::{Lost, Notes, shown};
use crate::archive::{ArchiveError, Attributes, Device, Entry, Kind, Piece, Source, Time};
use crate::image::ImageError;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use winterop_words::{Failure, Words};

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

/// What a file and each of its pieces takes at least, in bytes, and what may be written until the disk
/// is asked again.
const LEAST: u64 = 4096;
const ASK_AFTER: u64 = 64 << 20;

/// Why a tree could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub enum ExtractError {
    /// The archive cannot be read.
    Archive(#[from] ArchiveError),
    /// The disk image cannot be read.
    Image(#[from] ImageError),
    /// It does not fit.
    Full {
        /// The entry.
        name: String,
        /// How much it takes.
        size: u64,
        /// How much is free, without what is left to others.
        free: u64,
    },
    /// There are too many directories, or too large ones, to remember.
    TooMuch {
        /// The directory at which it was too much.
        name: String,
    },
    /// The archive holds nothing.
    Empty,
    /// A name leads out of the root.
    Refused {
        /// The entry.
        name: String,
        /// What it would do.
        problem: &'static str,
    },
    /// The system refused.
    System {
        /// What was tried.
        step: &'static str,
        /// The entry.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl ExtractError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Archive(error) => error.words(),
            Self::Image(error) => error.words(),
            Self::Full { name, size, free } => Failure::NoRoom { name, size, free }.words(),
            Self::TooMuch { name } => Failure::TooManyDirectories { name }.words(),
            Self::Empty => Failure::ArchiveEmpty {}.words(),
            Self::Refused { name, problem } => Failure::EntryRefused { name, problem }.words(),
            Self::System { step, name, source } => {
                Failure::FileNotWritten { step, name, error: source }.words()
            }
        }
    }
}

impl From<ExtractError> for Words {
    fn from(error: ExtractError) -> Self {
        error.words()
    }
}

fn failed(step: &'static str, name: &[u8]) -> impl FnOnce(Errno) -> ExtractError {
    let name = shown(name);
    move |error| ExtractError::System { step, name, source: error.into() }
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The longest name that is looked up at once, in bytes: the kernel takes 4,095.
const AT_ONCE: usize = 2048;

/// How often a look-up is tried again that somebody's renames have disturbed.
const TRIES: usize = 1000;

/// Opens what is below `from` without being led out of it.
fn open_beneath(from: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let name = if name.is_empty() { b"." } else { name };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(from, name, flags, Mode::empty(), resolve) {
            // Something was renamed meanwhile anywhere on the system.
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

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

/// The same for a name of any length, a part after the other; a link in a later part leads out of none
/// before it.
fn open_long(root: BorrowedFd<'_>, mut name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut above = None;
    loop {
        let from = above.as_ref().map_or(root, OwnedFd::as_fd);
        let slash = |part: &[u8]| part.iter().rposition(|byte| *byte == b'/');
        let end = name.get(..AT_ONCE).and_then(slash);
        match end.and_then(|end| name.split_at_checked(end)) {
            Some((part, rest)) => {
                above = Some(open_beneath(from, part, DIRECTORY)?);
                name = rest.strip_prefix(b"/").unwrap_or(rest);
            }
            None => return open_beneath(from, name, flags),
        }
    }
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

/// The disk's free space, of which some is left to others.
struct Space {
    free: u64,
    taken: u64,
}

impl Space {
    fn ask(&mut self, root: &OwnedFd) -> Result<(), Errno> {
        let status = rustix::fs::fstatvfs(root)?;
        let size = status.f_blocks.saturating_mul(status.f_frsize);
        let left_to_others = (size / 100).min(1 << 30);
        let free = match size {
            // A file system that does not say.
            0 => u64::MAX,
            _ => status.f_bavail.saturating_mul(status.f_frsize).saturating_sub(left_to_others),
        };
        *self = Self { free, taken: 0 };
        Ok(())
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
    let mut space = Space { free: 0, taken: 0 };
    space.ask(&root).map_err(failed("asking for the free space of", b"."))?;
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
        let takes = size.saturating_add(attributes.sum::<usize>() as u64).saturating_add(LEAST);
        let taken = self.space.taken.saturating_add(takes);
        if taken > ASK_AFTER || taken > self.space.free {
            self.space.ask(&self.root).map_err(failed("asking for the free space of", b"."))?;
        }
        self.space.taken = self.space.taken.saturating_add(takes);
        match self.space.taken > self.space.free {
            true => {
                Err(ExtractError::Full { name: shown(&entry.name), size, free: self.space.free })
            }
            false => Ok(()),
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
        self.dress(file.as_fd(), &entry.name, &Looks::of(entry), entry.mode & 0o7000 != 0)
    }

    /// Gives an open file its owner, permissions, attributes and times.
    fn dress(
        &mut self,
        file: BorrowedFd<'_>,
        name: &[u8],
        looks: &Looks<'_>,
        mode: bool,
    ) -> Result<(), ExtractError> {
        if looks.owner != self.own {
            let (uid, gid) = (Uid::from_raw(looks.owner.0), Gid::from_raw(looks.owner.1));
            let changed = rustix::fs::fchown(file, Some(uid), Some(gid));
            self.owner_kept(changed, name)?;
        }
        if mode {
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
                Ok(open) => self.dress(open.as_fd(), &name, &waiting.looks(), true)?,
                // A later entry took its place.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(failed("opening the directory", &name)(error)),
            }
        }
        Ok(())
    }
}

/// What pieces take on a disk of blocks: a byte takes a whole one, which those beside it share.
fn on_disk(pieces: &[Piece]) -> u64 {
    let (mut end, mut blocks) = (0, 0_u64);
    for piece in pieces {
        let first = (piece.offset / LEAST).max(end);
        end = piece.offset.saturating_add(piece.length).div_ceil(LEAST).max(first);
        blocks = blocks.saturating_add(end - first);
    }
    blocks.saturating_mul(LEAST)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_bytes_take_whole_blocks() {
        let piece = |offset, length| Piece { offset, length };
        assert_eq!(on_disk(&[]), 0);
        assert_eq!(on_disk(&[piece(0, 1), piece(2, 1), piece(4095, 2)]), 8192);
        let scattered: Vec<_> = (0..1000).map(|n| piece(n << 20, 1)).collect();
        assert_eq!(on_disk(&scattered), 4096 * 1000);
        assert_eq!(on_disk(&[piece(u64::MAX - 1, 1)]), 4096);
    }
}
