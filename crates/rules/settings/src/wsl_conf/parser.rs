//! WSL's dialect, read as WSL reads it.

use super::types::{Cgroups, Diagnostic, Problem, WslConf};
use crate::file::{self, FileError, Limits};
use std::io;
use std::path::Path;
use winterop_places::inside::Directory;

/// Where it is in every distribution.
pub const PATH: &str = "/etc/wsl.conf";

/// The most bytes of a `wsl.conf`: 1 MiB. People write some hundred.
pub(crate) const LARGEST: u64 = 1 << 20;

impl WslConf {
    /// Reads the file at `path`; where there is none, WSL's defaults hold.
    ///
    /// # Errors
    /// A [`FileError`]: it is no file, cannot be read, or is larger than 1 MiB. It never blocks.
    pub fn read(path: &Path) -> Result<(Self, Vec<Diagnostic>), FileError> {
        let content = file::read(path, Limits::up_to(LARGEST))?;
        Ok(content.map_or_else(Default::default, |content| Self::parse(&content.bytes, path)))
    }

    /// Reads what the system in `root` says of itself, its own links followed and no other; where it
    /// says nothing, WSL's defaults hold.
    ///
    /// # Errors
    /// Those of [`Directory::read`].
    pub fn read_in(root: &Directory) -> io::Result<(Self, Vec<Diagnostic>)> {
        let text = root.read(PATH, LARGEST)?;
        Ok(text.map_or_else(Default::default, |text| Self::parse(&text, Path::new(PATH))))
    }

    /// Reads the text of a file; `path` is for the diagnostics alone.
    #[must_use]
    pub fn parse(text: &[u8], path: &Path) -> (Self, Vec<Diagnostic>) {
        let (assignments, mut problems) = Reader::new(text).read();
        let mut conf = Self::default();
        for assignment in assignments {
            if let Err(problem) = conf.assign(&assignment) {
                problems.push((assignment.line, problem));
            }
        }
        problems.sort_by_key(|(line, _)| *line);
        let diagnostics = problems.into_iter().map(|(line, problem)| Diagnostic {
            path: path.to_owned(),
            line,
            problem,
        });
        let diagnostics = diagnostics.collect();
        if !conf.automount.root.ends_with('/') {
            conf.automount.root.push('/');
        }
        (conf, diagnostics)
    }

    /// The line in which `section.key` was set, whatever the case of its letters.
    #[must_use]
    pub fn line_of(&self, name: &str) -> Option<u32> {
        self.lines.get(&name.to_ascii_lowercase()).copied()
    }

    fn assign(&mut self, assignment: &Assignment) -> Result<(), Problem> {
        let name = assignment.name.to_ascii_lowercase();
        let value = Value { key: &assignment.name, text: &assignment.value };
        // A name that is not known is that, however often it is there.
        if let Some(first) = self.lines.get(&name) {
            return Err(Problem::Duplicate { key: assignment.name.clone(), first: *first });
        }
        let known = self.set(&name, value);
        if !matches!(known, Err(Problem::UnknownKey(_))) {
            self.lines.insert(name, assignment.line);
        }
        known
    }

    /// Every key that WSL knows.
    fn set(&mut self, name: &str, value: Value<'_>) -> Result<(), Problem> {
        match name {
            "automount.enabled" => self.automount.enabled = value.boolean()?,
            "automount.root" => self.automount.root = value.string(),
            "automount.options" => self.automount.options = Some(value.string()),
            "automount.mountfstab" => self.automount.mount_fs_tab = value.boolean()?,
            "automount.ldconfig" => self.automount.ldconfig = value.boolean()?,
            "automount.cgroups" => self.automount.cgroups = value.cgroups()?,
            "filesystem.umask" => self.filesystem.umask = value.integer()?,
            "interop.enabled" => self.interop.enabled = value.boolean()?,
            "interop.appendwindowspath" => self.interop.append_windows_path = value.boolean()?,
            "network.generatehosts" => self.network.generate_hosts = value.boolean()?,
            "network.generateresolvconf" => self.network.generate_resolv_conf = value.boolean()?,
            "network.hostname" => self.network.hostname = Some(value.string()),
            "user.default" => self.user.default = Some(value.string()),
            "boot.systemd" => self.boot.systemd = value.boolean()?,
            "boot.command" => self.boot.command = Some(value.string()),
            "boot.inittimeout" => self.boot.init_timeout = value.integer()?,
            "boot.protectbinfmt" => self.boot.protect_binfmt = value.boolean()?,
            "gpu.enabled" => self.gpu.enabled = value.boolean()?,
            "gpu.appendlibpath" => self.gpu.append_lib_path = value.boolean()?,
            "time.usewindowstimezone" => self.time.use_windows_timezone = value.boolean()?,
            "fileserver.enabled" => self.file_server.enabled = value.boolean()?,
            "fileserver.logfile" => self.file_server.log_file = Some(value.string()),
            "fileserver.loglevel" => self.file_server.log_level = value.integer()?,
            "fileserver.logtruncate" => self.file_server.log_truncate = value.boolean()?,
            "general.guiapplications" => self.general.gui_applications = value.boolean()?,
            _ => return Err(Problem::UnknownKey(value.key.to_owned())),
        }
        Ok(())
    }
}

/// A value with the key it is for, as both are written.
#[derive(Clone, Copy)]
struct Value<'a> {
    key: &'a str,
    text: &'a str,
}

impl Value<'_> {
    fn string(self) -> String {
        self.text.to_owned()
    }

    fn boolean(self) -> Result<bool, Problem> {
        match self.text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(Problem::InvalidBoolean { value: self.string(), key: self.key.to_owned() }),
        }
    }

    fn integer(self) -> Result<i32, Problem> {
        parse_integer(self.text).ok_or_else(|| Problem::InvalidInteger {
            value: self.string(),
            key: self.key.to_owned(),
        })
    }

    fn cgroups(self) -> Result<Cgroups, Problem> {
        match self.text.to_ascii_lowercase().as_str() {
            "v1" => Ok(Cgroups::V1),
            "v2" => Ok(Cgroups::V2),
            _ => Err(Problem::InvalidChoice {
                value: self.string(),
                key: self.key.to_owned(),
                expected: "v1, v2",
            }),
        }
    }
}

/// A number as C writes it: a sign, then `0x` for sixteen, `0` for eight, else ten.
fn parse_integer(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    // The parser of numbers would take another sign.
    let first = digits.chars().next()?;
    let number = first.is_digit(base).then(|| i64::from_str_radix(digits, base).ok())??;
    i32::try_from(number.checked_mul(sign)?).ok()
}

/// `section.key`, as it is written, with what it is set to.
struct Assignment {
    name: String,
    value: String,
    line: u32,
}

/// Walks through a file's bytes and keeps count of the lines.
struct Reader<'a> {
    bytes: &'a [u8],
    line: u32,
    section: Option<String>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8]) -> Self {
        // Editors on Windows begin a file with a mark.
        Self { bytes: text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text), line: 1, section: None }
    }

    fn read(mut self) -> (Vec<Assignment>, Vec<(u32, Problem)>) {
        let (mut assignments, mut problems) = (Vec::new(), Vec::new());
        while !self.bytes.is_empty() {
            match self.read_line() {
                Ok(assignment) => assignments.extend(assignment),
                Err(problem) => problems.push((self.line, problem)),
            }
            self.skip_line();
        }
        (assignments, problems)
    }

    fn peek(&self) -> Option<u8> {
        match self.bytes {
            [b'\r', b'\n', ..] => Some(b'\n'),
            bytes => bytes.first().copied(),
        }
    }

    /// Takes one character; CR LF is one.
    fn take(&mut self) -> Option<u8> {
        let next = self.peek()?;
        let length = if self.bytes.starts_with(b"\r\n") { 2 } else { 1 };
        self.bytes = self.bytes.get(length..).unwrap_or_default();
        if next == b'\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(next)
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.take();
        }
    }

    fn skip_line(&mut self) {
        while self.take().is_some_and(|byte| byte != b'\n') {}
    }

    fn name(&mut self) -> Option<String> {
        if !self.peek()?.is_ascii_alphabetic() {
            return None;
        }
        let mut name = String::new();
        while let Some(byte) = self.peek().filter(u8::is_ascii_alphanumeric) {
            name.push(char::from(byte));
            self.take();
        }
        Some(name)
    }

    /// Reads up to the end of the line, or to where it is wrong.
    fn read_line(&mut self) -> Result<Option<Assignment>, Problem> {
        self.skip_spaces();
        match self.peek() {
            None | Some(b'\n' | b'\r' | b'#') => Ok(None),
            Some(b'[') => self.read_section().map(|()| None),
            Some(_) => self.read_assignment().map(Some),
        }
    }

    fn read_section(&mut self) -> Result<(), Problem> {
        self.take();
        let name = self.name().ok_or(Problem::InvalidSection)?;
        if self.peek() != Some(b']') {
            return Err(Problem::Expected("']'"));
        }
        self.take();
        self.skip_spaces();
        if !matches!(self.peek(), None | Some(b'\n' | b'\r' | b'#')) {
            return Err(Problem::Expected("' ' or '\\n'"));
        }
        self.section = Some(name);
        Ok(())
    }

    fn read_assignment(&mut self) -> Result<Assignment, Problem> {
        let line = self.line;
        let key = self.name().ok_or(Problem::InvalidKey)?;
        let name = match &self.section {
            Some(section) => format!("{section}.{key}"),
            None => key,
        };
        self.skip_spaces();
        if self.peek() != Some(b'=') {
            return Err(Problem::Expected("'='"));
        }
        self.take();
        self.skip_spaces();
        let value = self.read_value()?;
        Ok(Assignment { name, value, line })
    }

    /// Reads a value without its quotes and the spaces at its end.
    fn read_value(&mut self) -> Result<String, Problem> {
        let mut value = Vec::new();
        let mut length = 0;
        let mut quoted = false;
        while let Some(next) = self.peek() {
            match next {
                b'\n' | b'\r' => break,
                b'#' if !quoted => break,
                b'"' => {
                    quoted = !quoted;
                    self.take();
                    length = value.len();
                }
                b'\\' => {
                    self.take();
                    value.extend(self.read_escape()?);
                    length = value.len();
                }
                byte => {
                    self.take();
                    value.push(byte);
                    if !matches!(byte, b' ' | b'\t') {
                        length = value.len();
                    }
                }
            }
        }
        if quoted {
            return Err(Problem::Expected("\""));
        }
        value.truncate(length);
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    /// What stands behind a backslash; nothing for the end of a line.
    fn read_escape(&mut self) -> Result<Option<u8>, Problem> {
        let escaped = match self.peek() {
            Some(byte @ (b'\\' | b'"')) => Some(byte),
            Some(b'b') => Some(b'\x08'),
            Some(b'n') => Some(b'\n'),
            Some(b't') => Some(b'\t'),
            Some(b'\n') => None,
            // It is shown whole, however many bytes it has.
            _ => return Err(Problem::InvalidEscape(self.next_character())),
        };
        self.take();
        Ok(escaped)
    }

    fn next_character(&self) -> String {
        let start = self.bytes.get(..self.bytes.len().min(4)).unwrap_or_default();
        String::from_utf8_lossy(start).chars().take(1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::Interop;
    use super::*;

    fn parse(text: &str) -> (WslConf, Vec<String>) {
        let (conf, diagnostics) = WslConf::parse(text.as_bytes(), Path::new(PATH));
        (conf, diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn s4_each_wrong_line_is_named_and_all_others_hold() {
        for (text, expected) in [
            ("[interop]\nfoo = 1\n", "Unknown key 'interop.foo' in /etc/wsl.conf:2"),
            ("enabled = 1\n", "Unknown key 'enabled' in /etc/wsl.conf:1"),
            ("[user]\ndefault = a\\xb\n", "Invalid escaped character: 'x' in /etc/wsl.conf:2"),
            ("\n[1x]\n", "Invalid section name in /etc/wsl.conf:2"),
            ("[]\n", "Invalid section name in /etc/wsl.conf:1"),
            ("[interop\n", "Expected ']' in /etc/wsl.conf:1"),
            ("[inter op]\n", "Expected ']' in /etc/wsl.conf:1"),
            ("[interop] x\n", "Expected ' ' or '\\n' in /etc/wsl.conf:1"),
            ("[interop]\n\nenabled\n", "Expected '=' in /etc/wsl.conf:3"),
            ("# a\n!x = 1\n", "Invalid key name in /etc/wsl.conf:2"),
            (
                "[interop]\nenabled = maybe\n",
                "Invalid boolean value 'maybe' for key 'interop.enabled' in /etc/wsl.conf:2",
            ),
            (
                "[boot]\ninitTimeout = 12s\n",
                "Invalid integer value '12s' for key 'boot.initTimeout' in /etc/wsl.conf:2",
            ),
            (
                "[boot]\ninitTimeout = 2147483648\n",
                "Invalid integer value '2147483648' for key 'boot.initTimeout' in /etc/wsl.conf:2",
            ),
            (
                "[automount]\ncgroups = v3\n",
                "Invalid value 'v3' for key 'automount.cgroups', expected one of: v1, v2 in \
                 /etc/wsl.conf:2",
            ),
            ("[user]\ndefault = \"a\n", "Expected \" in /etc/wsl.conf:2"),
            (
                "[gpu]\nEnabled = 0\nenabled = 1\n",
                "Duplicated config key 'gpu.enabled' (the one in line 2 counts) in \
                 /etc/wsl.conf:3",
            ),
        ] {
            for ending in ["\n", "\r\n"] {
                let around = format!("{text}[network]\nhostname = after\n").replace('\n', ending);
                let (conf, diagnostics) = parse(&around);
                assert_eq!(diagnostics, [expected], "{around:?}");
                assert_eq!(conf.network.hostname.as_deref(), Some("after"), "{around:?}");
            }
        }
    }

    #[test]
    fn s4_every_known_key_is_accepted() {
        let text = "[automount]\r\nenabled=false\r\nroot = /win\r\noptions = \"metadata,umask=22 # x\"\
                    \r\nmountFsTab = 0\r\nldconfig = FALSE\r\ncgroups = v1\r\n[filesystem]\r\n\
                    umask = 0077\r\n[interop] # both\r\nenabled = false # off\r\n\
                    appendWindowsPath = False\r\n[network]\r\ngenerateHosts = false\r\n\
                    generateResolvConf = false\r\nhostname = box\r\n[user]\r\ndefault = me\r\n\
                    [boot]\r\nsystemd = true\r\ncommand = \"echo \\\"a\\\"; \\\r\n b\"\r\n\
                    initTimeout = 0x10\r\nprotectBinfmt = false\r\n[gpu]\r\nenabled = 0\r\n\
                    appendLibPath = 0\r\n[time]\r\nuseWindowsTimezone = false\r\n[fileServer]\r\n\
                    enabled = false\r\nlogFile = /x\r\nlogLevel = 5\r\nlogTruncate = false\r\n\
                    [general]\r\nguiApplications = true";
        let (conf, diagnostics) = parse(text);
        assert_eq!(diagnostics, [""; 0]);
        assert!(!conf.interop.enabled && !conf.interop.append_windows_path);
        assert_eq!(conf.automount.root, "/win/");
        assert_eq!(conf.automount.options.as_deref(), Some("metadata,umask=22 # x"));
        assert_eq!(conf.automount.cgroups, Cgroups::V1);
        assert_eq!(conf.filesystem.umask, 0o077);
        assert_eq!(conf.boot.command.as_deref(), Some("echo \"a\";  b"));
        assert_eq!((conf.boot.init_timeout, conf.boot.systemd), (16, true));
        assert_eq!(conf.line_of("interop.appendWindowsPath"), Some(12));
        assert!(!conf.time.use_windows_timezone && conf.general.gui_applications);
        let (upper, diagnostics) = parse(&text.to_ascii_uppercase());
        assert_eq!(diagnostics, [""; 0]);
        assert!(!upper.interop.enabled && upper.user.default.as_deref() == Some("ME"));
    }

    #[test]
    fn values_as_wsl_reads_them() {
        for (text, expected) in [
            ("", ""),
            ("  a b  ", "a b"),
            ("\" a \" ", " a "),
            ("a\\tb\\n\\\\ # comment", "a\tb\n\\"),
            ("a\"#\"b#c", "a#b"),
            ("one\\\ntwo", "onetwo"),
            ("é", "é"),
        ] {
            let (conf, diagnostics) = parse(&format!("\u{FEFF}[user]\ndefault={text}"));
            assert_eq!(conf.user.default.as_deref(), Some(expected), "{text:?} {diagnostics:?}");
        }
        for (text, expected) in [
            ("0", Some(0)),
            ("-12", Some(-12)),
            ("+0x1F", Some(31)),
            ("017", Some(15)),
            ("08", None),
            ("--1", None),
            ("0x", None),
            ("", None),
            ("-2147483648", Some(i32::MIN)),
        ] {
            assert_eq!(parse_integer(text), expected, "{text}");
        }
    }

    #[test]
    fn rubbish_is_only_reported() {
        for text in [&b"\0\xFF[\\=\"\n\r\r\n[a]\nb=\\"[..], b"[", b"a", b"[a]\nb=\\\n", b"\r"] {
            let (conf, _) = WslConf::parse(text, Path::new(PATH));
            assert_eq!(conf.interop, Interop::default());
        }
    }
}
