//! A machine of a test's own: every uid, its own root over this machine's files, its own processes,
//! table of executables, `/run` and `/tmp`. It is gone with its shell.

use crate::host::template;
use crate::{Process, Session, built, expect_soon, needs_cgroups, needs_root, processes};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// Puts a root over this machine's into the folder `$3`, which only the machine's root can do, goes
/// into a user namespace, waits until its map of ids is written, and goes on in more namespaces.
///
/// Where `$CGROUP` names a cgroup, the machine's processes are in it, and it is their root.
const ENTER: &str = r#"set -e
if [ "$CGROUP" ]; then echo $$ >"$CGROUP/cgroup.procs"; own=--cgroup; fi
mount -t tmpfs -o mode=0755 tmpfs "$3"
cd "$3"
mkdir upper work root
mknod -m 666 fuse c 10 229
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
exec unshare --user $own sh -c 'echo up; read -r go; exec unshare --mount --propagation private --pid \
    --fork --kill-child --ipc --uts sh -c "$@"' sh "$@"
"#;

/// Makes the machine in the folder `$1`, with Winterop's parts `$2`, the Windows programs `$3` and
/// the prefix `$4`, and becomes its shell; with `$CGROUP`, its systemd.
const BUILD: &str = r#"set -e
cd "$1"
mount --bind root root
mount --rbind /dev root/dev
mount --rbind /sys root/sys
if [ -e root/dev/fuse ]; then mount --bind fuse root/dev/fuse; fi
mount -t proc proc root/proc
mount -t tmpfs -o mode=0755 tmpfs root/run
mount -t tmpfs -o mode=1777 tmpfs root/tmp
mkdir root/run/user root/opt/windows
cp -a "$2" root/opt/winterop
cp "$3"/*.exe root/opt/windows
cp "$2"/../deb/winterop_*.deb root/opt
rm -rf root/init root/etc/winterop root/etc/wsl.conf
for user in alice:1000 bob:1001; do
    name=${user%:*} id=${user#*:}
    sed -i "/^$name:/d;/:$id:/d" root/etc/passwd root/etc/group root/etc/shadow
    echo "$name:*:20000:0:99999:7:::" >>root/etc/shadow
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
if [ "$CGROUP" ]; then
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    : >/etc/machine-id
    # Everything but logins: those wait for what no test has.
    ln -sf /usr/lib/systemd/system/basic.target /etc/systemd/system/default.target
    exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
        --log-target=console --show-status=no >/var/log/console 2>&1
fi
exec env -i HOME=/root USER=root LC_ALL=C.UTF-8 SHELL=/bin/sh W=/opt/windows \
    PATH=/opt/winterop/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    sh -c 'while read -r line; do eval "$line"; done'
"#;

/// A machine with the users alice (1000) and bob (1001), on which Winterop is not yet enabled; its
/// programs are in `/opt/winterop/bin`, the Windows programs in `/opt/windows`.
#[derive(Debug)]
pub struct Machine {
    shell: Session,
    _systemd: Option<Systemd>,
    _folder: TempDir,
}

/// A systemd that is process 1 of its machine, and the cgroup that is its root.
#[derive(Debug)]
struct Systemd {
    unshare: Child,
    _cgroup: Cgroup,
}

/// A cgroup that goes with this.
#[derive(Debug)]
struct Cgroup(PathBuf);

impl Cgroup {
    fn make(name: &str) -> Self {
        let path = needs_cgroups().join(name);
        fs::create_dir(&path).expect("a cgroup");
        Self(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Folders only: the files in them are the kernel's.
        let remove = ["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"];
        expect_soon("an empty cgroup", || {
            let _ = Command::new("find").arg(&self.0).args(remove).stderr(Stdio::null()).status();
            (!self.0.exists()).then_some(())
        });
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // The machine's first process ends with it, and everything else with that one.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

impl Machine {
    /// Starts a machine. Always there: where this user cannot have one the test fails.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn start() -> Self {
        let (folder, child, input, output) = Self::unshare(None);
        let mut shell = Session::of(child, input, output);
        assert_eq!(shell.eval("id -u"), "0\n");
        Self { shell, _systemd: None, _folder: folder }
    }

    /// Starts a machine whose process 1 is a real systemd, and waits until it is up.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn with_systemd() -> Self {
        needs_root("only root can make a machine with all users");
        let cgroup = Cgroup::make(&format!("winterop-test-{}", std::process::id()));
        let (folder, unshare, input, output) = Self::unshare(Some(&cgroup));
        drop((input, output));
        let unshared = Process(unshare.id().cast_signed());
        let init = expect_soon("systemd as process 1", || {
            let mut below = processes().into_iter().filter(|it| it.parent() == Some(unshared));
            below.find(|it| it.command_line().starts_with("/lib/systemd/systemd"))
        });
        let systemd = Systemd { unshare, _cgroup: cgroup };
        let mut enter = Command::new("nsenter");
        enter.args([
            "-t",
            &init.0.to_string(),
            "-U",
            "-m",
            "-p",
            "-C",
            "-u",
            "-i",
            "--",
            "env",
            "-i",
        ]);
        enter.args([
            "HOME=/root",
            "USER=root",
            "LC_ALL=C.UTF-8",
            "SHELL=/bin/sh",
            "W=/opt/windows",
        ]);
        enter.arg(
            "PATH=/opt/winterop/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        enter.args(["sh", "-c", "while read -r line; do eval \"$line\"; done"]);
        enter.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir("/");
        let mut child = enter.spawn().expect("nsenter");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let shell = Session::of(child, input, output);
        let mut machine = Self { shell, _systemd: Some(systemd), _folder: folder };
        // Whatever fails in a machine without devices: it is up.
        let up = "until s=$(systemctl is-system-running --wait 2>&1); case $s in \
            running|degraded) true;; *) false;; esac; do :; done; echo up";
        assert_eq!(machine.root(up), "up\n");
        machine
    }

    /// Starts what makes a machine and becomes its first process.
    fn unshare(cgroup: Option<&Cgroup>) -> (TempDir, Child, ChildStdin, BufReader<ChildStdout>) {
        needs_root("only root can make a machine with all users");
        let template = template();
        let folder = tempfile::Builder::new().prefix("winterop-test-").tempdir().expect("a folder");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", BUILD, "sh"]);
        command.arg(folder.path()).arg(built("winterop")).arg(built("windows")).arg(template);
        command.env_remove("CGROUP").envs(cgroup.map(|cgroup| ("CGROUP", &cgroup.0)));
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
        (folder, child, input, output)
    }

    /// A machine on which Winterop is enabled.
    ///
    /// # Panics
    /// Where enabling fails.
    #[must_use]
    pub fn enabled() -> Self {
        let mut machine = Self::start();
        let said = machine.root("winterop enable; echo $?");
        assert!(said.ends_with("\n0\n"), "{said}");
        machine
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

    /// Writes a file as root.
    ///
    /// # Panics
    /// Where it cannot be written.
    #[track_caller]
    pub fn write(&mut self, path: &str, text: &str) {
        let digits: String = text.bytes().map(|byte| format!("\\{byte:03o}")).collect();
        let said = self.shell.eval(&format!("printf '{digits}' >{path}; echo $?"));
        assert_eq!(said, "0\n", "{path}");
    }

    /// Puts a script in Python on the machine, which knows [`WORDS`]; the command that runs it.
    ///
    /// # Panics
    /// Where it cannot be written.
    #[track_caller]
    pub fn python(&mut self, name: &str, script: &str) -> String {
        self.write(&format!("/opt/{name}.py"), &format!("{WORDS}{script}"));
        format!("python3 /opt/{name}.py")
    }

    /// The shell itself, for what goes on while something else is done.
    pub fn shell(&mut self) -> &mut Session {
        &mut self.shell
    }
}

/// What scripts that connect to servers have in common. A script waits for room in a server's queue, and
/// not for ever for anything else. Files are objects or numbers.
const WORDS: &str = r#"
import array, os, select, signal, socket, struct, sys, time
INIT, ALICE = '/run/WSL/1_interop', '/tmp/winterop-1000/interop'
def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.settimeout(60)
    return connection
def send(connection, data, files=()):
    numbers = [f if isinstance(f, int) else f.fileno() for f in files]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', numbers))]
    try:
        connection.sendmsg([data], rights if numbers else [])
    except (BrokenPipeError, ConnectionResetError):
        pass
def answer(connection):
    text = b''
    try:
        while part := connection.recv(65536):
            text += part
    except ConnectionResetError:
        pass
    return text.decode(errors='replace')
"#;

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
