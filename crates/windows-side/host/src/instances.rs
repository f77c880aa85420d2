//! The instances that this host knows: the namespaces in which its user's own processes live.
//!
//! Whoever lives in other namespaces than the host is a guest, whatever its uid says: a container of
//! the user's has the user's uid too. Only a process that lives where the host lives, and so is the
//! user's own without a doubt, can say of an instance that it is the user's: its keeper, which stays
//! outside. It names a process in it. What that one leaves behind when it ends, or is killed, is still
//! the user's: the user namespace is held, so that no other one gets its number.

use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};
use winterop_serve::Peer;
use winterop_serve::peer::lives;
use winterop_settings::peer::{Namespaces, namespaces_of_process};

/// The most instances; each is a shell or a distribution of the user's. The oldest is forgotten first.
const MOST: usize = 256;

#[derive(Debug)]
struct Instance {
    namespaces: Namespaces,
    _user_namespace: OwnedFd,
}

/// The instances that were named.
#[derive(Debug, Default)]
pub struct Instances(Mutex<VecDeque<Instance>>);

impl Instances {
    /// Adds the instance in which the process of a pidfd lives.
    ///
    /// # Errors
    /// What is no pidfd; a process that has ended, or that cannot be seen from here.
    pub fn add(&self, process: &OwnedFd) -> io::Result<()> {
        let pid = pid_of(process)?;
        let namespaces = namespaces_of_process(pid)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = format!("/proc/{pid}/ns/user");
        let user_namespace = rustix::fs::open(path, flags, Mode::empty())?;
        // What was read by its pid was read of it.
        if !lives(process) {
            return Err(io::Error::other("the instance's process has ended"));
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|instance| instance.namespaces != namespaces);
        if known.len() >= MOST {
            known.pop_front();
        }
        known.push_back(Instance { namespaces, _user_namespace: user_namespace });
        Ok(())
    }

    /// Whether a peer lives in one of them.
    ///
    /// # Errors
    /// The system's, where `/proc` does not say.
    pub fn have(&self, peer: &Peer) -> io::Result<bool> {
        let Some(pid) = peer.proven_pid() else { return Ok(false) };
        let theirs = namespaces_of_process(pid)?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.iter().any(|instance| instance.namespaces == theirs) && peer.lives())
    }
}

/// The pid of a pidfd's process, as this process sees it.
fn pid_of(process: &OwnedFd) -> io::Result<i32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()))?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid = pid.and_then(|pid| pid.trim().parse().ok()).filter(|pid| *pid > 0);
    pid.ok_or_else(|| io::Error::other("it is no descriptor of a process that lives"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd as _;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    fn process(pid: u32) -> OwnedFd {
        pidfd_open(Pid::from_raw(pid.cast_signed()).unwrap(), PidfdFlags::empty()).unwrap()
    }

    #[test]
    fn who_lives_in_an_instance_is_known_also_when_its_process_has_ended() {
        let instances = Instances::default();
        let (connection, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(connection.as_fd()).unwrap();
        assert!(!instances.have(&peer).unwrap());
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        instances.add(&process(child.id())).unwrap();
        instances.add(&process(child.id())).unwrap();
        assert_eq!(instances.0.lock().unwrap().len(), 1);
        assert!(instances.have(&peer).unwrap());
        let held = process(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(instances.have(&peer).unwrap());
        assert!(instances.add(&held).is_err());
        assert!(instances.add(&connection.into()).is_err());
    }
}
