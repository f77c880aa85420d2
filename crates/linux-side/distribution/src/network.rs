//! Names: the instance's own, and the files that say where others are found.
//!
//! The network itself is the machine's. So `/etc/hosts` and `/etc/resolv.conf` are made of the
//! machine's at each start, unless `[network]` in `wsl.conf` says that the distribution keeps its own.

use rustix::fs::{AtFlags, Mode, OFlags, openat, readlinkat, renameat, symlinkat, unlinkat};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use winterop_places::inside::{Directory, read_text};
use winterop_settings::wsl_conf::Network;

/// The longest name the kernel takes.
const LONGEST_NAME: usize = 64;

/// The most of a machine's file that is taken: lists of refused hosts are long.
const LARGEST: u64 = 16 << 20;

/// The files, in `/etc`.
const HOSTS: &str = "hosts";
const RESOLV_CONF: &str = "resolv.conf";
/// Where the file is that [`RESOLV_CONF`] leads to.
const GENERATED_RESOLV_CONF: &str = "/run/resolv.conf";

/// Sets the name and writes the files, after those of the machine, whose root is at `outside`. What
/// fails is told and does not keep the instance from running.
pub(crate) fn set_up(network: &Network, outside: &Path) {
    let name = host_name(network);
    if let Err(error) = rustix::system::sethostname(name.as_bytes()) {
        tracing::warn!(%error, name, "the host name cannot be set");
    }
    let etc = match Directory::of_root("/etc") {
        Ok(etc) => etc,
        Err(error) => {
            tracing::warn!(%error, "/etc is no directory of the distribution's: nothing is written there");
            return;
        }
    };
    // The machine's links lead from its own root, not from this one.
    let machine = Directory::plain(outside);
    let machines = |file: &str| {
        let read = |root: &Directory| root.begin(Path::new("etc").join(file), LARGEST).ok()?;
        let text = machine.as_ref().ok().and_then(read).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    };
    if network.generate_hosts
        && let Err(error) = write_whole(&etc, HOSTS, &hosts(&name, &machines(HOSTS)))
    {
        tracing::warn!(%error, "/etc/hosts cannot be written");
    }
    if network.generate_resolv_conf
        && let Err(error) = link_resolv_conf(&etc, &machines(RESOLV_CONF))
    {
        tracing::warn!(%error, "/etc/resolv.conf cannot be written");
    }
}

/// The name that `wsl.conf` says, else the machine's; only letters, digits, dots and hyphens.
fn host_name(network: &Network) -> String {
    let machines = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let wanted = network.hostname.clone().unwrap_or(machines);
    let is_right = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let name: String = wanted.chars().filter(is_right).take(LONGEST_NAME).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// `/etc/hosts`: what a machine needs, then the entries of the machine outside.
fn hosts(name: &str, machines: &str) -> String {
    let mut text = format!(
        "# Written at each start; [network] generateHosts = false in /etc/wsl.conf ends that.\n\
         127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n\n\
         ::1\tip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    );
    let own = ["127.0.0.1", "127.0.1.1", "::1", "ff02::1", "ff02::2"];
    for line in machines.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let address = line.split_whitespace().next();
        if address.is_some_and(|address| !own.contains(&address)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn link_resolv_conf(etc: &Directory, machines: &str) -> io::Result<()> {
    let note = "# Written at each start; [network] generateResolvConf = false in /etc/wsl.conf ends that.\n";
    fs::write(GENERATED_RESOLV_CONF, format!("{note}{machines}"))?;
    let wanted = c"../run/resolv.conf";
    if readlinkat(etc, RESOLV_CONF, Vec::new()).is_ok_and(|target| *target == *wanted) {
        return Ok(());
    }
    let fresh = format!("{RESOLV_CONF}.new");
    let _ = unlinkat(etc, &fresh, AtFlags::empty());
    symlinkat(wanted, etc, &fresh)?;
    Ok(renameat(etc, &fresh, etc, RESOLV_CONF)?)
}

/// Replaces a file in one step; a link of that name is replaced too, and not followed.
fn write_whole(etc: &Directory, name: &str, text: &str) -> io::Result<()> {
    if read_text(&format!("/etc/{name}")) == text {
        return Ok(());
    }
    let fresh = format!("{name}.new");
    let _ = unlinkat(etc, &fresh, AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(etc, &fresh, flags, Mode::from_raw_mode(0o644))?;
    File::from(file).write_all(text.as_bytes())?;
    Ok(renameat(etc, &fresh, etc, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_kernel_and_the_hosts_file_take() {
        let named =
            |name: &str| host_name(&Network { hostname: Some(name.into()), ..Network::default() });
        assert_eq!(named("box"), "box");
        assert_eq!(named("a b\n127.0.0.1 evil"), "ab127.0.0.1evil");
        assert_eq!(named("\n"), "localhost");
        assert_eq!(named(&"x".repeat(300)).len(), LONGEST_NAME);
    }

    #[test]
    fn the_machines_own_addresses_are_not_repeated() {
        let text =
            hosts("box", "127.0.0.1 localhost machine\n10.0.0.7 server # old\n\n#x\n::1 a\n");
        assert!(text.contains("127.0.1.1\tbox\n") && text.ends_with("10.0.0.7 server\n"), "{text}");
        assert!(!text.contains("machine"), "{text}");
    }
}
