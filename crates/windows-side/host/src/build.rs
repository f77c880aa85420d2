//! Which build of the host a process is, and which one is to go on in its place.

use crate::identity::{open_program, open_settled};
use rustix::fd::{AsFd as _, OwnedFd};
use std::ffi::OsStr;
use std::fs::{Metadata, metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The program of this process, by its file.
#[derive(Clone, Debug)]
pub struct Build {
    program: PathBuf,
    file: (u64, u64),
    has_successor: bool,
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
        // One that was replaced while it started has this behind its name, as the kernel says it.
        let name = program.as_os_str().as_bytes();
        let place = name.strip_suffix(b" (deleted)").filter(|_| !program.exists());
        let program = Path::new(OsStr::from_bytes(place.unwrap_or(name))).to_owned();
        Ok(Self { program, file: identity(&metadata(running)?), has_successor: true })
    }

    /// The program that lies in its place, open, if it is one that nobody but root and this user could
    /// have put there. What is opened is what should go on: by its name it may be another one a moment
    /// later.
    #[must_use]
    pub fn successor(&self) -> Option<OwnedFd> {
        let program = open_program(None, &self.program).ok().filter(|_| self.has_successor)?;
        let user = rustix::process::geteuid().as_raw();
        open_settled(&self.program, program.as_fd(), user)
    }

    /// The same; none goes on in its place, so it ends where another is to.
    #[must_use]
    pub fn without_successor(self) -> Self {
        Self { has_successor: false, ..self }
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

    #[test]
    fn one_that_was_replaced_while_it_started_knows_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("program");
        std::fs::write(&place, "newer").unwrap();
        let named = folder.path().join("program (deleted)");
        let build = Build::of(&named, Path::new("/proc/self/exe")).unwrap();
        assert!(build.is_replaced());
        // A program may be called so.
        std::fs::write(&named, "itself").unwrap();
        assert!(!Build::of(&named, &named).unwrap().is_replaced());
    }

    #[test]
    fn what_others_could_have_put_in_its_place_does_not_go_on() {
        use std::io::Read as _;
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().canonicalize().unwrap();
        let program = place.join("program");
        std::fs::write(&program, "old").unwrap();
        let build = Build::of(&program, &program).unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(&program, 0o755);
        let mut text = String::new();
        let successor = build.successor().expect("it is settled");
        // Whatever lies there later.
        std::fs::remove_file(&program).unwrap();
        std::fs::write(&program, "other").unwrap();
        std::fs::File::from(successor).read_to_string(&mut text).unwrap();
        assert_eq!(text, "old");
        for (path, wrong, right) in [(&program, 0o757, 0o755), (&place, 0o777, 0o700)] {
            mode(path, wrong);
            assert!(build.successor().is_none(), "{}", path.display());
            mode(path, right);
            assert!(build.successor().is_some());
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&program, Some(4711), None).unwrap();
            assert!(build.successor().is_none(), "another user's");
        }
    }
}
