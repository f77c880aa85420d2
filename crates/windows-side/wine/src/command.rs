//! Builds what to execute for one launch under Wine: program, arguments and environment.
//!
//! Pure functions. What was found in Wine 8's sources (`dlls/ntdll/unix/env.c`, `loader.c`) and
//! tried, and what this module rests on:
//!
//! # Variables
//! - The Windows program sees every variable of the Unix environment except `PATH`, `PWD`, `HOME`,
//!   `TEMP`, `TMP`, `QT_*` and `VK_*`, which reach it only under the name `WINE` + name (so
//!   `WINEPATH` is its `PATH`, put in front of the registry's), and except Wine's own per-process
//!   ones (`WINELOADER`, `WINELOADERNOEXEC`, `WINEDLLOVERRIDES`, …), which Wine makes anew.
//! - Of ours it therefore sees `WINEPREFIX`, `WINEDEBUG`, `LC_ALL` and `USER`, and where they are
//!   given `DISPLAY`, `WAYLAND_DISPLAY`, `XAUTHORITY` and `XDG_RUNTIME_DIR`. They must be there: a
//!   Windows program starts its children with the environment it sees, and Wine needs them there
//!   too. `LD_PRELOAD` and `WINTEROP_*` are taken out by the preloaded library itself.
//! - The registry's own variables (`TEMP`, `TMP`, `OS`, `PATHEXT`, …) replace those of the same name,
//!   but `PATH`, which is put behind.
//! - `WINEARCH` is needed to make a prefix only. `TMPDIR` must not be set: Debian's Wine looks for
//!   its server's socket there, and another value than the server's means another server.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use winterop_host::variables::may_be_passed;

use crate::command_line::{arguments_for, to_generalized_utf8};
use crate::display::Display;
use crate::environment::{COMMAND_LINE_VARIABLE, LAUNCHES_VARIABLE, ProcessEnvironment};
use crate::surroundings::Surroundings;

/// The most UTF-16 units Wine (and Windows) let a command line have.
pub const LONGEST_COMMAND_LINE: usize = 32_766;

/// One launch, as it is wanted.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The executable: a Linux path from `/`, or a Windows path with a drive.
    pub program: &'a OsStr,
    /// The executable's Windows path, as Wine will see it, in UTF-16.
    pub image: &'a [u16],
    /// The wanted Windows command line in UTF-16, program name included, without the final NUL.
    pub command_line: &'a [u16],
    /// The variables the Windows program is to see (what `WSLENV` chose, already translated).
    /// `PATH` is put in front of the prefix's own.
    pub variables: &'a [(OsString, OsString)],
    /// Where its windows go.
    pub display: &'a Display,
}

/// What to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The file to execute.
    pub program: PathBuf,
    /// The arguments, the first (the program's name) included.
    pub arguments: Vec<OsString>,
    /// The whole environment.
    pub environment: ProcessEnvironment,
    /// Whether the Windows program sees exactly the wanted command line. If not, it sees one that
    /// means the same arguments.
    pub exact: bool,
    /// Chosen variables that were left out: their names would steer the Linux side.
    pub left_out: Vec<OsString>,
}

/// Why a launch cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than Windows allows.
    #[error(
        "the command line has {units} UTF-16 units, and Windows allows {LONGEST_COMMAND_LINE}; \
         pass the arguments in a response file if the program takes one"
    )]
    TooLong {
        /// How many units it has.
        units: usize,
    },
    /// A NUL inside.
    #[error("the command line has a NUL character inside, which no process can be given")]
    Nul,
}

/// Builds what to execute for `request`.
pub fn build(surroundings: &Surroundings, request: &Request<'_>) -> Result<Launch, Error> {
    let line = request.command_line;
    if line.len() > LONGEST_COMMAND_LINE {
        return Err(Error::TooLong { units: line.len() });
    }
    if line.contains(&0) {
        return Err(Error::Nul);
    }
    let passing = arguments_for(line, request.image);
    let mut environment = surroundings.program_environment();
    let left_out = share(&mut environment, request.variables);
    for (name, value) in request.display.variables() {
        environment.set(name, value);
    }
    let mut exact = passing.exact;
    if surroundings.preload.is_some() {
        if let Some(launches) = &surroundings.launches {
            environment.set(LAUNCHES_VARIABLE, launches);
        }
        if !exact {
            environment.set(COMMAND_LINE_VARIABLE, to_generalized_utf8(line));
            exact = true;
        }
    }
    let program = surroundings.installation.loader.clone();
    let mut arguments = vec![program.clone().into_os_string(), request.program.to_owned()];
    arguments.extend(passing.arguments);
    Ok(Launch { program, arguments, environment, exact, left_out })
}

/// Adds the variables that the Windows program is to see, and returns the names that it cannot.
fn share(
    environment: &mut ProcessEnvironment,
    variables: &[(OsString, OsString)],
) -> Vec<OsString> {
    let mut left_out = Vec::new();
    for (name, value) in variables {
        let bytes = name.as_bytes();
        if is_passed_under_another_name(bytes) {
            let mut prefixed = OsString::from("WINE");
            prefixed.push(name);
            environment.set(prefixed, value);
        } else if may_be_passed(bytes) {
            environment.set(name, value);
        } else {
            left_out.push(name.clone());
        }
    }
    left_out
}

/// The variables that Wine keeps for the Linux side and passes under `WINE` + name. `TEMP` and
/// `TMP` are such, too, but the prefix's own replace them.
fn is_passed_under_another_name(name: &[u8]) -> bool {
    matches!(name, b"PATH" | b"PWD" | b"HOME")
        || name.starts_with(b"QT_")
        || name.starts_with(b"VK_")
}

/// A Windows path of the Linux path `path` as Wine names it through a drive: for tests and
/// messages where no table of drives is at hand.
pub fn image_on_z(path: &Path) -> Vec<u16> {
    let text = path.to_string_lossy().replace('/', "\\");
    format!("Z:{text}").encode_utf16().collect()
}

#[cfg(test)]
mod tests {
    use crate::installation::Installation;
    use crate::user::WineUser;

    use super::*;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn surroundings(preload: bool) -> Surroundings {
        Surroundings {
            installation: Installation {
                loader: "/usr/lib/wine/wine64".into(),
                server: "/usr/lib/wine/wineserver64".into(),
                libraries: "/usr/lib/x86_64-linux-gnu/wine".into(),
                version: "wine-8.0".to_owned(),
                runs_32_bit: false,
                why: String::new(),
            },
            prefix: "/p".into(),
            user: WineUser { name: "u".into(), home: "/home/u".into() },
            preload: preload.then(|| "/lib/preload.so".into()),
            launches: preload.then(|| "/run/launches".into()),
            starter: None,
        }
    }

    fn request<'a>(line: &'a [u16], image: &'a [u16], display: &'a Display) -> Request<'a> {
        Request {
            program: OsStr::new("/t/x.exe"),
            image,
            command_line: line,
            variables: &[],
            display,
        }
    }

    #[test]
    fn with_the_library_every_line_is_exact() {
        let image = wide("Z:\\t\\x.exe");
        let mut line = wide("x  \u{e4}");
        line.push(0xdc01);
        let display = Display::default();
        let launch = build(&surroundings(true), &request(&line, &image, &display)).unwrap();
        assert!(launch.exact);
        let value = launch.environment.get(COMMAND_LINE_VARIABLE).unwrap();
        assert_eq!(value.as_bytes(), b"x  \xc3\xa4\xed\xb0\x81");
        let launch = build(&surroundings(false), &request(&line, &image, &display)).unwrap();
        assert!(!launch.exact);
        assert_eq!(launch.environment.get("LD_PRELOAD"), None);
    }

    #[test]
    fn only_chosen_variables_are_passed() {
        let image = wide("Z:\\t\\x.exe");
        let line = wide("\"Z:\\t\\x.exe\"");
        let variables: Vec<(OsString, OsString)> = [
            ("A", "1"),
            ("EMPTY", ""),
            ("PATH", "C:\\b"),
            ("TEMP", "C:\\t"),
            ("LD_PRELOAD", "/evil.so"),
            ("WINEPREFIX", "/other"),
            ("TMPDIR", "/other"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let display = Display::from_variables([(OsStr::new("DISPLAY"), OsStr::new(":1"))]);
        let mut request = request(&line, &image, &display);
        request.variables = &variables;
        let launch = build(&surroundings(false), &request).unwrap();
        let get = |name: &str| launch.environment.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(get("A"), Some("1"));
        assert_eq!(get("EMPTY"), Some(""));
        assert_eq!(get("WINEPATH"), Some("C:\\b"));
        assert_eq!(get("WINEPREFIX"), Some("/p"));
        assert_eq!(get("DISPLAY"), Some(":1"));
        assert_eq!(get("LD_PRELOAD"), None);
        assert_eq!(launch.left_out, ["TEMP", "LD_PRELOAD", "WINEPREFIX", "TMPDIR"]);
        assert_eq!(launch.arguments, ["/usr/lib/wine/wine64", "/t/x.exe"]);
    }

    #[test]
    fn lines_that_no_process_can_have_are_refused() {
        let display = Display::default();
        let long = vec![u16::from(b'a'); LONGEST_COMMAND_LINE + 1];
        let error = build(&surroundings(true), &request(&long, &[], &display)).unwrap_err();
        assert!(matches!(error, Error::TooLong { units: 32_767 }));
        let error = build(&surroundings(true), &request(&[97, 0], &[], &display)).unwrap_err();
        assert_eq!(error, Error::Nul);
    }
}
