//! What the command line asks for.
//!
//! It is read from its raw text, because what stands behind `--` must reach the program unchanged.

use std::fmt;

use windows_sys::Win32::System::Environment::GetCommandLineW;

/// How standard handles are connected; `None` leaves the choice to what each handle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relay {
    pub(crate) stdin: Option<bool>,
    pub(crate) stdout: Option<bool>,
    pub(crate) stderr: Option<bool>,
    /// stderr is the same pipe as stdout.
    pub(crate) merged: bool,
}

/// Who gets a Ctrl-C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupts {
    /// The program gets its own.
    Shared,
    /// It comes to us, and we pass it on.
    Pass,
}

/// The command line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) relay: Relay,
    pub(crate) interrupts: Interrupts,
    /// The program's file, in UTF-16 units without a final 0.
    pub(crate) application: Option<Vec<u16>>,
    /// The program's command line, in UTF-16 units without a final 0.
    pub(crate) command_line: Vec<u16>,
}

/// What is wrong with the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Error {
    NoCommandLine,
    NoValue(&'static str),
    Unknown(String),
    UnknownRelay(String),
    UnknownInterrupts(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommandLine => f.write_str("no program: it goes behind `--`"),
            Self::NoValue(option) => write!(f, "{option} needs a value"),
            Self::Unknown(word) => write!(f, "unknown option {word}"),
            Self::UnknownRelay(word) => {
                write!(f, "--relay takes none, stdin, stdout, stderr, stderr=stdout; not {word}")
            }
            Self::UnknownInterrupts(word) => {
                write!(f, "--interrupts takes shared or pass, not {word}")
            }
        }
    }
}

impl Arguments {
    /// Understands a whole command line, our own name included.
    pub(crate) fn parse(line: &[u16]) -> Result<Self, Error> {
        let (_, mut rest) = word(line);
        let mut relay = Relay { stdin: None, stdout: None, stderr: None, merged: false };
        let mut interrupts = Interrupts::Shared;
        let mut application = None;
        loop {
            let (option, behind) = word(rest);
            let (value, behind_value) = word(behind);
            let value = |name| if value.is_empty() { Err(Error::NoValue(name)) } else { Ok(value) };
            match String::from_utf16_lossy(&option).as_str() {
                "" => return Err(Error::NoCommandLine),
                "--" if behind.is_empty() => return Err(Error::NoCommandLine),
                "--" => {
                    let command_line = behind.to_vec();
                    return Ok(Self { relay, interrupts, application, command_line });
                }
                "--relay" => relay = Relay::parse(&value("--relay")?)?,
                "--interrupts" => interrupts = Interrupts::parse(&value("--interrupts")?)?,
                "--application" => application = Some(value("--application")?),
                unknown => return Err(Error::Unknown(unknown.to_owned())),
            }
            rest = behind_value;
        }
    }

    /// The program as a message names it.
    pub(crate) fn program(&self) -> &[u16] {
        self.application.as_deref().unwrap_or(&self.command_line)
    }
}

impl Relay {
    fn parse(list: &[u16]) -> Result<Self, Error> {
        let list = String::from_utf16_lossy(list);
        let (no, yes) = (Some(false), Some(true));
        let mut relay = Self { stdin: no, stdout: no, stderr: no, merged: false };
        for name in list.split(',') {
            match name {
                "none" => {}
                "stdin" => relay.stdin = yes,
                "stdout" => relay.stdout = yes,
                "stderr" => relay.stderr = yes,
                "stderr=stdout" => {
                    relay.stdout = yes;
                    relay.merged = true;
                }
                _ => return Err(Error::UnknownRelay(name.to_owned())),
            }
        }
        Ok(relay)
    }
}

impl Interrupts {
    fn parse(word: &[u16]) -> Result<Self, Error> {
        match String::from_utf16_lossy(word).as_str() {
            "shared" => Ok(Self::Shared),
            "pass" => Ok(Self::Pass),
            word => Err(Error::UnknownInterrupts(word.to_owned())),
        }
    }
}

/// Splits off the first word: up to a blank that is not between quotation marks, which are left
/// out. What remains starts behind the blank, or the blanks, that ended it.
///
/// Options hold no quotation marks or backslashes before them, and paths cannot, so the rules for
/// those are not needed.
pub(crate) fn word(line: &[u16]) -> (Vec<u16>, &[u16]) {
    const QUOTE: u16 = b'"' as u16;
    let blank = |unit: &u16| *unit == u16::from(b' ') || *unit == u16::from(b'\t');
    let mut quoted = false;
    let mut text = Vec::new();
    let mut rest = line;
    while let Some((unit, behind)) = rest.split_first() {
        if blank(unit) && !quoted {
            break;
        }
        if *unit == QUOTE {
            quoted = !quoted;
        } else {
            text.push(*unit);
        }
        rest = behind;
    }
    let blanks = rest.iter().take_while(|unit| blank(unit)).count();
    (text, rest.get(blanks..).unwrap_or_default())
}

/// The command line exactly as we were started with.
pub(crate) fn command_line() -> Vec<u16> {
    // SAFETY: always returns a string that ends with 0 and lasts as long as the process.
    let start = unsafe { GetCommandLineW() };
    let mut units = Vec::new();
    loop {
        // SAFETY: every unit before this one was not 0, so the string reaches at least to here.
        let unit = unsafe { start.wrapping_add(units.len()).read() };
        if unit == 0 {
            return units;
        }
        units.push(unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn parse(line: &str) -> Result<Arguments, Error> {
        Arguments::parse(&units(line))
    }

    #[test]
    fn the_programs_command_line_stays_as_it_is() {
        let line = r#""C:\a -- b\winterop-helper.exe" -- "x y.exe"  a\"b "" \\ -- c  "#;
        let arguments = parse(line).unwrap();
        assert_eq!(arguments.command_line, units(r#""x y.exe"  a\"b "" \\ -- c  "#));
        assert_eq!(arguments.relay.stdin, None);
        assert_eq!(arguments.interrupts, Interrupts::Shared);
    }

    #[test]
    fn lone_surrogates_stay() {
        let mut line = units("h.exe -- x ");
        line.push(0xd800);
        assert_eq!(Arguments::parse(&line).unwrap().command_line.last(), Some(&0xd800));
    }

    #[test]
    fn options_are_understood() {
        let line =
            r#"h --relay stdin,stderr=stdout --application "C:\x y.exe" --interrupts pass -- x"#;
        let arguments = parse(line).unwrap();
        let (yes, no) = (Some(true), Some(false));
        let relay = Relay { stdin: yes, stdout: yes, stderr: no, merged: true };
        assert_eq!(arguments.relay, relay);
        assert_eq!(arguments.application, Some(units(r"C:\x y.exe")));
        assert_eq!(arguments.interrupts, Interrupts::Pass);
    }

    #[test]
    fn none_relays_nothing() {
        let no = Some(false);
        let relay = Relay { stdin: no, stdout: no, stderr: no, merged: false };
        assert_eq!(parse("h --relay none -- x").unwrap().relay, relay);
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        assert_eq!(parse("h"), Err(Error::NoCommandLine));
        assert_eq!(parse(""), Err(Error::NoCommandLine));
        assert_eq!(parse("h -- "), Err(Error::NoCommandLine));
        assert_eq!(parse("h --relay"), Err(Error::NoValue("--relay")));
        assert_eq!(parse("h x"), Err(Error::Unknown("x".to_owned())));
        assert_eq!(parse("h --relay 3 -- x"), Err(Error::UnknownRelay("3".to_owned())));
        let unknown = Error::UnknownInterrupts("all".to_owned());
        assert_eq!(parse("h --interrupts all -- x"), Err(unknown));
    }
}
