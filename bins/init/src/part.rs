//! Which part of the system this process is.

use winterop_interpreter::start::PRESERVED_ARGV0;
use winterop_interpreter::{Auxiliary, base_name};
use winterop_places::names::SESSION_LEADER;

/// A part that `init` can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What the kernel starts for a Windows executable, and what `/init PROGRAM` is.
    Interpreter,
    /// The top process of an instance.
    Init,
    /// The leader of a session in a distribution.
    SessionLeader,
    /// The path translator.
    WslPath,
    /// What starts programs for the machine's init.
    Starter,
}

impl Part {
    /// Decides by AT_FLAGS first, because a caller may give a Windows program any `argv[0]`, and by
    /// the base name of `argv[0]` then. Never by the pid: the interpreter can be process 1.
    ///
    /// `init` with a program to run is the interpreter; with options it is the instance's init.
    pub(crate) fn of(arguments: &[&[u8]], flags: usize) -> Self {
        if flags & PRESERVED_ARGV0 != 0 {
            return Self::Interpreter;
        }
        let name = arguments.first().map(|name| base_name(name)).unwrap_or_default();
        match (name, arguments.get(1)) {
            (b"init", Some(option)) if option.starts_with(b"--") => Self::Init,
            (name, Some(_)) if name == SESSION_LEADER.as_bytes() => Self::SessionLeader,
            (b"wslpath", _) => Self::WslPath,
            (b"winterop-starter", None) => Self::Starter,
            _ => Self::Interpreter,
        }
    }
}

const AT_EXECFD: usize = 2;
const AT_FLAGS: usize = 8;
const AT_SECURE: usize = 23;

/// Picks what the interpreter needs out of the auxiliary vector.
pub(crate) fn auxiliary(vector: impl Iterator<Item = (usize, usize)>) -> Auxiliary {
    let mut auxiliary = Auxiliary::default();
    for (key, value) in vector {
        match key {
            AT_EXECFD => auxiliary.executable = i32::try_from(value).ok(),
            AT_FLAGS => auxiliary.flags = value,
            AT_SECURE => auxiliary.secure = value != 0,
            _ => {}
        }
    }
    auxiliary
}
