//! Reading a tree into an archive.
//!
//! Each directory is opened from the one above it, and nothing is followed: links are kept as links.
//! Only what is a regular file is opened. Names come in their order, so that the same tree makes the
//! same archive.

use super::walk::{Mounts, Walk};
use super::{Lost, Notes, shown};
use crate::archive::{Attributes, Device, Entry, Kind, Piece, Time, write::Writer};
use rustix::fs::{Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use winterop_words::{Failure, Words};

/// How much of a file is read at a time, in bytes.
const PART: usize = 256 << 10;

/// The longest list of attributes, and the largest attribute, that Linux has: 64 KiB.
const LARGEST_ATTRIBUTE: usize = 64 << 10;

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

const HOLD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The name that leads to what is held, and nowhere else.
fn name_of(held: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", held.as_raw_fd())
}

/// Why a tree could not be packed.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub enum PackError {
    /// The system does not give a file.
    Read {
        /// What was tried.
        step: &'static str,
        /// On what.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A directory is elsewhere now.
    Moved(String),
    /// The archive cannot be written.
    Write(#[from] io::Error),
}

impl PackError {
    /// The error in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Read { step, name, source } => {
                Failure::FileNotRead { step, name, error: source }.words()
            }
            Self::Moved(name) => Failure::MovedWhileRead { name }.words(),
            Self::Write(error) => Failure::ArchiveNotWritten { error }.words(),
        }
    }
}

impl From<PackError> for Words {
    fn from(error: PackError) -> Self {
        error.words()
    }
}

fn failed(step: &'static str, name: &[u8]) -> impl FnOnce(Errno) -> PackError {
    let name = shown(name);
    move |error| match error {
        Errno::STALE => PackError::Moved(name),
        error => PackError::Read { step, name, source: error.into() },
    }
}

/// A directory on the way down.
struct Level {
    /// How long its name from the root is, with a slash at the end.
    prefix: usize,
    /// Which of its names are still to come, the next one last.
    names: Vec<Vec<u8>>,
}

struct Packer<W> {
    archive: Writer<W>,
    /// The names of files that have more than one, by device and inode.
    names: HashMap<(u64, u64), Vec<u8>>,
    notes: Notes,
    buffer: Vec<u8>,
}

/// Where the next name is.
#[derive(PartialEq, Eq)]
enum Next {
    /// In the same directory.
    Beside,
    /// In the directory that was just packed.
    Inside,
}

/// Writes everything below the directory `root`, and it itself, into `archive`. Returns what could not
/// be kept, and the archive, which is not ended yet.
///
/// # Errors
/// A [`PackError`].
pub fn pack<W: Write>(root: OwnedFd, archive: Writer<W>) -> Result<(Notes, Writer<W>), PackError> {
    let mut packer =
        Packer { archive, names: HashMap::new(), notes: Notes::default(), buffer: vec![0; PART] };
    let status = rustix::fs::fstat(&root).map_err(failed("looking at", b"."))?;
    let attributes = packer.attributes(root.as_fd(), b"./")?;
    packer.archive.entry(&entry_of(b"./", Kind::Directory, &status, attributes))?;
    let mut walk = Walk::new(root, Mounts::Entered);
    let mut prefix = Vec::new();
    let mut levels = vec![level(walk.here(), &prefix)?];
    while let Some(current) = levels.last_mut() {
        prefix.truncate(current.prefix);
        let Some(name) = current.names.pop() else {
            levels.pop();
            walk.leave().map_err(failed("leaving the directory", &prefix))?;
            continue;
        };
        let whole = [prefix.as_slice(), &name].concat();
        if packer.name(walk.here(), &name, &whole)? == Next::Inside {
            walk.enter(&name).map_err(failed("opening the directory", &whole))?;
            prefix = [whole.as_slice(), b"/"].concat();
            levels.push(level(walk.here(), &prefix)?);
        }
    }
    Ok((packer.notes, packer.archive))
}

fn level(directory: BorrowedFd<'_>, prefix: &[u8]) -> Result<Level, PackError> {
    let listed = || -> Result<Vec<Vec<u8>>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if !matches!(&*name, b"." | b"..") {
                names.push(name);
            }
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(names)
    };
    let names = listed().map_err(failed("listing the directory", prefix))?;
    Ok(Level { prefix: prefix.len(), names })
}

impl<W: Write> Packer<W> {
    /// Packs one name.
    fn name(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        whole: &[u8],
    ) -> Result<Next, PackError> {
        // What is looked at is what is read: it is held, which opens no device and waits for nobody.
        let held = match rustix::fs::openat(parent, name, HOLD, Mode::empty()) {
            // It was removed a moment ago.
            Err(Errno::NOENT) => return Ok(Next::Beside),
            held => held.map_err(failed("looking at", whole))?,
        };
        let status = rustix::fs::fstat(&held).map_err(failed("looking at", whole))?;
        let device = || Device {
            major: rustix::fs::major(status.st_rdev),
            minor: rustix::fs::minor(status.st_rdev),
        };
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => return self.directory(held.as_fd(), whole, &status),
            FileType::Symlink => {
                let text = rustix::fs::readlinkat(&held, "", Vec::new());
                Kind::SymbolicLink(text.map_err(failed("reading the link", whole))?.into_bytes())
            }
            FileType::CharacterDevice => Kind::CharacterDevice(device()),
            FileType::BlockDevice => Kind::BlockDevice(device()),
            FileType::Fifo => Kind::Pipe,
            _ => {
                self.notes.add(Lost::Socket, whole);
                return Ok(Next::Beside);
            }
        };
        if status.st_nlink > 1 {
            let first = self.names.entry((status.st_dev, status.st_ino));
            let first = first.or_insert_with(|| whole.to_vec());
            if *first != whole {
                let link = Kind::HardLink(first.clone());
                self.archive.entry(&entry_of(whole, link, &status, Vec::new()))?;
                return Ok(Next::Beside);
            }
        }
        let attributes = self.attributes(held.as_fd(), whole)?;
        let entry = entry_of(whole, kind, &status, attributes);
        match entry.kind {
            Kind::File => self.file(held.as_fd(), entry, &status)?,
            _ => self.archive.entry(&entry)?,
        }
        Ok(Next::Beside)
    }

    fn directory(
        &mut self,
        held: BorrowedFd<'_>,
        whole: &[u8],
        status: &Stat,
    ) -> Result<Next, PackError> {
        let attributes = self.attributes(held, whole)?;
        let whole = [whole, b"/"].concat();
        self.archive.entry(&entry_of(&whole, Kind::Directory, status, attributes))?;
        Ok(Next::Inside)
    }

    fn file(
        &mut self,
        held: BorrowedFd<'_>,
        mut entry: Entry,
        status: &Stat,
    ) -> Result<(), PackError> {
        let file = rustix::fs::open(name_of(held), OPEN, Mode::empty());
        let file = file.map_err(failed("opening", &entry.name))?;
        entry.size = status.st_size.cast_unsigned();
        let has_holes = status.st_blocks.cast_unsigned().saturating_mul(512) < entry.size;
        if has_holes {
            entry.pieces = pieces(&file, entry.size);
        }
        self.archive.entry(&entry)?;
        let whole = [Piece { offset: 0, length: entry.size }];
        for piece in entry.pieces.as_deref().unwrap_or(&whole) {
            self.piece(&file, *piece, &entry.name)?;
        }
        if self.archive.missing() > 0 {
            self.notes.add(Lost::Changed, &entry.name);
            self.archive.fill()?;
        }
        Ok(())
    }

    fn piece(&mut self, file: &OwnedFd, piece: Piece, name: &[u8]) -> Result<(), PackError> {
        let mut done = 0;
        while done < piece.length {
            let most = (piece.length - done).min(PART as u64);
            let part = self.buffer.get_mut(..usize::try_from(most).unwrap_or(0));
            let part = part.unwrap_or_default();
            let offset = piece.offset + done;
            let count = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut *part, offset));
            let count = count.map_err(failed("reading", name))?;
            if count == 0 {
                return Ok(());
            }
            self.archive.data(part.get(..count).unwrap_or_default())?;
            done += count as u64;
        }
        Ok(())
    }

    /// All attributes of what is held, in their order.
    fn attributes(&mut self, held: BorrowedFd<'_>, whole: &[u8]) -> Result<Attributes, PackError> {
        let path = name_of(held);
        let mut list = vec![0; LARGEST_ATTRIBUTE];
        let count = match rustix::fs::listxattr(&*path, &mut list) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            count => count.map_err(failed("listing the attributes of", whole))?,
        };
        let names = list.get(..count).unwrap_or_default().split(|byte| *byte == 0);
        let mut names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        let mut attributes = Vec::new();
        let mut value = vec![0; if names.is_empty() { 0 } else { LARGEST_ATTRIBUTE }];
        for name in names {
            match rustix::fs::getxattr(&*path, name, &mut value) {
                Ok(count) => {
                    let value = value.get(..count).unwrap_or_default().to_vec();
                    attributes.push((name.to_vec(), value));
                }
                // Removed a moment ago, or not to be seen by this user.
                Err(_) => self.notes.add(Lost::Attribute, whole),
            }
        }
        Ok(attributes)
    }
}

fn entry_of(name: &[u8], kind: Kind, status: &Stat, attributes: Vec<(Vec<u8>, Vec<u8>)>) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        mode: status.st_mode & 0o7777,
        uid: status.st_uid,
        gid: status.st_gid,
        modified: Time {
            seconds: status.st_mtime,
            nanoseconds: u32::try_from(status.st_mtime_nsec).unwrap_or(0),
        },
        attributes,
        size: 0,
        pieces: None,
    }
}

/// Where a file has data; `None` where the file system does not say.
fn pieces(file: &OwnedFd, size: u64) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            begin => begin.ok()?,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(begin)).ok()?.min(size);
        if begin >= end {
            break;
        }
        pieces.push(Piece { offset: begin, length: end - begin });
        at = end;
    }
    Some(pieces)
}
