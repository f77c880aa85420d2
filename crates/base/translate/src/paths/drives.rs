//! The Linux directories that a host offers as drive letters.

use alloc::vec::Vec;

use super::normal::normalize;
use crate::mounts::{Device, MountTable, strip_directory};

/// How a host's drives name files whose names Windows cannot have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// With private-use characters, as WSL does.
    #[default]
    PrivateUse,
    /// As Wine opens them: Wine 8 knows nothing of private-use characters. A colon may stand in a
    /// name, and what else Windows forbids is reached as `\\?\unix` and the Linux path. Only a
    /// backslash cannot be named at all and still goes as a private-use character.
    Wine,
}

/// The Linux directories that a host offers as drive letters, named as the caller sees them.
///
/// ```
/// let mut drives = winterop_translate::Drives::default();
/// drives.offer(b'Z', b"/");
/// drives.offer(b'C', b"/home/me/.local/share/winterop/prefix/drive_c");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drives {
    pub(super) drives: Vec<Drive>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drive {
    pub(super) letter: u8,
    /// Without a slash at the end: empty for the root.
    pub(super) directory: Vec<u8>,
    /// Where that is on its file system, and the mount it lies on.
    pub(super) location: Option<Location>,
    /// The directory, or the mount point that shows the same.
    pub(super) linux_name: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) mount: usize,
    pub(super) device: Device,
    pub(super) path: Vec<u8>,
}

impl Drives {
    /// Offers an absolute directory as a drive; a letter offered before is replaced.
    ///
    /// What is not a letter or not absolute is ignored.
    pub fn offer(&mut self, letter: u8, directory: &[u8]) {
        if !letter.is_ascii_alphabetic() || directory.first() != Some(&b'/') {
            return;
        }
        let letter = letter.to_ascii_uppercase();
        let directory = without_slash(&normalize(directory)).to_vec();
        self.drives.retain(|drive| drive.letter != letter);
        self.drives.push(Drive {
            letter,
            linux_name: directory.clone(),
            directory,
            location: None,
        });
        self.drives.sort_by_key(|drive| drive.letter);
    }

    /// The letters and directories offered, in the order of the letters.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.drives.iter().map(|drive| (drive.letter, or_root(&drive.directory)))
    }
}

pub(super) fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

fn or_root(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"/" } else { path }
}

pub(super) fn locate(mounts: &MountTable, directory: &[u8]) -> Option<Location> {
    let index = mounts.innermost_index(directory)?;
    let mount = mounts.get(index)?;
    let rest = strip_directory(directory, mount.point_key())?;
    Some(Location { mount: index, device: mount.device(), path: [mount.root_key(), rest].concat() })
}

/// Finds the shortest mount point that shows exactly the place.
pub(super) fn other_name(mounts: &MountTable, location: &Location) -> Option<Vec<u8>> {
    mounts
        .iter()
        .filter(|mount| mount.device() == location.device && mount.root_key() == location.path)
        .map(|mount| mount.point_key())
        .min_by_key(|point| point.len())
        .map(<[u8]>::to_vec)
}
