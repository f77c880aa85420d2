//! Files and folders of a prefix: made, copied, removed.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::error::{Error, file};
use crate::server::OWNER_FILE;

/// A name in the same folder that only this process uses.
pub(super) fn beside(path: &Path, start: &str) -> PathBuf {
    let name = path.file_name().unwrap_or(OsStr::new("prefix")).to_string_lossy();
    path.with_file_name(format!("{start}-{name}-{}", std::process::id()))
}

/// Copies a folder with everything in it, links as links.
pub(super) fn copy_tree(from: &Path, to: &Path) -> Result<(), Error> {
    make_folder(to)?;
    for entry in fs::read_dir(from).map_err(file("read the folder", from))? {
        let entry = entry.map_err(file("read the folder", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(file("look at", &source))?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            let link = fs::read_link(&source).map_err(file("read the link", &source))?;
            symlink(link, &target).map_err(file("make the link", &target))?;
        } else if kind.is_file() && !is_of_one_prefix(&source) {
            fs::copy(&source, &target).map_err(file("copy to", &target))?;
        }
    }
    Ok(())
}

/// Files that belong to one prefix and its running server, and must not come along into a copy.
fn is_of_one_prefix(path: &Path) -> bool {
    let in_prefix = path.with_file_name("system.reg").exists();
    let name = path.file_name().unwrap_or_default();
    in_prefix && (name == "wineserver" || name == OWNER_FILE)
}

pub(super) fn make_folder(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(file("make the folder", path))
}

pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    fs::write(path, content).map_err(file("write", path))
}

/// Removes a file, link or folder; that there is none is fine.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let outcome = match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", path)(error)),
        _ => Ok(()),
    }
}
