//! The name services, which a static program does not have: `getent` is asked, as a program of its own.

use crate::Starter;
use crate::starter::{self, ProgramStart};
use crate::wait::until_readable;
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::path::Path;
use std::time::{Duration, Instant};
use winterop_accounts::{Account, PATH, number};

/// How long `getent` may take.
const ASKING: Duration = Duration::from_secs(5);

/// The most bytes of an answer: 64 KiB.
const LONGEST_ANSWER: usize = 64 << 10;

/// Who learns of the end of a child of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// Whoever has started it.
    Here,
    /// A process that takes the ends of all children.
    Elsewhere,
}

/// Asks the name services for a user that the file does not have, by name or by number. What asks them
/// is started by `starter`, where there is one.
#[must_use]
pub fn ask(key: &[u8], reaped: Reaped, starter: Option<&Starter>) -> Option<Account> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).ok()?;
    let getent =
        ["/usr/bin/getent", "/bin/getent"].into_iter().find(|it| Path::new(it).exists())?;
    let words = [&b"getent"[..], b"passwd", b"--", key];
    let plan = ProgramStart {
        program: getent.as_bytes(),
        arguments: words.map(<[u8]>::to_vec).to_vec(),
        environment: vec![format!("PATH={PATH}").into_bytes()],
        standard: [None, Some(writer.as_fd()), None],
        patience: Some(starter::PATIENCE),
        ..ProgramStart::default()
    };
    let child = starter::start(starter, &plan).ok()?;
    drop(writer);
    let answer = said_by(child, &reader, ASKING);
    if reaped == Reaped::Here {
        let _ = waitpid(Some(child), WaitOptions::empty());
    }
    let answer = answer?;
    let account = Account::parse(answer.split(|byte| *byte == b'\n').next()?)?;
    (account.name == key || number(key) == Some(account.user)).then_some(account)
}

/// Everything that a child says up to the end, if that comes in time; else the child is ended. Nobody may
/// have waited for it yet, so its pid is its own: where it is reaped elsewhere, it is by this thread,
/// later.
pub(crate) fn said_by(child: Pid, reader: &OwnedFd, patience: Duration) -> Option<Vec<u8>> {
    let said = read_until(reader, Instant::now() + patience);
    if said.is_none() {
        let _ = kill_process(child, Signal::KILL);
    }
    said
}

fn read_until(reader: &OwnedFd, deadline: Instant) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    // Whoever goes on and on has no more time than others.
    while Instant::now() < deadline && until_readable(reader, deadline).ok()? {
        match rustix::io::read(reader, &mut buffer).ok()? {
            0 => return Some(text),
            _ if text.len() > LONGEST_ANSWER => return None,
            count => text.extend_from_slice(buffer.get(..count)?),
        }
    }
    None
}
