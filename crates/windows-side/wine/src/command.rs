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
//!
//! # The command line
//! Wine makes it from the arguments: the image's Windows path always in quotes, then each argument,
//! in quotes where it is empty or has a space or tab, `"` as `\"`, and backslashes doubled where
//! they stand before a quote. So a wanted command line comes out exactly if it is what these rules
//! make of its own parts; any other one (`a  b`, `"ab"`, a bare program name, an unpaired
//! surrogate) needs the preloaded library, which puts it into the process before the program's
//! first instruction.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::installation::Installation;
use winterop_host::variables::may_be_passed;
use winterop_serve::Starter;
use winterop_serve::starter::Plan;

/// The most UTF-16 units Wine (and Windows) let a command line have.
pub const LONGEST_COMMAND_LINE: usize = 32_766;

/// The variable that names the descriptor which gets the exit code as 4 bytes, little-endian, when the
/// process ends; read by the preloaded library. Whoever starts the process sets it.
pub const REPORT_VARIABLE: &str = "WINTEROP_REPORT_FD";
/// The variable that names the page with the launches in flight; see [`super::launches`].
pub const LAUNCHES_VARIABLE: &str = "WINTEROP_LAUNCHES";
/// The same for the server.
pub const SERVER_LAUNCHES_VARIABLE: &str = "WINTEROP_SERVER_LAUNCHES";
/// The variable that names the file in which those who have the terminal tell each other of it.
pub const CONSOLE_VARIABLE: &str = "WINTEROP_CONSOLE";
/// The variable that makes terminals files like any other, for programs that are not interactive.
pub const PLAIN_VARIABLE: &str = "WINTEROP_PLAIN";
/// The variable that gives the preloaded library to the Windows programs' own children as well.
const CHILDREN_VARIABLE: &str = "WINTEROP_CHILDREN";
/// The variable that holds an exact command line as generalized UTF-8.
pub const COMMAND_LINE_VARIABLE: &str = "WINTEROP_COMMAND_LINE";

/// Who Wine's programs run as: the name of their folder below `C:\users`, and their Unix home.
///
/// It has to be the same for preparing the prefix and for every launch in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: OsString,
    /// The user's home directory.
    pub home: PathBuf,
}

impl Account {
    /// The account of this process, from `/etc/passwd`, else from `USER` and `HOME`, else `wine`
    /// in `/`.
    pub fn current() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let known = from_passwd(&passwd, uid);
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let name = known.as_ref().map(|account| account.name.clone());
        let home = variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        Self {
            name: name.or_else(|| variable("USER")).unwrap_or_else(|| "wine".into()),
            home: home.or(known.map(|account| account.home)).unwrap_or_else(|| "/".into()),
        }
    }
}

fn from_passwd(passwd: &str, uid: u32) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        let home = fields.nth(2)?;
        (number == uid).then(|| Account { name: name.into(), home: home.into() })
    })
}

/// Where a graphical program shows its windows, as the caller's variables say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Display {
    /// `DISPLAY`.
    pub display: Option<OsString>,
    /// `WAYLAND_DISPLAY`.
    pub wayland_display: Option<OsString>,
    /// `XAUTHORITY`.
    pub xauthority: Option<OsString>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<OsString>,
}

impl Display {
    /// Picks the four variables out of an environment; empty ones count as unset.
    pub fn from_variables<'a>(variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>) -> Self {
        let mut display = Self::default();
        for (name, value) in variables {
            let field = match name.as_bytes() {
                b"DISPLAY" => &mut display.display,
                b"WAYLAND_DISPLAY" => &mut display.wayland_display,
                b"XAUTHORITY" => &mut display.xauthority,
                b"XDG_RUNTIME_DIR" => &mut display.xdg_runtime_dir,
                _ => continue,
            };
            *field = (!value.is_empty()).then(|| value.to_owned());
        }
        display
    }

    /// Whether there is anything to show windows on.
    pub fn is_there(&self) -> bool {
        self.display.is_some() || self.wayland_display.is_some()
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &OsStr)> {
        [
            ("DISPLAY", &self.display),
            ("WAYLAND_DISPLAY", &self.wayland_display),
            ("XAUTHORITY", &self.xauthority),
            ("XDG_RUNTIME_DIR", &self.xdg_runtime_dir),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// What stays the same for every launch in one prefix.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The Wine to use.
    pub installation: Installation,
    /// The prefix.
    pub prefix: PathBuf,
    /// Who the programs run as.
    pub account: Account,
    /// The library to preload, where there is one.
    pub preload: Option<PathBuf>,
    /// The page with the launches in flight, where starts are to be made faster.
    pub launches: Option<PathBuf>,
    /// What starts the server and Wine's own programs; this process itself where there is none.
    pub starter: Option<Arc<Starter>>,
}

impl Surroundings {
    /// The environment that every process of this prefix gets; nothing of the caller's.
    pub fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        environment.set("WINEPREFIX", &self.prefix);
        environment.set("WINEDEBUG", "-all");
        environment.set("WINEDLLOVERRIDES", "mscoree,mshtml=");
        environment.set("WINELOADERNOEXEC", "1");
        environment.set("LC_ALL", "C.UTF-8");
        environment.set("HOME", &self.account.home);
        environment.set("USER", &self.account.name);
        // For Wine's own look-up of helpers; the Windows program has a PATH of its own.
        environment.set("PATH", "/usr/local/bin:/usr/bin:/bin");
        environment
    }

    /// The environment of a Windows process: the base, and the preloaded library where there is one.
    pub fn program_environment(&self) -> Environment {
        let mut environment = self.environment();
        if let Some(preload) = &self.preload {
            environment.set("LD_PRELOAD", preload);
            // A 32-bit loader cannot load the library, and the dynamic linker would say so.
            if !self.installation.runs_32_bit {
                environment.set(CHILDREN_VARIABLE, "1");
            }
        }
        environment
    }

    /// The environment of the server: the base, and the preloaded library where starts are to be
    /// made faster.
    pub fn server_environment(&self) -> Environment {
        let mut environment = self.environment();
        if let (Some(preload), Some(launches)) = (&self.preload, &self.launches) {
            environment.set("LD_PRELOAD", preload);
            environment.set(SERVER_LAUNCHES_VARIABLE, launches);
        }
        environment
    }
}

/// An environment, each name once, in the order in which they were set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// Sets a variable, replacing it where it is set.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref(), value.as_ref().to_owned());
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The value of a variable.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        let name = name.as_ref();
        self.0.iter().find_map(|(known, value)| (known == name).then_some(value.as_os_str()))
    }

    /// The start of a program with these variables alone, on the processors of the thread that starts
    /// it.
    pub(crate) fn plan<'a>(
        &self,
        program: &'a Path,
        arguments: &[&str],
        standard: [BorrowedFd<'a>; 3],
        directory: BorrowedFd<'a>,
    ) -> Plan<'a> {
        let program = program.as_os_str().as_bytes();
        let arguments = arguments.iter().map(|argument| argument.as_bytes().to_vec());
        let variable =
            |(name, value): (&OsStr, &OsStr)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        Plan {
            program,
            arguments: std::iter::once(program.to_vec()).chain(arguments).collect(),
            environment: self.iter().map(variable).collect(),
            standard: standard.map(Some),
            directory: Some(directory),
            caller: rustix::thread::gettid().as_raw_nonzero().get(),
            ..Plan::default()
        }
    }

    /// The variables in order.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

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
    pub environment: Environment,
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
fn share(environment: &mut Environment, variables: &[(OsString, OsString)]) -> Vec<OsString> {
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

/// The arguments that make Wine build a command line, behind the program's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passing {
    /// The arguments.
    pub arguments: Vec<OsString>,
    /// Whether the command line comes out exactly; if not, it means the same arguments, except
    /// that unpaired surrogates are replaced.
    pub exact: bool,
}

/// Finds the arguments that make Wine build the command line `line` for the program `image`.
pub fn arguments_for(line: &[u16], image: &[u16]) -> Passing {
    let parts = split(line);
    let rest = parts.get(1..).unwrap_or_default();
    let text: Vec<Option<OsString>> =
        rest.iter().map(|part| String::from_utf16(part).ok().map(OsString::from)).collect();
    let exact = text.iter().all(Option::is_some) && join(image, rest) == line;
    let arguments = text
        .into_iter()
        .zip(rest)
        .map(|(text, part)| text.unwrap_or_else(|| OsString::from(String::from_utf16_lossy(part))));
    Passing { arguments: arguments.collect(), exact }
}

const SPACE: u16 = b' ' as u16;
const TAB: u16 = b'\t' as u16;
const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;

/// The command line that Wine builds from an image and arguments.
fn join(image: &[u16], arguments: &[Vec<u16>]) -> Vec<u16> {
    let mut line = Vec::new();
    push_argument(&mut line, image, true);
    for argument in arguments {
        line.push(SPACE);
        push_argument(&mut line, argument, false);
    }
    line
}

fn push_argument(line: &mut Vec<u16>, argument: &[u16], always_quoted: bool) {
    let quoted =
        always_quoted || argument.is_empty() || argument.iter().any(|c| [SPACE, TAB].contains(c));
    if quoted {
        line.push(QUOTE);
    }
    let mut backslashes = 0;
    for &character in argument {
        if character == QUOTE {
            line.extend(std::iter::repeat_n(BACKSLASH, backslashes + 1));
        }
        backslashes = if character == BACKSLASH { backslashes + 1 } else { 0 };
        line.push(character);
    }
    if quoted {
        line.extend(std::iter::repeat_n(BACKSLASH, backslashes));
        line.push(QUOTE);
    }
}

/// Splits a command line as Microsoft's C library does: the first part ends at a space outside of
/// quotes, without escapes; in the others backslashes escape before a quote, and `""` inside
/// quotes is one quote.
fn split(line: &[u16]) -> Vec<Vec<u16>> {
    let mut parts = Vec::new();
    let mut rest = line.iter().copied().peekable();
    let mut program = Vec::new();
    let mut quoted = false;
    while let Some(character) = rest.next_if(|&c| quoted || (c != SPACE && c != TAB)) {
        if character == QUOTE {
            quoted = !quoted;
        } else {
            program.push(character);
        }
    }
    parts.push(program);
    loop {
        while rest.next_if(|&c| c == SPACE || c == TAB).is_some() {}
        if rest.peek().is_none() {
            return parts;
        }
        parts.push(split_one(&mut rest));
    }
}

fn split_one(rest: &mut std::iter::Peekable<impl Iterator<Item = u16>>) -> Vec<u16> {
    let mut part = Vec::new();
    let mut quoted = false;
    let mut backslashes = 0;
    while let Some(character) = rest.next_if(|&c| quoted || (c != SPACE && c != TAB)) {
        match character {
            BACKSLASH => {
                backslashes += 1;
                continue;
            }
            QUOTE => {
                part.extend(std::iter::repeat_n(BACKSLASH, backslashes / 2));
                let escaped = backslashes % 2 == 1;
                if escaped || quoted && rest.next_if_eq(&QUOTE).is_some() {
                    part.push(QUOTE);
                } else {
                    quoted = !quoted;
                }
            }
            other => {
                part.extend(std::iter::repeat_n(BACKSLASH, backslashes));
                part.push(other);
            }
        }
        backslashes = 0;
    }
    part.extend(std::iter::repeat_n(BACKSLASH, backslashes));
    part
}

/// UTF-16 as UTF-8, unpaired surrogates as three bytes each (WTF-8's encoding).
fn to_generalized_utf8(units: &[u16]) -> OsString {
    let mut bytes = Vec::with_capacity(units.len() * 3);
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(character) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Err(error) => {
                let surrogate = error.unpaired_surrogate();
                let low = |shift: u32| 0x80 | ((surrogate >> shift) & 0x3f) as u8;
                bytes.extend_from_slice(&[0xe0 | (surrogate >> 12) as u8, low(6), low(0)]);
            }
        }
    }
    OsString::from_vec(bytes)
}

/// A Windows path of the Linux path `path` as Wine names it through a drive: for tests and
/// messages where no table of drives is at hand.
pub fn image_on_z(path: &Path) -> Vec<u16> {
    let text = path.to_string_lossy().replace('/', "\\");
    format!("Z:{text}").encode_utf16().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            account: Account { name: "u".into(), home: "/home/u".into() },
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
    fn what_wine_would_write_itself_is_exact() {
        let image = wide("Z:\\t\\x.exe");
        for (line, arguments) in [
            (r#""Z:\t\x.exe""#, vec![]),
            (r#""Z:\t\x.exe" a b"#, vec!["a", "b"]),
            (r#""Z:\t\x.exe" "a b" "" \"c\" "d \\" e\"#, vec!["a b", "", "\"c\"", "d \\", "e\\"]),
            ("\"Z:\\t\\x.exe\" a\u{e4}\u{1f600} x\ny", vec!["a\u{e4}\u{1f600}", "x\ny"]),
        ] {
            let passing = arguments_for(&wide(line), &image);
            assert!(passing.exact, "{line}");
            assert_eq!(passing.arguments, arguments, "{line}");
        }
    }

    #[test]
    fn other_lines_are_only_equivalent() {
        let image = wide("Z:\\t\\x.exe");
        for (line, arguments) in [
            (r"Z:\t\x.exe a", vec!["a"]),
            (r"x.exe", vec![]),
            (r#""Z:\t\x.exe" a  b"#, vec!["a", "b"]),
            (r#""Z:\t\x.exe" "ab" c"#, vec!["ab", "c"]),
            (r#""Z:\t\x.exe" "a""b""#, vec!["a\"b"]),
            (r#""Z:\t\x.exe" a "#, vec!["a"]),
        ] {
            let passing = arguments_for(&wide(line), &image);
            assert!(!passing.exact, "{line}");
            assert_eq!(passing.arguments, arguments, "{line}");
        }
        let mut surrogate = wide(r#""Z:\t\x.exe" a"#);
        surrogate.push(0xd800);
        assert!(!arguments_for(&surrogate, &image).exact);
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

    #[test]
    fn the_account_is_read_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nu:x:1000:100::/home/u:/bin/sh\n";
        let account = from_passwd(passwd, 1000).unwrap();
        assert_eq!(account, Account { name: "u".into(), home: "/home/u".into() });
        assert_eq!(from_passwd(passwd, 1), None);
    }

    proptest! {
        #[test]
        fn splitting_undoes_joining(
            arguments in proptest::collection::vec("[a\\\\\" \t\u{e4}]{0,8}", 0..5)
        ) {
            let arguments: Vec<Vec<u16>> = arguments.iter().map(|text| wide(text)).collect();
            let line = join(&wide("C:\\a b\\x.exe"), &arguments);
            prop_assert_eq!(&split(&line)[1..], &arguments[..]);
            let image = wide("C:\\a b\\x.exe");
            prop_assert!(arguments_for(&line, &image).exact);
        }

        #[test]
        fn any_line_keeps_its_arguments(line in proptest::collection::vec(any::<u16>(), 0..40)) {
            let image = wide("C:\\x.exe");
            let passing = arguments_for(&line, &image);
            let again: Vec<Vec<u16>> = passing
                .arguments
                .iter()
                .map(|argument| wide(argument.to_str().unwrap()))
                .collect();
            let lossy = |parts: &[Vec<u16>]| -> Vec<String> {
                parts.iter().map(|part| String::from_utf16_lossy(part)).collect()
            };
            let rebuilt = split(&join(&image, &again));
            prop_assert_eq!(lossy(&rebuilt[1..]), lossy(split(&line).get(1..).unwrap()));
        }
    }
}
