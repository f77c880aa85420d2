//! Compressions: told by how the data begins, and worked on by a thread of their own.

use lzma_rust2::{XzOptions, XzReader, XzWriter};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// How much one part of the stream is, in bytes, and how many may wait for the reader.
const PART: usize = 256 << 10;
const PARTS: usize = 8;

/// The most memory that a decompressor may take for what it looks back on: what `xz -9` and
/// `zstd --ultra -22` need, and some room. A header of a few bytes could ask for 4 GiB.
const MEMORY_MIB: u32 = 128;
/// The same as zstd counts it: the power of two.
const WINDOW_LOG: u32 = 27;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not at all: `.tar`.
    None,
    /// `.tar.gz`.
    Gzip,
    /// `.tar.xz`.
    Xz,
    /// `.tar.zst`.
    Zstd,
}

impl Compression {
    /// What a file's name promises.
    #[must_use]
    pub fn of_name(path: &Path) -> Self {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "gz" | "tgz" => Self::Gzip,
            "xz" | "txz" => Self::Xz,
            "zst" | "tzst" => Self::Zstd,
            _ => Self::None,
        }
    }

    /// What data is, by its first bytes.
    #[must_use]
    pub fn of_data(begin: &[u8]) -> Self {
        if begin.starts_with(&[0x1F, 0x8B]) {
            Self::Gzip
        } else if begin.starts_with(b"\xFD7zXZ\0") {
            Self::Xz
        } else if begin.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

/// What a thread has read ahead of its reader; at most two MiB.
pub struct Ahead {
    parts: Receiver<io::Result<Vec<u8>>>,
    part: Vec<u8>,
    used: usize,
    has_ended: bool,
    thread: JoinHandle<()>,
}

impl Ahead {
    /// Waits until nothing reads ahead any more, the source included: for a source that ends.
    pub fn finish(self) {
        let Self { parts, thread, .. } = self;
        drop(parts);
        // What it had to say of the data it has said.
        let _ = thread.join();
    }
}

/// Reads `source`, decompressed as its first bytes say, on a thread of its own, so that
/// decompressing and what the reader does with the data go on at the same time.
///
/// # Errors
/// Where the first bytes cannot be read, or no thread can be started.
pub fn decompressed(mut source: impl Read + Send + 'static) -> io::Result<Ahead> {
    let mut begin = Vec::new();
    source.by_ref().take(6).read_to_end(&mut begin)?;
    let compression = Compression::of_data(&begin);
    let whole = io::Cursor::new(begin).chain(source);
    let (sender, parts) = sync_channel(PARTS);
    let thread = std::thread::Builder::new().name("decompress".to_owned());
    let thread = thread.spawn(move || {
        let buffered = BufReader::with_capacity(PART, whole);
        match compression {
            Compression::None => send_all(buffered, &sender),
            Compression::Gzip => send_all(flate2::bufread::MultiGzDecoder::new(buffered), &sender),
            Compression::Xz => {
                // Its own tables come on top.
                let most = (MEMORY_MIB + 1) << 10;
                send_all(Damage(XzReader::new_mem_limit(buffered, true, most)), &sender);
            }
            Compression::Zstd => match zstd(buffered) {
                Ok(decoder) => send_all(Damage(decoder), &sender),
                Err(error) => drop(sender.send(Err(error))),
            },
        }
    })?;
    Ok(Ahead { parts, part: Vec::new(), used: 0, has_ended: false, thread })
}

fn zstd<R: io::BufRead>(source: R) -> io::Result<zstd::Decoder<'static, R>> {
    let mut decoder = zstd::Decoder::with_buffer(source)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(decoder)
}

/// What is wrong with the data, in words. zstd says of everything that it is "other".
struct Damage<R>(R);

impl<R: Read> Read for Damage<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => too_much_memory(),
            // The library has no number for it, only this text.
            io::ErrorKind::Other if error.to_string().contains("too much memory") => {
                too_much_memory()
            }
            io::ErrorKind::Other => io::Error::new(io::ErrorKind::InvalidData, error),
            _ => error,
        })
    }
}

fn too_much_memory() -> io::Error {
    let words = format!(
        "decompressing it takes more than {MEMORY_MIB} MiB of memory; decompress it, and compress \
         it again with `xz -9` or `zstd -19`"
    );
    io::Error::new(io::ErrorKind::OutOfMemory, words)
}

/// Hands everything over, until its end, an error, or nobody reads any more.
fn send_all(mut source: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut part = Vec::with_capacity(PART);
        let read = source.by_ref().take(PART as u64).read_to_end(&mut part);
        let is_end = part.len() < PART;
        let lost = !part.is_empty() && sender.send(Ok(part)).is_err();
        let (Ok(_), false, false) = (&read, is_end, lost) else {
            // An empty part is the end: a thread that dies leaves without one.
            let _ = sender.send(read.map(|_| Vec::new()));
            return;
        };
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.part.len() && !self.has_ended {
            let lost = |_| io::Error::new(io::ErrorKind::InvalidData, "it cannot be decompressed");
            self.part = self.parts.recv().map_err(lost)??;
            self.used = 0;
            self.has_ended = self.part.is_empty();
        }
        let rest = self.part.get(self.used..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.used += count;
        Ok(count)
    }
}

/// Data on its way into a compressed file. [`Compressor::finish`] ends it; without that the file is
/// cut off.
pub enum Compressor<W: Write> {
    /// As it is.
    None(W),
    /// gzip's middle level.
    Gzip(flate2::write::GzEncoder<W>),
    /// xz's middle level.
    Xz(Box<XzWriter<W>>),
    /// zstd's usual level.
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// Compresses into `sink`.
    ///
    /// # Errors
    /// The sink's.
    pub fn new(compression: Compression, sink: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(sink),
            Compression::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(sink, flate2::Compression::default()))
            }
            Compression::Xz => Self::Xz(Box::new(XzWriter::new(sink, XzOptions::with_preset(6))?)),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(sink, 0)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Writes what is left and gives the sink back.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::None(sink) => Ok(sink),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Xz(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(sink) => sink.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Xz(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(sink) => sink.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Xz(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 4] =
        [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd];

    fn packed(compression: Compression, data: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(compression, Vec::new()).unwrap();
        compressor.write_all(data).unwrap();
        compressor.finish().unwrap()
    }

    fn unpacked(data: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        decompressed(io::Cursor::new(data))?.read_to_end(&mut all)?;
        Ok(all)
    }

    fn data() -> Vec<u8> {
        (0..700_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        for compression in ALL {
            let packed = packed(compression, &data());
            assert_eq!(Compression::of_data(&packed), compression);
            assert!(unpacked(packed).unwrap() == data(), "{compression:?}");
        }
    }

    #[test]
    fn two_streams_one_behind_the_other_are_one() {
        for compression in ALL {
            let two = [packed(compression, b"one "), packed(compression, b"two")].concat();
            assert_eq!(unpacked(two).unwrap(), b"one two", "{compression:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_an_error() {
        for compression in ALL.into_iter().skip(1) {
            let whole = packed(compression, &data());
            let cut = whole.get(..whole.len() / 2).unwrap().to_vec();
            assert!(unpacked(cut).is_err(), "{compression:?}");
            let mut flipped = whole.clone();
            *flipped.get_mut(whole.len() / 2).unwrap() ^= 0x10;
            assert!(unpacked(flipped).is_err(), "{compression:?}");
        }
    }

    /// An archive whose one block wants the largest dictionary that xz knows, 4 GiB.
    fn xz_of_a_large_dictionary() -> Vec<u8> {
        let mut data = packed(Compression::Xz, b"small");
        let begin = 12;
        let end = begin + (usize::from(data[begin]) + 1) * 4 - 4;
        let filter = data[begin..end].windows(2).position(|two| two == [0x21, 1]).unwrap();
        data[begin + filter + 2] = 40;
        let mut sum = flate2::Crc::new();
        sum.update(&data[begin..end]);
        data[end..end + 4].copy_from_slice(&sum.sum().to_le_bytes());
        data
    }

    /// A frame of zstd with one raw block of a byte, and a window of 2 to the power of `log`.
    fn zstd_of_a_large_window(log: u8) -> Vec<u8> {
        [&[0x28, 0xB5, 0x2F, 0xFD, 0, (log - 10) << 3][..], &[9, 0, 0], b"x"].concat()
    }

    #[test]
    fn what_would_take_too_much_memory_is_refused_with_words() {
        assert_eq!(unpacked(zstd_of_a_large_window(27)).unwrap(), b"x");
        for data in [xz_of_a_large_dictionary(), zstd_of_a_large_window(31)] {
            let compression = Compression::of_data(&data);
            let error = unpacked(data).unwrap_err().to_string();
            assert!(
                error.contains("128 MiB") && error.contains("compress"),
                "{compression:?} {error}"
            );
        }
    }

    #[test]
    fn a_reader_that_goes_away_ends_the_thread() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"begins").unwrap();
        drop(decompressed(reader).unwrap());
        // Sooner or later nobody is left who could read.
        while writer.write_all(&[0; 4096]).is_ok() {}
    }
}
