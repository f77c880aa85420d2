//! A machine of a test's own: every uid, its own root over this machine's files, its own processes,
//! table of executables, `/run` and `/tmp`. It is gone with its shell.

use crate::host::template;
use crate::{Session, built};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Puts a root over this machine's into the folder `$3`, which only the machine's root can do, goes
/// into a user namespace, waits until its map of ids is written, and goes on in more namespaces.
const ENTER: &str = r#"set -e
mount -t tmpfs -o mode=0755 tmpfs "$3"
cd "$3"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
exec unshare --user sh -c 'echo up; read -r go; exec unshare --mount --propagation private --pid \
    --fork --kill-child --ipc --uts sh -c "$@"' sh "$@"
"#;

/// Makes the machine in the folder `$1`, with Winterop's parts `$2`, the Windows programs `$3` and
/// the prefix `$4`, and becomes its shell.
const BUILD: &str = r#"set -e
cd "$1"
mount --bind root root
mount --rbind /dev root/dev
mount --rbind /sys root/sys
mount -t proc proc root/proc
mount -t tmpfs -o mode=0755 tmpfs root/run
mount -t tmpfs -o mode=1777 tmpfs root/tmp
mkdir root/run/user root/opt/windows
cp -a "$2" root/opt/winterop
cp "$3"/*.exe root/opt/windows
rm -rf root/init root/etc/winterop root/etc/wsl.conf
for user in alice:1000 bob:1001; do
    name=${user%:*} id=${user#*:}
    sed -i "/^$name:/d;/:$id:/d" root/etc/passwd root/etc/group
    echo "$name:x:$id:$id::/home/$name:/bin/bash" >>root/etc/passwd
    echo "$name:x:$id:" >>root/etc/group
    mkdir -p root/home/$name/.local/share/winterop
    cp -a "$4" root/home/$name/.local/share/winterop/template
    chown -R $id:$id root/home/$name
    chmod 700 root/home/$name
done
rm -rf root/root/.local/share/winterop
mkdir -p root/root/.local/share/winterop
cp -a "$4" root/root/.local/share/winterop/template
mount -t binfmt_misc binfmt_misc root/proc/sys/fs/binfmt_misc
cd root
pivot_root . mnt
cd /
umount -l /mnt
exec env -i HOME=/root USER=root LC_ALL=C.UTF-8 SHELL=/bin/sh W=/opt/windows \
    PATH=/opt/winterop/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    sh -c 'while read -r line; do eval "$line"; done'
"#;

/// A machine with the users alice (1000) and bob (1001), on which Winterop is not yet enabled; its
/// programs are in `/opt/winterop/bin`, the Windows programs in `/opt/windows`.
#[derive(Debug)]
pub struct Machine {
    shell: Session,
    _folder: TempDir,
}

impl Machine {
    /// Starts a machine; `None` where this user cannot have one, which is said.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can make a machine with all users");
            return None;
        }
        let template = template();
        let folder = tempfile::Builder::new().prefix("winterop-test-").tempdir().expect("a folder");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", BUILD]);
        command
            .arg("sh")
            .arg(folder.path())
            .arg(built("winterop"))
            .arg(built("windows"))
            .arg(template);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir("/");
        let mut child = command.spawn().expect("unshare");
        let mut input = child.stdin.take().expect("a pipe");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("the shell");
        assert_eq!(line, "up\n", "there are no user namespaces");
        for map in ["uid_map", "gid_map"] {
            let kept = identity_map(&format!("/proc/self/{map}"));
            fs::write(format!("/proc/{}/{map}", child.id()), kept).expect(map);
        }
        input.write_all(b"go\n").expect("the shell");
        let mut shell = Session::of(child, input, output);
        assert_eq!(shell.eval("id -u"), "0\n");
        Some(Self { shell, _folder: folder })
    }

    /// A machine on which Winterop is enabled.
    ///
    /// # Panics
    /// Where enabling fails.
    #[must_use]
    pub fn enabled() -> Option<Self> {
        let mut machine = Self::start()?;
        let said = machine.root("winterop enable; echo $?");
        assert!(said.ends_with("\n0\n"), "{said}");
        Some(machine)
    }

    /// Runs a script as root; returns what it prints, errors too.
    #[track_caller]
    pub fn root(&mut self, script: &str) -> String {
        self.shell.eval(&format!("sh -c {} 2>&1", quoted(script)))
    }

    /// Runs a script as a user, in their home, with the variables of a bare login.
    #[track_caller]
    pub fn user(&mut self, name: &str, script: &str) -> String {
        let script = format!("cd; {script}");
        self.shell.eval(&format!("{} sh -c {} 2>&1", become_user(name), quoted(&script)))
    }

    /// The shell itself, for what goes on while something else is done.
    pub fn shell(&mut self) -> &mut Session {
        &mut self.shell
    }
}

/// The words of a command that becomes a user.
#[must_use]
pub fn become_user(name: &str) -> String {
    format!(
        "env -i HOME=/home/{name} USER={name} LC_ALL=C.UTF-8 W=/opt/windows SHELL=/bin/sh \
         PATH=/opt/winterop/bin:/usr/bin:/bin setpriv --reuid={name} --regid={name} --init-groups"
    )
}

/// Text as one word of a shell.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\n', " ").replace('\'', r"'\''"))
}

/// A map that keeps every id that this namespace knows.
fn identity_map(path: &str) -> String {
    let text = fs::read_to_string(path).expect(path);
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (inside, count) = (fields.next()?, fields.nth(1)?);
        Some(format!("{inside} {inside} {count}\n"))
    });
    lines.collect()
}
