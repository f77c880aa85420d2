//! What the machine's init is told on its command line. This is no interface for people.
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use winterop_places::names::{INIT, SOCKET_DIRECTORY};
use winterop_serve::options::{OptionError, OptionReader, OptionWriter};

/// The first argument of a machine's init.
pub const MACHINE_OPTION: &str = "--machine";

/// Where a server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// As whoever started it made it: a service manager has its output.
    Front,
    /// In the background, where it tells on standard output that it serves, and this file gets what is to
    /// be said.
    Back(PathBuf),
}

/// How the machine's init is told what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where its socket goes.
    pub socket_directory: PathBuf,
    /// The program that is a user's host when it is called `wslhost`.
    pub host: PathBuf,
    /// What the entry in the kernel's table starts that is kept there.
    pub interpreter: String,
    /// Where it runs.
    pub ground: Ground,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            socket_directory: SOCKET_DIRECTORY.into(),
            host: PathBuf::new(),
            interpreter: INIT.to_owned(),
            ground: Ground::Front,
        }
    }
}

impl Options {
    /// The command line that [`Options::parse`] reads, without the program.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<OsString> {
        let writer = OptionWriter::default()
            .flag(MACHINE_OPTION)
            .value("--socket-directory", &self.socket_directory)
            .value("--host", &self.host)
            .value("--interpreter", &self.interpreter);
        match &self.ground {
            Ground::Front => writer.words(),
            Ground::Back(log) => writer.value("--background", log).words(),
        }
    }

    /// Reads the process's arguments, the program's name and [`MACHINE_OPTION`] included.
    ///
    /// # Errors
    /// The option that is not known, or has no value; no host.
    pub fn parse(arguments: &[Vec<u8>]) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let mut reader =
            OptionReader::new(arguments.iter().skip(2).cloned().map(OsString::from_vec));
        while let Some(option) = reader.option() {
            match &*option {
                "--socket-directory" => options.socket_directory = reader.value()?.into(),
                "--host" => options.host = reader.value()?.into(),
                "--interpreter" => options.interpreter = reader.text()?,
                "--background" => options.ground = Ground::Back(reader.value()?.into()),
                _ => return Err(reader.unknown()),
            }
        }
        match options.host.is_absolute() {
            true => Ok(options),
            false => Err(OptionError::wrong("--host", "the absolute path of winterop is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_a_command_line() {
        let options = Options {
            host: "/usr/lib/winterop/bin/winterop".into(),
            interpreter: "/usr/lib/winterop/init".to_owned(),
            ground: Ground::Back("/var/log/winterop.log".into()),
            ..Options::default()
        };
        let mut arguments = vec![b"init".to_vec()];
        arguments.extend(options.to_arguments().into_iter().map(OsString::into_vec));
        assert_eq!(Options::parse(&arguments), Ok(options));
        let parse = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
            Options::parse(&words)
        };
        assert!(parse(&["init", MACHINE_OPTION]).unwrap_err().to_string().contains("--host"));
        assert!(
            parse(&["init", MACHINE_OPTION, "--what", "x"])
                .unwrap_err()
                .to_string()
                .contains("--what")
        );
        assert!(
            parse(&["init", MACHINE_OPTION, "--background"])
                .unwrap_err()
                .to_string()
                .contains("no value")
        );
    }
}
