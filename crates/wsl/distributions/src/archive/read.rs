//! Reading a tar archive.
//!
//! The layouts of headers are the crate `tar`'s. Its walk from entry to entry is not used: it reads
//! names of any length into memory, gives sparse files out as endless zeros, takes an archive that
//! is cut off between two entries for a whole one, and splits pax records at newlines, which the
//! values of extended attributes may hold.

use super::{ArchiveError, BLOCK, Device, Entry, Kind, Piece, Source, Time, padding, pax};
use crate::tree::Notes;
use std::io::{ErrorKind, Read};
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

/// The most bytes of the headers before one entry: long names, pax records. Linux allows 4 KiB of
/// path and 64 KiB of one attribute.
const LARGEST_HEADER: u64 = 1 << 20;

/// The most bytes of records for all entries, since each entry goes through them.
const LARGEST_GLOBAL: u64 = 16 << 10;

/// The most pieces of a sparse file.
const MOST_PIECES: usize = 1 << 20;

/// The headers that stand before an entry.
#[derive(Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Vec<u8>,
}

/// A tar archive that is read entry by entry.
pub struct Reader<R> {
    source: R,
    /// How far it was read, in bytes.
    at: u64,
    /// What is left of the current entry's data, and the padding behind it.
    left: u64,
    padding: u64,
    pieces: Vec<Piece>,
    globals: Vec<u8>,
    /// Whether an entry was found: until then it may be anything.
    is_archive: bool,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// An archive that begins where `source` stands.
    pub fn new(source: R) -> Self {
        Self {
            source,
            at: 0,
            left: 0,
            padding: 0,
            pieces: Vec::new(),
            globals: Vec::new(),
            is_archive: false,
            buffer: vec![0; 256 << 10],
        }
    }

    fn refused(&self, error: std::io::Error) -> ArchiveError {
        match error.kind() {
            ErrorKind::UnexpectedEof => ArchiveError::CutOff(self.at),
            ErrorKind::InvalidData | ErrorKind::InvalidInput => self.damaged(error),
            _ => ArchiveError::Read(error),
        }
    }

    fn damaged(&self, problem: impl ToString) -> ArchiveError {
        ArchiveError::Damaged { at: self.at, problem: problem.to_string() }
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.source.read_exact(bytes).map_err(|error| self.refused(error))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn skip(&mut self, mut count: u64) -> Result<(), ArchiveError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        while count > 0 {
            let most = count.min(buffer.len() as u64);
            let part = buffer.get_mut(..usize::try_from(most).unwrap_or(0)).unwrap_or_default();
            self.exactly(part)?;
            count -= most;
        }
        self.buffer = buffer;
        Ok(())
    }

    /// The next header; `None` at the end mark, a block of zeros. An archive without one is cut off.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        let begin = self.at;
        self.exactly(header.as_mut_bytes()).map_err(|error| match error {
            ArchiveError::CutOff(_) if begin == 0 => ArchiveError::NotAnArchive,
            other => other,
        })?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let bytes = header.as_bytes().iter().enumerate();
        // The checksum's own field counts as spaces.
        let sum =
            bytes.map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) });
        let sum: u32 = sum.sum();
        if header.cksum().ok() != Some(sum) {
            return Err(match self.is_archive {
                true => self.damaged("a header's checksum is wrong"),
                false => ArchiveError::NotAnArchive,
            });
        }
        self.is_archive = true;
        Ok(Some(header))
    }

    /// The data of a header that describes what follows it.
    fn data(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let size = header.entry_size().map_err(|error| self.damaged(error))?;
        if size > LARGEST_HEADER {
            let problem = "a name or attributes of more than 1 MiB, which Linux does not have";
            return Err(ArchiveError::TooLarge { at: self.at, problem });
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
        self.exactly(&mut data)?;
        self.skip(padding(size))?;
        Ok(data)
    }

    fn global(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        match header.entry_size() {
            Ok(size) if size > LARGEST_GLOBAL => {
                let problem = "more than 16 KiB of records for all entries";
                Err(ArchiveError::TooLarge { at: self.at, problem })
            }
            _ => self.data(header),
        }
    }

    fn text(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let mut data = self.data(header)?;
        data.truncate(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
        Ok(data)
    }

    fn entry(&mut self, header: &Header, before: &Before) -> Result<Entry, ArchiveError> {
        let wrong =
            |at, error: std::io::Error| ArchiveError::Damaged { at, problem: error.to_string() };
        let field = |value: std::io::Result<u64>| value.map_err(|error| wrong(self.at, error));
        let mut entry = Entry {
            name: before.name.clone().unwrap_or_else(|| header.path_bytes().into_owned()),
            kind: Kind::File,
            mode: header.mode().map_err(|error| wrong(self.at, error))? & 0o7777,
            uid: id(field(header.uid())?),
            gid: id(field(header.gid())?),
            modified: time_of(field(header.mtime())?),
            attributes: Vec::new(),
            size: field(header.entry_size())?,
            pieces: None,
        };
        let link = header.link_name_bytes().map(std::borrow::Cow::into_owned);
        let mut link = before.link.clone().or(link).unwrap_or_default();
        let mut stored = entry.size;
        let sparse = self.pax(before, &mut entry, &mut link, &mut stored)?;
        entry.size = stored;
        entry.kind = self.kind(header, &entry.name, link)?;
        if entry.kind != Kind::File {
            // A hard link may carry its file's size, and then has data only in old pax archives;
            // everything else has none whatever it says.
            entry.size = 0;
            return Ok(entry);
        }
        (self.left, self.padding) = (stored, padding(stored));
        self.pieces = vec![Piece { offset: 0, length: stored }];
        if header.entry_type().is_gnu_sparse() {
            self.old_sparse(header, &mut entry)?;
        } else if let Some(sparse) = sparse {
            self.pax_sparse(sparse, &mut entry)?;
        }
        Ok(entry)
    }

    fn kind(&self, header: &Header, name: &[u8], link: Vec<u8>) -> Result<Kind, ArchiveError> {
        let device = || -> Result<Device, ArchiveError> {
            let number = |value: std::io::Result<Option<u32>>| {
                value.map(Option::unwrap_or_default).map_err(|error| self.damaged(error))
            };
            Ok(Device {
                major: number(header.device_major())?,
                minor: number(header.device_minor())?,
            })
        };
        Ok(match header.entry_type() {
            EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Link => Kind::HardLink(link),
            EntryType::Symlink => Kind::SymbolicLink(link),
            EntryType::Directory => Kind::Directory,
            EntryType::Char => Kind::CharacterDevice(device()?),
            EntryType::Block => Kind::BlockDevice(device()?),
            EntryType::Fifo => Kind::Pipe,
            other => {
                let problem = format!("an entry of the unknown type {:?}", other.as_byte() as char);
                return Err(self.damaged(problem));
            }
        })
    }

    /// Applies the pax records, the archive's and the entry's own; returns those on sparse files.
    fn pax(
        &self,
        before: &Before,
        entry: &mut Entry,
        link: &mut Vec<u8>,
        stored: &mut u64,
    ) -> Result<Option<Sparse>, ArchiveError> {
        let mut sparse = Sparse::default();
        for data in [&self.globals, &before.pax] {
            let records =
                pax::records(data).ok_or_else(|| self.damaged("pax records are broken"))?;
            for (key, value) in records {
                let wrong = || self.damaged(format!("a wrong {}", String::from_utf8_lossy(key)));
                let number = || pax::number(value).ok_or_else(wrong);
                if let Some(attribute) = key.strip_prefix(b"SCHILY.xattr.") {
                    entry.attributes.push((attribute.to_vec(), value.to_vec()));
                    continue;
                }
                match key {
                    b"path" => entry.name = value.to_vec(),
                    b"linkpath" => *link = value.to_vec(),
                    b"size" => *stored = number()?,
                    b"uid" => entry.uid = id(number()?),
                    b"gid" => entry.gid = id(number()?),
                    b"mtime" => entry.modified = pax::time(value).ok_or_else(wrong)?,
                    b"GNU.sparse.name" => sparse.name = Some(value.to_vec()),
                    b"GNU.sparse.major" => sparse.is_map_in_data = number()? == 1,
                    b"GNU.sparse.realsize" | b"GNU.sparse.size" => sparse.size = Some(number()?),
                    b"GNU.sparse.offset" => sparse.numbers.push(number()?),
                    b"GNU.sparse.numbytes" => sparse.numbers.push(number()?),
                    b"GNU.sparse.map" => {
                        let numbers = value.split(|byte| *byte == b',').map(pax::number);
                        sparse.numbers = numbers.collect::<Option<_>>().ok_or_else(wrong)?;
                    }
                    _ => {}
                }
            }
        }
        if let Some(name) = sparse.name.take() {
            entry.name = name;
        }
        Ok(sparse.size.is_some().then_some(sparse))
    }

    /// GNU tar's old layout: four pieces in the header, more in blocks behind it.
    fn old_sparse(&mut self, header: &Header, entry: &mut Entry) -> Result<(), ArchiveError> {
        let gnu = header.as_gnu().ok_or_else(|| self.damaged("a sparse file without its map"))?;
        let mut pieces = Vec::new();
        self.add_old(&gnu.sparse, &mut pieces)?;
        let mut goes_on = gnu.is_extended();
        while goes_on {
            let mut block = GnuExtSparseHeader::new();
            self.exactly(block.as_mut_bytes())?;
            self.add_old(block.sparse(), &mut pieces)?;
            goes_on = block.is_extended();
        }
        let size = gnu.real_size().map_err(|error| self.damaged(error))?;
        self.set_pieces(pieces, size, entry)
    }

    fn add_old(
        &self,
        map: &[GnuSparseHeader],
        pieces: &mut Vec<Piece>,
    ) -> Result<(), ArchiveError> {
        for piece in map.iter().filter(|piece| !piece.is_empty()) {
            let offset = piece.offset().map_err(|error| self.damaged(error))?;
            let length = piece.length().map_err(|error| self.damaged(error))?;
            pieces.push(Piece { offset, length });
        }
        self.not_too_many(pieces.len())
    }

    fn not_too_many(&self, pieces: usize) -> Result<(), ArchiveError> {
        let problem = "a file of more than a million pieces";
        match pieces > MOST_PIECES {
            true => Err(ArchiveError::TooLarge { at: self.at, problem }),
            false => Ok(()),
        }
    }

    /// The layouts of pax: the map in records, or (version 1.0) before the data.
    fn pax_sparse(&mut self, sparse: Sparse, entry: &mut Entry) -> Result<(), ArchiveError> {
        let mut numbers = sparse.numbers;
        if sparse.is_map_in_data {
            numbers = self.map_in_data()?;
        }
        self.not_too_many(numbers.len() / 2)?;
        let pieces = numbers.chunks(2).map(|pair| match pair {
            [offset, length] => Some(Piece { offset: *offset, length: *length }),
            _ => None,
        });
        let pieces = pieces.collect::<Option<Vec<_>>>();
        let pieces = pieces.ok_or_else(|| self.damaged("half a piece of a sparse file"))?;
        self.set_pieces(pieces, sparse.size.unwrap_or(0), entry)
    }

    /// Decimal numbers, one a line, padded to whole blocks: how many pieces, then each.
    fn map_in_data(&mut self) -> Result<Vec<u64>, ArchiveError> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut digits = Vec::new();
        loop {
            let mut block = [0; BLOCK as usize];
            if self.left < BLOCK {
                return Err(self.damaged("the map of a sparse file is longer than its data"));
            }
            self.exactly(&mut block)?;
            self.left -= BLOCK;
            for byte in block {
                if byte != b'\n' {
                    digits.push(byte);
                    if digits.len() > 20 {
                        return Err(self.damaged("the map of a sparse file is no list of numbers"));
                    }
                    continue;
                }
                let number = pax::number(&digits);
                numbers.push(number.ok_or_else(|| self.damaged("a wrong number in a map"))?);
                digits.clear();
                self.not_too_many(numbers.len() / 2)?;
                let wanted = numbers.first().and_then(|count| count.checked_mul(2));
                if wanted == Some(numbers.len() as u64 - 1) {
                    return Ok(numbers.split_off(1));
                }
            }
        }
    }

    fn set_pieces(
        &mut self,
        pieces: Vec<Piece>,
        size: u64,
        entry: &mut Entry,
    ) -> Result<(), ArchiveError> {
        let (mut end, mut total) = (0_u64, 0_u64);
        for piece in &pieces {
            let next = piece.offset.checked_add(piece.length).filter(|next| *next <= size);
            let Some(next) = next.filter(|_| piece.offset >= end) else {
                return Err(self.damaged("the pieces of a sparse file overlap or lie outside it"));
            };
            (end, total) = (next, total + piece.length);
        }
        if total != self.left {
            return Err(self.damaged("the pieces of a sparse file are not as long as its data"));
        }
        entry.size = size;
        entry.pieces = Some(pieces.clone());
        self.pieces = pieces;
        Ok(())
    }
}

impl<R: Read> Source for Reader<R> {
    type Error = ArchiveError;

    fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.skip(self.left.saturating_add(self.padding))?;
        (self.left, self.padding) = (0, 0);
        let mut before = Before::default();
        loop {
            let Some(header) = self.header()? else {
                let is_open = before.name.is_some() || before.link.is_some();
                return match is_open || !before.pax.is_empty() {
                    true => Err(self.damaged("a name without its entry")),
                    false => Ok(None),
                };
            };
            match header.entry_type() {
                EntryType::GNULongName => before.name = Some(self.text(&header)?),
                EntryType::GNULongLink => before.link = Some(self.text(&header)?),
                EntryType::XHeader => before.pax = self.data(&header)?,
                EntryType::XGlobalHeader => self.globals = self.global(&header)?,
                _ => return self.entry(&header, &before).map(Some),
            }
        }
    }

    fn copy_data<E: From<ArchiveError>>(
        &mut self,
        mut sink: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut copy = || {
            for piece in std::mem::take(&mut self.pieces) {
                let mut done = 0;
                while done < piece.length {
                    let most = (piece.length - done).min(buffer.len() as u64);
                    let part = buffer.get_mut(..usize::try_from(most).unwrap_or(0));
                    let part = part.unwrap_or_default();
                    self.exactly(part)?;
                    sink(piece.offset + done, part)?;
                    done += most;
                    self.left -= most;
                }
            }
            Ok(())
        };
        let copied = copy();
        self.buffer = buffer;
        copied
    }

    /// Reads what stands behind the end mark, so that a compression's checksum is looked at.
    fn finish(mut self) -> Result<Notes, ArchiveError> {
        loop {
            match self.source.read(&mut self.buffer) {
                Ok(0) => return Ok(Notes::default()),
                Ok(count) => self.at += count as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.refused(error)),
            }
        }
    }
}

#[derive(Default)]
struct Sparse {
    name: Option<Vec<u8>>,
    is_map_in_data: bool,
    size: Option<u64>,
    numbers: Vec<u64>,
}

/// An id that Linux does not have is everybody's last one, and not another user's by wrapping.
fn id(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(65_534)
}

fn time_of(seconds: u64) -> Time {
    Time { seconds: seconds.cast_signed(), nanoseconds: 0 }
}
