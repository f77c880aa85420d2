//! Where a user's runtime directory is: the host's socket and everything else that ends with a boot.

use rustix::fs::{AtFlags, CWD, FileType, statat};
use std::path::{Path, PathBuf};

/// The directory of logins, `/run/user/UID`, where there is one that belongs to the user alone.
#[must_use]
pub fn login_directory(user: u32) -> Option<PathBuf> {
    let directory = PathBuf::from(format!("/run/user/{user}"));
    is_private(&directory, user).then_some(directory)
}

/// The runtime directory of a user whose environment says nothing of it: `/run/user/UID/winterop`,
/// else `/tmp/winterop-UID`. The interpreter looks in the same places, in the same order.
#[must_use]
pub fn directory_of(user: u32) -> PathBuf {
    match login_directory(user) {
        Some(directory) => directory.join("winterop"),
        None => PathBuf::from(format!("/tmp/winterop-{user}")),
    }
}

/// Whether `path` is a directory, no link to one, that belongs to the user and that nobody else can
/// reach into.
#[must_use]
pub fn is_private(path: &Path, user: u32) -> bool {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|status| {
        status.st_uid == user
            && status.st_mode & 0o077 == 0
            && FileType::from_raw_mode(status.st_mode) == FileType::Directory
    })
}
