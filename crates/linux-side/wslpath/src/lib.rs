//! The part `wslpath`: brings the mount table and the drives to `winterop_translate`.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::ExitCode;
use winterop_drives::DriveFolder;
use winterop_places::user::data_to_read;
use winterop_translate::wslpath::{Context, ResolveError, run as translate};
use winterop_translate::{MountTable, Naming, Translator};
use winterop_words::visible;

/// The distribution's name where no session has set one.
const UNNAMED: &str = "Linux";

/// Translates the path that the arguments name, and prints it.
#[must_use]
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    let translator = translator();
    let directory = std::env::current_dir().map(|path| path.into_os_string().into_vec());
    let context = Context {
        translator: &translator,
        cwd: directory.as_deref().unwrap_or(b"/"),
        resolve: &resolve,
    };
    let arguments = arguments.get(1..).unwrap_or_default();
    let outcome = translate(b"wslpath", arguments, &context);
    let written = io::stdout().write_all(&outcome.stdout);
    // Nobody reads the output: neither will anybody read a complaint.
    let _ = written.and_then(|()| io::stderr().write_all(&visible::bytes(&outcome.stderr)));
    ExitCode::from(outcome.status)
}

/// What this process's mounts and its user's drives make of paths.
#[must_use]
pub fn translator() -> Translator {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mounts = MountTable::parse(&mounts);
    let name = std::env::var_os("WSL_DISTRO_NAME").filter(|name| !name.is_empty());
    let name = name.as_deref().unwrap_or(OsStr::new(UNNAMED));
    // Another user's drives say nothing of this one's.
    let folder = data_to_read().map(|data| DriveFolder::of_prefix(&data.join("prefix")));
    let offered = folder.and_then(|folder| Some((folder.offered().ok()?, folder)));
    let Some((drives, folder)) = offered else {
        return Translator::new(mounts).with_distribution(name.as_bytes(), b"/");
    };
    // As the host has it: with Wine, drives of a Windows that are mounted here are another's.
    let translator = Translator::new(mounts.without_windows())
        .with_drives(drives)
        .with_naming(Naming::Wine)
        .with_distribution(name.as_bytes(), b"/");
    folder.distributions().into_iter().fold(translator, |translator, (name, root)| {
        translator.with_distribution(name.as_bytes(), root.as_os_str().as_bytes())
    })
}

fn resolve(path: &[u8]) -> Result<Vec<u8>, ResolveError> {
    match Path::new(OsStr::from_bytes(path)).canonicalize() {
        Ok(path) => Ok(path.into_os_string().into_vec()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ResolveError::NotFound),
        Err(error) => Err(ResolveError::Failed(without_number(&error))),
    }
}

/// The system's words for an error, as strerror has them.
fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
