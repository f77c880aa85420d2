//! Work on a distribution's files while it does not run, with the ids that it has when it runs.

use crate::maps;
use rustix::process::{Pid, Signal, WaitOptions, getppid, waitpid};
use std::io::{self, Read as _, Write as _};
use winterop_sys::{Fork, Namespaces, fork};

/// What became of the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What the work returned; `None` where a signal ended it.
    pub status: Option<u8>,
    /// What cannot be preserved for want of subordinate ids, in words.
    pub note: Option<String>,
}

/// Runs `work` in a child process that has the ids of a distribution's instance, and waits for its
/// end. Root has the ids of the machine there and needs no namespace, in which nobody could make a
/// device. The child is killed when this process ends, so nobody works on unseen. Keys that interrupt
/// end the child alone, and this process cleans up.
///
/// This process must have one thread.
///
/// # Errors
/// The system's, where the child cannot be made or cannot have its ids; `work` did not run then.
pub fn with_ids(work: impl FnOnce() -> u8) -> io::Result<Done> {
    let (mut entered, mut tell_entered) = io::pipe()?;
    let (mut mapped, mut tell_mapped) = io::pipe()?;
    let parent = rustix::process::getpid();
    let is_root = rustix::process::geteuid().is_root();
    match fork()? {
        Fork::Child => {
            drop((entered, tell_mapped));
            let ready = enter(parent, is_root, || {
                tell_entered.write_all(b".")?;
                mapped.read_exact(&mut [0])
            });
            let status = ready.map_or(126, |()| work());
            winterop_sys::exit(status)
        }
        Fork::Parent(child) => {
            drop((mapped, tell_entered));
            for signal in [Signal::INT, Signal::QUIT] {
                winterop_sys::ignore(signal);
            }
            let written = entered
                .read_exact(&mut [0])
                .map_err(|_| io::Error::other("no namespace of users can be made here"))
                .and_then(|()| match is_root {
                    true => Ok(None),
                    false => maps::write(child.as_raw_nonzero().get()),
                });
            let told = written.and_then(|note| tell_mapped.write_all(b".").map(|()| note));
            drop(tell_mapped);
            let status = end_of(child)?;
            Ok(Done { note: told?, status })
        }
    }
}

/// A namespace of users, except for root, and the wish to end with the parent.
fn enter(
    parent: Pid,
    is_root: bool,
    wait_for_maps: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    if !is_root {
        winterop_sys::unshare(Namespaces::USER)?;
    }
    wait_for_maps()?;
    // The kernel forgets this wish when a process's rights change, so it comes last.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    match getppid() == Some(parent) {
        true => Ok(()),
        false => Err(io::Error::other("the parent has ended")),
    }
}

fn end_of(child: Pid) -> io::Result<Option<u8>> {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                return Ok(status.exit_status().and_then(|status| u8::try_from(status).ok()));
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
