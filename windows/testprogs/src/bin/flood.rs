//! `flood BYTES`: writes BYTES bytes to stdout, in which each 8 are their own position divided by 8.
#![forbid(unsafe_code)]

use std::io;

use winterop_testprogs::{Pattern, number_argument};

fn main() -> io::Result<()> {
    Pattern::write(number_argument(1, 1 << 20)?, &mut io::stdout().lock())
}
