//! The distributions there are, as `wsl --list` and `--status` show them.

use crate::attendance::Instances;
use crate::care::registry;
use crate::registry::{State, Version};
use winterop_accounts::release::Release;
use winterop_words::Words;

/// Which are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listed {
    /// Those that are there as a whole.
    #[default]
    Installed,
    /// Only those that run.
    Running,
    /// Those too that are being imported or removed.
    All,
}

/// One that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Whether it is meant where none is named.
    pub is_default: bool,
    /// What it does.
    pub state: &'static str,
    /// How it runs.
    pub version: Version,
}

/// Lists them; the machine comes first, and always runs.
///
/// # Errors
/// In words.
pub fn list(listed: Listed, instances: &dyn Instances) -> Result<Vec<Row>, Words> {
    let registry = registry()?;
    let default = registry.default_distribution().map(|one| one.name.clone());
    let mut rows = vec![Row {
        name: Release::distribution_of_machine(),
        is_default: default.is_none(),
        state: "Running",
        version: Version::SharedKernel,
    }];
    for one in registry.distributions() {
        let runs = instances.runs(&one.name)?;
        let is_listed = match listed {
            Listed::Running => runs,
            Listed::Installed => one.state == State::Installed,
            Listed::All => true,
        };
        if is_listed {
            rows.push(Row {
                name: one.name.as_str().to_owned(),
                is_default: default.as_ref() == Some(&one.name),
                state: if runs { "Running" } else { one.state.words() },
                version: one.version,
            });
        }
    }
    Ok(rows)
}

/// The name of the default one.
///
/// # Errors
/// In words.
pub fn default_name() -> Result<String, Words> {
    let registry = registry()?;
    let default = registry.default_distribution().map(|one| one.name.as_str().to_owned());
    Ok(default.unwrap_or_else(Release::distribution_of_machine))
}
