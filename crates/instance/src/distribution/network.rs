//! Names: the instance's own, and the files that say where others are found.
//!
//! The network itself is the machine's. So `/etc/hosts` and `/etc/resolv.conf` are made of the
//! machine's at each start, unless `[network]` in `wsl.conf` says that the distribution keeps its own.

use super::root::OUTSIDE;
use std::fs;
use std::io;
use std::path::Path;
use winterop_settings::wsl_conf::Network;

/// The longest name the kernel takes.
const LONGEST_NAME: usize = 64;

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where the file is that [`RESOLV_CONF`] leads to.
const GENERATED_RESOLV_CONF: &str = "/run/resolv.conf";

/// Sets the name and writes the files; what fails is told and does not keep the instance from
/// running.
pub(super) fn set_up(network: &Network) {
    let name = host_name(network);
    if let Err(error) = rustix::system::sethostname(name.as_bytes()) {
        tracing::warn!(%error, name, "the host name cannot be set");
    }
    if !Path::new("/etc").is_dir() {
        return;
    }
    if network.generate_hosts
        && let Err(error) = write_whole("/etc/hosts", &hosts(&name, &outside("etc/hosts")))
    {
        tracing::warn!(%error, "/etc/hosts cannot be written");
    }
    if network.generate_resolv_conf
        && let Err(error) = link_resolv_conf(&outside("etc/resolv.conf"))
    {
        tracing::warn!(%error, "/etc/resolv.conf cannot be written");
    }
}

fn outside(name: &str) -> String {
    fs::read_to_string(Path::new(OUTSIDE).join(name)).unwrap_or_default()
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

fn link_resolv_conf(machines: &str) -> io::Result<()> {
    let note = "# Written at each start; [network] generateResolvConf = false in /etc/wsl.conf ends that.\n";
    fs::write(GENERATED_RESOLV_CONF, format!("{note}{machines}"))?;
    let wanted = Path::new("../run/resolv.conf");
    if fs::read_link(RESOLV_CONF).is_ok_and(|target| target == wanted) {
        return Ok(());
    }
    let fresh = format!("{RESOLV_CONF}.new");
    let _ = fs::remove_file(&fresh);
    std::os::unix::fs::symlink(wanted, &fresh)?;
    fs::rename(&fresh, RESOLV_CONF)
}

/// Replaces a file in one step; a link of that name is replaced too, and not followed.
fn write_whole(path: &str, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    let fresh = format!("{path}.new");
    let _ = fs::remove_file(&fresh);
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
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
