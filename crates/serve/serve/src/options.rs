//! How the parts of `init` are told what to do on a command line: names that begin with `--`, each with
//! what follows it. It is written and read by ourselves, and no interface for people.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::str::FromStr;

/// Why a command line is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Nobody knows it.
    #[error("{0} is not an option of this part of init")]
    Unknown(String),
    /// Nothing follows it.
    #[error("{0} has no value")]
    NoValue(String),
    /// Its value is not what it should be.
    #[error("{name}: {why}")]
    Wrong {
        /// The option.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl OptionError {
    /// An error for what is wrong with the value of `name`.
    #[must_use]
    pub fn wrong(name: &str, why: &'static str) -> Self {
        Self::Wrong { name: name.to_owned(), why }
    }
}

/// Does what a part of init was told to do, and says on standard error why it cannot.
#[must_use]
pub fn obey<T>(told: Result<T, OptionError>, run: impl FnOnce(&T) -> io::Result<()>) -> ExitCode {
    match told.map_err(io::Error::other).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("init: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a command line, without the program.
#[derive(Clone, Debug, Default)]
pub struct OptionWriter(Vec<OsString>);

impl OptionWriter {
    /// An option that says all by being there.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.0.push(name.into());
        self
    }

    /// An option with its value.
    #[must_use]
    pub fn value(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.extend([name.into(), value.into()]);
        self
    }

    /// The same where there is a value.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<impl Into<OsString>>) -> Self {
        match value {
            Some(value) => self.value(name, value),
            None => self,
        }
    }

    /// The last option: all words that follow are its values.
    #[must_use]
    pub fn rest(mut self, name: &str, values: &[OsString]) -> Vec<OsString> {
        self.0.push(name.into());
        self.0.extend(values.iter().cloned());
        self.0
    }

    /// The command line.
    #[must_use]
    pub fn words(self) -> Vec<OsString> {
        self.0
    }
}

/// Reads what [`OptionWriter`] has written: one name after another, and for each what follows it.
#[derive(Debug)]
pub struct OptionReader<I> {
    words: I,
    name: String,
}

impl<I: Iterator<Item = OsString>> OptionReader<I> {
    /// Reads these words, the program's name not among them.
    pub fn new(words: impl IntoIterator<IntoIter = I>) -> Self {
        Self { words: words.into_iter(), name: String::new() }
    }

    /// The next option; none at the end.
    pub fn option(&mut self) -> Option<String> {
        self.name = self.words.next()?.to_string_lossy().into_owned();
        Some(self.name.clone())
    }

    /// The value of the option that was read last.
    ///
    /// # Errors
    /// [`OptionError::NoValue`].
    pub fn value(&mut self) -> Result<OsString, OptionError> {
        self.words.next().ok_or_else(|| OptionError::NoValue(self.name.clone()))
    }

    /// The same as text.
    ///
    /// # Errors
    /// An [`OptionError`].
    pub fn text(&mut self) -> Result<String, OptionError> {
        let text = self.value()?.into_string();
        text.map_err(|_| OptionError::wrong(&self.name, "it is not UTF-8"))
    }

    /// The same as a number.
    ///
    /// # Errors
    /// An [`OptionError`].
    pub fn number<T: FromStr>(&mut self) -> Result<T, OptionError> {
        let number = self.text()?.parse();
        number.map_err(|_| OptionError::wrong(&self.name, "it is no number of this kind"))
    }

    /// Everything that is left, as the values of the option that was read last.
    pub fn rest(&mut self) -> Vec<OsString> {
        self.words.by_ref().collect()
    }

    /// The error for an option that nobody knows.
    #[must_use]
    pub fn unknown(&self) -> OptionError {
        OptionError::Unknown(self.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_missing_is_named() {
        let writer = OptionWriter::default().flag("--on").value("--size", "7");
        let written =
            writer.optional("--none", None::<&str>).rest("--run", &["a".into(), "--b".into()]);
        let mut reader = OptionReader::new(written);
        assert_eq!(reader.option().as_deref(), Some("--on"));
        assert_eq!(reader.option().as_deref(), Some("--size"));
        assert_eq!(reader.number(), Ok(7_u32));
        assert_eq!(reader.option().as_deref(), Some("--run"));
        assert_eq!(reader.rest(), ["a", "--b"]);
        assert_eq!(reader.option(), None);
        let mut reader = OptionReader::new(["--size", "x", "--what"].map(OsString::from));
        reader.option();
        let wrong = reader.number::<u8>().unwrap_err().to_string();
        assert_eq!(wrong, "--size: it is no number of this kind");
        reader.option();
        assert_eq!(reader.unknown().to_string(), "--what is not an option of this part of init");
        assert_eq!(reader.value(), Err(OptionError::NoValue("--what".to_owned())));
    }
}
