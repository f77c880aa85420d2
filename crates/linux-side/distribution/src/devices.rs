//! `/dev` of an instance: what every program may use, and terminals of its own.

use crate::mounts::{bind, ensure_directory, ensure_file, mount_new, own_directory};
use std::os::unix::fs::symlink;
use std::path::Path;
use winterop_namespaces::NamespaceError;

/// The machine's devices that show nothing of the machine.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Devices that are bound where the machine has them: FUSE, virtual machines, tunnels.
const OPTIONAL: [&str; 3] = ["fuse", "kvm", "net/tun"];

const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// The group that may write to terminals, `tty` in every distribution.
const TERMINAL_GROUP: u32 = 5;

/// Builds it at `/dev`; the machine's root is at `outside`.
pub(crate) fn build(outside: &Path) -> Result<(), NamespaceError> {
    let device = Path::new("/dev");
    own_directory(device)?;
    mount_new("tmpfs", device, c"mode=0755")?;
    for name in DEVICES {
        bind_device(outside, name)?;
    }
    for name in OPTIONAL {
        if outside.join("dev").join(name).exists() {
            // One that may not be bound is one that is not there.
            let _ = bind_device(outside, name);
        }
    }
    for (target, name) in LINKS {
        // What is not there is only missed by who uses it.
        let _ = symlink(target, device.join(name));
    }
    let terminals = device.join("pts");
    ensure_directory(&terminals)?;
    mount_terminals(&terminals)?;
    let shared = device.join("shm");
    ensure_directory(&shared)?;
    mount_new("tmpfs", &shared, c"mode=1777")?;
    let queues = device.join("mqueue");
    ensure_directory(&queues)?;
    if let Err(error) = mount_new("mqueue", &queues, c"") {
        tracing::info!(%error, "no message queues");
    }
    Ok(())
}

fn bind_device(outside: &Path, name: &str) -> Result<(), NamespaceError> {
    let target = Path::new("/dev").join(name);
    if let Some(parent) = target.parent() {
        ensure_directory(parent)?;
    }
    ensure_file(&target)?;
    bind(&outside.join("dev").join(name), &target)
}

/// A new instance of devpts; the group `tty` has no mapping in a map of one id.
fn mount_terminals(target: &Path) -> Result<(), NamespaceError> {
    let with_group = format!("newinstance,ptmxmode=0666,mode=0620,gid={TERMINAL_GROUP}\0");
    let options = std::ffi::CStr::from_bytes_with_nul(with_group.as_bytes()).unwrap_or(c"");
    mount_new("devpts", target, options)
        .or_else(|_| mount_new("devpts", target, c"newinstance,ptmxmode=0666,mode=0620"))
}
