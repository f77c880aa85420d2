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

/// What is shown of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// Its name, and whether it is the default one.
    #[default]
    Default,
    /// Its name alone.
    Names,
    /// State and version too, below a head.
    Everything,
}

/// The lines of a list.
#[must_use]
pub fn lines(rows: &[Row], shown: Shown) -> Vec<String> {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(4);
    let head = format!("  {:width$}  {:12}  VERSION", "NAME", "STATE");
    let line = |row: &Row| {
        let Row { name, is_default, state, version } = row;
        match shown {
            Shown::Names => name.clone(),
            Shown::Everything => {
                let mark = if *is_default { '*' } else { ' ' };
                format!("{mark} {name:width$}  {state:12}  {}", u8::from(*version))
            }
            Shown::Default => format!("{name}{}", if *is_default { " (Default)" } else { "" }),
        }
    };
    let head = Some(head).filter(|_| shown == Shown::Everything);
    head.into_iter().chain(rows.iter().map(line)).collect()
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
