//! What the policy is told of a caller, as `/proc` has it: its groups, and whether it lives elsewhere.
//!
//! Of a process that has ended nothing is there; nor is it of any where `/proc` is not mounted, and some
//! is hidden or closed to whoever looks. Nothing is concluded from that: it is an error. Whoever asks makes
//! sure afterwards that the process is still the one it was asked about, also where there was an error, as
//! [`Connected::describe`] does.

use crate::policy::Asked;
use rustix::fs::{Mode, OFlags, open, readlinkat};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use winterop_words::{Failure, Words};

/// A caller, as the kernel knows it by its connection.
pub struct Connected<'a> {
    /// Its uid.
    pub uid: u32,
    /// Its gid.
    pub gid: u32,
    /// Its pid; none where that is not certain, or cannot be seen from here.
    pub pid: Option<i32>,
    /// Whether it is certain which process it is.
    pub is_proven: bool,
    /// Whether that process has not ended yet.
    pub lives: &'a (dyn Fn() -> bool + Sync),
}

impl std::fmt::Debug for Connected<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { uid, gid, pid, is_proven, .. } = self;
        write!(formatter, "Connected {{ {uid}, {gid}, {pid:?}, {is_proven} }}")
    }
}

impl Connected<'_> {
    /// What the policy is asked about it, all but the program; `elsewhere` finds out of a pid whether
    /// that lives elsewhere. One whose pid says nothing does.
    ///
    /// # Errors
    /// It has ended; what `/proc` says of it cannot be read.
    pub fn describe(
        &self,
        with_groups: bool,
        elsewhere: impl FnOnce(i32) -> io::Result<bool>,
    ) -> Result<Asked, Undescribed> {
        let seen = self.look(with_groups, elsewhere);
        // What `/proc` says, or does not say, of its pid is only true of it if it is still there.
        if self.is_proven && !(self.lives)() {
            return Err(Undescribed::Gone);
        }
        let (mut groups, elsewhere) = seen?;
        groups.push(self.gid);
        let doubtful = !self.is_proven;
        Ok(Asked { uid: self.uid, groups, elsewhere, doubtful, ..Asked::default() })
    }

    /// Its supplementary groups, and whether it lives elsewhere: so does who cannot be seen.
    fn look(
        &self,
        with_groups: bool,
        elsewhere: impl FnOnce(i32) -> io::Result<bool>,
    ) -> io::Result<(Vec<u32>, bool)> {
        let Some(pid) = self.pid else { return Ok((Vec::new(), true)) };
        let groups = if with_groups { groups_of(pid)? } else { Vec::new() };
        Ok((groups, elsewhere(pid)?))
    }
}

/// Why nothing can be said of a caller.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum Undescribed {
    /// It has ended.
    Gone,
    /// What `/proc` says of it cannot be read.
    NotSeen(#[from] io::Error),
}

impl Undescribed {
    /// The reason in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Gone => Failure::CallerGone {}.words(),
            Self::NotSeen(error) => Failure::CallerUnknown { error }.words(),
        }
    }
}

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
            Self::Server(pid) => directory_of(pid),
        }
    }
}

fn directory_of(pid: i32) -> PathBuf {
    format!("/proc/{pid}/ns").into()
}

/// The supplementary groups of a process.
///
/// # Errors
/// The system's, where `/proc` does not say.
pub fn groups_of(pid: i32) -> io::Result<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    Ok(groups.split_whitespace().filter_map(|group| group.parse().ok()).collect())
}

/// Whether a process lives in another user, pid or mount namespace than `compared`.
///
/// # Errors
/// The system's, where `/proc` does not say: that says nothing of where the process lives. See
/// [`is_hidden`].
pub fn lives_elsewhere(pid: i32, compared: Compared) -> io::Result<bool> {
    if pid <= 0 {
        // It lives in a pid namespace that cannot be seen from here.
        return Ok(true);
    }
    let ours = namespaces_of(compared)?;
    Ok(namespaces_of_process(pid)? != ours)
}

/// The user, pid and mount namespace of a process, as the kernel numbers them.
///
/// # Errors
/// Those of [`lives_elsewhere`].
pub fn namespaces_of_process(pid: i32) -> io::Result<Namespaces> {
    Ok(look_into(&directory_of(pid))?)
}

/// Whether an error is one of those by which `/proc` keeps a process from this one's eyes: it may not
/// look at another user's, or not even see that it is there. A process that has ended is one too.
#[must_use]
pub fn is_hidden(error: &io::Error) -> bool {
    let hidden = [Errno::NOENT, Errno::SRCH, Errno::ACCESS, Errno::PERM];
    Errno::from_io_error(error).is_some_and(|error| hidden.contains(&error))
}

/// Whether a process shares this one's user and pid namespaces, whatever mounts it has.
///
/// # Errors
/// Those of [`lives_elsewhere`].
pub fn lives_in_same_container(pid: i32) -> io::Result<bool> {
    if pid <= 0 {
        return Ok(false);
    }
    let first = |[user, pid, _]: Namespaces| [user, pid];
    Ok(first(namespaces_of_process(pid)?) == first(namespaces_of(Compared::Own)?))
}

/// Those of whom a caller is compared with.
fn namespaces_of(compared: Compared) -> io::Result<Namespaces> {
    // A process that serves does not change its own; and the machine's first lives as long as it does.
    static OWN: OnceLock<Namespaces> = OnceLock::new();
    static MACHINE: OnceLock<Namespaces> = OnceLock::new();
    let look = || look_into(&compared.directory()).map_err(io::Error::from);
    match compared {
        Compared::Own => kept(&OWN, look),
        Compared::Machine => kept(&MACHINE, || match look() {
            Err(error) if is_hidden(&error) => namespaces_of(Compared::Own),
            found => found,
        }),
        Compared::Server(_) => look(),
    }
}

fn kept(
    known: &OnceLock<Namespaces>,
    look: impl FnOnce() -> io::Result<Namespaces>,
) -> io::Result<Namespaces> {
    if let Some(known) = known.get() {
        return Ok(known.clone());
    }
    let found = look()?;
    Ok(known.get_or_init(|| found).clone())
}

/// What the link to a namespace says: `user:[4026531837]`, a number that no other one of this kind
/// has as long as it is there. Following the link would tell the same, five times slower: the kernel
/// makes an inode for that.
pub type Namespace = CString;

/// Those of user, pid and mount.
pub type Namespaces = [Namespace; 3];

/// The namespaces that a folder of `/proc` names.
fn look_into(directory: &Path) -> Result<Namespaces, Errno> {
    // One walk through `/proc` for all three.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(directory, flags, Mode::empty())?;
    let link = |kind: &std::ffi::CStr| readlinkat(&directory, kind, Vec::new());
    Ok([link(c"user")?, link(c"pid")?, link(c"mnt")?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[test]
    fn a_process_lives_where_it_lives() {
        let own = std::process::id().cast_signed();
        assert!(!lives_elsewhere(own, Compared::Own).unwrap());
        assert!(!lives_elsewhere(own, Compared::Server(own)).unwrap());
        for nobody in [0, -1] {
            assert!(lives_elsewhere(nobody, Compared::Own).unwrap());
            assert!(lives_elsewhere(nobody, Compared::Machine).unwrap());
        }
        namespaces_of(Compared::Machine).unwrap();
        assert!(lives_in_same_container(own).unwrap() && !lives_in_same_container(0).unwrap());
        // Of whom nothing can be seen nothing is said; nobody is the greatest pid there can be.
        let unseen = [
            lives_elsewhere(i32::MAX, Compared::Own).unwrap_err(),
            lives_elsewhere(i32::MAX, Compared::Machine).unwrap_err(),
            lives_elsewhere(own, Compared::Server(i32::MAX)).unwrap_err(),
            groups_of(i32::MAX).unwrap_err(),
        ];
        assert!(unseen.iter().all(is_hidden), "{unseen:?}");
        // Where no file can be opened nobody is said to live elsewhere.
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).unwrap();
        let looked = (lives_elsewhere(1, Compared::Own), groups_of(1));
        setrlimit(Resource::Nofile, limit).unwrap();
        for error in [looked.0.unwrap_err(), looked.1.unwrap_err()] {
            assert_eq!(error.raw_os_error(), Some(24));
            assert!(!is_hidden(&error));
        }
    }

    #[test]
    fn a_caller_is_described_only_while_it_is_there() {
        let own = std::process::id().cast_signed();
        let is_there = AtomicBool::new(true);
        let lives = || is_there.load(Relaxed);
        let connected =
            |pid, is_proven| Connected { uid: 7, gid: 8, pid, is_proven, lives: &lives };
        let here = |_| Ok(false);
        let known = connected(Some(own), true).describe(false, here).unwrap();
        let expected = Asked { uid: 7, groups: vec![8], ..Asked::default() };
        assert_eq!(known, expected);
        let with_groups = connected(Some(own), true).describe(true, here).unwrap();
        assert_eq!(with_groups.groups, [groups_of(own).unwrap(), vec![8]].concat());
        // Who cannot be seen lives elsewhere, and who is not certain is doubtful besides.
        let unseen = connected(None, true).describe(true, here).unwrap();
        assert_eq!(unseen, Asked { elsewhere: true, ..expected.clone() });
        let doubtful = connected(None, false).describe(true, here).unwrap();
        assert_eq!(doubtful, Asked { elsewhere: true, doubtful: true, ..expected });
        // What was read while it ended may be another's.
        let ends = |_| {
            is_there.store(false, Relaxed);
            Ok(false)
        };
        let gone = connected(Some(own), true).describe(true, ends);
        assert!(matches!(gone, Err(Undescribed::Gone)), "{gone:?}");
        let gone = connected(None, true).describe(true, here);
        assert!(matches!(gone, Err(Undescribed::Gone)), "{gone:?}");
        let fails = |_| Err(io::Error::from_raw_os_error(24));
        is_there.store(true, Relaxed);
        let unread = connected(Some(own), true).describe(true, fails);
        assert!(matches!(unread, Err(Undescribed::NotSeen(_))), "{unread:?}");
    }
}
