//! `cat [FILE…]`: copies the files, or stdin, to stdout, byte for byte.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write as _};

use winterop_testprogs::copy;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut emit = |piece: &[u8]| {
        out.write_all(piece)?;
        // stdout keeps what follows the last line feed; a reader waits for it.
        out.flush()
    };
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    for file in &files {
        copy(&mut File::open(file)?, &mut emit)?;
    }
    if files.is_empty() {
        copy(&mut io::stdin().lock(), emit)?;
    }
    Ok(())
}
