//! Links in the place of Wine's own files: made, and taken away before Wine would write through them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::error::{Error, file};
use super::files::remove;
use crate::installation::Installation;

/// Replaces every file below `folder` that equals one of Wine's own by a link to that.
pub(super) fn slim(folder: &Path, installation: &Installation) -> Result<(), Error> {
    let mut originals: HashMap<u64, Vec<PathBuf>> = HashMap::new();
    for library in [installation.windows_libraries(), installation.windows_libraries_32()] {
        for entry in fs::read_dir(library).into_iter().flatten().flatten() {
            if let Ok(data) = entry.metadata()
                && data.is_file()
            {
                originals.entry(data.len()).or_default().push(entry.path());
            }
        }
    }
    slim_folder(folder, &mut originals)
}

fn slim_folder(folder: &Path, originals: &mut HashMap<u64, Vec<PathBuf>>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(file("read the folder", folder))? {
        let entry = entry.map_err(file("read the folder", folder))?;
        let path = entry.path();
        let data = entry.metadata().map_err(file("look at", &path))?;
        if data.is_dir() {
            slim_folder(&path, originals)?;
        } else if data.is_file()
            && let Some(same_size) = originals.get_mut(&data.len())
        {
            slim_file(&path, same_size)?;
        }
    }
    Ok(())
}

fn slim_file(path: &Path, originals: &mut [PathBuf]) -> Result<(), Error> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("exe")) {
        // A program stays a file of its own, 28 MB in all: the kernel starts only what may be
        // executed, and Wine's own programs may not.
        return fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(file("make executable", path));
    }
    // The one of the same name first: it is nearly always that one.
    originals.sort_by_key(|original| original.file_name() != path.file_name());
    for original in originals {
        if same_content(path, original).map_err(file("compare", path))? {
            fs::remove_file(path).map_err(file("remove", path))?;
            return symlink(original, path).map_err(file("make the link", path));
        }
    }
    Ok(())
}

fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = ([0u8; 32 * 1024], [0u8; 32 * 1024]);
    loop {
        let length = one.read(&mut left)?;
        let (Some(left), Some(right)) = (left.get(..length), right.get_mut(..length)) else {
            return Ok(false);
        };
        match other.read_exact(right) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            outcome => outcome?,
        }
        if left != right {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}

/// Removes links to absolute paths, which below `drive_c/windows` are only the ones made here.
pub(super) fn remove_links_to_wine(drive: &Path) -> Result<(), Error> {
    fn clean(folder: &Path) -> Result<(), Error> {
        for entry in fs::read_dir(folder).map_err(file("read the folder", folder))?.flatten() {
            let path = entry.path();
            let data = entry.metadata().map_err(file("look at", &path))?;
            if data.is_dir() {
                clean(&path)?;
            } else if data.is_symlink()
                && fs::read_link(&path).is_ok_and(|target| target.is_absolute())
            {
                remove(&path)?;
            }
        }
        Ok(())
    }
    for entry in fs::read_dir(drive).map_err(file("read the folder", drive))?.flatten() {
        // Links in the users' folders lead to their Linux homes.
        if entry.file_name() != "users" && entry.path().is_dir() {
            clean(&entry.path())?;
        }
    }
    Ok(())
}
