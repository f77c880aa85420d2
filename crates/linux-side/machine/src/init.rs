//! The machine's init: one interop server for all users, and what keeps the registration there.
//!
//! It runs as root on the machine itself, starts nothing but users' hosts, each as its user, and
//! opens nothing that a peer names.

use crate::admit::{AllUsers, GuestsAlone};
use crate::directory::prepare_directory;
use crate::guests::Guests;
use crate::options::{Ground, Options};
use crate::users::Users;
use rustix::fd::OwnedFd;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use winterop_interop::{MODE_FOR_ALL, serve};
use winterop_places::names::{SHARED_SOCKET, socket_name};
use winterop_registration::keep_registered;
use winterop_serve::Starter;
use winterop_serve::background::{announce, terminated};
use winterop_serve::options::obey;
use winterop_serve::socket::ListeningSocket;
use winterop_settings::{Policy, Switches, machine};

/// The number of the first descriptor that systemd passes.
const FIRST_PASSED: i32 = 3;

/// Runs the machine's init with the process's arguments, until it is told to end.
#[must_use]
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    obey(Options::parse(arguments), start)
}

fn start(options: &Options) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(io::Error::other("only root can serve all users of a machine"));
    }
    if let Ground::Back(_) = options.ground {
        if let winterop_sys::Fork::Parent(_) = winterop_sys::fork()? {
            return Ok(());
        }
        let _ = rustix::process::setsid();
    }
    // Before there is anything of a peer's of which it would get a copy.
    let starter = Arc::new(Starter::start(Path::new("/proc/self/exe"))?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve_machine(options, starter))
}

async fn serve_machine(options: &Options, starter: Arc<Starter>) -> io::Result<()> {
    let socket = Socket::open(&options.socket_directory)?;
    let (policy, host) = (Policy::new(Path::new(machine::DIRECTORY)), options.host.clone());
    let users = Users::new(policy, host, Some(Arc::clone(&starter)));
    let interpreter = options.interpreter.clone();
    std::thread::spawn(move || keep_registered(&interpreter, Some(&starter)));
    let (users, switches) = (Arc::new(users), Arc::new(Switches::default()));
    // Whoever waits for this server may start a guest next.
    Guests::new(GuestsAlone(Arc::clone(&users)), Arc::clone(&switches)).keep_served();
    if let Ground::Back(log) = &options.ground {
        announce(&options.socket_directory.join(SHARED_SOCKET))?;
        move_log(log)?;
    }
    winterop_serve::notify::ready()?;
    tokio::spawn(winterop_serve::notify::stay_alive());
    let Socket { descriptor, file } = socket;
    let served = serve(descriptor, AllUsers(users), switches, terminated()).await;
    drop(file);
    served
}

/// The socket that the machine's init serves.
struct Socket {
    descriptor: OwnedFd,
    /// Its file, where it was not systemd that made it.
    file: Option<ListeningSocket>,
}

impl Socket {
    /// The socket that systemd passes, else one of this process's own.
    fn open(directory: &Path) -> io::Result<Self> {
        if let Some(descriptor) = passed_by_systemd() {
            return Ok(Self { descriptor, file: None });
        }
        prepare_directory(directory)?;
        let own = directory.join(socket_name(std::process::id()));
        let mut file = ListeningSocket::bind(&own).map_err(io::Error::other)?;
        // Connecting takes the right to write. Whom it serves it decides by who asks.
        fs::set_permissions(&own, Permissions::from_mode(MODE_FOR_ALL))?;
        let link = directory.join(SHARED_SOCKET);
        file.also_known_as(&link).map_err(|error| taken(&link, error))?;
        let descriptor = file.take_descriptor().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Self { descriptor, file: Some(file) })
    }
}

fn taken(link: &Path, error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::AlreadyExists {
        return error;
    }
    io::Error::other(format!(
        "{} is served already, or is no socket; end its server, or remove the file",
        link.display()
    ))
}

/// The listening socket that a socket unit of systemd's has made, if there is one for this process.
fn passed_by_systemd() -> Option<OwnedFd> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let is_ours = number("LISTEN_PID")? == std::process::id() && number("LISTEN_FDS")? >= 1;
    is_ours.then(|| winterop_sys::take_inherited(FIRST_PASSED)).flatten()
}

/// From here on what is to be said goes to the log's file, if there is one.
fn move_log(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let log = fs::OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    // What a library has to say goes there too; our own log sees to it that the file has an end.
    rustix::stdio::dup2_stderr(log)?;
    winterop_audit::keep_log(path)
}
