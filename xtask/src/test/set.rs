//! The sets of tests.

use anyhow::{Result, bail};

/// Which tests are asked for, before any filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// What every change has to pass.
    Usual,
    /// Everything, large counts too.
    Long,
}

impl Set {
    /// Whether the tests under a name in `.config/sets.toml` are in it.
    ///
    /// # Errors
    /// If nobody can ask for them.
    pub(crate) fn has(self, name: &str) -> Result<bool> {
        match name {
            "long" => Ok(self == Self::Long),
            _ => bail!("nobody can ask for {name}, which .config/sets.toml names"),
        }
    }
}
