//! `self-path`: prints two lines: its own executable's path and its working directory.
#![forbid(unsafe_code)]

use std::io;

use winterop_testprogs::say;

fn main() -> io::Result<()> {
    say(&std::env::current_exe()?.display().to_string())?;
    say(&std::env::current_dir()?.display().to_string())
}
