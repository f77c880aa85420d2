//! What whoever works with distributions has others for: to hear how far it is, and to say which of them run.

use crate::name::DistributionName;
use std::fmt::Display;
use std::io::{self, Read, Write};
use winterop_words::Words;

/// Work on files that takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Files are written from an archive or a disk image, of so many bytes where that is known.
    Import(Option<u64>),
    /// An archive is written.
    Export,
}

/// Whoever hears of it. Files are worked on in a child process, which it goes along with.
pub trait Listener: Send + Sync {
    /// It has begun.
    fn begin(&self, work: Work);
    /// So many bytes more are done.
    fn advance(&self, bytes: u64);
    /// It is done.
    fn finish(&self);
    /// A line for a person: what had to be done without, and what went wrong before the end.
    fn say(&self, line: &dyn Display);
}

/// Whoever knows which distributions run.
pub trait Instances {
    /// Whether it runs.
    ///
    /// # Errors
    /// In words: nobody can say.
    fn runs(&self, name: &DistributionName) -> Result<bool, Words>;

    /// Ends it, with everything that runs in it, if it runs.
    ///
    /// # Errors
    /// In words: it does not end.
    fn end(&self, name: &DistributionName) -> Result<(), Words>;
}

/// A stream whose bytes are told.
pub(crate) struct Counted<S, F> {
    /// The stream.
    pub(crate) stream: S,
    /// Is told how many more there were.
    pub(crate) count: F,
}

impl<S, F: Fn(u64)> Counted<S, F> {
    fn told(&self, done: io::Result<usize>) -> io::Result<usize> {
        done.inspect(|count| (self.count)(*count as u64))
    }
}

impl<S: Read, F: Fn(u64)> Read for Counted<S, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let done = self.stream.read(buffer);
        self.told(done)
    }
}

impl<S: Write, F: Fn(u64)> Write for Counted<S, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.stream.write(bytes);
        self.told(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
