//! What the targets share.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use winterop_distributions::archive::Source;

/// A file in memory, of pieces and where each lies; as long as `length`.
///
/// # Panics
/// Where there is no memory.
#[must_use]
pub fn file(length: u64, pieces: &[(u64, &[u8])]) -> File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let file = File::from(rustix::fs::memfd_create("image", flags).expect("a file in memory"));
    file.set_len(length).expect("its length");
    for (at, piece) in pieces {
        file.write_all_at(piece, *at).expect("a piece");
    }
    file
}

/// Reads everything; what comes out must lie in its files, in order, and be at most `most` bytes.
///
/// # Panics
/// Where it does not.
pub fn read_all<S: Source>(mut source: S, most: u64)
where
    S::Error: std::fmt::Display,
{
    let mut all = 0_u64;
    loop {
        match source.next_entry() {
            Ok(Some(entry)) => {
                let mut end = 0;
                let copied = source.copy_data(|offset, part| -> Result<(), S::Error> {
                    assert!(offset >= end, "parts overlap");
                    end = offset + part.len() as u64;
                    assert!(end <= entry.size, "a part lies outside its file");
                    all += part.len() as u64;
                    Ok(())
                });
                if let Err(error) = copied {
                    let _ = error.to_string();
                    return;
                }
            }
            Ok(None) => break,
            Err(error) => {
                let _ = error.to_string();
                return;
            }
        }
    }
    assert!(all <= most, "{all} bytes came out of {most}");
    if let Ok(notes) = source.finish() {
        notes.lines().for_each(drop);
    }
}
