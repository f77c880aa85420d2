//! What `wslpath` does with its arguments, as WSL's does it: output, messages and status.
//!
//! `-u` (default) translates to Linux, `-w` to Windows, `-m` to Windows with forward slashes; `-a`
//! asks for an absolute result. Flags may be joined, `--` ends them. Without `-a` a relative path
//! gives a relative result where it lies below the working directory. Links are followed on the
//! way to Windows where the file exists.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::paths::{LinuxPath, Translator, WindowsPath, is_absolute, is_separator, normalize};

/// Why the real name of a file could not be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// There is no such file (`ENOENT`): the name is translated as it was given.
    NotFound,
    /// Anything else, as `strerror` would say it; ends `wslpath`.
    Failed(String),
}

/// Finds a file's real name; see [`Context::resolve`].
pub type Resolve<'a> = dyn Fn(&[u8]) -> Result<Vec<u8>, ResolveError> + 'a;

/// What surrounds a call of `wslpath`.
pub struct Context<'a> {
    /// Mounts, drives, and the distribution.
    pub translator: &'a Translator,
    /// The absolute Linux path of the working directory.
    pub cwd: &'a [u8],
    /// Finds a file's absolute name with all links followed, as `realpath` does; a relative path
    /// is relative to `cwd`.
    pub resolve: &'a Resolve<'a>,
}

/// What `wslpath` prints and how it exits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes for standard output.
    pub stdout: Vec<u8>,
    /// Bytes for standard error.
    pub stderr: Vec<u8>,
    /// Exit status, 0 or 1.
    pub status: u8,
}

/// What the result should look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A Linux path from a Windows path.
    Linux,
    /// A Windows path from a Linux path.
    Windows,
    /// A Windows path with forward slashes from a Linux path.
    Mixed,
}

const USAGE: &str = r"Usage:
    -a
        Force result to absolute path format.
    -u
        Translate from a Windows path to a WSL path (default).
    -w
        Translate from a WSL path to a Windows path.
    -m
        Translate from a WSL path to a Windows path, with '/' instead of '\\'

Example: wslpath 'c:\\users'
";

/// Runs `wslpath`. `program` is the name it was called by; `arguments` come behind it.
pub fn run<A: AsRef<[u8]>>(program: &[u8], arguments: &[A], context: &Context) -> Outcome {
    let call = match parse(arguments) {
        Ok(call) => call,
        Err(Misuse::Invalid(argument)) => {
            let lines: [&[u8]; 5] = [
                b"Invalid command line argument: ",
                argument,
                b"\nPlease use '",
                program,
                b" --help' to get a list of supported arguments.\n",
            ];
            return Outcome { stderr: lines.concat(), status: 1, ..Outcome::default() };
        }
        Err(Misuse::TwoModes) => {
            let stderr = [USAGE.as_bytes(), b"\n"].concat();
            return Outcome { stderr, status: 1, ..Outcome::default() };
        }
        Err(Misuse::Help) => {
            let stderr = [program, b": Invalid argument\n"].concat();
            return Outcome { stdout: USAGE.as_bytes().to_vec(), stderr, status: 1 };
        }
    };
    match translate(call.path, call.mode, call.absolute, context) {
        Ok(path) => Outcome { stdout: [&path, &b"\n"[..]].concat(), ..Outcome::default() },
        Err(reason) => {
            let separator = if reason.is_empty() { "" } else { ": " };
            let line: [&[u8]; 6] =
                [program, b": ", call.path, separator.as_bytes(), reason.as_bytes(), b"\n"];
            Outcome { stderr: line.concat(), status: 1, ..Outcome::default() }
        }
    }
}

/// Translates one path as `wslpath` does, and as WSL does for `WSLENV`.
///
/// # Errors
/// The reason as `wslpath` prints it behind the path: empty where the path has no name on the
/// other side.
pub fn translate(
    path: &[u8],
    mode: Mode,
    absolute: bool,
    context: &Context,
) -> Result<Vec<u8>, String> {
    match mode {
        Mode::Linux => to_linux(path, absolute, context),
        Mode::Windows => to_windows(path, absolute, context).map(WindowsPath::into_bytes),
        Mode::Mixed => {
            to_windows(path, absolute, context).map(|path| path.with_forward_slashes().into_bytes())
        }
    }
}

fn to_windows(path: &[u8], absolute: bool, context: &Context) -> Result<WindowsPath, String> {
    let resolved = match (context.resolve)(path) {
        Ok(mut resolved) => {
            if path.ends_with(b"/") && !resolved.ends_with(b"/") {
                resolved.push(b'/');
            }
            Cow::Owned(resolved)
        }
        Err(ResolveError::NotFound) => Cow::Borrowed(path),
        Err(ResolveError::Failed(reason)) => return Err(reason),
    };
    let resolved = LinuxPath(&resolved);
    let in_directory = resolved.in_directory(LinuxPath(context.cwd));
    let windows = |path: &[u8]| context.translator.to_windows(LinuxPath(path));
    let translated = windows(&in_directory).map_err(|_| String::new())?;
    if resolved.is_absolute() || absolute {
        return Ok(translated);
    }
    let Ok(directory) = windows(context.cwd) else { return Ok(translated) };
    let relative = below(translated.as_bytes(), directory.as_bytes());
    Ok(relative.map(WindowsPath::from_bytes).unwrap_or(translated))
}

fn to_linux(path: &[u8], absolute: bool, context: &Context) -> Result<Vec<u8>, String> {
    let relative = !is_absolute(path);
    let in_directory = if relative {
        windows_path_in(path, context).ok_or_else(String::new)?
    } else {
        path.to_vec()
    };
    if leads_above_its_root(&in_directory) {
        return Err("No such file or directory".into());
    }
    let windows = WindowsPath::from_bytes(in_directory);
    let translated = context.translator.to_linux(&windows).map_err(|_| String::new())?;
    if !relative || absolute {
        return Ok(translated);
    }
    let cwd = normalize(context.cwd);
    Ok(below(&translated, &cwd).map(<[u8]>::to_vec).unwrap_or(translated))
}

/// Puts the working directory before a relative Windows path, or its drive before one that begins
/// with a slash.
fn windows_path_in(path: &[u8], context: &Context) -> Option<Vec<u8>> {
    let directory = context.translator.to_windows(LinuxPath(context.cwd)).ok()?;
    if path.first().is_some_and(|&byte| is_separator(byte)) {
        let drive =
            directory.has_drive_letter().then(|| directory.as_bytes().get(..2)).flatten()?;
        return Some([drive, path].concat());
    }
    Some([directory.as_bytes(), b"\\", path].concat())
}

/// Tells whether `..` asks for more than a Windows path has. WSL takes that for a file that does
/// not exist; Windows itself would stay at the root.
fn leads_above_its_root(path: &[u8]) -> bool {
    let path = match path {
        [first, second, b'?' | b'.', third, rest @ ..]
            if [first, second, third].into_iter().all(|&byte| is_separator(byte)) =>
        {
            rest
        }
        _ => path,
    };
    let mut depth = 0_usize;
    // The drive or the server can never be left.
    for name in path.split(|&byte| is_separator(byte)).filter(|name| !name.is_empty()).skip(1) {
        match name {
            b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

/// What a path has below a directory: `.` for the directory itself, `None` where it is elsewhere.
fn below<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    match path.strip_prefix(directory)? {
        [] => Some(b"."),
        [separator] if is_separator(*separator) => Some(b"."),
        [separator, rest @ ..] if is_separator(*separator) => Some(rest),
        _ => None,
    }
}

/// A call that says what to do.
struct Call<'a> {
    path: &'a [u8],
    mode: Mode,
    absolute: bool,
}

/// A call that does not.
enum Misuse<'a> {
    Invalid(&'a [u8]),
    TwoModes,
    Help,
}

#[derive(Default)]
struct Flags {
    mode: Option<Mode>,
    help: bool,
    absolute: bool,
}

impl Flags {
    /// Takes one flag; `Ok(false)` for a letter that is none.
    fn take(&mut self, letter: u8) -> Result<bool, Misuse<'static>> {
        let mode = match letter {
            b'a' => {
                self.absolute = true;
                return Ok(true);
            }
            b'u' => Mode::Linux,
            b'w' => Mode::Windows,
            b'm' => Mode::Mixed,
            _ => return Ok(false),
        };
        if self.help || self.mode.replace(mode).is_some() {
            return Err(Misuse::TwoModes);
        }
        Ok(true)
    }

    fn take_help(&mut self) -> Result<bool, Misuse<'static>> {
        if self.help || self.mode.is_some() {
            return Err(Misuse::TwoModes);
        }
        self.help = true;
        Ok(true)
    }
}

fn parse<A: AsRef<[u8]>>(arguments: &[A]) -> Result<Call<'_>, Misuse<'_>> {
    let mut flags = Flags::default();
    let mut path = None;
    let mut flags_ended = false;
    for argument in arguments.iter().map(AsRef::as_ref) {
        let known = match argument {
            b"--" if !flags_ended => {
                flags_ended = true;
                true
            }
            b"--help" if !flags_ended => flags.take_help()?,
            [b'-', letters @ ..] if !flags_ended && !letters.is_empty() => {
                let mut known = true;
                for &letter in letters {
                    known = known && flags.take(letter)?;
                }
                known
            }
            _ => path.replace(argument).is_none(),
        };
        if !known {
            return Err(Misuse::Invalid(argument));
        }
    }
    match path {
        Some(path) if !flags.help => {
            let mode = flags.mode.unwrap_or(Mode::Linux);
            Ok(Call { path, mode, absolute: flags.absolute })
        }
        _ => Err(Misuse::Help),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MountTable;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    const MOUNTS: &str = "\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
20 1 0:50 / /mnt/c rw - 9p none rw,aname=drvfs;path=C:\\134
";

    fn call(cwd: &str, arguments: &[&str]) -> Outcome {
        let translator = Translator::new(MountTable::parse(MOUNTS.as_bytes()))
            .with_distribution(b"Debian", b"/");
        let resolve = |path: &[u8]| match path {
            b"link" => Ok(b"/mnt/c/target".to_vec()),
            b"link/" => Ok(b"/mnt/c/target".to_vec()),
            b"closed/x" => Err(ResolveError::Failed("Permission denied".to_string())),
            _ => Err(ResolveError::NotFound),
        };
        let context = Context { translator: &translator, cwd: cwd.as_bytes(), resolve: &resolve };
        run(b"wslpath", arguments, &context)
    }

    fn stdout(cwd: &str, arguments: &[&str]) -> String {
        String::from_utf8(call(cwd, arguments).stdout).unwrap()
    }

    #[test]
    fn flags_may_be_joined() {
        for arguments in [&["-aw", "x"][..], &["-a", "-w", "x"], &["x", "-wa"], &["-wa", "--", "x"]]
        {
            assert_eq!(stdout("/mnt/c/d", arguments), "C:\\d\\x\n", "{arguments:?}");
        }
        assert_eq!(stdout("/mnt/c/d", &["-am", "x"]), "C:/d/x\n");
        assert_eq!(stdout("/mnt/c/d", &["-w", "--", "-x"]), "-x\n");
        assert_eq!(stdout("/mnt/c/d", &["-w", "-"]), "-\n");
    }

    #[test]
    fn misuse_is_said_as_wsl_says_it() {
        for (arguments, stderr) in [
            (&["-wx", "y"][..], "Invalid command line argument: -wx\n"),
            (&["--windows", "y"], "Invalid command line argument: --windows\n"),
            (&["y", "z"], "Invalid command line argument: z\n"),
            (&["-w", "-u", "y"], "Usage:\n"),
            (&["-ww", "y"], "Usage:\n"),
            (&[], "wslpath: Invalid argument\n"),
            (&["-w"], "wslpath: Invalid argument\n"),
        ] {
            let outcome = call("/", arguments);
            assert_eq!(outcome.status, 1);
            assert!(outcome.stderr.starts_with(stderr.as_bytes()), "{arguments:?}: {outcome:?}");
        }
    }

    #[test]
    fn links_are_followed_on_the_way_to_windows() {
        assert_eq!(stdout("/mnt/c", &["-w", "link"]), "C:\\target\n");
        assert_eq!(stdout("/mnt/c", &["-w", "link/"]), "C:\\target\\\n");
        let outcome = call("/mnt/c", &["-w", "closed/x"]);
        assert_eq!(outcome.stderr, b"wslpath: closed/x: Permission denied\n");
    }

    #[test]
    fn relative_paths_outside_windows_drives() {
        assert_eq!(stdout("/tmp", &["-w", "x/y"]), "x\\y\n");
        assert_eq!(stdout("/tmp", &["-w", "../x"]), "\\\\wsl.localhost\\Debian\\x\n");
        assert_eq!(stdout("/tmp", &["-u", "x\\y"]), "x/y\n");
        assert_eq!(stdout("/mnt/c/d", &["-u", "\\x"]), "/mnt/c/x\n");
        assert_eq!(call("/tmp", &["-u", "\\x"]).stderr, b"wslpath: \\x\n");
        assert_eq!(stdout("/mnt/c/d", &["-u", "..\\x"]), "/mnt/c/x\n");
        assert_eq!(call("/mnt/c/d", &["-u", "..\\..\\x"]).status, 1);
    }

    /// The recorded cases, with the mounts that the file describes.
    #[test]
    fn recorded_cases() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/wslpath.json");
        let text = std::fs::read_to_string(path).unwrap();
        let recorded: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mounts = MountTable::parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
              20 1 0:50 / /mnt/c rw - 9p none rw,aname=drvfs;path=C:\\134;uid=0;gid=0\n\
              21 1 0:51 / /mnt/d rw - drvfs D:/ rw\n\
              22 1 0:52 / /mnt/share rw - 9p  rw,aname=drvfs;path=UNC\\134server\\134share\n",
        );
        let distribution = recorded["distribution"].as_str().unwrap();
        let translator = Translator::new(mounts).with_distribution(distribution.as_bytes(), b"/");
        let cwd = recorded["cwd"].as_str().unwrap().as_bytes();
        let context = Context { translator: &translator, cwd, resolve: &|path| resolve(path, cwd) };
        for case in recorded["cases"].as_array().unwrap() {
            let mut arguments: Vec<String> = case["args"]
                .as_array()
                .unwrap()
                .iter()
                .map(|argument| argument.as_str().unwrap().to_string())
                .collect();
            let stderr = case["stderr"].as_str().unwrap();
            // One message was cut when it was recorded, and its argument too: give it one that is
            // as long as it must have been.
            let cut = !stderr.is_empty() && !stderr.ends_with('\n');
            if cut && let Some(last) = arguments.last_mut() {
                *last = "x".repeat(300);
            }
            let outcome = run(b"wslpath", &arguments, &context);
            let printed = String::from_utf8(outcome.stderr).unwrap();
            assert_eq!(
                String::from_utf8(outcome.stdout).unwrap(),
                case["stdout"].as_str().unwrap(),
                "{arguments:?}"
            );
            assert_eq!(u64::from(outcome.status), case["rc"].as_u64().unwrap(), "{arguments:?}");
            if cut {
                assert!(printed.starts_with(stderr), "{arguments:?}: {printed}");
                assert!(printed.ends_with(": File name too long\n"), "{printed}");
            } else {
                assert_eq!(printed, stderr, "{arguments:?}");
            }
        }
    }

    /// `realpath` on the machine the cases were recorded on, as far as it shows.
    fn resolve(path: &[u8], cwd: &[u8]) -> Result<Vec<u8>, ResolveError> {
        if path.split(|&byte| byte == b'/').any(|name| name.len() > 255) {
            return Err(ResolveError::Failed("File name too long".to_string()));
        }
        let absolute = LinuxPath(path).in_directory(LinuxPath(cwd));
        let normal = normalize(&absolute);
        let directory = match normal.strip_suffix(b"/") {
            Some(b"") | None => &*normal,
            Some(directory) => directory,
        };
        let there: [&[u8]; 9] = [
            b"/",
            b"/etc",
            b"/mnt",
            b"/mnt/c",
            b"/mnt/c/Users",
            b"/mnt/c/Users/me",
            b"/mnt/c/Users/you",
            b"/mnt/d",
            b"/mnt/share",
        ];
        let exists = !path.is_empty() && there.contains(&directory);
        if exists { Ok(directory.to_vec()) } else { Err(ResolveError::NotFound) }
    }

    proptest! {
        #[test]
        fn any_arguments_are_answered(
            arguments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..4),
            flag in "-[auwm]{1,2}",
        ) {
            let translator = Translator::default().with_distribution(b"D", b"/");
            let resolve = |_: &[u8]| Err(ResolveError::NotFound);
            let context = Context { translator: &translator, cwd: b"/", resolve: &resolve };
            let all: Vec<Vec<u8>> = [vec![flag.into_bytes()], arguments].concat();
            let outcome = run(b"wslpath", &all, &context);
            prop_assert_eq!(outcome.status == 0, outcome.stderr.is_empty());
        }
    }
}
