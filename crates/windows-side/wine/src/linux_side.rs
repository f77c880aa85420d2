//! The way from a Windows program back to Linux: `wsl.exe` in the prefix, and what it starts.
//!
//! Wine starts a Linux program that a Windows program names, but with all of the Windows program's
//! variables, and gives no handle to wait for. So `C:\windows\system32` has a `wsl.exe`, the helper
//! under that name, which starts Winterop's `wsl` and is told how it ended. [`offer`] puts both links
//! there, and beside the prefix's registry a file with the Linux variables of this user's host:
//! those that the Linux program starts with, and by which `wsl` finds that host again. [`variables`]
//! makes an environment of these and of what `WSLENV` lists.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use winterop_drives::{DriveFolder, replace_link};
use winterop_settings::file::replace;
use winterop_translate::wslenv::{self, Direction};
use winterop_translate::{MountTable, Translator, WindowsPath};

use crate::names;

/// By this variable the Windows `wsl.exe` says where it waits: `PORT TOKEN`, and ` stderr` where
/// standard error is to come over the port too.
pub const CALLER_VARIABLE: &str = "WINTEROP_WINDOWS_CALLER";

/// By this variable the Windows `wsl.exe` says what stood behind its name, as it was written: Wine gives a
/// Linux program words, and by rules that are not the shell's.
pub const LINE_VARIABLE: &str = "WINTEROP_WINDOWS_LINE";

/// Where the host's variables are, below the prefix.
const FILE: &str = "winterop-linux-environment";

/// The most that is read of it: 1 MiB.
const LARGEST: u64 = 1 << 20;

/// The variables of the host that a Linux program gets. `LC_ALL` is not among them: the host's own
/// is Wine's.
const KEPT: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TERM",
    "TZ",
    "XDG_RUNTIME_DIR",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "WINTEROP_PLACEMENT",
];

/// What Windows programs have as Linux does: where windows go, and the launch that it all belongs to.
const SHARED: [&str; 4] =
    ["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", winterop_host::Mark::VARIABLE];

/// Puts `wsl.exe` into the prefix: `helper` under that name, `program` for what it starts, and
/// this process's own variables.
///
/// # Errors
/// If one of them cannot be written.
pub fn offer(prefix: &Path, helper: &Path, program: &Path) -> io::Result<()> {
    let system = prefix.join("drive_c/windows/system32");
    replace_link(&system.join("wsl.exe"), helper)?;
    replace_link(&system.join("winterop-wsl"), program)?;
    let mut text = Vec::new();
    for name in KEPT {
        let Some(value) = std::env::var_os(name) else { continue };
        for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
            text.extend_from_slice(part);
        }
    }
    let path = prefix.join(FILE);
    if std::fs::read(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    replace(&path, &text, 0o600)
}

/// The environment of a Linux program that a Windows program has started: the host's variables, and
/// of `windows`, the Windows program's, what `WSLENV` lists for the way to Linux.
///
/// `distribution` is the name by which the machine's own files have a share.
///
/// # Errors
/// If the host's variables or the prefix's drives cannot be read.
pub fn variables(
    prefix: &Path,
    distribution: &str,
    windows: &[(OsString, OsString)],
) -> io::Result<Vec<(OsString, OsString)>> {
    let text = read(&prefix.join(FILE))?;
    let mut variables: Vec<(OsString, OsString)> = text
        .split(|byte| *byte == 0)
        .filter_map(winterop_host::variables::split)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let shared = windows.iter().filter(|(name, _)| SHARED.iter().any(|shared| name == shared));
    variables.extend(shared.cloned());
    for entry in listed(&translator(prefix, distribution)?, windows) {
        let Some((name, value)) = winterop_host::variables::split(&entry) else { continue };
        variables.retain(|(known, _)| known != name);
        // As in the other direction: what is empty is not set.
        if !value.is_empty() {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(variables)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let failed = |error: io::Error| {
        let words = "the variables for Linux programs; the host writes them when it starts";
        io::Error::new(error.kind(), format!("{}: {error} ({words})", path.display()))
    };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LARGEST).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

fn translator(prefix: &Path, distribution: &str) -> io::Result<Translator> {
    let mounts = std::fs::read("/proc/self/mountinfo")?;
    let offered = DriveFolder::of_prefix(prefix).offered().map_err(io::Error::other)?;
    Ok(names::translator_of(MountTable::parse(&mounts), offered, distribution))
}

/// What `WSLENV` lists, `WSLENV` itself first. Windows does not tell upper from lower case in a
/// variable's name; Linux gets the name as the list has it.
fn listed(translator: &Translator, windows: &[(OsString, OsString)]) -> Vec<Vec<u8>> {
    let value_of = |wanted: &[u8]| {
        let same = |name: &OsStr| name.as_bytes().eq_ignore_ascii_case(wanted);
        let found = windows.iter().find(|(name, _)| same(name));
        found.map(|(_, value)| value.as_bytes())
    };
    wslenv::translate(value_of(b"WSLENV"), Direction::ToLinux, value_of, |path| {
        translator.to_linux(&WindowsPath::from_bytes(path)).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_linux_program_gets_the_hosts_variables_and_what_wslenv_lists() {
        let prefix = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(prefix.path().join("drive_c/windows/system32")).unwrap();
        std::fs::create_dir_all(prefix.path().join("dosdevices")).unwrap();
        symlink("/", prefix.path().join("dosdevices/z:")).unwrap();
        offer(prefix.path(), Path::new("/lib/helper.exe"), Path::new("/bin/winterop")).unwrap();
        std::fs::write(prefix.path().join(FILE), b"HOME=/home/me\0LANG=de\0gone=1\0").unwrap();
        let windows = [
            ("WSLENV", "Path/l:KEY:W/w:U/u:P/p:R/p:gone:X/x:LANG"),
            ("PATH", "Z:\\usr\\bin;rel;\\\\wsl.localhost\\Test\\etc"),
            ("key", "value"),
            ("W", "w"),
            ("U", "u"),
            ("P", "Q:\\nowhere"),
            ("R", "Z:\\tmp"),
            ("X", "x"),
            ("LANG", "en"),
            ("OS", "Windows_NT"),
            ("DISPLAY", ":0"),
        ];
        let windows = windows.map(|(name, value)| (name.into(), value.into()));
        let got = variables(prefix.path(), "Test", &windows).unwrap();
        let got: Vec<String> =
            got.iter().map(|(n, v)| format!("{}={}", n.display(), v.display())).collect();
        let list = "WSLENV=Path/l:KEY:W/w:U/u:P/p:R/p:gone:X/x:LANG";
        let expected =
            ["HOME=/home/me", "DISPLAY=:0", list, "Path=/usr/bin:/etc", "KEY=value", "U=u"];
        assert_eq!(got[..6], expected);
        assert_eq!(got[6..], ["R=/tmp", "LANG=en"]);
        let link = prefix.path().join("drive_c/windows/system32/wsl.exe");
        assert_eq!(std::fs::read_link(link).unwrap(), Path::new("/lib/helper.exe"));
    }

    #[test]
    fn a_prefix_without_a_host_is_told_of() {
        let prefix = tempfile::tempdir().unwrap();
        let error = variables(prefix.path(), "Test", &[]).unwrap_err().to_string();
        assert!(error.contains("the host writes them"), "{error}");
    }
}
