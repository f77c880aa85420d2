//! What an item of an extension block can be.

use core::fmt;

use crate::bits::bit_set;

/// The eight bytes an extension block begins with.
pub const MAGIC: [u8; 8] = *b"\x7fWNTROP1";

/// Most items that one extension block may have.
pub const MAX_ITEMS: usize = 1024;

/// The number that says what an extension item is.
///
/// Any number can be held; an unknown one is kept and otherwise ignored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u16);

macro_rules! tags {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl Tag {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// The name in `docs/extensions.md`, for numbers that have one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

tags! {
    /// Absolute Linux path of the executable as the caller sees it.
    LINUX_EXECUTABLE = 1, "LinuxExecutable";
    /// Absolute Linux path of the working directory as the caller sees it.
    LINUX_DIRECTORY = 2, "LinuxDirectory";
    /// One [`Role`] byte for each descriptor that travels with the message, in order.
    DESCRIPTOR_ROLES = 3, "DescriptorRoles";
    /// One [`Placement`] byte.
    PLACEMENT = 4, "Placement";
    /// `NAME=value` list: variables of the caller that the host may need and WSLENV does not carry.
    LINUX_VARIABLES = 5, "LinuxVariables";
    /// `NAME=value` list: untranslated values of the WSLENV entries with `/p` or `/l`.
    RAW_WSLENV = 6, "RawWslenv";
    /// `NAME=value` list: to be set for the program whatever WSLENV says; empty means set and empty.
    SET_VARIABLES = 7, "SetVariables";
    /// `NAME` list: to be removed from the program's environment.
    UNSET_VARIABLES = 8, "UnsetVariables";
    /// What stands behind the program's name in the Windows command line, instead of what is built
    /// from the arguments.
    VERBATIM_COMMAND_LINE = 9, "VerbatimCommandLine";
    /// `u32`: the [`Features`] that the client understands.
    CLIENT_FEATURES = 10, "ClientFeatures";
    /// `argv[0]` as it was typed.
    EXECUTABLE_NAME = 11, "ExecutableName";
    /// `u8`, 1: the program is to outlive the client.
    DETACH = 12, "Detach";
    /// `u8`, 1: the program is to start in the working directory or not at all.
    STRICT_DIRECTORY = 13, "StrictDirectory";
    /// The name of a program that the host is to find as Windows does; the request names no file.
    SEARCH_NAME = 14, "SearchName";
    /// `NAME=value` list: variables of the interop server with which the host answers a client that
    /// asks for one.
    SERVER_VARIABLES = 15, "ServerVariables";
    /// UTF-8, one or more lines: what went wrong, on what, and what to do.
    ERROR_TEXT = 32, "ErrorText";
    /// `u8`: the status the interpreter should exit with.
    ERROR_STATUS = 33, "ErrorStatus";
    /// Strings: the argument vector to run in place.
    IN_PLACE_ARGUMENTS = 34, "InPlaceArguments";
    /// `NAME=value` list: the whole environment to run in place with.
    IN_PLACE_ENVIRONMENT = 35, "InPlaceEnvironment";
    /// Linux path of the directory to run in place in.
    IN_PLACE_DIRECTORY = 36, "InPlaceDirectory";
    /// Linux path to execve in place.
    IN_PLACE_PROGRAM = 37, "InPlaceProgram";
    /// `u32`: the [`Features`] that the host understands.
    HOST_FEATURES = 38, "HostFeatures";
    /// Name of the environment variable that tells the program run in place the number of the
    /// descriptor on which to write its full exit code, a `u32`.
    IN_PLACE_REPORT = 39, "InPlaceReport";
    /// `u64`: the host's number for this launch.
    LAUNCH_ID = 40, "LaunchId";
    /// `u32`: the Windows error code behind a failure.
    WINDOWS_ERROR_CODE = 41, "WindowsErrorCode";
    /// `u32`, milliseconds: how long a program that was asked to end may take until it is ended.
    GRACE = 42, "Grace";
    /// Name of the environment variable that tells the program run in place the path of the file
    /// that came with [`Role::Console`].
    IN_PLACE_CONSOLE = 43, "InPlaceConsole";
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "unknown tag {}", self.0),
        }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a descriptor that travels with a create-process message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The program's standard input.
    Stdin,
    /// The program's standard output.
    Stdout,
    /// The program's standard error.
    Stderr,
    /// The executable, open for reading.
    Executable,
    /// The caller's root directory.
    RootDirectory,
    /// The caller's working directory.
    WorkingDirectory,
    /// The file in which those who have the terminal tell each other of it.
    Console,
    /// A role this version does not know; the receiver closes the descriptor.
    Unknown(u8),
}

impl From<u8> for Role {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Stdin,
            1 => Self::Stdout,
            2 => Self::Stderr,
            3 => Self::Executable,
            4 => Self::RootDirectory,
            5 => Self::WorkingDirectory,
            6 => Self::Console,
            other => Self::Unknown(other),
        }
    }
}

impl From<Role> for u8 {
    fn from(role: Role) -> Self {
        match role {
            Role::Stdin => 0,
            Role::Stdout => 1,
            Role::Stderr => 2,
            Role::Executable => 3,
            Role::RootDirectory => 4,
            Role::WorkingDirectory => 5,
            Role::Console => 6,
            Role::Unknown(number) => number,
        }
    }
}

/// Where the client wants the program to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Placement {
    /// The host decides.
    #[default]
    HostDecides,
    /// Below the host, not in the client's place.
    Hosted,
}

impl From<u8> for Placement {
    /// A number this version does not know leaves the decision to the host.
    fn from(number: u8) -> Self {
        if number == 1 { Self::Hosted } else { Self::HostDecides }
    }
}

impl From<Placement> for u8 {
    fn from(placement: Placement) -> Self {
        match placement {
            Placement::HostDecides => 0,
            Placement::Hosted => 1,
        }
    }
}

bit_set! {
    /// What a peer understands beyond WSL's protocol.
    Features {
        /// Running a program in the client's place.
        IN_PLACE = 1;
        /// Signal messages.
        SIGNALS = 2;
        /// Credit messages.
        CREDIT = 4;
    }
}
