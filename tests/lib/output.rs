//! What a process writes, read with a deadline: who waits for ever says nothing.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{Process, processes};

/// The read end of a pipe that others write to.
#[derive(Debug)]
pub struct Output {
    pipe: ChildStdout,
    /// What was read and not yet asked for.
    read: Vec<u8>,
}

/// Nothing has come in time, and the end has not either.
#[derive(Debug)]
pub struct Silence {
    /// What had come.
    read: Vec<u8>,
    /// Who could still have written, a line for each.
    holders: Vec<String>,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = String::from_utf8_lossy(&self.read);
        write!(f, "nothing came behind {read:?}, and the pipe is still held by")?;
        self.holders.iter().try_for_each(|holder| write!(f, "\n  {holder}"))
    }
}

impl Output {
    /// The standard output of a child.
    #[must_use]
    pub fn of(pipe: ChildStdout) -> Self {
        Self { pipe, read: Vec::new() }
    }

    /// The next line without its end; what there is of it where the output ends.
    ///
    /// # Errors
    /// If neither comes in this time.
    pub fn line(&mut self, patience: Duration) -> Result<String, Silence> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if !self.more(deadline)? {
                let line = std::mem::take(&mut self.read);
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        }
    }

    /// Everything up to the end, which comes when nobody has the other end of the pipe any more.
    ///
    /// # Errors
    /// If it does not come in this time.
    pub fn rest(mut self, patience: Duration) -> Result<Vec<u8>, Silence> {
        let deadline = Instant::now() + patience;
        while self.more(deadline)? {}
        Ok(self.read)
    }

    /// Reads something; false at the end.
    fn more(&mut self, deadline: Instant) -> Result<bool, Silence> {
        if !self.is_readable(deadline) {
            return Err(Silence { read: self.read.clone(), holders: self.holders() });
        }
        let mut part = [0; 4096];
        let count = self.pipe.read(&mut part).expect("a pipe");
        self.read.extend_from_slice(&part[..count]);
        Ok(count > 0)
    }

    /// Whether something can be read before the deadline, or the end is there.
    fn is_readable(&self, deadline: Instant) -> bool {
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let rest = Timespec::try_from(rest).expect("a time");
            match poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&rest)) {
                Ok(count) => return count > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("poll: {error}"),
            }
        }
    }

    /// Which processes have the pipe open, other than this one: with the descriptor, the state, who the
    /// parent is and the words that it was started with.
    fn holders(&self) -> Vec<String> {
        let own = Process(std::process::id().cast_signed());
        let number = self.pipe.as_raw_fd();
        let pipe = fs::read_link(format!("/proc/self/fd/{number}")).expect("a descriptor of ours");
        let others = processes().into_iter().filter(|process| *process != own);
        others.filter_map(|process| holder(process, &pipe)).collect()
    }
}

fn holder(process: Process, pipe: &PathBuf) -> Option<String> {
    let entries = fs::read_dir(format!("/proc/{}/fd", process.0)).ok()?.flatten();
    let of_pipe = entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|it| it == *pipe));
    let numbers: Vec<_> = of_pipe.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
    (!numbers.is_empty()).then(|| {
        format!(
            "process {} as descriptor {}, {}, a child of {}: {}",
            process.0,
            numbers.join(" and "),
            process.status("State").unwrap_or_default(),
            process.status("PPid").unwrap_or_default(),
            process.command_line()
        )
    })
}
