//! Names of files as Wine's server is given them, where the last part may be a link.

/// The folder in which a prefix has its drives and shares as links. They are what programs call `C:\` and
/// `\\server\share`, and nobody's to remove.
const DRIVES: &[u8] = b"/dosdevices";
const SHARES: &[u8] = b"/unc";

/// A name in its two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    /// The folder, `.` for the one that this process is in.
    pub(crate) folder: &'a [u8],
    /// The last part: never empty, `.` or `..`.
    pub(crate) last: &'a [u8],
}

impl<'a> Name<'a> {
    /// The parts of a path that may be a link of somebody's own.
    pub(crate) fn of(path: &'a [u8]) -> Option<Self> {
        let end = path.iter().rposition(|byte| *byte != b'/')?.checked_add(1)?;
        let path = path.get(..end)?;
        let (folder, last) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(0) => (&b"/"[..], path.get(1..)?),
            Some(slash) => (path.get(..slash)?, path.get(slash.checked_add(1)?..)?),
            None => (&b"."[..], path),
        };
        let is_special = last == b"." || last == b".." || is_of_prefix(folder);
        (!is_special).then_some(Self { folder, last })
    }
}

/// Whether a folder has a prefix's drives or shares.
fn is_of_prefix(folder: &[u8]) -> bool {
    let drives = folder.windows(DRIVES.len()).rposition(|part| part == DRIVES);
    let Some(rest) = drives.and_then(|at| folder.get(at.checked_add(DRIVES.len())?..)) else {
        return false;
    };
    let server = rest.strip_prefix(SHARES);
    rest.is_empty()
        || server.is_some_and(|server| {
            server.is_empty()
                || server.strip_prefix(b"/").is_some_and(|server| !server.contains(&b'/'))
        })
}
