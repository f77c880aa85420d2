//! What the seam to a launcher is made of on this system: descriptors.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use winterop_wire::Role;

/// Endpoints that came with a request, by what they are for.
#[derive(Debug, Default)]
pub struct Endpoints {
    /// 0, 1 and 2; `None` where the caller has it closed.
    pub standard: [Option<OwnedFd>; 3],
    /// The executable.
    pub executable: Option<OwnedFd>,
    /// The caller's root directory.
    pub root: Option<OwnedFd>,
    /// The caller's working directory.
    pub directory: Option<OwnedFd>,
    /// The file in which those who have the terminal tell each other of it.
    pub console: Option<OwnedFd>,
}

impl Endpoints {
    /// Takes those out of `descriptors` that have roles. What has none, or one that is taken, stays.
    pub(crate) fn assign(
        descriptors: &mut Vec<OwnedFd>,
        roles: impl IntoIterator<Item = Role>,
    ) -> Self {
        let mut assigned = Self::default();
        let mut roles = roles.into_iter();
        for descriptor in std::mem::take(descriptors) {
            let role = roles.next().unwrap_or(Role::Unknown(u8::MAX));
            let [stdin, stdout, stderr] = &mut assigned.standard;
            let place = match role {
                Role::Stdin => stdin,
                Role::Stdout => stdout,
                Role::Stderr => stderr,
                Role::Executable => &mut assigned.executable,
                Role::RootDirectory => &mut assigned.root,
                Role::WorkingDirectory => &mut assigned.directory,
                Role::Console => &mut assigned.console,
                Role::Unknown(_) => {
                    descriptors.push(descriptor);
                    continue;
                }
            };
            match place {
                None => *place = Some(descriptor),
                Some(_) => descriptors.push(descriptor),
            }
        }
        assigned
    }

    /// These without the program's own, whose other ends must see when it closes them.
    #[must_use]
    pub fn without_standard(self) -> Self {
        Self { standard: Default::default(), ..self }
    }

    /// The standard descriptors, borrowed.
    #[must_use]
    pub fn borrowed_standard(&self) -> [Option<BorrowedFd<'_>>; 3] {
        self.standard.each_ref().map(|fd| fd.as_ref().map(AsFd::as_fd))
    }
}

/// Where a program's full exit code arrives: four bytes, little-endian.
#[derive(Debug)]
pub struct ExitReport(OwnedFd);

impl ExitReport {
    /// The reading end of the pipe that the program has.
    #[must_use]
    pub fn new(reader: OwnedFd) -> Self {
        Self(reader)
    }
}

/// A report as it is sent to a caller.
pub(crate) fn as_descriptor(report: &ExitReport) -> BorrowedFd<'_> {
    report.0.as_fd()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe_end() -> OwnedFd {
        rustix::pipe::pipe().unwrap().0
    }

    #[test]
    fn descriptors_go_to_their_roles_and_the_rest_is_closed() {
        let roles = [Role::Stdout, Role::Executable, Role::Unknown(9), Role::Stdout];
        let mut descriptors = (0..5).map(|_| pipe_end()).collect();
        let assigned = Endpoints::assign(&mut descriptors, roles);
        assert_eq!(descriptors.len(), 3);
        assert!(assigned.standard[0].is_none() && assigned.standard[1].is_some());
        assert!(assigned.standard[2].is_none() && assigned.executable.is_some());
        assert!(assigned.root.is_none() && assigned.directory.is_none());
    }
}
