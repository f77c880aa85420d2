//! Checks of the kernel: its version, user namespaces, the table of executables.

use crate::context::Context;
use crate::finding::Finding;
use rustix::io::Errno;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;
use winterop_registration::BINFMT_MISC;
use winterop_registration::table::Table;
use winterop_sys::{Fork, Namespaces, exit, fork, peer_process, unshare};

/// The first Linux with a table of executables for each user namespace.
const PRIVATE_TABLES: (u32, u32) = (6, 7);

pub(crate) fn version(context: &Context) -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    judge(&release, has_peers(), context.is_enabled())
}

/// Whether the kernel has a descriptor of the process that has connected (6.5): without it a server
/// takes the process that has its pid now, by its uid and its start.
fn has_peers() -> bool {
    let pair = std::os::unix::net::UnixStream::pair();
    let Ok((connection, _other)) = pair else { return true };
    !matches!(peer_process(connection.as_fd()), Err(Errno::NOPROTOOPT))
}

fn judge(release: &str, has_peers: bool, is_enabled: bool) -> Finding {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => return Finding::note(format!("Linux {release}, whose version is not understood")),
    };
    if version >= PRIVATE_TABLES && has_peers {
        return Finding::good(format!("Linux {release}, with private tables of executables"));
    }
    let mut says = format!("Linux {release}");
    if version < PRIVATE_TABLES {
        says += ": a table of executables for each session needs 6.7";
    }
    if !has_peers {
        says += "; it is older than 6.5, so who has connected is known by pid, uid and start alone, and \
                 only a rule that names the uid lets in whom that does not tell";
    }
    let finding = Finding::note(says);
    if is_enabled {
        return finding;
    }
    finding.with_mend("`winterop run PROGRAM`, or as root `winterop enable`")
}

/// The settings by which systems deny user namespaces, and what they must not be.
const DENIALS: [(&str, &str, &str); 3] = [
    ("user.max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    ("kernel.unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "kernel.apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

pub(crate) fn user_namespaces(context: &Context) -> Finding {
    if context.is_in_session() {
        return Finding::good("this session lives in one");
    }
    let Some(error) = try_namespace() else {
        return Finding::good("a user namespace can be made");
    };
    let denied = DENIALS.iter().find(|(name, value, _)| {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::read_to_string(file).is_ok_and(|text| text.trim() == *value)
    });
    let (why, mend) = match denied {
        Some((name, value, mend)) => (format!("{name} is {value}"), format!("{mend} (as root)")),
        None => {
            let error = winterop_sys::system_error(error);
            (error.into_owned(), "`winterop run PROGRAM` works without".to_owned())
        }
    };
    let says = format!("no user namespace can be made: {why}");
    Finding::wrong_if(!context.is_enabled(), says, mend)
}

/// Tries in a process of its own.
fn try_namespace() -> Option<rustix::io::Errno> {
    use rustix::process::{WaitOptions, waitpid};
    match fork() {
        Err(error) => Some(error),
        Ok(Fork::Child) => match unshare(Namespaces::USER | Namespaces::MOUNT) {
            Ok(()) => exit(0),
            Err(error) => exit(u8::try_from(error.raw_os_error()).unwrap_or(u8::MAX)),
        },
        Ok(Fork::Parent(child)) => {
            let ended = rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
            let status = ended.ok().flatten().and_then(|(_, status)| status.exit_status());
            status.filter(|status| *status != 0).map(rustix::io::Errno::from_raw_os_error)
        }
    }
}

pub(crate) fn table(context: &Context) -> Finding {
    match Table::read(Path::new(BINFMT_MISC)) {
        Ok(table) if table.enabled => {
            let names: Vec<_> = table.entries.iter().map(|entry| &*entry.name).collect();
            let names = if names.is_empty() { "no entries".to_owned() } else { names.join(", ") };
            Finding::good(format!("mounted and switched on: {names}"))
        }
        Ok(_) => {
            let says = "the kernel's table of executables is switched off as a whole";
            let mend = format!("echo 1 > {BINFMT_MISC}/status (as root)");
            Finding::wrong_if(context.is_expected(), says, mend)
        }
        Err(error) => {
            let says = format!("binfmt_misc is not mounted at {BINFMT_MISC}: {error}");
            let mend = format!("mount -t binfmt_misc none {BINFMT_MISC} (as root)");
            let finding = Finding::wrong_if(context.is_expected(), says, mend);
            if context.is_expected() {
                return finding;
            }
            finding.with_mend("none is needed: `winterop shell` mounts one of its own")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_named_with_what_it_lacks() {
        let says = |release: &str, has_peers| judge(release, has_peers, true).says;
        assert!(says("6.18.44-x", true).contains("with private tables"));
        let older = says("6.6.1", true);
        assert!(older.contains("needs 6.7") && !older.contains("6.5"), "{older}");
        // Debian 12's own.
        let old = says("6.1.0-40-amd64", false);
        assert!(old.contains("needs 6.7") && old.contains("older than 6.5"), "{old}");
        assert!(says("unknown", true).contains("not understood"));
    }
}
