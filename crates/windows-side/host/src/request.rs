//! A launch as the host received it: who asks, for what, with which descriptors.

use crate::located::Caller;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use winterop_channel::Frame;
use winterop_sys::PeerCredentials;
use winterop_wire::{CreateProcess, DecodeError, Features, Message, Placement, Role, Tag};

/// Descriptors that came with a request, by what they are for.
#[derive(Debug, Default)]
pub struct Descriptors {
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

impl Descriptors {
    /// Takes those out of `descriptors` that have roles. What has none, or one that is taken, stays.
    fn assign(descriptors: &mut Vec<OwnedFd>, roles: impl IntoIterator<Item = Role>) -> Self {
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

/// A request to create a Windows process, free of the buffer it came in.
#[derive(Debug, Default)]
pub struct LaunchRequest {
    /// Who asks, as the kernel says.
    pub peer: PeerCredentials,
    /// What came with it.
    pub descriptors: Descriptors,
    /// The executable's Windows path, as the interpreter's mount table has it.
    pub filename: Vec<u8>,
    /// The working directory's Windows path, likewise; may be empty.
    pub working_directory: Vec<u8>,
    /// argv.
    pub arguments: Vec<Vec<u8>>,
    /// `NAME=value`, `WSLENV` first.
    pub environment: Vec<Vec<u8>>,
    /// The executable's Linux path, as the caller sees it.
    pub linux_executable: Option<Vec<u8>>,
    /// The working directory's Linux path, as the caller sees it.
    pub linux_directory: Option<Vec<u8>>,
    /// `argv[0]` as it was typed.
    pub name: Option<Vec<u8>>,
    /// The name of a program that is still to be found; then there is no executable.
    pub search: Option<Vec<u8>>,
    /// Where the caller wants the program.
    pub placement: Placement,
    /// Variables of the Linux side that the host may need.
    pub linux_variables: Vec<Vec<u8>>,
    /// Untranslated values of WSLENV's paths.
    pub raw_wslenv: Vec<Vec<u8>>,
    /// Variables to set on the Windows side.
    pub set: Vec<Vec<u8>>,
    /// Variables to remove on the Windows side.
    pub unset: Vec<Vec<u8>>,
    /// What stands behind the program's name in the command line, instead of the arguments.
    pub verbatim: Option<Vec<u8>>,
    /// The program outlives the caller.
    pub detach: bool,
    /// The program shall start in the caller's own directory or not at all.
    pub strict_directory: bool,
    /// What the caller understands.
    pub features: Features,
    /// Rows and columns of the terminal, where the program is interactive.
    pub terminal: Option<(u16, u16)>,
    /// Whether the caller is a guest: admission finds that out.
    pub is_guest: bool,
    /// Where the host has found a program that came by its bare name.
    pub found: Option<PathBuf>,
    /// Whether the program runs by its descriptor alone, although it has a name: somebody else could
    /// put another one in its place.
    pub is_pinned: bool,
}

/// Why a message is no launch.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The message's layout is wrong.
    #[error("the request cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// An extension's value is wrong.
    #[error("the request's extension cannot be read: {0}")]
    Value(#[from] winterop_wire::ValueError),
    /// A list is longer than any that a caller can have.
    #[error("{0} has more than {LONGEST_LIST} entries")]
    TooLong(Tag),
}

/// The most entries of a list in a request; the kernel lets no program have as many variables.
const LONGEST_LIST: usize = 65_536;

impl LaunchRequest {
    /// Reads a client's create-process message. Descriptors that nobody needs stay in the frame, all
    /// of them where it cannot be read: to close them may block.
    ///
    /// Without roles the descriptors are taken as the three standard ones, in order.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub fn read(frame: &mut Frame, peer: PeerCredentials) -> Result<Self, RequestError> {
        let Frame { bytes, descriptors } = frame;
        let message = Message::parse(bytes)?;
        let common = CreateProcess::decode(&message)?.common;
        let extensions = &common.extensions;
        let roles: Vec<Role> = match extensions.roles() {
            Some(roles) => roles.collect(),
            None => vec![Role::Stdin, Role::Stdout, Role::Stderr],
        };
        let bytes_of = |tag| extensions.get(tag).map(<[u8]>::to_vec);
        let list = |tag| -> Result<Vec<Vec<u8>>, RequestError> {
            let strings = extensions.strings(tag)?.into_iter().flatten();
            let list: Vec<_> = strings.take(LONGEST_LIST + 1).map(<[u8]>::to_vec).collect();
            if list.len() > LONGEST_LIST { Err(RequestError::TooLong(tag)) } else { Ok(list) }
        };
        let owned = |list: &[&[u8]]| list.iter().map(|entry| entry.to_vec()).collect();
        let mut request = Self {
            peer,
            descriptors: Descriptors::default(),
            filename: common.filename.to_vec(),
            working_directory: common.working_directory.to_vec(),
            arguments: owned(&common.arguments),
            environment: common.environment.as_deref().map(owned).unwrap_or_default(),
            linux_executable: bytes_of(Tag::LINUX_EXECUTABLE),
            linux_directory: bytes_of(Tag::LINUX_DIRECTORY),
            name: bytes_of(Tag::EXECUTABLE_NAME),
            search: bytes_of(Tag::SEARCH_NAME),
            placement: extensions.placement()?,
            linux_variables: list(Tag::LINUX_VARIABLES)?,
            raw_wslenv: list(Tag::RAW_WSLENV)?,
            set: list(Tag::SET_VARIABLES)?,
            unset: list(Tag::UNSET_VARIABLES)?,
            verbatim: bytes_of(Tag::VERBATIM_COMMAND_LINE),
            detach: extensions.get_u8(Tag::DETACH)?.is_some_and(|value| value != 0),
            strict_directory: extensions
                .get_u8(Tag::STRICT_DIRECTORY)?
                .is_some_and(|value| value != 0),
            features: extensions.features(Tag::CLIENT_FEATURES)?,
            terminal: common.pseudoconsole.then_some((common.rows, common.columns)),
            is_guest: false,
            found: None,
            is_pinned: false,
        };
        request.descriptors = Descriptors::assign(descriptors, roles);
        Ok(request)
    }

    /// Who has handed its files over.
    #[must_use]
    pub fn caller(&self) -> Caller<'_> {
        let root = self.descriptors.root.as_ref().map(AsFd::as_fd);
        Caller { root, pid: self.peer.pid }
    }

    /// The program as messages name it: as it was typed, else by its path.
    #[must_use]
    pub fn shown(&self) -> String {
        let path = self.linux_executable.as_deref().unwrap_or(&self.filename);
        String::from_utf8_lossy(path).into_owned()
    }
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
        let assigned = Descriptors::assign(&mut descriptors, roles);
        assert_eq!(descriptors.len(), 3);
        assert!(assigned.standard[0].is_none() && assigned.standard[1].is_some());
        assert!(assigned.standard[2].is_none() && assigned.executable.is_some());
        assert!(assigned.root.is_none() && assigned.directory.is_none());
    }
}
