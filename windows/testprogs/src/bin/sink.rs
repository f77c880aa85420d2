//! `sink`: reads stdin to its end and prints how many bytes there were and their FNV-1a hash with
//! 64 bits, in hexadecimal.
#![forbid(unsafe_code)]

use std::io;

use winterop_testprogs::{Fnv, copy, say};

fn main() -> io::Result<()> {
    let mut hash = Fnv::default();
    let total = copy(&mut io::stdin().lock(), |piece| {
        hash.update(piece);
        Ok(())
    })?;
    say(&format!("{total} {:016x}", hash.0))
}
