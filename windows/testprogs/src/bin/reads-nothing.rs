//! `reads-nothing`: prints "done" and ends, without a look at stdin.
#![forbid(unsafe_code)]

use std::io;

fn main() -> io::Result<()> {
    winterop_testprogs::say("done")
}
