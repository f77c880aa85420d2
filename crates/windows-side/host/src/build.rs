//! Which build of the host a process is.

use std::fs::{Metadata, metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The program of this process, by its file.
#[derive(Clone, Debug)]
pub struct Build {
    program: PathBuf,
    file: (u64, u64),
}

impl Build {
    /// The build that this process runs, whose program lies at `program`.
    ///
    /// # Errors
    /// The system's, where this process's own program cannot be looked at.
    pub fn own(program: &Path) -> io::Result<Self> {
        Self::of(program, Path::new("/proc/self/exe"))
    }

    fn of(program: &Path, running: &Path) -> io::Result<Self> {
        Ok(Self { program: program.to_owned(), file: identity(&metadata(running)?) })
    }

    /// Where the program lies.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Whether another program lies in its place. While none does this is still the one.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        metadata(&self.program).is_ok_and(|now| now.is_file() && identity(&now) != self.file)
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_replaced_when_another_lies_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (program, running) = (folder.path().join("program"), folder.path().join("running"));
        std::fs::write(&program, "old").unwrap();
        // The file of a program that runs goes on.
        std::fs::hard_link(&program, &running).unwrap();
        let build = Build::of(&program, &running).unwrap();
        assert!(!build.is_replaced());
        std::fs::remove_file(&program).unwrap();
        assert!(!build.is_replaced());
        std::fs::write(&program, "new").unwrap();
        assert!(build.is_replaced());
    }
}
