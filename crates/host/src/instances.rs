//! The instances that this host knows: the namespaces in which its user's own processes live.
//!
//! Whoever lives in other namespaces than the host is a guest, whatever its uid says: a container of
//! the user's has the user's uid too. Only a process that lives where the host lives, and so is the
//! user's own without a doubt, can say of an instance that it is the user's: its keeper, which stays
//! outside. It names a process in it; as long as that lives nobody else gets its namespaces' numbers.

use rustix::fd::{AsRawFd as _, OwnedFd};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use winterop_serve::Peer;
use winterop_serve::peer::lives;
use winterop_settings::peer::{Compared, lives_elsewhere};

/// The most instances; each is a shell or a distribution of the user's.
const MOST: usize = 256;

#[derive(Debug)]
struct Instance {
    pid: i32,
    process: OwnedFd,
}

/// The instances that were named, as long as their processes live.
#[derive(Debug, Default)]
pub struct Instances(Mutex<Vec<Instance>>);

impl Instances {
    /// Adds the instance in which the process of a pidfd lives.
    ///
    /// # Errors
    /// What is no pidfd; a process that has ended, or that cannot be seen from here; too many.
    pub fn add(&self, process: OwnedFd) -> io::Result<()> {
        let pid = pid_of(&process)?;
        if !lives(&process) {
            return Err(io::Error::other("the instance's process has ended"));
        }
        let mut known = self.known();
        if known.iter().any(|it| it.pid == pid) {
            return Ok(());
        }
        if known.len() >= MOST {
            return Err(io::Error::other(format!("{MOST} instances run already")));
        }
        known.push(Instance { pid, process });
        Ok(())
    }

    /// The process of the instance in which a peer lives; none where it lives in no instance.
    ///
    /// # Errors
    /// The system's, where `/proc` cannot be read.
    pub fn of(&self, peer: &Peer) -> io::Result<Option<i32>> {
        let Some(pid) = peer.proven_pid() else { return Ok(None) };
        for instance in self.known().iter() {
            let is_it = !lives_elsewhere(pid, Compared::Server(instance.pid))?;
            // The pids were both their own while their namespaces were compared.
            if is_it && lives(&instance.process) && peer.lives() {
                return Ok(Some(instance.pid));
            }
        }
        Ok(None)
    }

    /// Those whose processes live.
    fn known(&self) -> MutexGuard<'_, Vec<Instance>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|instance| lives(&instance.process));
        known
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
    fn an_instance_is_known_as_long_as_its_process_lives() {
        let instances = Instances::default();
        let (connection, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(connection.as_fd()).unwrap();
        assert_eq!(instances.of(&peer).unwrap(), None);
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id().cast_signed();
        instances.add(process(child.id())).unwrap();
        instances.add(process(child.id())).unwrap();
        assert_eq!(instances.known().len(), 1);
        assert_eq!(instances.of(&peer).unwrap(), Some(pid));
        let held = process(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(instances.of(&peer).unwrap(), None);
        assert!(instances.add(held).is_err());
        assert!(instances.add(connection.into()).is_err());
    }
}
