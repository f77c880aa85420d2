//! Whether a directory that the environment names is its user's own.
//!
//! `sudo`, `su` and the like may keep the variables of whoever called them. What would be written,
//! removed or believed below another user's directory is then what that user wants, by a link or a
//! rename at the right moment. So the whole way there is looked at: each directory and each link must
//! be root's or the user's own, and only they may change it.

use rustix::fs::{AtFlags, CWD, FileType, Stat, readlinkat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};
use winterop_words::{Failure, Words};

/// The uid that the kernel shows for one that has no mapping in this user namespace.
const UNMAPPED: u32 = 65534;

/// The most links on a way, as the kernel has it.
const MOST_LINKS: usize = 40;

/// What a directory is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To be read: it may be root's too.
    Read,
    /// To be written to: it must be the user's own, or there must be nothing yet.
    Write,
    /// For sockets and what ends with a boot: it must be there, and be closed to others.
    Private,
}

/// Why a directory is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is somebody else's.
    Foreign {
        /// Whose it is.
        owner: u32,
    },
    /// Others can change where it leads.
    WayOpen {
        /// The directory or link that they can change.
        part: PathBuf,
    },
    /// It is not there, no directory, or not closed to others.
    NotPrivate,
    /// The system does not say.
    System(Errno),
}

impl Unfit {
    /// The reason in words, for a directory that `variable` names.
    #[must_use]
    pub fn words(&self, variable: &str, path: &Path) -> Words {
        let (variable, path) = (&variable, &path.display());
        match self {
            Self::Foreign { owner } => Failure::DirectoryForeign { variable, path, owner }.words(),
            Self::WayOpen { part } => {
                Failure::DirectoryWayOpen { variable, path, part: &part.display() }.words()
            }
            Self::NotPrivate => Failure::RuntimeNotPrivate { path }.words(),
            Self::System(error) => {
                let error = winterop_sys::system_error(*error);
                Failure::DirectoryUnreachable { variable, path, error: &error }.words()
            }
        }
    }
}

/// Looks whether this process's user may use the directory at `path`, which is absolute, for
/// something.
///
/// # Errors
/// Why not.
pub fn check(path: &Path, wanted: Use) -> Result<(), Unfit> {
    let mut left: Vec<OsString> = parts(path);
    let mut way = PathBuf::from("/");
    let mut links = 0;
    let mut last = look(&way)?;
    refuse_changeable(&way, &last)?;
    while let Some(name) = left.pop() {
        if name == ".." {
            way.pop();
            last = look(&way)?;
            continue;
        }
        let next = way.join(&name);
        last = match look(&next) {
            Ok(status) => status,
            Err(Unfit::System(Errno::NOENT)) if wanted != Use::Private => {
                if !is_sticky_for_all(&last) {
                    return Ok(());
                }
                // Anybody could make it a moment later, in a directory that is for all.
                make(&next)?;
                look(&next)?
            }
            Err(error) => return Err(error),
        };
        refuse_changeable(&next, &last)?;
        match FileType::from_raw_mode(last.st_mode) {
            FileType::Symlink => {
                links += 1;
                let target = readlinkat(CWD, &next, Vec::new()).map_err(Unfit::System)?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if links > MOST_LINKS {
                    return Err(Unfit::System(Errno::LOOP));
                }
                if target.is_absolute() {
                    way = PathBuf::from("/");
                }
                left.extend(parts(&target));
            }
            FileType::Directory => way = next,
            _ => return Err(Unfit::System(Errno::NOTDIR)),
        }
    }
    let status = look(&way)?;
    let own = geteuid().as_raw();
    let will_do = wanted == Use::Read && is_roots(status.st_uid);
    if status.st_uid != own && !will_do {
        return Err(Unfit::Foreign { owner: status.st_uid });
    }
    match wanted == Use::Private && status.st_mode & 0o077 != 0 {
        true => Err(Unfit::NotPrivate),
        false => Ok(()),
    }
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}

fn look(path: &Path) -> Result<Stat, Unfit> {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(Unfit::System)
}

fn make(path: &Path) -> Result<(), Unfit> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            let error = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            Err(Unfit::System(error))
        }
        _ => Ok(()),
    }
}

fn is_sticky_for_all(status: &Stat) -> bool {
    status.st_mode & 0o1002 == 0o1002
}

/// Refuses a part of a way that others than root and the user can change. Whoever is of a directory's
/// group may be trusted by whoever gave it that group.
fn refuse_changeable(part: &Path, status: &Stat) -> Result<(), Unfit> {
    let is_trusted = status.st_uid == geteuid().as_raw() || is_roots(status.st_uid);
    let is_link = FileType::from_raw_mode(status.st_mode) == FileType::Symlink;
    let is_for_all = !is_link && status.st_mode & 0o002 != 0 && !is_sticky_for_all(status);
    match is_trusted {
        false => Err(Unfit::Foreign { owner: status.st_uid }),
        true if is_for_all => Err(Unfit::WayOpen { part: part.to_owned() }),
        true => Ok(()),
    }
}

/// Whether a file of this uid is the machine's root's. In a user namespace that does not know root,
/// it shows as the uid that stands for all such.
#[must_use]
pub fn is_roots(uid: u32) -> bool {
    uid == 0 || (uid == UNMAPPED && !is_mapped(UNMAPPED))
}

fn is_mapped(uid: u32) -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().any(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
            (fields.next(), fields.next(), fields.next())
        else {
            return true;
        };
        (first..first.saturating_add(count)).contains(&u64::from(uid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn ones_own_directory_is_used_and_what_is_not_there_may_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        set(&own, 0o755);
        symlink(&own, folder.path().join("link")).unwrap();
        for path in ["own", "link", "own/../link", "own/not/there"] {
            for wanted in [Use::Read, Use::Write] {
                assert_eq!(check(&folder.path().join(path), wanted), Ok(()), "{path}");
            }
        }
        assert_eq!(check(&own, Use::Private), Err(Unfit::NotPrivate));
        set(&own, 0o700);
        assert_eq!(check(&own, Use::Private), Ok(()));
        let missing = check(&own.join("none"), Use::Private);
        assert_eq!(missing, Err(Unfit::System(Errno::NOENT)));
    }

    #[test]
    fn another_users_directory_is_not_used_however_it_is_reached() {
        let why = "this test cannot run here: only root can make another user's directory";
        assert!(geteuid().is_root(), "{why}");
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["alice", "alice/roots", "roots"] {
            fs::create_dir(path(name)).unwrap();
        }
        chown(path("alice"), Some(64_123), None).unwrap();
        // Her links to what is root's, and root's directory that she can rename.
        symlink(path("roots"), path("alice/link")).unwrap();
        symlink(path("roots"), path("hers")).unwrap();
        std::os::unix::fs::lchown(path("hers"), Some(64_123), None).unwrap();
        let foreign = Err(Unfit::Foreign { owner: 64_123 });
        // In this namespace of users somebody has the uid that stands for nobody's.
        let nobodys = folder.path().join("nobodys");
        fs::create_dir(&nobodys).unwrap();
        chown(&nobodys, Some(65_534), None).unwrap();
        let is_foreign = check(&nobodys.join("none"), Use::Write);
        assert_eq!(is_foreign, Err(Unfit::Foreign { owner: 65_534 }));
        for name in ["alice", "alice/none", "alice/roots", "alice/link", "hers", "hers/none"] {
            for wanted in [Use::Read, Use::Write, Use::Private] {
                assert_eq!(check(&path(name), wanted), foreign, "{name}");
            }
        }
    }

    #[test]
    fn a_way_that_everybody_can_change_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        let all = folder.path().join("all");
        fs::create_dir_all(all.join("own")).unwrap();
        set(&all, 0o777);
        let way = Err(Unfit::WayOpen { part: all.clone() });
        assert_eq!(check(&all.join("own"), Use::Write), way);
        // Where nobody can rename what is another's, what is missing is made before somebody else does.
        set(&all, 0o1777);
        assert_eq!(check(&all.join("own"), Use::Write), Ok(()));
        assert_eq!(check(&all.join("new/data"), Use::Write), Ok(()));
        assert_eq!(fs::metadata(all.join("new")).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
