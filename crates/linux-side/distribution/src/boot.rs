//! What init waits for before it serves, and what it starts when it does.

use crate::{process, systemd};
use rustix::fd::AsFd;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::time::{Duration, Instant};
use winterop_places::inside::read_text;
use winterop_places::names::INIT;
use winterop_registration::keep_registered;
use winterop_serve::wait::until_readable;
use winterop_settings::WslConf;
use winterop_sys::{CStrings, Closed, Spawn, spawn};

/// How long `mount -a` may take before the instance goes on without it.
const MOUNT_PATIENCE: Duration = Duration::from_secs(10);

/// Waits until systemd has started what it starts, or has failed to, and keeps the registration from
/// it.
pub(crate) fn wait_for_systemd(conf: &WslConf) {
    let patience = Duration::from_millis(u64::try_from(conf.boot.init_timeout).unwrap_or(0));
    let begin = Instant::now();
    if !systemd::wait_until_it_listens(patience) {
        tracing::warn!(?patience, "systemd does not take orders yet; sessions do not wait for it");
    }
    let question = "exec systemctl is-system-running --wait >/dev/null 2>&1";
    match run_shell(question, &process::environment_of_boot("")) {
        Ok(pid) => wait_at_most(pid, patience.saturating_sub(begin.elapsed())),
        Err(error) => tracing::warn!(%error, "systemctl does not run"),
    }
    if conf.boot.protect_binfmt {
        std::thread::spawn(|| keep_registered(INIT, None));
    }
}

/// `/etc/fstab`, where it has lines and the distribution has a `mount`.
pub(crate) fn mount_table_of_file_systems(conf: &WslConf) {
    let text = read_text("/etc/fstab");
    let has_lines =
        text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'));
    if !conf.automount.mount_fs_tab || !has_lines {
        return;
    }
    match run_shell("mount -a", &process::environment_of_boot("")) {
        Ok(pid) => wait_at_most(pid, MOUNT_PATIENCE),
        Err(error) => tracing::warn!(%error, "mount -a does not run"),
    }
}

fn wait_at_most(pid: Pid, patience: Duration) {
    if let Ok(ended) = pidfd_open(pid, PidfdFlags::empty()) {
        let _ = until_readable(&ended, Instant::now() + patience);
    }
}

pub(crate) fn run_shell(line: &str, environment: &[Vec<u8>]) -> io::Result<Pid> {
    let null = std::fs::File::open("/dev/null")?;
    let stderr = io::stderr();
    spawn(&Spawn {
        program: b"/bin/sh",
        arguments: &CStrings::new([&b"sh"[..], b"-c", line.as_bytes()]),
        environment: &CStrings::new(environment.iter().map(Vec::as_slice)),
        standard: [Some(null.as_fd()), Some(stderr.as_fd()), Some(stderr.as_fd())],
        closed: Closed::Stays,
        inherited: None,
        directory: None,
        login: None,
    })
    .map_err(|error| io::Error::from(error.error))
}
