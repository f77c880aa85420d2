//! Which init this process is: its first option says so.

use std::process::ExitCode;

/// An init, or what keeps an instance of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The init of `winterop shell`'s instance.
    Shell,
    /// What stays outside of that.
    ShellKeeper,
    /// What stays outside of a distribution's instance, and makes it.
    DistributionKeeper,
    /// The machine's.
    Machine,
}

impl Role {
    /// The role that these arguments, the program's name among them, are for.
    pub(crate) fn of(arguments: &[Vec<u8>]) -> Self {
        let first = arguments.get(1).map(Vec::as_slice).unwrap_or_default();
        let roles = [
            (winterop_distribution::plan::OPTION, Self::DistributionKeeper),
            (winterop_machine::MACHINE_OPTION, Self::Machine),
            (winterop_shell::keeper::KEEPER_OPTION, Self::ShellKeeper),
        ];
        let named = roles.into_iter().find(|(option, _)| option.as_bytes() == first);
        named.map_or(Self::Shell, |(_, role)| role)
    }

    /// Does what the role is.
    pub(crate) fn run(self, arguments: &[Vec<u8>]) -> ExitCode {
        match self {
            Self::Shell => winterop_shell::init::run(arguments),
            Self::ShellKeeper => winterop_shell::keeper::run(arguments),
            Self::DistributionKeeper => winterop_distribution::keeper::run(arguments),
            Self::Machine => winterop_machine::init::run(arguments),
        }
    }
}
