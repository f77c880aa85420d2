//! What a process that outlives whoever started it has in the place of theirs.
//!
//! A user's host is started by whichever launch comes first: under `ulimit -n 80`, `nice` or `nohup`, with
//! a umask of its own. It serves all that come later, and starts Wine's server for them, so nothing of that
//! may stay. What the system lets nobody but root take back stays as it is: a lowered hard limit, and a
//! niceness.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit, umask};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The mode bits that files made by a server do not have, as systemd has it for the hosts that it starts.
const UMASK: Mode = Mode::WGRP.union(Mode::WOTH);

/// How many open files programs may have that were not made for more; `select` can count no further.
pub const USUAL_FILES: u64 = 1024;

/// The names of limits in `/proc/PID/limits`.
const LIMITS: [(&str, Resource); 16] = [
    ("Max cpu time", Resource::Cpu),
    ("Max file size", Resource::Fsize),
    ("Max data size", Resource::Data),
    ("Max stack size", Resource::Stack),
    ("Max core file size", Resource::Core),
    ("Max resident set", Resource::Rss),
    ("Max processes", Resource::Nproc),
    ("Max open files", Resource::Nofile),
    ("Max locked memory", Resource::Memlock),
    ("Max address space", Resource::As),
    ("Max file locks", Resource::Locks),
    ("Max pending signals", Resource::Sigpending),
    ("Max msgqueue size", Resource::Msgqueue),
    ("Max nice priority", Resource::Nice),
    ("Max realtime priority", Resource::Rtprio),
    ("Max realtime timeout", Resource::Rttime),
];

/// Gives up what this process has of whoever started it: ignored and blocked signals, limits below the
/// machine's own, niceness, processors, umask. Descriptors are
/// [`close_inherited`](winterop_sys::close_inherited)'s.
///
/// To be called while the process has one thread: half of this is a thread's own.
pub fn take() {
    winterop_sys::ignore_and_block_no_signal();
    umask(UMASK);
    // Only root may become more important; for others the system says no.
    let _ = setpriority_process(None, 0);
    take_all_processors();
    let limits = std::fs::read_to_string("/proc/1/limits").unwrap_or_default();
    for (resource, machines) in limits.lines().filter_map(parse) {
        raise(resource, machines);
    }
}

/// Lets this process, and what it starts, have as many files open as it may.
///
/// # Errors
/// The system's.
pub fn take_most_files() -> rustix::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
}

/// Says how many files a process may have open that this one starts, where that is too few for a server of
/// many and nobody but root could change it: Wine's server alone has 70 before the first program.
#[must_use]
pub fn too_few_files() -> Option<u64> {
    let own = getrlimit(Resource::Nofile);
    let few = own.maximum.filter(|most| *most < USUAL_FILES)?;
    let raised = Rlimit { maximum: Some(USUAL_FILES), ..own };
    if setrlimit(Resource::Nofile, raised).is_err() {
        return Some(few);
    }
    // It could be raised, and so it can be by what is started. To lower it again everybody may.
    let _ = setrlimit(Resource::Nofile, own);
    None
}

fn take_all_processors() {
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|number| all.set(number));
    // The kernel leaves out those that are not there, and those that a cpuset does not allow.
    let _ = sched_setaffinity(None, &all);
}

/// Raises a limit to the machine's own, as far as the system lets this process.
fn raise(resource: Resource, machines: Rlimit) {
    let own = getrlimit(resource);
    // To root's servers process 1 may allow more than a program of theirs was ever made for.
    let machines = match resource {
        Resource::Nofile => Rlimit { current: Some(USUAL_FILES), ..machines },
        _ => machines,
    };
    let wanted = wanted(&own, &machines);
    if wanted != own && setrlimit(resource, wanted).is_err() {
        let within = Rlimit { maximum: own.maximum, ..machines };
        let _ = setrlimit(resource, self::wanted(&own, &within));
    }
}

/// The larger of both; nothing is no limit.
fn larger(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.zip(other).map(|(one, other)| one.max(other))
}

fn smaller(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn wanted(own: &Rlimit, machines: &Rlimit) -> Rlimit {
    let maximum = larger(own.maximum, machines.maximum);
    Rlimit { current: smaller(larger(own.current, machines.current), maximum), maximum }
}

/// A line of `/proc/PID/limits`: a name, the soft limit, the hard limit, a unit.
fn parse(line: &str) -> Option<(Resource, Rlimit)> {
    let (name, resource) = LIMITS.into_iter().find(|(name, _)| line.starts_with(name))?;
    let mut words = line.get(name.len()..)?.split_whitespace();
    let mut limit = || match words.next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    };
    let (current, maximum) = (limit()?, limit()?);
    Some((resource, Rlimit { current, maximum }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(current: Option<u64>, maximum: Option<u64>) -> Rlimit {
        Rlimit { current, maximum }
    }

    #[test]
    fn the_kernels_lines_are_understood() {
        let line = "Max open files            1024                 524288               files     ";
        let (resource, of_files) = parse(line).unwrap();
        assert!(resource == Resource::Nofile && of_files == limit(Some(1024), Some(524_288)));
        let line = "Max cpu time              unlimited            unlimited            seconds   ";
        assert!(parse(line).unwrap().1 == limit(None, None));
        for line in
            ["Limit   Soft Limit   Hard Limit   Units", "", "Max open files", "Max cpu time 1"]
        {
            assert!(parse(line).is_none(), "{line}");
        }
        // This kernel's own.
        let own = std::fs::read_to_string("/proc/self/limits").unwrap();
        let known = own.lines().filter_map(parse);
        assert!(known.clone().count() == LIMITS.len(), "{own}");
        for (resource, own) in known {
            assert!(getrlimit(resource) == own);
        }
    }

    #[test]
    fn a_limit_is_raised_to_the_machines_and_never_lowered() {
        let machines = limit(Some(1024), Some(4096));
        for (own, expected) in [
            (limit(Some(80), Some(80)), machines),
            (limit(Some(80), Some(5000)), limit(Some(1024), Some(5000))),
            (limit(Some(2000), Some(4096)), limit(Some(2000), Some(4096))),
            (limit(Some(80), None), limit(Some(1024), None)),
            (limit(None, None), limit(None, None)),
        ] {
            assert!(wanted(&own, &machines) == expected);
        }
        // Where no more may be had than there is.
        let own = limit(Some(80), Some(200));
        assert!(wanted(&own, &limit(Some(1024), own.maximum)) == limit(Some(200), Some(200)));
        assert!(wanted(&own, &limit(None, None)) == limit(None, None));
    }
}
