//! Reading a tree into an archive.
//!
//! Each directory is opened from the one above it, and nothing is followed: links are kept as links.
//! Names come in their order, so that the same tree makes the same archive.

use super::{Lost, Notes};
use crate::archive::{Attributes, Device, Entry, Kind, Piece, Time, write::Writer};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

/// How much of a file is read at a time, in bytes.
const PART: usize = 256 << 10;

/// The longest list of attributes, and the largest attribute, that Linux has: 64 KiB.
const LARGEST_ATTRIBUTE: usize = 64 << 10;

const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Why a tree could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The system does not give a file.
    #[error("{step} {name:?}: {source}")]
    Read {
        /// What was tried.
        step: &'static str,
        /// On what.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("writing the archive: {0}")]
    Write(#[from] io::Error),
}

fn failed(step: &'static str, name: &[u8]) -> impl FnOnce(Errno) -> PackError {
    let name = String::from_utf8_lossy(name).into_owned();
    move |error| PackError::Read { step, name, source: error.into() }
}

/// A directory on the way down, and which of its names are still to come, the next one last.
struct Level {
    directory: OwnedFd,
    /// Its name from the root, with a slash at the end; empty for the root.
    prefix: Vec<u8>,
    names: Vec<Vec<u8>>,
}

struct Packer<W> {
    archive: Writer<W>,
    /// The names of files that have more than one, by device and inode.
    names: HashMap<(u64, u64), Vec<u8>>,
    notes: Notes,
    buffer: Vec<u8>,
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
    let attributes = packer.attributes(root.as_fd(), b".", b"./")?;
    packer.archive.entry(&entry_of(b"./", Kind::Directory, &status, attributes))?;
    let mut levels = vec![level(root, Vec::new())?];
    while let Some(current) = levels.last_mut() {
        let Some(name) = current.names.pop() else {
            levels.pop();
            continue;
        };
        let whole = [current.prefix.as_slice(), &name].concat();
        if let Some(below) = packer.name(current.directory.as_fd(), &name, whole)? {
            levels.push(below);
        }
    }
    Ok((packer.notes, packer.archive))
}

fn level(directory: OwnedFd, prefix: Vec<u8>) -> Result<Level, PackError> {
    let listed = || -> Result<Vec<Vec<u8>>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if !matches!(&*name, b"." | b"..") {
                names.push(name);
            }
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(names)
    };
    let names = listed().map_err(failed("listing the directory", &prefix))?;
    Ok(Level { directory, prefix, names })
}

impl<W: Write> Packer<W> {
    /// Packs one name; a directory's own names are returned to come next.
    fn name(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        whole: Vec<u8>,
    ) -> Result<Option<Level>, PackError> {
        let status = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // It was removed a moment ago.
            Err(Errno::NOENT) => return Ok(None),
            status => status.map_err(failed("looking at", &whole))?,
        };
        let device = || Device {
            major: rustix::fs::major(status.st_rdev),
            minor: rustix::fs::minor(status.st_rdev),
        };
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                let text = rustix::fs::readlinkat(parent, name, Vec::new());
                Kind::SymbolicLink(text.map_err(failed("reading the link", &whole))?.into_bytes())
            }
            FileType::CharacterDevice => Kind::CharacterDevice(device()),
            FileType::BlockDevice => Kind::BlockDevice(device()),
            FileType::Fifo => Kind::Pipe,
            _ => {
                self.notes.add(Lost::Socket, &whole);
                return Ok(None);
            }
        };
        if kind == Kind::Directory {
            return self.directory(parent, name, whole, &status).map(Some);
        }
        if status.st_nlink > 1 {
            let first = self.names.entry((status.st_dev, status.st_ino));
            let first = first.or_insert_with(|| whole.clone());
            if *first != whole {
                let link = Kind::HardLink(first.clone());
                self.archive.entry(&entry_of(&whole, link, &status, Vec::new()))?;
                return Ok(None);
            }
        }
        let attributes = self.attributes(parent, name, &whole)?;
        let entry = entry_of(&whole, kind, &status, attributes);
        match entry.kind {
            Kind::File => self.file(parent, name, entry, &status)?,
            _ => self.archive.entry(&entry)?,
        }
        Ok(None)
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        whole: Vec<u8>,
        status: &Stat,
    ) -> Result<Level, PackError> {
        let open = rustix::fs::openat(parent, name, OPEN | OFlags::DIRECTORY, Mode::empty());
        let open = open.map_err(failed("opening the directory", &whole))?;
        let attributes = self.attributes(parent, name, &whole)?;
        let prefix = [whole.as_slice(), b"/"].concat();
        self.archive.entry(&entry_of(&prefix, Kind::Directory, status, attributes))?;
        level(open, prefix)
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        mut entry: Entry,
        status: &Stat,
    ) -> Result<(), PackError> {
        let file = rustix::fs::openat(parent, name, OPEN, Mode::empty());
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

    /// All attributes of a name, in their order.
    fn attributes(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        whole: &[u8],
    ) -> Result<Attributes, PackError> {
        let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name].concat();
        let mut list = vec![0; LARGEST_ATTRIBUTE];
        let count = match rustix::fs::llistxattr(path.as_slice(), &mut list) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            count => count.map_err(failed("listing the attributes of", whole))?,
        };
        let names = list.get(..count).unwrap_or_default().split(|byte| *byte == 0);
        let mut names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        let mut attributes = Vec::new();
        let mut value = vec![0; if names.is_empty() { 0 } else { LARGEST_ATTRIBUTE }];
        for name in names {
            match rustix::fs::lgetxattr(path.as_slice(), name, &mut value) {
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
