//! systemd as process 1 of an instance, where `[boot] systemd` in the distribution's `wsl.conf` wants
//! it.
//!
//! It needs a cgroup whose tree it may manage, so the keeper makes one, outside, and what becomes
//! process 1 goes into it before it enters a cgroup namespace. When the root is built, process 1 forks:
//! the child goes on as the instance's init, and the parent executes systemd. That keeps the order in
//! which WSL has them: `init` is no longer process 1, and `/run/WSL/1_interop` is a link to its socket.

use rustix::fs::{FileType, Mode};
use rustix::process::{Pid, kill_process};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use winterop_places::inside::Directory;
use winterop_settings::WslConf;
use winterop_sys::{CStrings, real_time_signal};

/// What an instance's process 1 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstProcess {
    /// This program.
    Init,
    /// systemd, and this program is its child.
    Systemd,
}

/// Where a distribution has it, in the order in which it is looked for.
const PROGRAMS: [&std::ffi::CStr; 3] =
    [c"/usr/lib/systemd/systemd", c"/lib/systemd/systemd", c"/sbin/init"];

/// The socket that systemd listens on when it takes orders.
const LISTENS: &str = "/run/systemd/private";

/// How often to look whether it does: systemd tells nobody but a supervisor of its own.
const LOOK: Duration = Duration::from_millis(10);

/// How long a shutdown may take before systemd is told to leave what is left.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(5);

/// `SIGRTMIN+4` as systemd counts it: power off, services first.
const POWER_OFF: i32 = 34 + 4;
/// `SIGRTMIN+14`: power off at once.
const POWER_OFF_NOW: i32 = 34 + 14;

/// How long the kernel may take to empty a cgroup that was killed.
const EMPTYING: Duration = Duration::from_secs(5);

/// Whether the distribution wants it and has it.
pub(crate) fn is_wanted(root: &Directory) -> bool {
    WslConf::read_in(root).is_ok_and(|(conf, _)| conf.boot.systemd)
}

/// The cgroup of one instance; it is emptied and removed with this.
#[derive(Debug)]
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes it: below the machine's root cgroup for root, else below the user's own.
    ///
    /// # Errors
    /// The system's, with the place; a user who was given no cgroup to manage cannot have one.
    pub(crate) fn make(name: &str) -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mounted = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let place = fields.next()?;
            (fields.next()? == "cgroup2").then(|| PathBuf::from(place))
        });
        let mounted =
            mounted.ok_or_else(|| io::Error::other("cgroups of version 2 are not mounted here"))?;
        let parent = if rustix::process::geteuid().is_root() { mounted } else { own(&mounted)? };
        let path = parent.join(format!("winterop-{name}-{}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => {
                Err(io::Error::new(error.kind(), format!("making {}: {error}", path.display())))
            }
        }
    }

    /// Moves this process into it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn enter(&self) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), "0")
    }
}

/// The cgroup that this process is in.
fn own(mounted: &Path) -> io::Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup")?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = own.ok_or_else(|| io::Error::other("this process is in no cgroup"))?;
    Ok(mounted.join(own))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let deadline = Instant::now() + EMPTYING;
        while self.0.exists() && Instant::now() < deadline {
            remove_tree(&self.0);
            if self.0.exists() {
                // The kernel reaps what was killed in its own time, and tells nobody.
                std::thread::sleep(LOOK);
            }
        }
    }
}

/// Removes a cgroup with those below it: only folders can be removed, the files are the kernel's.
fn remove_tree(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    // One that is not empty is tried again.
    let _ = fs::remove_dir(path);
}

/// Executes systemd in this process, which is process 1; returns only if that failed.
pub(crate) fn execute(name: &str) -> io::Error {
    let name = format!("WSL_DISTRO_NAME={name}");
    let environment = CStrings::new([
        &b"container=wsl"[..],
        b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        name.as_bytes(),
    ]);
    // A console of its own it has none; what it says is in its journal.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if let Err(error) = winterop_sys::keep_to_self() {
        return error.into();
    }
    let mut last = rustix::io::Errno::NOENT;
    for program in PROGRAMS {
        if is_program(program) {
            last = winterop_sys::exec(program, &CStrings::new([program.to_bytes()]), &environment);
        }
    }
    last.into()
}

/// Whether the distribution has it at all.
pub(crate) fn is_there() -> bool {
    PROGRAMS.into_iter().any(is_program)
}

fn is_program(path: &std::ffi::CStr) -> bool {
    let status = rustix::fs::stat(path);
    status.is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::RegularFile)
}

/// Waits until systemd takes orders; `false` if it does not in this time.
pub(crate) fn wait_until_it_listens(patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !Path::new(LISTENS).exists() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

/// Tells systemd to end its services and itself, and with it this process; `at_once` without waiting
/// for them.
pub(crate) fn power_off(at_once: bool) {
    let number = if at_once { POWER_OFF_NOW } else { POWER_OFF };
    if let (Some(signal), Some(first)) = (real_time_signal(number), Pid::from_raw(1)) {
        // It has ended already, and so does this process in a moment.
        let _: Result<(), _> = kill_process(first, signal);
    }
}
