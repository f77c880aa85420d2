//! `wait-event`: prints "ready", waits until stdin ends, prints "closed".
#![forbid(unsafe_code)]

use std::io;

use winterop_testprogs::{copy, say};

fn main() -> io::Result<()> {
    say("ready")?;
    copy(&mut io::stdin().lock(), |_| Ok(()))?;
    say("closed")
}
