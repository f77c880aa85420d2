//! `argv-report [ARGUMENT…]`: prints a line of JSON with its command line as it is and as Rust's
//! standard library splits it, each as lossy text and as hexadecimal UTF-16 units.
#![forbid(unsafe_code)]

use std::io;

use winterop_testprogs::{command_line, json_command_line, say, units};

fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args_os().map(|argument| units(&argument)).collect();
    say(&json_command_line(&command_line(), &arguments))
}
