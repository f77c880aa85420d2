//! Whether a program may be started for every user of the machine: nobody but root can change it, or
//! put another one in its place.

use super::error::{InstallError, failed};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How deep the parts of Winterop lie below their folder, at most.
const DEEPEST: usize = 8;

/// Refuses a file, or a folder with everything in it, that others than root can change or replace: by
/// the file itself, a folder on the way to it, or a file system that somebody else serves.
///
/// # Errors
/// [`InstallError::Changeable`] with the first such path; the system's.
pub fn refuse_changeable(path: &Path) -> Result<(), InstallError> {
    let looking = "looking at";
    let path = fs::canonicalize(path).map_err(failed(looking, path))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo");
    let served =
        served_by_users(&mounts.map_err(failed("reading", "/proc/self/mountinfo".as_ref()))?);
    let look = |path: &Path| {
        let status = fs::symlink_metadata(path).map_err(failed(looking, path))?;
        match changeable(&status, &served) {
            Some(why) => Err(InstallError::Changeable { path: path.to_owned(), why }),
            None => Ok(status),
        }
    };
    for ancestor in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
        look(ancestor)?;
    }
    below(&path, DEEPEST, &look)
}

/// The same for everything in a folder.
fn below(
    folder: &Path,
    depth: usize,
    look: &impl Fn(&Path) -> Result<Metadata, InstallError>,
) -> Result<(), InstallError> {
    if !fs::symlink_metadata(folder).is_ok_and(|status| status.is_dir()) {
        return Ok(());
    }
    let reading = || failed("reading", folder);
    if depth == 0 {
        return Err(reading()(std::io::Error::other("too many folders in one another")));
    }
    for entry in fs::read_dir(folder).map_err(reading())? {
        let path: PathBuf = entry.map_err(reading())?.path();
        let status = look(&path)?;
        if status.is_symlink() {
            // Where it leads to is what is used.
            refuse_changeable(&path)?;
        } else {
            below(&path, depth - 1, look)?;
        }
    }
    Ok(())
}

/// Who else can change what has this status, in words.
fn changeable(status: &Metadata, served: &[u64]) -> Option<String> {
    let (owner, mode) = (status.uid(), status.mode() & 0o7777);
    if owner != 0 {
        return Some(format!("it belongs to uid {owner}"));
    }
    // An access control list shows in the group's bits, so root's own group is no exception. A link
    // has all bits and nobody can write to one.
    if !status.is_symlink() && mode & 0o022 != 0 {
        return Some(format!("its mode is {mode:04o}"));
    }
    served
        .contains(&status.dev())
        .then(|| "it is on a file system that a program of a user's serves".to_owned())
}

/// The devices of file systems that users serve: those can say of a file whatever they like.
fn served_by_users(mounts: &str) -> Vec<u64> {
    let device = |line: &str| {
        let (fields, file_system) = line.split_once(" - ")?;
        let mut words = file_system.split(' ');
        let (kind, options) = (words.next()?, words.nth(1)?);
        let is_roots = options.split(',').any(|option| option == "user_id=0");
        if !kind.starts_with("fuse") || is_roots {
            return None;
        }
        let (major, minor) = fields.split(' ').nth(2)?.split_once(':')?;
        Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
    };
    mounts.lines().filter_map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_change_is_known_by_owner_mode_and_file_system() {
        let root = fs::metadata("/").unwrap();
        assert_eq!(changeable(&root, &[]), None);
        assert!(changeable(&root, &[root.dev()]).unwrap().contains("file system"));
        // Sticky or not: what is installed does not lie among other people's files.
        let error = refuse_changeable(Path::new("/tmp")).unwrap_err();
        assert!(error.words().to_string().contains("mode is 1777"), "{error}");
        assert!(matches!(
            refuse_changeable(Path::new("/nothing/there")),
            Err(InstallError::Step { .. })
        ));
        refuse_changeable(Path::new("/etc/passwd")).unwrap();
    }

    #[test]
    fn file_systems_of_users_are_known() {
        let mounts = "29 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            30 29 0:50 / /mnt rw,nosuid shared:1 - fuse.sshfs a:/ rw,user_id=1000,group_id=1000,allow_other\n\
            31 29 0:51 / /ntfs rw - fuseblk /dev/sdb rw,user_id=0,group_id=0\n\
            32 29 0:52 / /odd rw - fuse x rw\n33 29 0:53 / /v rw - virtiofs v rw\nnonsense\n";
        let expected = [50, 52].map(|minor| rustix::fs::makedev(0, minor));
        assert_eq!(served_by_users(mounts), expected);
    }
}
