//! `both [BYTES]`: copies stdin to stdout and at the same time writes BYTES bytes (1 MiB if not
//! given) of `flood`'s pattern to stderr.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::thread;

use winterop_testprogs::{Pattern, copy, number_argument};

fn main() -> io::Result<()> {
    let bytes = number_argument(1, 1 << 20)?;
    let errors = thread::spawn(move || Pattern::write(bytes, &mut io::stderr().lock()));
    let mut out = io::stdout().lock();
    copy(&mut io::stdin().lock(), |piece| {
        out.write_all(piece)?;
        out.flush()
    })?;
    errors.join().unwrap_or_else(|_| Err(io::Error::other("the writer to stderr panicked")))
}
