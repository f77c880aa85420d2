//! Which names of files, as Wine's server is given them, may be links that somebody removes.

/// The folder in which a prefix has its drives and shares as links. They are what programs call `C:\` and
/// `\\server\share`, and nobody's to remove.
const DRIVES: &[u8] = b"/dosdevices";
const SHARES: &[u8] = b"/unc";

/// Whether a path, if it leads to a link, leads to one that is somebody's own: not to a drive or a share,
/// and to nothing by `.` or `..`.
pub(crate) fn may_be_own(path: &[u8]) -> bool {
    let Some(end) = path.iter().rposition(|byte| *byte != b'/') else { return false };
    let path = path.get(..=end).unwrap_or_default();
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let last = slash.map_or(path, |at| path.get(at.wrapping_add(1)..).unwrap_or_default());
    let folder = slash.map_or(&b""[..], |at| path.get(..at).unwrap_or_default());
    last != b"." && last != b".." && !is_of_prefix(folder)
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
