//! Writing a tar archive: ustar headers, with pax records for all that has no room in them.
//!
//! Holes of files are left out as GNU tar does it in version 1.0 of its layout: the map of the pieces
//! stands before their data.

use super::{BLOCK, Entry, Kind, Piece, padding};
use std::io::{self, Write};
use tar::{EntryType, Header};

/// How long a name may be in a header itself, in bytes.
const LONGEST_NAME: usize = 100;

/// The largest number of the header's field for sizes: 11 octal digits.
const LARGEST_SIZE: u64 = 0o777_7777_7777;

/// The largest number of its fields for ids: 7 octal digits.
const LARGEST_ID: u32 = 0o777_7777;

/// A tar archive that is written entry by entry.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    /// What is still to come of the current entry's data, and the padding behind it.
    left: u64,
    padding: u64,
}

impl<W: Write> Writer<W> {
    /// An archive that begins where `sink` stands.
    pub fn new(sink: W) -> Self {
        Self { sink, left: 0, padding: 0 }
    }

    /// Begins an entry. A file's data comes after it, by [`Writer::data`].
    ///
    /// # Errors
    /// The sink's, and that the last entry is not complete.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.end_entry()?;
        let map = entry.pieces.as_deref().map(|pieces| map_of(pieces, entry.size));
        let map = map.unwrap_or_default();
        let data: u64 = match (&entry.kind, &entry.pieces) {
            (Kind::File, Some(pieces)) => pieces.iter().map(|piece| piece.length).sum(),
            (Kind::File, None) => entry.size,
            _ => 0,
        };
        let stored = data + map.len() as u64;
        let records = records_of(entry, stored);
        if !records.is_empty() {
            let mut header = Header::new_ustar();
            put(&mut header.as_old_mut().name, b"pax");
            header.set_entry_type(EntryType::XHeader);
            header.set_mode(0o644);
            header.set_size(records.len() as u64);
            self.write_header(&mut header)?;
            self.sink.write_all(&records)?;
            self.pad(padding(records.len() as u64))?;
        }
        self.write_header(&mut header_of(entry, stored))?;
        self.sink.write_all(&map)?;
        (self.left, self.padding) = (data, padding(stored));
        Ok(())
    }

    /// The next part of the entry's data. More than was promised is left out.
    ///
    /// # Errors
    /// The sink's.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.sink.write_all(bytes.get(..most).unwrap_or_default())?;
        self.left -= most as u64;
        Ok(())
    }

    /// How much of the entry's data is still to come.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.left
    }

    /// Fills what is missing of the entry's data with zeros: its file has become shorter meanwhile.
    ///
    /// # Errors
    /// The sink's.
    pub fn fill(&mut self) -> io::Result<()> {
        let missing = std::mem::take(&mut self.left);
        self.pad(missing)
    }

    /// Ends the archive, and gives the sink back.
    ///
    /// # Errors
    /// The sink's, and that the last entry is not complete.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_entry()?;
        self.pad(2 * BLOCK)?;
        Ok(self.sink)
    }

    fn end_entry(&mut self) -> io::Result<()> {
        if self.left > 0 {
            let error = format!("{} bytes of an entry's data are missing", self.left);
            return Err(io::Error::other(error));
        }
        let padding = std::mem::take(&mut self.padding);
        self.pad(padding)
    }

    fn pad(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::Read::take(io::repeat(0), count), &mut self.sink).map(drop)
    }

    fn write_header(&mut self, header: &mut Header) -> io::Result<()> {
        header.set_cksum();
        self.sink.write_all(header.as_bytes())
    }
}

/// Copies as much as there is room for.
fn put(field: &mut [u8], bytes: &[u8]) {
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = *from;
    }
}

fn link_of(kind: &Kind) -> &[u8] {
    match kind {
        Kind::HardLink(to) | Kind::SymbolicLink(to) => to,
        _ => b"",
    }
}

fn header_of(entry: &Entry, stored: u64) -> Header {
    let mut header = Header::new_ustar();
    put(&mut header.as_old_mut().name, &entry.name);
    put(&mut header.as_old_mut().linkname, link_of(&entry.kind));
    header.set_mode(entry.mode);
    header.set_uid(entry.uid.min(LARGEST_ID).into());
    header.set_gid(entry.gid.min(LARGEST_ID).into());
    header.set_mtime(u64::try_from(entry.modified.seconds).unwrap_or(0).min(LARGEST_SIZE));
    header.set_size(stored.min(LARGEST_SIZE));
    let (kind, device) = match &entry.kind {
        Kind::File => (EntryType::Regular, None),
        Kind::HardLink(_) => (EntryType::Link, None),
        Kind::SymbolicLink(_) => (EntryType::Symlink, None),
        Kind::Directory => (EntryType::Directory, None),
        Kind::CharacterDevice(device) => (EntryType::Char, Some(device)),
        Kind::BlockDevice(device) => (EntryType::Block, Some(device)),
        Kind::Pipe => (EntryType::Fifo, None),
    };
    header.set_entry_type(kind);
    if let Some(device) = device {
        // These fail for headers that have no such fields; ustar's have.
        let _ = header.set_device_major(device.major);
        let _ = header.set_device_minor(device.minor);
    }
    header
}

/// The pax records: what the header has no room for, times to the nanosecond, attributes.
fn records_of(entry: &Entry, stored: u64) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |key: &str, value: &[u8]| add_record(&mut records, key.as_bytes(), value);
    if entry.pieces.is_some() {
        add("GNU.sparse.major", b"1");
        add("GNU.sparse.minor", b"0");
        add("GNU.sparse.name", &entry.name);
        add("GNU.sparse.realsize", entry.size.to_string().as_bytes());
    }
    if entry.name.len() > LONGEST_NAME {
        add("path", &entry.name);
    }
    let link = link_of(&entry.kind);
    if link.len() > LONGEST_NAME {
        add("linkpath", link);
    }
    if stored > LARGEST_SIZE {
        add("size", stored.to_string().as_bytes());
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if id > LARGEST_ID {
            add(key, id.to_string().as_bytes());
        }
    }
    let modified = entry.modified;
    if modified.nanoseconds > 0 || !(0..=LARGEST_SIZE.cast_signed()).contains(&modified.seconds) {
        add("mtime", time(modified).as_bytes());
    }
    for (name, value) in &entry.attributes {
        add_record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn add_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The blank, the equals sign and the newline.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    for part in [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"] {
        records.extend_from_slice(part);
    }
}

fn time(time: super::Time) -> String {
    let (seconds, nanoseconds) = (i128::from(time.seconds), i128::from(time.nanoseconds));
    let all = seconds * 1_000_000_000 + nanoseconds;
    let sign = if all < 0 { "-" } else { "" };
    let all = all.unsigned_abs();
    format!("{sign}{}.{:09}", all / 1_000_000_000, all % 1_000_000_000)
}

/// How many pieces, then each: decimal numbers, one a line, padded to whole blocks. GNU tar takes the
/// end of a file from an empty piece there, where the file ends in a hole.
fn map_of(pieces: &[Piece], size: u64) -> Vec<u8> {
    let end = pieces.last().map_or(0, |piece| piece.offset + piece.length);
    let last = (end < size).then_some(Piece { offset: size, length: 0 });
    let mut text = format!("{}\n", pieces.len() + usize::from(last.is_some()));
    for piece in pieces.iter().chain(&last) {
        text.push_str(&format!("{}\n{}\n", piece.offset, piece.length));
    }
    let mut map = text.into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK as usize), 0);
    map
}

#[cfg(test)]
mod tests {
    use super::super::{Device, Source as _, Time, read::Reader};
    use super::*;

    fn entry(name: &[u8], kind: Kind, size: u64) -> Entry {
        Entry {
            name: name.to_vec(),
            kind,
            mode: 0o4755,
            uid: 7,
            gid: 8,
            modified: Time { seconds: 17, nanoseconds: 0 },
            attributes: Vec::new(),
            size,
            pieces: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let long = b"long/".repeat(70);
        let odd = Entry {
            uid: u32::MAX - 1,
            gid: 3_000_000,
            modified: Time { seconds: -2, nanoseconds: 500_000_000 },
            attributes: vec![(b"user.a".to_vec(), b"\n1=2\n".to_vec())],
            ..entry(&long, Kind::SymbolicLink(b"to/".repeat(50)), 0)
        };
        let pieces = vec![Piece { offset: 4096, length: 3 }, Piece { offset: 1 << 40, length: 1 }];
        let sparse = Entry { pieces: Some(pieces), ..entry(b"sparse", Kind::File, (1 << 40) + 1) };
        let device = Device { major: 300, minor: 70_000 };
        let entries = [
            entry(b"d/", Kind::Directory, 0),
            entry(b"d/file", Kind::File, 3),
            sparse,
            entry(b"d/again", Kind::HardLink(b"d/file".to_vec()), 0),
            odd,
            entry(b"null", Kind::CharacterDevice(device), 0),
            entry(b"pipe", Kind::Pipe, 0),
        ];
        let mut writer = Writer::new(Vec::new());
        for entry in &entries {
            writer.entry(entry).unwrap();
            match &*entry.name {
                b"d/file" => writer.data(b"abcde").unwrap(),
                b"sparse" => {
                    writer.data(b"xy").unwrap();
                    assert!(writer.missing() == 2);
                    writer.fill().unwrap();
                }
                _ => {}
            }
        }
        let mut reader = Reader::new(io::Cursor::new(writer.finish().unwrap()));
        for expected in &entries {
            assert_eq!(reader.next_entry().unwrap().as_ref(), Some(expected));
            let mut data = Vec::new();
            reader
                .copy_data(|offset, part| {
                    data.push((offset, part.to_vec()));
                    Ok::<(), super::super::ArchiveError>(())
                })
                .unwrap();
            match &*expected.name {
                b"d/file" => assert_eq!(data, [(0, b"abc".to_vec())]),
                b"sparse" => {
                    assert_eq!(data, [(4096, b"xy\0".to_vec()), (1 << 40, b"\0".to_vec())]);
                }
                _ => assert!(data.is_empty()),
            }
        }
        assert!(reader.next_entry().unwrap().is_none());
    }

    #[test]
    fn an_entry_that_is_not_complete_is_an_error() {
        let mut writer = Writer::new(Vec::new());
        writer.entry(&entry(b"file", Kind::File, 3)).unwrap();
        assert!(writer.entry(&entry(b"next", Kind::File, 0)).is_err());
        assert!(writer.finish().is_err());
    }
}
