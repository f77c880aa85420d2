//! The mark of a launch, by which everything that belongs to it is found again.

use std::ffi::OsString;

/// The variable by which everything that belongs to one launch is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The launch's number.
    pub launch: u64,
    /// `value` of [`Mark::VARIABLE`].
    pub value: String,
}

impl Mark {
    /// The variable's name. Windows programs see it too, and pass it on to what they start.
    pub const VARIABLE: &'static str = "WINEWINTEROPLAUNCH";

    /// The mark of launch number `launch` of this host.
    #[must_use]
    pub fn new(launch: u64) -> Self {
        Self { launch, value: format!("{}-{launch}", std::process::id()) }
    }

    /// What the variable of every launch of the host with this pid begins with, its name included.
    #[must_use]
    pub fn start_of_all(host: u32) -> String {
        format!("{}={host}-", Self::VARIABLE)
    }

    /// The variable as it stands in an environment.
    #[must_use]
    pub fn entry(&self) -> (OsString, OsString) {
        (Self::VARIABLE.into(), self.value.clone().into())
    }
}
