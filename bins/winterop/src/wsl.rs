//! `wsl`: runs a command in a distribution. The machine itself is one.

use crate::progress::Progress;
use crate::say::say;
use anyhow::Result;
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use winterop_distributions::Listener as _;
use winterop_distributions::archive::compression::Compression;
use winterop_distributions::choice::{Meant, meant, set_default, set_default_user};
use winterop_distributions::export::export;
use winterop_distributions::import::{Accepts, import, refuse_version};
use winterop_distributions::listing::{Listed, Shown, default_name, lines, list};
use winterop_distributions::registry::Version;
use winterop_distributions::removal::{ask, unregister};
use winterop_session::from_windows::Line;
use winterop_session::options::{home_as_option, refusal};
use winterop_session::run::{OwnInstances, run as run_in, shut_down, terminate, terminate_named};
use winterop_session::{Runnable, Shell, Wanted, here};
use winterop_words::{Failure, Words};

/// Runs a command in a Linux distribution, from which Windows programs can be started.
#[derive(Parser)]
#[command(
    name = "wsl",
    version,
    disable_version_flag = true,
    after_help = "Examples:\n  \
    wsl\n  \
    wsl --cd /srv ls -l\n  \
    wsl -e ./tool.exe a b\n  \
    wsl --import debian ~/debian debian.tar.xz\n  \
    wsl -d debian -u me make\n  \
    wsl --root ./debian -d debian -u me make"
)]
pub(crate) struct Arguments {
    /// The distribution; the default one if none is named.
    #[arg(short, long, value_name = "NAME")]
    distribution: Option<String>,
    /// Run a distribution from this directory, which has its files, under the name that `-d` gives.
    #[arg(long, value_name = "DIRECTORY", requires = "distribution")]
    root: Option<PathBuf>,
    /// The user; the distribution's default user if none is named.
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// End a distribution, with everything that runs in it.
    #[arg(short, long, value_name = "NAME", num_args = 0..=1)]
    terminate: Option<Option<String>>,
    /// The directory to start in: a Linux or an absolute Windows path; `~` is the home directory, and may
    /// stand without --cd.
    #[arg(long, value_name = "DIRECTORY")]
    cd: Option<PathBuf>,
    /// Run the command without a shell.
    #[arg(short, long)]
    exec: bool,
    /// List the distributions.
    #[arg(short, long)]
    list: bool,
    /// With `--list`: state and version too. `-v` alone is `--version`.
    #[arg(short, long)]
    verbose: bool,
    /// With `--list`: names alone.
    #[arg(short, long, requires = "list")]
    quiet: bool,
    /// With `--list`: only those that run.
    #[arg(long, requires = "list")]
    running: bool,
    /// With `--list`: those too that are being imported or removed.
    #[arg(long, requires = "list")]
    all: bool,
    /// Make a distribution of a tar archive (.tar, .tar.gz, .tar.xz, .tar.zst, or `-` for standard
    /// input) or a disk image, with its files in DIRECTORY.
    #[arg(long, num_args = 3, value_names = ["NAME", "DIRECTORY", "FILE"])]
    import: Option<Vec<PathBuf>>,
    /// Write a distribution's files into a tar archive; `-` is standard output.
    #[arg(long, num_args = 2, value_names = ["NAME", "FILE"])]
    export: Option<Vec<PathBuf>>,
    /// With `--export`: the archive's format, where FILE's name does not say it.
    #[arg(long, value_parser = ["tar", "tar.gz", "tar.xz", "tar.zst"], requires = "export")]
    format: Option<String>,
    /// Change a distribution: with `--set-default-user`.
    #[arg(long, value_name = "NAME")]
    manage: Option<String>,
    /// With `--manage`: who starts commands, where `-u` and `/etc/wsl.conf` say nothing.
    #[arg(long, value_name = "USER", requires = "manage")]
    set_default_user: Option<String>,
    /// Say which distribution is the default one, and which version new ones have.
    #[arg(long)]
    status: bool,
    /// How the shell is started that runs the command: `none` is `--exec`.
    #[arg(long, value_parser = ["standard", "login", "none"], value_name = "TYPE", conflicts_with = "exec")]
    shell_type: Option<String>,
    /// With `--import`: FILE is a disk image (ext4, VHD, VHDX); it is known for one without this too.
    #[arg(long, requires = "import")]
    vhd: bool,
    /// With `--import`: 1 for this kernel; 2, a virtual machine, is not built. Alone: say which
    /// version of Winterop this is.
    #[arg(long, value_name = "VERSION", num_args = 0..=1)]
    version: Option<Option<u8>>,
    /// Remove a distribution with all its files.
    #[arg(long, value_name = "NAME")]
    unregister: Option<String>,
    /// With `--unregister`: do not ask.
    #[arg(long, requires = "unregister")]
    yes: bool,
    /// Make a distribution the default.
    #[arg(short, long, value_name = "NAME")]
    set_default: Option<String>,
    /// End all distributions.
    #[arg(long)]
    shutdown: bool,
    /// The command's words as they were written, for the shell.
    #[arg(long, value_name = "TEXT", hide = true)]
    typed: Option<OsString>,
    /// The command; without it your shell. An option that is not known is none.
    #[arg(trailing_var_arg = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    if let (Some(root), Some(name)) = (&arguments.root, &arguments.distribution) {
        return run_from(root, name, &arguments);
    }
    if manage(&arguments)? {
        return Ok(ExitCode::SUCCESS);
    }
    match meant(arguments.distribution.as_deref())? {
        Meant::Imported(one) => run_distribution(&Runnable::from(&one), &arguments),
        Meant::Machine => Ok(ExitCode::from(here::run(&arguments.wanted(), &say)?)),
    }
}

/// What changes or shows distributions; `false` if a command is wanted instead.
fn manage(arguments: &Arguments) -> Result<bool> {
    let progress = Progress::default();
    if let Some(import) = &arguments.import {
        begin_import(arguments, import)?;
    } else if let Some(Some(_)) = arguments.version {
        return Err(half("--version with a number", "--import"));
    } else if arguments.list {
        print_list(arguments)?;
    } else if arguments.version.is_some() || arguments.verbose {
        println!("Winterop {}", env!("CARGO_PKG_VERSION"));
    } else if let Some(name) = &arguments.unregister {
        let agrees = |one: &_| if arguments.yes { Ok(true) } else { ask(one) };
        unregister(name, &agrees, &OwnInstances, &progress)?;
    } else if let Some(name) = &arguments.set_default {
        set_default(name, &progress)?;
    } else if let Some(name) = &arguments.terminate {
        let name = name.as_ref().or(arguments.distribution.as_ref());
        let name = name.ok_or_else(|| half("--terminate", "a distribution's name"))?;
        terminate_named(name).map_err(Words::from)?;
    } else if arguments.shutdown {
        shut_down().map_err(Words::from)?;
    } else if let Some([name, file]) = arguments.export.as_deref() {
        // A format is called as names of such files end.
        let format = arguments.format.as_ref();
        let compression = format.map(|format| Compression::of_name(Path::new(format)));
        export(&name.to_string_lossy(), file, compression, &progress)?;
    } else if let Some(name) = &arguments.manage {
        let user = arguments.set_default_user.as_ref();
        let wanted = "--set-default-user; to move a distribution, export it and import it";
        set_default_user(name, user.ok_or_else(|| half("--manage", wanted))?, &progress)?;
    } else if arguments.status {
        println!("Default Distribution: {}", default_name()?);
        println!("Default Version: {}", u8::from(Version::default()));
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// An option that says only half of what is wanted.
fn half(option: &str, wanted: &str) -> anyhow::Error {
    Failure::HalfAnOption { option: &option, wanted: &wanted }.words().into()
}

fn begin_import(arguments: &Arguments, wanted: &[PathBuf]) -> Result<()> {
    let [name, directory, file] = wanted else {
        return Err(half("--import", "a name, a directory and a file"));
    };
    refuse_version(arguments.version.flatten())?;
    let accepts = if arguments.vhd { Accepts::Image } else { Accepts::Any };
    // What is no UTF-8 is no name either, and is said so.
    let name = name.to_string_lossy();
    Ok(import(&name, directory, file, accepts, &(Arc::new(Progress::default()) as _))?)
}

fn print_list(arguments: &Arguments) -> Result<()> {
    let listed = match (arguments.running, arguments.all || arguments.verbose) {
        (true, _) => Listed::Running,
        (false, true) => Listed::All,
        (false, false) => Listed::Installed,
    };
    let shown = match (arguments.quiet, arguments.verbose) {
        (true, _) => Shown::Names,
        (false, true) => Shown::Everything,
        (false, false) => Shown::Default,
    };
    lines(&list(listed, &OwnInstances)?, shown).iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Runs a distribution that nobody has imported.
fn run_from(root: &Path, name: &str, arguments: &Arguments) -> Result<ExitCode> {
    let one = Runnable::of_directory(name, root)?;
    if arguments.terminate.is_some() {
        terminate(&one.name).map_err(Words::from)?;
        return Ok(ExitCode::SUCCESS);
    }
    run_distribution(&one, arguments)
}

fn run_distribution(one: &Runnable, arguments: &Arguments) -> Result<ExitCode> {
    let tell = |line: &dyn Display| Progress::default().say(line);
    // An error of its own has sources, whose words it has said.
    let status = run_in(one, &arguments.wanted(), &tell).map_err(Words::from)?;
    Ok(ExitCode::from(status))
}

/// The option that is not known, where an error is about one.
fn option_of(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) if error.kind() == ErrorKind::UnknownArgument => {
            Some(option.clone())
        }
        _ => None,
    }
}

impl Arguments {
    /// What this process was called with; by a Windows program with one text, of which the shell gets the
    /// rest behind the options as it is.
    pub(crate) fn of_process() -> Result<Self> {
        let line = Line::of_process();
        let arguments = Self::of_words(line.words())?;
        let typed = line.end(arguments.command.len()).or(arguments.typed);
        Ok(Self { typed, ..arguments })
    }

    /// Reads the words behind the name. Among the options `~` is one, for the home directory.
    fn of_words(mut words: Vec<OsString>) -> Result<Self> {
        loop {
            let name = std::iter::once(OsString::from("wsl"));
            let arguments = Self::try_parse_from(name.chain(words.iter().cloned()));
            let arguments = arguments.or_else(|error| match option_of(&error) {
                Some(option) => Err(refusal(&option)),
                None => error.exit(),
            })?;
            match home_as_option(&words, arguments.command.len()) {
                Some(others) => words = others,
                None => return Ok(arguments),
            }
        }
    }

    /// What is to be run.
    fn wanted(&self) -> Wanted {
        Wanted {
            user: self.user.clone(),
            directory: self.cd.clone().map(PathBuf::into_os_string),
            command: self.command.clone(),
            line: self.typed.clone(),
            shell: match self.exec {
                true => Shell::None,
                false => Shell::of_type(self.shell_type.as_deref()),
            },
        }
    }
}
