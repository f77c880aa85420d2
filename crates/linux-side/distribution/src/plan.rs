//! What an instance is made from, and how the keeper is told.
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use winterop_serve::options::{OptionError, OptionReader, OptionWriter};
use winterop_serve::starting::HostAddress;

/// Who made the directory with an instance's files, and so what it may be trusted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootOf {
    /// Somebody has named it: it is what its files' rights make of it.
    #[default]
    Anybody,
    /// An import: the directory which holds it must be its user's own and closed to others.
    Import,
}

/// The flag for [`RootOf::Import`].
const IMPORTED: &str = "--imported";

/// What to make an instance from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstancePlan {
    /// The distribution's name.
    pub name: String,
    /// The directory with its files.
    pub root: PathBuf,
    /// Who made that directory.
    pub root_of: RootOf,
    /// The instance's own directory, in the user's runtime directory. The keeper makes and removes
    /// it; at most 90 bytes, because sockets are in it.
    pub directory: PathBuf,
    /// The user's data, where the Wine prefix is or will be.
    pub data: PathBuf,
    /// How the user's host is reached and started.
    pub host: HostAddress,
    /// How long the instance goes on after its last session.
    pub idle: Duration,
    /// Where its processes write what they have to say; at the end of the file. It is opened by
    /// whoever starts the keeper.
    pub log: PathBuf,
}

/// What the keeper's standard output says once the instance serves.
pub const READY: &str = "ready";

/// There, before what the instance has to do without.
pub const NOTE: &str = "note ";

/// There, before the reason for which there is no instance.
pub const FAILED: &str = "failed ";

/// The option that makes `init` an instance's keeper.
pub const OPTION: &str = "--distribution";

impl InstancePlan {
    /// The command line that [`InstancePlan::parse`] reads.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<OsString> {
        let writer = OptionWriter::default().value(OPTION, &self.name);
        let writer = match self.root_of {
            RootOf::Anybody => writer,
            RootOf::Import => writer.flag(IMPORTED),
        };
        writer
            .value("--root", &self.root)
            .value("--directory", &self.directory)
            .value("--data", &self.data)
            .value("--idle-milliseconds", self.idle.as_millis().to_string())
            .value("--host-socket", &self.host.socket)
            .rest("--host", &self.host.command)
    }

    /// Reads what [`InstancePlan::to_arguments`] wrote: this is no interface for people.
    ///
    /// # Errors
    /// The option that is not known, or has no value.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, OptionError> {
        let mut plan = Self::default();
        let mut reader = OptionReader::new(arguments);
        while let Some(option) = reader.option() {
            match &*option {
                OPTION => plan.name = reader.text()?,
                "--root" => plan.root = reader.value()?.into(),
                IMPORTED => plan.root_of = RootOf::Import,
                "--directory" => plan.directory = reader.value()?.into(),
                "--data" => plan.data = reader.value()?.into(),
                "--idle-milliseconds" => plan.idle = Duration::from_millis(reader.number()?),
                "--host-socket" => plan.host.socket = reader.value()?.into(),
                "--host" => plan.host.command = reader.rest(),
                _ => return Err(reader.unknown()),
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_a_command_line() {
        let plan = InstancePlan {
            name: "Debian 12".into(),
            root: "/home/me/distributions/Debian/rootfs".into(),
            root_of: RootOf::Import,
            directory: "/run/user/1000/winterop/instances/1".into(),
            data: "/home/me/.local/share/winterop".into(),
            host: HostAddress {
                socket: "/run/user/1000/winterop/interop".into(),
                command: vec!["/usr/bin/winterop".into(), "--root".into()],
                ..HostAddress::default()
            },
            idle: Duration::from_millis(1500),
            log: PathBuf::new(),
        };
        assert_eq!(InstancePlan::parse(plan.to_arguments()), Ok(plan));
        for bad in [&["--what", "x"][..], &["--root"], &["--idle-milliseconds", "x"]] {
            assert!(InstancePlan::parse(bad.iter().map(OsString::from)).is_err(), "{bad:?}");
        }
    }
}
