//! The Debian package: installed, upgraded and removed by the real dpkg, in a root of its own.

use winterop_tests::Machine;

const TABLE: &str = "/proc/sys/fs/binfmt_misc";

/// Takes a package apart and makes another version of it, with another interpreter: bytes behind an
/// ELF file's end change nothing.
const NEXT: &str = "cd /opt; dpkg-deb -R winterop_*.deb next; sed -i 's/^Version: .*/&+next/' next/DEBIAN/control; \
    echo upgraded >>next/usr/lib/winterop/lib/winterop/init; dpkg-deb -Zgzip -z1 --root-owner-group --build next next.deb >/dev/null; \
    echo $?";

#[test]
fn the_package_is_installed_upgraded_and_removed() {
    let mut machine = Machine::start();
    // Nothing of the layout that the tests use otherwise.
    machine.root("rm -rf /opt/winterop");
    let files = "find /init /etc /run/WSL /usr/bin /usr/lib/binfmt.d /usr/lib/systemd /usr/lib/winterop /var/lib/winterop \
        /var/log/winterop* /usr/share/man/man1/winterop* -xdev 2>/dev/null | grep -v -e /etc/alternatives/README -e /etc/ld.so.cache | sort";
    let before = machine.root(files);
    let run = "PATH=/usr/bin:/bin; $W/hello.exe; echo $?";

    let said = machine.root("dpkg -i /opt/winterop_*.deb; echo $?");
    assert!(said.ends_with("\n0\n") && !said.contains("not enabled"), "{said}");
    for user in ["alice", "bob"] {
        assert_eq!(machine.user(user, run), "hello\n0\n");
    }
    assert_eq!(machine.root("winterop status >/dev/null; echo $?; dpkg -V winterop"), "0\n");
    let names = "readlink -f /usr/bin/wsl /usr/bin/wslpath; wsl --version | head -c 8; wslpath -w /etc | tail -c 5";
    assert_eq!(
        machine.root(names),
        "/usr/lib/winterop/bin/winterop\n/usr/lib/winterop/lib/winterop/init\nWinterop\\etc\n"
    );
    assert_eq!(
        machine.root(
            "zcat /usr/share/man/man1/winterop.1.gz | grep -c 'winterop'  >/dev/null; echo $?"
        ),
        "0\n"
    );
    assert_eq!(
        machine.root("bash -n /usr/share/bash-completion/completions/winterop; echo $?"),
        "0\n"
    );

    assert_eq!(machine.root(NEXT), "0\n");
    let said = machine.root("dpkg -i /opt/next.deb; echo $?; tail -c 9 /init");
    assert!(said.ends_with("\n0\nupgraded\n"), "{said}");
    // The kernel holds the new one.
    let script = "mkfifo /tmp/f; $W/cat.exe </tmp/f & exec 8>/tmp/f; \
        until readlink /proc/$!/exe | grep '^/init'; do :; done; exec 8>&-; wait";
    assert_eq!(machine.root(script), "/init\n");
    assert_eq!(machine.user("alice", run), "hello\n0\n");

    // What root has disabled an upgrade leaves so.
    machine.root("winterop disable");
    let said = machine.root("dpkg -i /opt/winterop_*.deb; echo $?");
    assert!(said.ends_with("\n0\n"), "{said}");
    assert_eq!(
        machine.root(&format!("ls {TABLE}; winterop status >/dev/null; echo $?")),
        "register\nstatus\n3\n"
    );
    machine.root(
        "winterop enable; mkdir -p /etc/winterop; echo 'heal = true' >/etc/winterop/config.toml",
    );
    // Logs, those that were put aside too, stay when it is removed and go when it is purged.
    machine.root("cd /var/log; touch winterop-audit.log winterop-audit.log.7 winterop.log.1");

    let said = machine.root("dpkg -r winterop; echo $?");
    assert!(said.ends_with("\n0\n"), "{said}");
    assert_eq!(
        machine.root(&format!("ls {TABLE}; ps -e -o args= | grep -c '^init --machine'")),
        "register\nstatus\n0\n"
    );
    assert_eq!(machine.root("ls /var/log/winterop* | wc -l"), "4\n");
    assert_eq!(machine.root("dpkg -P winterop >/dev/null; echo $?"), "0\n");
    assert_eq!(machine.root(files), before);
}

#[test]
fn a_root_that_cannot_have_it_keeps_the_package() {
    let mut machine = Machine::start();
    // As in a build's chroot: no table, and another system's init.
    machine.root(
        "umount /proc/sys/fs/binfmt_misc; rm -rf /opt/winterop; ln -s /lib/systemd/systemd /init",
    );
    let said = machine.root("dpkg -i /opt/winterop_*.deb; echo $?");
    assert!(said.contains("winterop: not enabled") && said.contains("not Winterop's"), "{said}");
    assert!(said.ends_with("\n0\n"), "{said}");
    let said = machine.root("dpkg -P winterop; echo $?; readlink /init");
    assert!(said.ends_with("\n0\n/lib/systemd/systemd\n"), "{said}");
}
