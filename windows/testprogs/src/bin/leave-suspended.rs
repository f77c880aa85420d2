//! `leave-suspended`: starts itself with `CREATE_SUSPENDED`, prints "left", and ends without resuming it.
//!
//! The child has inherited standard output, and would print "resumed".
#![forbid(unsafe_code)]

use std::io;
use std::os::windows::process::CommandExt as _;
use std::process::Command;

use windows_sys::Win32::System::Threading::CREATE_SUSPENDED;
use winterop_testprogs::say;

fn main() -> io::Result<()> {
    if std::env::args().len() > 1 {
        return say("resumed");
    }
    Command::new(std::env::current_exe()?).arg("child").creation_flags(CREATE_SUSPENDED).spawn()?;
    say("left")
}
