//! Where a prefix's programs are: its own `PATH` and `PATHEXT`, as the registry has them.
//!
//! Both are read from the files that Wine's server writes (within half a minute of a change, and
//! when it ends), so that nobody has to start Wine to know them. Where there is no prefix yet, what
//! every new one has is assumed.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use winterop_drives::{Drive, DriveFolder, Letter};
use winterop_translate::WindowsPath;
use winterop_translate::bytes::{eq_ignore_case, for_display};
use winterop_translate::command_line::ProgramKind;
use winterop_translate::pathext::{self, DEFAULT_PATHEXT, Places, SearchOrder};

use crate::registry;

/// The Windows directory of every Wine.
const WINDOWS: &[u8] = b"C:\\windows";

/// What a new prefix has as its `PATH`.
const NEW_PATH: &[u8] = b"C:\\windows\\system32;C:\\windows;C:\\windows\\system32\\wbem;\
    C:\\windows\\system32\\WindowsPowerShell\\v1.0";

/// A registry file is never larger; the rest of one that is would not be read in time.
const LARGEST_REGISTRY: u64 = 64 << 20;

/// The keys of the machine's variables: by its link, and by what that leads to.
const MACHINE: [&str; 2] = [
    "System\\CurrentControlSet\\Control\\Session Manager\\Environment",
    "System\\ControlSet001\\Control\\Session Manager\\Environment",
];

/// The key of the user's variables.
const USER: &str = "Environment";

/// The files of a prefix's registry in which variables are.
#[derive(Debug)]
struct Registry {
    machine: Vec<u8>,
    user: Vec<u8>,
}

impl Registry {
    fn read(prefix: &Path) -> Self {
        let file = |name: &str| read_registry(&prefix.join(name));
        Self { machine: file("system.reg"), user: file("user.reg") }
    }

    fn of_machine(&self, name: &str) -> Option<Vec<u8>> {
        MACHINE.iter().find_map(|key| registry::text(&self.machine, key, name))
    }

    fn of_user(&self, name: &str) -> Option<Vec<u8>> {
        registry::text(&self.user, USER, name)
    }

    fn value(&self, name: &str) -> Option<Vec<u8>> {
        self.of_user(name).or_else(|| self.of_machine(name))
    }

    /// A value without variables of its own: what refers to others is not followed round and round.
    fn plain(&self, name: &str) -> Option<Vec<u8>> {
        let value = pathext::expand(&self.value(name)?, well_known);
        (!value.contains(&b'%')).then_some(value)
    }
}

/// The programs of one prefix.
#[derive(Debug)]
pub struct Programs {
    prefix: PathBuf,
    drives: Vec<Drive>,
    path: Vec<u8>,
    extensions: Vec<u8>,
}

impl Programs {
    /// Reads what the prefix at `prefix` says; where it is not there, what a new one will say.
    #[must_use]
    pub fn read(prefix: &Path) -> Self {
        let registry = Registry::read(prefix);
        // As Windows has it: the machine's directories, then the user's.
        let lists = [registry.of_machine("PATH"), registry.of_user("PATH")];
        let lists: Vec<Vec<u8>> = lists.into_iter().flatten().collect();
        let path = if lists.is_empty() { NEW_PATH.to_vec() } else { lists.join(&b';') };
        let variable = |name: &[u8]| well_known(name).or_else(|| registry.plain(text(name)?));
        Self {
            prefix: prefix.to_owned(),
            drives: DriveFolder::of_prefix(prefix).read().unwrap_or_default(),
            path: pathext::expand(&path, variable),
            extensions: registry.value("PATHEXT").unwrap_or_else(|| DEFAULT_PATHEXT.to_vec()),
        }
    }

    /// What a prefix that is not there yet will say, at this place.
    #[must_use]
    pub fn of_new_prefix(prefix: &Path) -> Self {
        Self {
            prefix: prefix.to_owned(),
            drives: Vec::new(),
            path: NEW_PATH.to_vec(),
            extensions: DEFAULT_PATHEXT.to_vec(),
        }
    }

    fn order(&self) -> SearchOrder {
        SearchOrder::new(&Places {
            windows: Some(WINDOWS),
            path: Some(&self.path),
            pathext: Some(&self.extensions),
            ..Places::default()
        })
    }

    /// The directories in which a bare name is looked for, by their Windows names, for a message.
    #[must_use]
    pub fn places(&self) -> String {
        let order = self.order();
        order.directories().map(for_display).collect::<Vec<_>>().join(", ")
    }

    /// Finds the program that Windows would start for `name`: in the system's directories, on
    /// `PATH`, with the extensions of `PATHEXT`; or at its place, if the name is a Windows path.
    ///
    /// Scripts that only an interpreter of Windows' own could run are passed over.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<PathBuf> {
        let mut file = None;
        self.order().find(name, |path| {
            file = can_be_started(path)
                .then(|| self.resolve(path))
                .flatten()
                .filter(|file| file.is_file());
            file.is_some()
        })?;
        file
    }

    /// The Linux folders that the directories of `PATH` lead to, in its order; those that are not
    /// there are left out. Without a prefix: where those of a new one will be.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let order = SearchOrder::new(&Places { path: Some(&self.path), ..Places::default() });
        let mut folders = Vec::new();
        for directory in order.directories() {
            let path = WindowsPath::from_bytes(directory);
            let folder = if self.drives.is_empty() {
                below_new_drive(&self.prefix, directory)
            } else {
                self.resolve(&path).filter(|folder| folder.is_dir())
            };
            if let Some(folder) = folder.filter(|folder| !folders.contains(folder)) {
                folders.push(folder);
            }
        }
        folders
    }

    /// Where a full Windows path leads, upper and lower case taken for the same.
    fn resolve(&self, path: &WindowsPath) -> Option<PathBuf> {
        let bytes = path.as_bytes();
        let is_separator = |byte: &u8| matches!(byte, b'\\' | b'/');
        let (root, rest) = match bytes {
            [letter, b':', separator, rest @ ..] if is_separator(separator) => {
                let letter = Letter::new(char::from(*letter))?;
                let drive = self.drives.iter().find(|drive| drive.letter == letter)?;
                (drive.folder.clone(), rest)
            }
            [b'\\', b'\\', rest @ ..] => (DriveFolder::of_prefix(&self.prefix).shares(), rest),
            _ => return None,
        };
        rest.split(is_separator).try_fold(root, |folder, part| match part {
            b"" | b"." => Some(folder),
            // Where that leads depends on links; no directory on PATH is written so.
            b".." => None,
            part => entry(&folder, part),
        })
    }
}

/// The entry of `folder` that has this name, in any case of its letters.
fn entry(folder: &Path, name: &[u8]) -> Option<PathBuf> {
    let exact = folder.join(OsString::from_vec(name.to_vec()));
    if fs::symlink_metadata(&exact).is_ok() {
        return Some(exact);
    }
    let names = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name());
    let same = |found: &OsString| eq_ignore_case(found.as_bytes(), name);
    names.into_iter().find(same).map(|found| folder.join(found))
}

/// Whether the host can start it, by its name.
fn can_be_started(path: &WindowsPath) -> bool {
    let name = path.as_bytes();
    let has = |extension: &[u8]| {
        let start = name.len().saturating_sub(extension.len());
        name.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(extension))
    };
    has(b".exe") || has(b".com") || ProgramKind::of(name) == ProgramKind::Batch
}

/// Where a path on drive C: will be in a prefix that is not there yet.
fn below_new_drive(prefix: &Path, path: &[u8]) -> Option<PathBuf> {
    let rest = path.strip_prefix(b"C:\\")?;
    let rest = rest.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
    Some(prefix.join("drive_c").join(OsString::from_vec(rest)))
}

/// Variables that Windows makes at each start, and no registry key has.
fn well_known(name: &[u8]) -> Option<Vec<u8>> {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let value: &[u8] = if is("SystemRoot") || is("windir") {
        WINDOWS
    } else if is("SystemDrive") {
        b"C:"
    } else if is("ProgramFiles") || is("ProgramW6432") {
        b"C:\\Program Files"
    } else if is("ProgramFiles(x86)") {
        b"C:\\Program Files (x86)"
    } else if is("ProgramData") || is("ALLUSERSPROFILE") {
        b"C:\\ProgramData"
    } else {
        return None;
    };
    Some(value.to_vec())
}

/// A variable's name as text; one that is none is not in any registry.
fn text(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.contains(['"', '\\']))
}

/// The file's bytes; nothing where there is none.
fn read_registry(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(LARGEST_REGISTRY).read_to_end(&mut bytes).map(|_| ()));
    match read {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "the registry cannot be read");
        }
        _ => {}
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn prefix(machine: &str, user: &str) -> tempfile::TempDir {
        let prefix = tempfile::tempdir().unwrap();
        let path = prefix.path();
        for folder in ["dosdevices/unc", "drive_c/Windows/System32", "drive_c/tools", "other/bin"] {
            fs::create_dir_all(path.join(folder)).unwrap();
        }
        symlink("../drive_c", path.join("dosdevices/c:")).unwrap();
        symlink(path.join("other"), path.join("dosdevices/d:")).unwrap();
        let key = "[System\\\\CurrentControlSet\\\\Control\\\\Session Manager\\\\Environment] 1";
        fs::write(path.join("system.reg"), format!("{key}\n{machine}")).unwrap();
        fs::write(path.join("user.reg"), format!("[Environment] 1\n{user}")).unwrap();
        prefix
    }

    fn touch(prefix: &tempfile::TempDir, name: &str) -> PathBuf {
        let file = prefix.path().canonicalize().unwrap().join(name);
        fs::write(&file, "").unwrap();
        file
    }

    #[test]
    fn names_are_found_by_the_prefixs_own_rules() {
        let prefix = prefix(
            "\"PATH\"=str(2):\"%SystemRoot%\\\\system32;%Own%;C:\\\\none\"\n\
             \"PATHEXT\"=\".EXE;.js;.CMD\"\n\"Own\"=str(2):\"%SystemDrive%\\\\tools\"\n",
            "\"PATH\"=\"D:\\\\BIN\"\n",
        );
        let cmd = touch(&prefix, "drive_c/Windows/System32/cmd.exe");
        let tool = touch(&prefix, "drive_c/tools/Tool.cmd");
        touch(&prefix, "drive_c/tools/Tool.js");
        touch(&prefix, "drive_c/tools/other.bat");
        let far = touch(&prefix, "other/bin/far.exe");
        touch(&prefix, "other/bin/tool.exe");
        let programs = Programs::read(prefix.path());
        let find = |name: &str| programs.find(name.as_bytes());
        assert_eq!(find("cmd"), Some(cmd.clone()));
        assert_eq!(find("CMD.EXE"), Some(cmd.clone()));
        assert_eq!(find("C:\\windows\\system32\\cmd"), Some(cmd));
        assert_eq!(find("tool"), Some(tool));
        assert_eq!(find("far"), Some(far));
        // Not among the extensions; with its own it is a name like any other.
        assert_eq!(find("other"), None);
        assert!(find("other.bat").is_some());
        for none in ["", "gone", "tool.js", "D:\\..\\bin\\far", "E:\\x", ".\\cmd", "system32"] {
            assert_eq!(find(none), None, "{none}");
        }
        let ends: Vec<_> = programs.folders();
        let root = prefix.path().canonicalize().unwrap();
        let expected = ["drive_c/Windows/System32", "drive_c/tools", "other/bin"];
        assert_eq!(ends, expected.map(|folder| root.join(folder)));
    }

    #[test]
    fn without_a_prefix_a_new_ones_folders_are_named() {
        let programs = Programs::read(Path::new("/none/prefix"));
        let folders = programs.folders();
        assert_eq!(folders.first().unwrap(), Path::new("/none/prefix/drive_c/windows/system32"));
        assert_eq!(folders.len(), 4, "{folders:?}");
        assert_eq!(programs.find(b"cmd"), None);
    }

    #[test]
    fn variables_that_name_each_other_end() {
        let machine =
            "\"PATH\"=str(2):\"%A%;C:\\\\windows\"\n\"A\"=str(2):\"%B%\"\n\"B\"=str(2):\"%A%\"\n";
        let prefix = prefix(machine, "");
        assert_eq!(Programs::read(prefix.path()).folders().len(), 1);
    }
}
