//! The log of a service on standard error: nothing in it steers a terminal, each event is one line, and a
//! file does not grow for ever.

use crate::put_aside;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use winterop_words::printable;

/// A log's file that has grown to this is put aside.
const LARGEST: u64 = 8 << 20;

/// How many are kept beside the file itself.
const KEPT: u32 = 2;

/// The file that standard error is, where it is one of our own.
static FILE: OnceLock<Mutex<(PathBuf, File)>> = OnceLock::new();

/// Has the log written into a file from here on, which is put aside when it is large.
///
/// # Errors
/// The system's.
pub fn keep_log(path: &Path) -> io::Result<()> {
    let file = open(path)?;
    let _ = FILE.set(Mutex::new((path.to_owned(), file)));
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// An event as one line in which nothing steers a terminal.
fn line_of(event: &[u8]) -> String {
    format!("{}\n", printable(event.strip_suffix(b"\n").unwrap_or(event)))
}

/// Writes events to something, each as one line.
#[derive(Clone, Copy, Debug)]
pub struct Printable<W>(pub W);

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(line_of(event).as_bytes()).map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes events to standard error or to the file that was named, each as one line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = line_of(event);
        match FILE.get() {
            None => io::stderr().write_all(line.as_bytes())?,
            Some(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                if file.1.metadata()?.len() >= LARGEST {
                    put_aside(&file.0, KEPT)?;
                    file.1 = open(&file.0)?;
                }
                file.1.write_all(line.as_bytes())?;
            }
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_steers_nothing_and_the_file_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("winterop.log");
        keep_log(&path).unwrap();
        Log.write_all("a\u{9b}2J\u{1b}c\nroot: forged\n".as_bytes()).unwrap();
        let expected = "a\\u{9b}2J\\u{1b}c\\u{a}root: forged\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        File::options().write(true).open(&path).unwrap().set_len(LARGEST).unwrap();
        Log.write_all(b"next\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "next\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
