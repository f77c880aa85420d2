//! `cwd-report`: prints its working directory as UTF-8.
#![forbid(unsafe_code)]

use std::io;

fn main() -> io::Result<()> {
    winterop_testprogs::say(&std::env::current_dir()?.display().to_string())
}
