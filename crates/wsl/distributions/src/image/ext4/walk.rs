//! A file system as a source of entries: each directory before what is in it, names in their order.

use super::claims::Claims;
use super::directory::Name;
use super::{FileSystem, Inode, ROOT, flags};
use crate::archive::{Device, Entry, Kind, Piece, Source};
use crate::image::Image;
use crate::image::error::{ImageError, wrong};
use crate::tree::{Lost, Notes};
use std::collections::HashMap;

/// How much is read at a time, in bytes.
const PART: usize = 256 << 10;

/// The longest text of a link, and what of it lies in the inode.
const LONGEST_LINK: u64 = 4095;
const SHORT_LINK: u64 = 60;

/// The most bytes of names of files that have several.
const MOST_NAMES: usize = 256 << 20;

/// What a mode says of a file's kind.
const DIRECTORY: u16 = 0o040_000;
const SOCKET: u16 = 0o140_000;

/// A directory on the way down.
struct Level {
    /// How long its name from the root is, with a slash at the end.
    prefix: usize,
    /// The names in it that are still to come, the next one last.
    names: Vec<Name>,
}

/// A piece of a file's data, and where it is in the image.
struct Data {
    piece: Piece,
    at: u64,
}

/// The files of an image.
pub struct Walk<'p> {
    system: FileSystem,
    levels: Vec<Level>,
    path: Vec<u8>,
    has_begun: bool,
    claims: Claims,
    /// The first name of each file that has several.
    first: HashMap<u32, Vec<u8>>,
    names: usize,
    data: Vec<Data>,
    /// How many bytes of attributes there were: no more than the image has, though files share them.
    attributes: u64,
    notes: Notes,
    buffer: Vec<u8>,
    progress: Progress<'p>,
}

/// Who is told how many bytes more were read.
type Progress<'p> = Option<Box<dyn FnMut(u64) + 'p>>;

impl<'p> Walk<'p> {
    /// Begins at the root of an image's file system.
    ///
    /// # Errors
    /// An [`ImageError`].
    pub fn new(image: Image) -> Result<Self, ImageError> {
        Ok(Self {
            system: FileSystem::open(image)?,
            levels: Vec::new(),
            path: Vec::new(),
            has_begun: false,
            claims: Claims::default(),
            first: HashMap::new(),
            names: 0,
            data: Vec::new(),
            attributes: 0,
            notes: Notes::default(),
            buffer: Vec::new(),
            progress: None,
        })
    }

    /// Tells how many bytes of data were read, each time some more.
    #[must_use]
    pub fn with_progress(self, progress: impl FnMut(u64) + 'p) -> Self {
        Self { progress: Some(Box::new(progress)), ..self }
    }

    /// One file, after its name; none for one that is left out.
    fn file(&mut self, name: &[u8], number: u32) -> Result<Option<Entry>, ImageError> {
        let inode = self.system.inode(number)?;
        self.is_understood(&inode, name)?;
        let form = inode.mode() & 0o170_000;
        if form == SOCKET {
            self.notes.add(Lost::Socket, name);
            return Ok(None);
        }
        let (uid, gid) = inode.owner();
        let mut entry = Entry {
            name: name.to_vec(),
            kind: Kind::File,
            mode: (inode.mode() & 0o7777).into(),
            uid,
            gid,
            modified: inode.modified(),
            attributes: Vec::new(),
            size: 0,
            pieces: None,
        };
        if form != DIRECTORY && inode.names() > 1 {
            if let Some(first) = self.first.get(&number) {
                entry.kind = Kind::HardLink(first.clone());
                return Ok(Some(entry));
            }
            self.names += name.len();
            if self.names > MOST_NAMES {
                return wrong("it has more than 256 MiB of names of files that have several");
            }
            self.first.insert(number, name.to_vec());
        }
        entry.kind = match form {
            0o100_000 => Kind::File,
            DIRECTORY => Kind::Directory,
            0o120_000 => Kind::SymbolicLink(self.link(&inode)?),
            0o020_000 => Kind::CharacterDevice(device(&inode)),
            0o060_000 => Kind::BlockDevice(device(&inode)),
            0o010_000 => Kind::Pipe,
            _ => return wrong("a file is of no kind; check it with `e2fsck`"),
        };
        entry.attributes = self.system.attributes(&inode)?;
        let bytes = entry.attributes.iter().map(|(name, value)| name.len() + value.len());
        self.attributes += bytes.sum::<usize>() as u64;
        if self.attributes > self.system.image.stored() {
            return wrong("its files have more attributes than it has bytes");
        }
        match entry.kind {
            Kind::File => self.content(&inode, &mut entry)?,
            Kind::Directory => {
                let names = self.system.names(&inode, &mut self.claims)?;
                self.levels.push(Level { prefix: name.len(), names });
            }
            _ => {}
        }
        Ok(Some(entry))
    }

    fn is_understood(&mut self, inode: &Inode, name: &[u8]) -> Result<(), ImageError> {
        let shown = || String::from_utf8_lossy(name).into_owned();
        let flags = inode.flags();
        if flags & flags::ENCRYPTED != 0 {
            return wrong(format!("{:?} is encrypted; make a tar archive of its files", shown()));
        }
        if flags & flags::INLINE != 0 {
            return wrong(format!(
                "{:?} is kept in its inode (inline_data), which is not understood; make a tar \
                 archive of its files",
                shown()
            ));
        }
        if flags & (flags::IMMUTABLE | flags::APPEND | flags::VERITY | flags::CASE) != 0 {
            self.notes.add(Lost::Flag, name);
        }
        Ok(())
    }

    fn link(&mut self, inode: &Inode) -> Result<Vec<u8>, ImageError> {
        let size = inode.size();
        if size == 0 || size > LONGEST_LINK {
            return wrong("a symbolic link is damaged; check it with `e2fsck`");
        }
        let length = usize::try_from(size).unwrap_or(0);
        let mut text = match size < SHORT_LINK {
            true => inode.content().to_vec(),
            false => {
                let mut text = Vec::new();
                for run in self.system.runs(inode, &mut self.claims)? {
                    let count = size.div_ceil(self.system.block).saturating_sub(run.logical);
                    text.extend(self.system.read_blocks(run.physical, run.count.min(count))?);
                }
                text
            }
        };
        text.truncate(length);
        match text.len() == length && !text.contains(&0) {
            true => Ok(text),
            false => wrong("a symbolic link is damaged; check it with `e2fsck`"),
        }
    }

    /// Finds a file's data, as far as it is in the image.
    fn content(&mut self, inode: &Inode, entry: &mut Entry) -> Result<(), ImageError> {
        entry.size = inode.size();
        let mut data = Vec::new();
        for run in self.system.runs(inode, &mut self.claims)? {
            let offset = run.logical * self.system.block;
            let length = (run.count * self.system.block).min(entry.size.saturating_sub(offset));
            let begin = run.physical * self.system.block;
            self.system.image.data(begin, begin + length, |at, end| {
                let piece = Piece { offset: offset + (at - begin), length: end - at };
                data.push(Data { piece, at });
            })?;
        }
        entry.pieces = Some(data.iter().map(|data| data.piece).collect());
        self.data = data;
        Ok(())
    }
}

fn device(inode: &Inode) -> Device {
    let (old, new) = (inode.word(0x28), inode.word(0x2C));
    match old {
        0 => {
            Device { major: (new & 0xF_FF00) >> 8, minor: (new & 0xFF) | ((new >> 12) & 0xF_FF00) }
        }
        old => Device { major: (old >> 8) & 0xFF, minor: old & 0xFF },
    }
}

impl Source for Walk<'_> {
    type Error = ImageError;

    fn size(&self) -> u64 {
        self.system.in_use.min(self.system.image.stored())
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, ImageError> {
        self.data.clear();
        if !self.has_begun {
            self.has_begun = true;
            let Some(root) = self.file(b"", ROOT)?.filter(|root| root.kind == Kind::Directory)
            else {
                return wrong("its root is no directory; check it with `e2fsck`");
            };
            return Ok(Some(root));
        }
        while let Some(level) = self.levels.last_mut() {
            let Some((name, number)) = level.names.pop() else {
                self.levels.pop();
                continue;
            };
            self.path.truncate(level.prefix);
            if level.prefix > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            let path = self.path.clone();
            if let Some(entry) = self.file(&path, number)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn copy_data<E: From<ImageError>>(
        &mut self,
        mut sink: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for Data { piece, at } in std::mem::take(&mut self.data) {
            self.buffer.resize(PART, 0);
            let mut done = 0;
            while done < piece.length {
                let most = (piece.length - done).min(PART as u64);
                let part = self.buffer.get_mut(..usize::try_from(most).unwrap_or(0));
                let part = part.unwrap_or_default();
                self.system.image.read_at(part, at + done)?;
                sink(piece.offset + done, part)?;
                if let Some(progress) = &mut self.progress {
                    progress(most);
                }
                done += most;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Notes, ImageError> {
        Ok(self.notes)
    }
}
