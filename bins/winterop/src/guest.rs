//! `winterop guest`: containers and others that get a socket of their own.

use anyhow::Result;
use clap::{Args, Subcommand};
use std::process::ExitCode;
use winterop_machine::guests::GuestName;
use winterop_machine::installation::guests::{add, list, remove};
use winterop_machine::installation::require_root;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    sudo winterop guest add build\n  \
    podman run --volume /run/winterop/guests/build:/run/WSL:ro …\n  \
    winterop guest list\n  \
    sudo winterop guest remove build\n\n\
    What a guest may run, and whose programs they are, a rule in /etc/winterop/policy.toml says. Never \
    mount /run/WSL itself into a container: whoever can write there can serve root.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a directory with a socket, to be mounted read-only into a container at /run/WSL; as root.
    Add {
        /// The guest's name: letters, digits, '-', '_' and '.'.
        name: GuestName,
    },
    /// Take a guest's directory away; as root.
    Remove {
        /// The guest's name.
        name: GuestName,
    },
    /// Say which guests there are, and whether they are served.
    List,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.action {
        Action::Add { name } => {
            require_root("add a guest")?;
            let is_served = add(name).map_err(|error| error.words())?;
            let directory = name.directory();
            let directory = directory.display();
            if !is_served {
                println!("{directory} will be there when Winterop is enabled and runs");
            }
            println!("mount it read-only, for example: --volume {directory}:/run/WSL:ro");
            Ok(ExitCode::SUCCESS)
        }
        Action::Remove { name } => {
            require_root("remove a guest")?;
            if remove(name).map_err(|error| error.words())? {
                return Ok(ExitCode::SUCCESS);
            }
            println!("there is no guest {name}");
            Ok(ExitCode::FAILURE)
        }
        Action::List => {
            for (name, is_served) in list().map_err(|error| error.words())? {
                let state = if is_served { "served" } else { "not served" };
                println!("{name}\t{}\t{state}", name.directory().display());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
