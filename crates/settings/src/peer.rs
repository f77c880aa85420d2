//! What the policy is told of a caller, as `/proc` has it: its groups, and whether it lives elsewhere.

use rustix::fs::{Mode, OFlags, open, readlinkat};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The process that a caller's namespaces are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// This process.
    Own,
    /// The machine's first process: whoever lives where it does lives on the machine itself. Where it
    /// cannot be looked at, as by a plain user, this process stands in for it.
    Machine,
    /// The interop server that is this process.
    Server(i32),
}

impl Compared {
    fn directory(self) -> PathBuf {
        match self {
            Self::Own => "/proc/self/ns".into(),
            Self::Machine => "/proc/1/ns".into(),
            Self::Server(pid) => format!("/proc/{pid}/ns").into(),
        }
    }
}

/// The supplementary groups of a process; none where it is gone.
#[must_use]
pub fn groups_of(pid: i32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    groups.split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

/// Whether a process lives in another user, pid or mount namespace than `compared`. What cannot be
/// looked at lives elsewhere.
#[must_use]
pub fn lives_elsewhere(pid: i32, compared: Compared) -> bool {
    // A process that serves does not change its own.
    static OWN: OnceLock<Namespaces> = OnceLock::new();
    static MACHINE: OnceLock<Namespaces> = OnceLock::new();
    let own = || OWN.get_or_init(|| namespaces(&Compared::Own.directory())).clone();
    let ours = match compared {
        Compared::Own => own(),
        Compared::Machine => MACHINE.get_or_init(|| machines(own)).clone(),
        Compared::Server(_) => namespaces(&compared.directory()),
    };
    let is_same = |(ours, theirs): (Namespace, Namespace)| theirs.is_some() && ours == theirs;
    let theirs = || namespaces(Path::new(&format!("/proc/{pid}/ns")));
    pid <= 0 || !ours.into_iter().zip(theirs()).all(is_same)
}

/// What the link to a namespace says: `user:[4026531837]`, a number that no other one of this kind
/// has as long as it is there. Following the link would tell the same, five times slower: the kernel
/// makes an inode for that. None for one that cannot be looked at.
type Namespace = Option<CString>;

type Namespaces = [Namespace; 3];

/// The machine's, or what stands in for them. Which of the two it is does not change while this runs: the
/// first process lives as long as the machine does.
fn machines(own: impl FnOnce() -> Namespaces) -> Namespaces {
    let found = namespaces(&Compared::Machine.directory());
    if found.iter().all(Option::is_some) { found } else { own() }
}

fn namespaces(directory: &Path) -> Namespaces {
    // One walk through `/proc` for all three.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(directory) = open(directory, flags, Mode::empty()) else { return [None, None, None] };
    [c"user", c"pid", c"mnt"].map(|kind| readlinkat(&directory, kind, Vec::new()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_lives_where_it_lives() {
        let own = std::process::id().cast_signed();
        assert!(
            !lives_elsewhere(own, Compared::Own) && !lives_elsewhere(own, Compared::Server(own))
        );
        assert!(lives_elsewhere(0, Compared::Own) && lives_elsewhere(-1, Compared::Own));
        assert!(lives_elsewhere(0, Compared::Machine) && lives_elsewhere(-1, Compared::Machine));
        // Nobody is the greatest pid there can be.
        assert!(lives_elsewhere(i32::MAX, Compared::Own));
        assert!(groups_of(i32::MAX).is_empty());
        assert!(
            !lives_elsewhere(1, Compared::Machine)
                || namespaces(Path::new("/proc/1/ns"))[0].is_none()
        );
        let own = || namespaces(&Compared::Own.directory());
        assert!(machines(own).iter().all(Option::is_some));
    }
}
