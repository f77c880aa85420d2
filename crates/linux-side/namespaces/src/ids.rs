//! Work on a distribution's files while it does not run, with the ids that it has when it runs.

use crate::{handshake, maps};
use rustix::process::{Pid, Signal, WaitOptions, getppid, waitpid};
use std::io;
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
    let (mut entering, mut mapping) = handshake::pair()?;
    let parent = rustix::process::getpid();
    let is_root = rustix::process::geteuid().is_root();
    match fork()? {
        Fork::Child => {
            drop(mapping);
            let ready = enter(parent, is_root, || entering.have_mapped());
            let status = ready.map_or(126, |()| work());
            winterop_sys::exit(status)
        }
        Fork::Parent(child) => {
            drop(entering);
            for signal in [Signal::INT, Signal::QUIT] {
                winterop_sys::ignore(signal);
            }
            let written = mapping
                .wait_for_entry()
                .map_err(|_| io::Error::other("no namespace of users can be made here"))
                .and_then(|()| match is_root {
                    true => Ok(None),
                    false => maps::write(child.as_raw_nonzero().get()),
                });
            // Where it has none it is not told, and sees that nobody will.
            let told = match written {
                Ok(note) => mapping.say_mapped().map(|()| note),
                Err(error) => {
                    drop(mapping);
                    Err(error)
                }
            };
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
