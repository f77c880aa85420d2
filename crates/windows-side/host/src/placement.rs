//! Decides where a program runs: in the caller's place, or below the host.
//!
//! In place, the interpreter becomes the program's parent and the kernel does the rest: job control,
//! terminal, limits, namespaces. That needs a caller who is the host's own user, in its pid
//! namespace, and who sees the launcher's files at the same names. Everybody else is hosted.

use crate::execution::Execution;
use crate::located::is_same_in;
use crate::request::LaunchRequest;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, Stat, statat};
use std::path::Path;
use winterop_settings::PlacementSetting;
use winterop_sys::is_own_user;
use winterop_wire::{Features, Placement};

/// Where a program is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// In the caller's place.
    InPlace,
    /// Below the host, for this reason.
    Hosted(&'static str),
}

/// Decides for one launch.
#[must_use]
pub fn decide(
    request: &LaunchRequest,
    execution: &Execution,
    setting: PlacementSetting,
) -> Decision {
    match reason_to_host(request, execution, setting) {
        Some(reason) => Decision::Hosted(reason),
        None => Decision::InPlace,
    }
}

fn reason_to_host(
    request: &LaunchRequest,
    execution: &Execution,
    setting: PlacementSetting,
) -> Option<&'static str> {
    if request.placement == Placement::Hosted {
        return Some("the caller asked for it");
    }
    if setting == PlacementSetting::Hosted {
        return Some("the settings say so");
    }
    if let Some(reason) = execution.hosted_because {
        return Some(reason);
    }
    if !request.features.contains(Features::IN_PLACE) {
        return Some("the caller cannot do otherwise");
    }
    if request.is_guest {
        return Some("the caller is a guest");
    }
    if request.detach {
        return Some("it shall outlive the caller");
    }
    if !is_own_user(request.peer.uid, rustix::process::geteuid().as_raw()) {
        return Some("the caller is another user");
    }
    if !shares_pid_namespace(request.peer.pid) {
        return Some("the caller lives in another pid namespace");
    }
    sees_other_files(request, execution)
}

fn shares_pid_namespace(pid: i32) -> bool {
    let namespace = |process: &str| -> Option<Stat> {
        statat(CWD, format!("/proc/{process}/ns/pid"), AtFlags::empty()).ok()
    };
    match (namespace("self"), namespace(&pid.to_string())) {
        (Some(ours), Some(theirs)) => {
            pid > 0 && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino
        }
        _ => false,
    }
}

fn sees_other_files(request: &LaunchRequest, execution: &Execution) -> Option<&'static str> {
    let Some(root) = &request.endpoints.root else {
        return Some("the caller did not show its root directory");
    };
    if !execution.needs.iter().all(|path| is_same_in(root.as_fd(), path)) {
        return Some("the caller sees other files");
    }
    // An instance has a root of its own with everything that is in the machine's.
    let directory = &execution.directory;
    let is_seen = directory == Path::new("/") || is_same_in(root.as_fd(), directory);
    (!is_seen).then_some("the caller does not see its working directory at the host's name")
}
