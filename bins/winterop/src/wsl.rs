//! `wsl`: runs a command in a distribution. The machine itself is one.

use crate::distribution::{self, Wanted};
use crate::distributions::{self, ListStyle};
use crate::{places, shell};
use anyhow::{Context as _, Result, bail};
use clap::Parser;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use winterop_distributions::DistributionName;
use winterop_distributions::archive::compression::Compression;
use winterop_distributions::registry::Uid;

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
pub struct Arguments {
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
    /// The directory to start in; `~` is the home directory.
    #[arg(long, value_name = "DIRECTORY")]
    cd: Option<PathBuf>,
    /// Run the command without a shell.
    #[arg(short, long)]
    exec: bool,
    /// List the distributions.
    #[arg(short, long)]
    list: bool,
    /// With `--list`: state and version too.
    #[arg(short, long, requires = "list")]
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
    #[arg(long, value_enum, requires = "export")]
    format: Option<Format>,
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
    #[arg(long, value_enum, value_name = "TYPE", conflicts_with = "exec")]
    shell_type: Option<ShellType>,
    /// Refused: disks are mounted by `mount` here.
    #[arg(long, value_name = "DISK", num_args = 0..)]
    mount: Option<Vec<OsString>>,
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
    /// The command; without it your shell.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// How `--export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// As it is.
    Tar,
    /// Compressed by gzip.
    #[value(name = "tar.gz")]
    TarGz,
    /// Compressed by xz.
    #[value(name = "tar.xz")]
    TarXz,
    /// Compressed by zstd.
    #[value(name = "tar.zst")]
    TarZst,
}

impl From<Format> for Compression {
    fn from(format: Format) -> Self {
        match format {
            Format::Tar => Self::None,
            Format::TarGz => Self::Gzip,
            Format::TarXz => Self::Xz,
            Format::TarZst => Self::Zstd,
        }
    }
}

/// How a command's shell is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ShellType {
    /// As a shell that asks nobody who it is.
    Standard,
    /// As a login shell.
    Login,
    /// Not at all.
    None,
}

pub fn run(mut arguments: Arguments) -> Result<ExitCode> {
    arguments.exec |= arguments.shell_type == Some(ShellType::None);
    if let (Some(root), Some(name)) = (&arguments.root, &arguments.distribution) {
        return run_from(root, name, &arguments);
    }
    if manage(&arguments)? {
        return Ok(ExitCode::SUCCESS);
    }
    match distributions::meant(arguments.distribution.as_deref())? {
        Some(meant) => run_in(&meant.root, &meant.name, Some(meant.default_uid), &arguments),
        None => run_here(arguments),
    }
}

/// What changes or shows distributions; `false` if a command is wanted instead.
fn manage(arguments: &Arguments) -> Result<bool> {
    if let Some(import) = &arguments.import {
        begin_import(arguments, import)?;
    } else if let Some(version) = arguments.version {
        if version.is_some() {
            bail!("--version with a number belongs to --import");
        }
        println!("Winterop {}", env!("CARGO_PKG_VERSION"));
    } else if arguments.list {
        let Arguments { verbose, quiet, running, all, .. } = *arguments;
        distributions::list(ListStyle { verbose, quiet, running, all })?;
    } else if let Some(name) = &arguments.unregister {
        distributions::unregister(name, arguments.yes)?;
    } else if let Some(name) = &arguments.set_default {
        distributions::set_default(name)?;
    } else if let Some(name) = &arguments.terminate {
        let name = name.as_ref().or(arguments.distribution.as_ref());
        let name = name.context("--terminate wants a distribution's name")?;
        match distributions::meant(Some(name))? {
            Some(meant) => distributions::terminate(&meant.name)?,
            None => bail!("{name} is this machine; it is not ended by wsl"),
        }
    } else if arguments.shutdown {
        distributions::shutdown()?;
    } else if let Some(export) = &arguments.export {
        let [name, file] = export.as_slice() else { bail!("--export wants a name and a file") };
        let name = name.to_str().context("a distribution's name is made of letters and digits")?;
        let compression = arguments.format.map(Compression::from);
        distributions::export(name, file, compression)?;
    } else if let Some(name) = &arguments.manage {
        let user = arguments.set_default_user.as_ref();
        let user = user.context(
            "--manage wants --set-default-user; to move a distribution, export it and import it",
        )?;
        distributions::set_default_user(name, user)?;
    } else if arguments.status {
        distributions::status()?;
    } else if arguments.mount.is_some() {
        bail!(
            "--mount attaches a disk to a virtual machine; distributions share this kernel: \
             `mount` it here, and it is there below the distribution's directory"
        );
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn begin_import(arguments: &Arguments, import: &[PathBuf]) -> Result<()> {
    let [name, directory, file] = import else {
        bail!("--import wants a name, a directory and a file")
    };
    match arguments.version.flatten() {
        None | Some(1) => {}
        Some(2) => bail!("version 2, a virtual machine, is not built yet; import with --version 1"),
        Some(other) => bail!("there is no version {other}; 1 is this kernel"),
    }
    let name = name.to_str().context("a distribution's name is made of letters and digits")?;
    distributions::import(name, directory, file, arguments.vhd)
}

/// The same as another user of this machine. Only root becomes one without being asked anything.
fn run_here_as(user: &str, arguments: &Arguments) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!("-u on this machine is root's; use `sudo -u {user} wsl`");
    }
    let program = places::programs()?.join("wsl");
    let mut command = std::process::Command::new("runuser");
    command.args(["-u", user, "--"]).arg(program).args(["-d", &places::distribution()]);
    if let Some(directory) = &arguments.cd {
        command.arg("--cd").arg(directory);
    }
    match arguments.shell_type {
        _ if arguments.exec => drop(command.arg("--exec")),
        Some(ShellType::Login) => drop(command.args(["--shell-type", "login"])),
        _ => {}
    }
    // Root's runtime directory is not the user's.
    command.arg("--").args(&arguments.command).env_remove("XDG_RUNTIME_DIR");
    Err(command.exec()).context("calling runuser, which becomes another user")
}

fn run_here(arguments: Arguments) -> Result<ExitCode> {
    if let Some(user) = &arguments.user {
        return run_here_as(user, &arguments);
    }
    if let Some(directory) = arguments.cd {
        let home = || std::env::var_os("HOME").map(PathBuf::from).context("HOME is not set");
        let directory = if directory.as_os_str() == "~" { home()? } else { directory };
        std::env::set_current_dir(&directory).with_context(|| directory.display().to_string())?;
    }
    if arguments.exec || arguments.command.is_empty() {
        return shell::enter_and_execute(&arguments.command);
    }
    // As WSL does it, the words are joined and given to the shell.
    let line = arguments.command.join(OsString::from(" ").as_os_str());
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let mut words = vec![shell];
    if arguments.shell_type == Some(ShellType::Login) {
        words.push("-l".into());
    }
    words.extend(["-c".into(), line]);
    shell::enter_and_execute(&words)
}

/// Runs a distribution that nobody has imported.
fn run_from(root: &Path, name: &str, arguments: &Arguments) -> Result<ExitCode> {
    let name = name.parse::<DistributionName>()?;
    let name = name.as_str();
    if arguments.terminate.is_some() {
        distributions::terminate(name)?;
        return Ok(ExitCode::SUCCESS);
    }
    run_in(root, name, None, arguments)
}

/// Runs a command in a distribution; what is imported has a default user.
fn run_in(
    root: &Path,
    name: &str,
    default_user: Option<Uid>,
    arguments: &Arguments,
) -> Result<ExitCode> {
    let session = distribution::session(name, root, default_user.is_some())?;
    let wanted = Wanted {
        user: arguments.user.clone(),
        directory: arguments.cd.clone().map(PathBuf::into_os_string),
        command: arguments.command.clone(),
        exec: arguments.exec,
        login: arguments.shell_type == Some(ShellType::Login),
        default_uid: default_user.unwrap_or_default().0,
    };
    let root = root.canonicalize().with_context(|| root.display().to_string())?;
    distribution::run(session, &root, &wanted)
}
