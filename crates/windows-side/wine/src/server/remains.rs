//! Ends what a server leaves that died.
//!
//! A Wine process that waits for something holds both ends of the pipe on which its server would
//! answer. So when the server dies without ending it first, it is not told, and waits for ever; and
//! a new server does not know it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::surroundings::Surroundings;
use winterop_serve::processes::{BEGIN, Environment, numbers};

/// The moment up to which processes count as a dead server's, in clock ticks since the machine
/// started, as `/proc` gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Now: the beginning of a process that is made at once.
    pub(crate) fn now() -> Option<Self> {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let ticks = rustix::param::clock_ticks_per_second();
        let seconds = u64::try_from(time.tv_sec).ok()?;
        let part = u64::try_from(time.tv_nsec).ok()?.saturating_mul(ticks) / 1_000_000_000;
        Some(Self(seconds.saturating_mul(ticks).saturating_add(part)))
    }
}

/// Ends every process of this Wine in this prefix that began before `moment`, and says how many
/// there were.
pub(crate) fn end(surroundings: &Surroundings, moment: Moment) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut ended = 0;
    for pid in pids.filter_map(Pid::from_raw) {
        // The descriptor is opened first, so that what is looked at is what is ended.
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if belongs(pid, surroundings, moment) && pidfd_send_signal(&pidfd, Signal::KILL).is_ok() {
            ended += 1;
        }
    }
    ended
}

fn belongs(pid: Pid, surroundings: &Surroundings, moment: Moment) -> bool {
    let folder = format!("/proc/{}", pid.as_raw_nonzero());
    let folder = Path::new(&folder);
    let is_wine = fs::read_link(folder.join("exe"))
        .is_ok_and(|program| is_of(&program, &surroundings.installation.loader));
    is_wine
        && beginning(folder).is_some_and(|beginning| beginning < moment)
        // Of one that lets nobody look at it nothing is known.
        && Environment::of(pid)
            .is_ok_and(|it| it.any(|entry| is_prefix(entry, &surroundings.prefix)) == Some(true))
}

/// Whether a process's program is this Wine's loader, or the preloader beside it; both may have
/// been replaced since, which the system marks behind the name.
fn is_of(program: &Path, loader: &Path) -> bool {
    let name = program.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    program.parent() == loader.parent() && name.starts_with(b"wine") && !is_server(name)
}

fn is_server(name: &[u8]) -> bool {
    name.starts_with(b"wineserver")
}

fn is_prefix(entry: &[u8], prefix: &Path) -> bool {
    entry.strip_prefix(b"WINEPREFIX=") == Some(prefix.as_os_str().as_bytes())
}

fn beginning(folder: &Path) -> Option<Moment> {
    numbers(folder.to_str()?, [BEGIN]).map(|[begin]| Moment(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_wine_in_this_prefix_counts() {
        let loader = Path::new("/usr/lib/wine/wine64");
        for (program, expected) in [
            ("/usr/lib/wine/wine64", true),
            ("/usr/lib/wine/wine64-preloader", true),
            ("/usr/lib/wine/wine64 (deleted)", true),
            ("/usr/lib/wine/wineserver64", false),
            ("/opt/wine-9/bin/wine64", false),
            ("/usr/bin/bash", false),
        ] {
            assert_eq!(is_of(Path::new(program), loader), expected, "{program}");
        }
        assert!(is_prefix(b"WINEPREFIX=/p", Path::new("/p")));
        assert!(!is_prefix(b"WINEPREFIX=/p", Path::new("/p/q")));
        assert!(!is_prefix(b"XWINEPREFIX=/p", Path::new("/p")));
    }

    #[test]
    fn this_process_began_before_now() {
        assert!(beginning(Path::new("/proc/self")) <= Moment::now());
    }
}
