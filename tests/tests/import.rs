//! Distributions that are imported: whole, or not at all.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use winterop_tests::{
    Host, Outcome, Placement, Shell, built, expect_soon, finish, finish_with, needs_cgroups,
    needs_root,
};

/// A system of a busybox, as the options of `tar` pack it.
fn archive(host: &Host, options: &[&str], name: &str) -> PathBuf {
    let root = host.base().join("source");
    if !root.exists() {
        for folder in ["bin", "etc", "root", "home/me", "tmp"] {
            fs::create_dir_all(root.join(folder)).expect(folder);
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("Debian's busybox-static");
        for applet in ["sh", "id", "cat", "ls", "echo", "sleep", "true"] {
            symlink("busybox", root.join("bin").join(applet)).expect(applet);
        }
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/:/bin/sh\n",
        )
        .expect("passwd");
        fs::write(root.join("etc/group"), "root:x:0:\nme:x:1000:\n").expect("group");
        fs::write(root.join("etc/mine"), "text").expect("a file");
        std::os::unix::fs::chown(root.join("etc/mine"), Some(1000), Some(1000)).expect("an owner");
    }
    let file = host.base().join(name);
    let mut tar = Command::new("tar");
    finish(tar.arg("-C").arg(&root).args(options).arg("-cf").arg(&file).arg(".")).clean();
    host.own(&file);
    file
}

fn wsl(host: &Host, arguments: &[&str]) -> Outcome {
    finish(host.command("wsl", Placement::InPlace).args(arguments))
}

fn import(host: &Host, name: &str, file: &Path) -> Outcome {
    let directory = host.work().join(name);
    let (directory, file) = (directory.to_string_lossy(), file.to_string_lossy());
    wsl(host, &["--import", name, &directory, &file])
}

/// What of a distribution is on the disk and in the list.
#[track_caller]
fn nothing_is_left(host: &Host, name: &str) {
    assert!(!host.work().join(name).exists(), "files of {name} are left");
    let listed = wsl(host, &["-l", "-v", "--all"]).text();
    assert!(!listed.contains(name), "{listed}");
    let work = host.base().join("data/winterop/distributions").join(format!("{name}.work"));
    assert!(!work.exists(), "its lock is left");
}

#[test]
fn what_is_imported_is_listed_runs_and_is_removed() {
    let host = Host::new();
    for (name, options) in [("plain.tar", &[][..]), ("a.tgz", &["-z"]), ("a.xz", &["-J"])] {
        let file = archive(&host, options, name);
        assert_eq!(import(&host, "alpha", &file).code(), 0);
        let root = host.work().join("alpha/rootfs");
        assert_eq!(fs::metadata(root.join("etc/mine")).expect("a file").uid(), 1000);
        let run =
            wsl(&host, &["-d", "ALPHA", "-u", "me", "-e", "sh", "-c", "id -u; cat /etc/mine"]);
        assert_eq!(run.clean().text(), "1000\ntext");
        let listed = wsl(&host, &["--list", "--verbose"]).text();
        let row: Vec<_> = listed
            .lines()
            .find(|line| line.contains("alpha"))
            .into_iter()
            .flat_map(str::split_whitespace)
            .collect();
        assert_eq!(row, ["alpha", "Running", "1"], "{listed}");
        assert!(wsl(&host, &["-l", "-q", "--running"]).text().contains("alpha\n"));
        wsl(&host, &["-t", "alpha"]).clean();
        assert!(!wsl(&host, &["-l", "-q", "--running"]).text().contains("alpha"));
        wsl(&host, &["--set-default", "alpha"]).clean();
        assert!(wsl(&host, &["-l"]).text().contains("alpha (Default)"));
        assert_eq!(wsl(&host, &["-e", "sh", "-c", "echo $WSL_DISTRO_NAME"]).text(), "alpha\n");
        wsl(&host, &["--unregister", "alpha"]).refused(126, &["--yes"]);
        // It runs, and is ended first.
        wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
        nothing_is_left(&host, "alpha");
        wsl(&host, &["-d", "alpha", "-e", "true"]).refused(126, &["no distribution alpha"]);
    }
}

#[test]
fn an_archive_is_taken_from_standard_input() {
    let host = Host::new();
    let bytes = fs::read(archive(&host, &[], "a.tar")).expect("the archive");
    let mut command = host.command("wsl", Placement::InPlace);
    command.args(["--import", "alpha"]).arg(host.work().join("alpha")).arg("-");
    assert_eq!(finish_with(&mut command, bytes).code(), 0);
    assert_eq!(wsl(&host, &["-d", "alpha", "cat", "/etc/mine"]).text(), "text");
    wsl(&host, &["--shutdown"]).clean();
}

#[test]
fn names_places_and_versions_that_cannot_be() {
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    for name in ["a/b", "..", "con", &"x".repeat(300)] {
        let directory = host.work().join("place");
        let mut command = host.command("wsl", Placement::InPlace);
        command.args(["--import", name]).arg(&directory).arg(&file);
        finish(&mut command).refused(126, &["name"]);
        assert!(!directory.exists());
    }
    import(&host, "alpha", &host.base().join("nowhere.tar")).refused(126, &["nowhere.tar"]);
    let place = host.work().join("alpha");
    let with = |more: &[&str]| {
        let mut command = host.command("wsl", Placement::InPlace);
        finish(command.args(["--import", "alpha"]).arg(&place).arg(&file).args(more))
    };
    with(&["--version", "2"]).refused(126, &["virtual machine"]);
    with(&["--vhd"]).refused(126, &["no disk image"]);
    nothing_is_left(&host, "alpha");
    // A directory that is somebody's keeps what is in it.
    fs::create_dir_all(place.join("rootfs")).expect("a directory");
    fs::write(place.join("rootfs/mine"), "mine").expect("a file");
    with(&[]).refused(126, &["is there already"]);
    assert_eq!(fs::read_to_string(place.join("rootfs/mine")).expect("kept"), "mine");
    fs::rename(place.join("rootfs"), place.join("other")).expect("moved");
    // It may be for others, and a root in it would be.
    set_mode(&place, 0o755);
    with(&[]).refused(126, &["holder-open", "chmod 700"]);
    assert!(!wsl(&host, &["-l", "-v", "--all"]).text().contains("alpha"));
    set_mode(&place, 0o700);
    assert_eq!(with(&[]).code(), 0);
    import(&host, "ALPHA", &file).refused(126, &["alpha already"]);
    wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
    assert!(place.join("other/mine").exists(), "what lies beside the root is not ours");
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}

#[test]
fn what_an_archive_has_is_reached_by_nobody_else_on_the_machine() {
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    let place = host.work().join("alpha");
    // An empty directory that is there is closed too.
    fs::create_dir(&place).expect("a directory");
    set_mode(&place, 0o755);
    assert_eq!(import(&host, "alpha", &file).code(), 0);
    assert_eq!(fs::metadata(&place).expect("the directory").mode() & 0o7777, 0o700);
    for folder in [host.base().to_owned(), host.work()] {
        set_mode(&folder, 0o755);
    }
    // Each start looks again.
    for mode in [0o755, 0o701, 0o720] {
        set_mode(&place, mode);
        wsl(&host, &["-d", "alpha", "-e", "true"]).refused(126, &["holder-open", "chmod 700"]);
    }
    set_mode(&place, 0o700);
    assert_eq!(wsl(&host, &["-d", "alpha", "-e", "true"]).code(), 0);
    wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
}

#[test]
fn a_set_uid_program_of_an_archives_is_run_by_nobody_else() {
    needs_root("only root can become another user");
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    assert_eq!(import(&host, "alpha", &file).code(), 0);
    for folder in [host.base().to_owned(), host.work()] {
        set_mode(&folder, 0o755);
    }
    let tool = host.work().join("alpha/rootfs/bin/busybox");
    set_mode(&tool, 0o4755);
    let as_another = || {
        let other = ["--reuid", "64123", "--regid", "64123", "--clear-groups"];
        // By a shell: what setpriv itself executes it still looks up with root's rights.
        let script = format!("{} id -u", tool.display());
        finish(Command::new("setpriv").args(other).args(["sh", "-c", &script]))
    };
    let ran = as_another();
    assert!(ran.code() != 0 && ran.stdout.is_empty(), "{ran:?}");
    // The directory that holds it is all that keeps others from it.
    set_mode(&host.work().join("alpha"), 0o755);
    assert_eq!(as_another().clean().text().lines().count(), 1);
    wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
}

#[test]
fn a_root_that_leads_elsewhere_is_neither_entered_nor_read_nor_emptied() {
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    let place = host.work().join("alpha");
    assert_eq!(import(&host, "alpha", &file).code(), 0);
    let victim = host.base().join("source");
    let before = fs::read_dir(&victim).expect("a directory").count();
    let (root, aside) = (place.join("rootfs"), place.join("aside"));
    fs::rename(&root, &aside).expect("moved");
    symlink(&victim, &root).expect("a link");
    wsl(&host, &["-d", "alpha", "-e", "true"]).refused(126, &["holder-unreachable"]);
    let exported = host.work().join("x.tar").to_string_lossy().into_owned();
    wsl(&host, &["--export", "alpha", &exported]).refused(126, &["holder-unreachable"]);
    wsl(&host, &["--manage", "alpha", "--set-default-user", "me"])
        .refused(126, &["holder-unreachable"]);
    // The whole place swapped for a link to another's.
    fs::remove_file(&root).expect("the link");
    let other = host.work().join("other");
    fs::create_dir(&other).expect("a directory");
    set_mode(&other, 0o700);
    fs::rename(&aside, other.join("rootfs")).expect("moved");
    fs::remove_dir(&place).expect("the directory");
    symlink(&other, &place).expect("a link");
    wsl(&host, &["-d", "alpha", "-e", "true"]).refused(126, &["holder-unreachable"]);
    wsl(&host, &["--unregister", "alpha", "--yes"]).refused(126, &["holder-unreachable"]);
    assert!(other.join("rootfs/etc/mine").exists());
    // It is gone on with once the way is right again; a link in the root's place goes alone.
    fs::remove_file(&place).expect("the link");
    fs::rename(&other, &place).expect("moved");
    fs::rename(&root, &aside).expect("moved");
    symlink(&victim, &root).expect("a link");
    wsl(&host, &["--set-default", "nobody"]).refused(126, &["no distribution nobody"]);
    assert_eq!(fs::read_dir(&victim).expect("a directory").count(), before);
    assert!(!wsl(&host, &["-l", "-v", "--all"]).text().contains("alpha"));
    assert!(aside.join("etc/mine").exists() && root.symlink_metadata().is_err());
}

#[test]
fn what_is_mounted_in_a_root_is_not_emptied_with_it() {
    needs_root("only root can mount in a distribution that does not run");
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    assert_eq!(import(&host, "alpha", &file).code(), 0);
    let place = host.work().join("alpha/rootfs/tmp");
    let script = format!(
        "mount -t tmpfs tmpfs {0} && touch {0}/kept; wsl --unregister alpha --yes; echo $?; ls {0}",
        place.display()
    );
    let mut command = host.command_as_root("unshare", Placement::InPlace);
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    let outcome = finish(&mut command);
    assert_eq!(outcome.text(), "126\nkept\n", "{}", outcome.errors());
    assert!(outcome.errors().contains("mounted on rootfs/tmp"), "{}", outcome.errors());
    // It is gone on with where nothing is mounted.
    wsl(&host, &["--set-default", "nobody"]).refused(126, &["no distribution nobody"]);
    nothing_is_left(&host, "alpha");
}

#[test]
fn what_a_root_says_of_itself_is_not_read_from_outside_of_it() {
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    assert_eq!(import(&host, "alpha", &file).code(), 0);
    let etc = host.work().join("alpha/rootfs/etc");
    // A file of the machine's that would have systemd started, which the distribution does not have.
    let outside = host.base().join("outside.conf");
    fs::write(&outside, "[boot]\nsystemd = true\n").expect("a file");
    symlink(&outside, etc.join("wsl.conf")).expect("a link");
    let run = wsl(&host, &["-d", "alpha", "-e", "echo", "runs"]);
    assert_eq!(run.clean().text(), "runs\n");
    wsl(&host, &["-t", "alpha"]).clean();
    // A pipe there is waited for by nobody, and no device is opened.
    for name in ["wsl.conf", "passwd", "group", "os-release", "fstab"] {
        let _ = fs::remove_file(etc.join(name));
        finish(Command::new("mkfifo").arg(etc.join(name))).clean();
    }
    let run = wsl(&host, &["-d", "alpha", "-e", "echo", "runs"]);
    assert_eq!(run.clean().text(), "runs\n");
    wsl(&host, &["--manage", "alpha", "--set-default-user", "me"]).refused(126, &["no user me"]);
    wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
}

#[test]
fn an_export_is_its_owners_alone() {
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    assert_eq!(import(&host, "alpha", &file).code(), 0);
    let script = "umask 0; wsl --export alpha x.tar";
    let outcome = finish(host.command("sh", Placement::InPlace).args(["-c", script]));
    assert_eq!(outcome.code(), 0, "{}", outcome.errors());
    let exported = fs::metadata(host.work().join("x.tar")).expect("the archive");
    assert_eq!(exported.mode() & 0o7777, 0o600);
    // What a name in it would have a terminal do is shown in letters.
    let evil = host.work().join("\u{1b}]0;evil\u{7}\u{9b}2J.tar");
    let evil = evil.to_string_lossy();
    let refused = wsl(&host, &["--import", "beta", "beta", &evil]);
    refused.refused(126, &["u001b]0;evil", "u009b2J"]);
    assert!(!refused.errors().contains(['\u{1b}', '\u{9b}', '\u{7}']), "{refused:?}");
    wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
}

#[test]
fn what_is_exported_is_imported_again_with_everything() {
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    assert_eq!(import(&host, "alpha", &file).code(), 0);
    let root = host.work().join("alpha/rootfs");
    finish(Command::new("sh").current_dir(&root).args([
        "-ec",
        "ln etc/mine etc/again; truncate -s 20M hole; mkfifo -m 640 pipe; mknod null c 1 3; chown 70000:5 hole; chmod 4755 bin/busybox",
    ]))
    .clean();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(root.join("etc/mine"), "user.note", b"a b", flags).expect("an attribute");
    let shown = |root: &Path| {
        let mut note = [0; 9];
        let count = rustix::fs::getxattr(root.join("etc/again"), "user.note", &mut note);
        assert_eq!(&note[..count.expect("the attribute")], b"a b");
        let find = "find . -printf '%P %M %U:%G %s %T@ %l\\n' | sort; stat -c '%h %t:%T' etc/mine null; \
                    md5sum etc/mine bin/busybox; du -k hole";
        let outcome = finish(Command::new("sh").current_dir(root).args(["-c", find]));
        outcome.clean().text()
    };
    let before = shown(&root);
    for name in ["x.tar", "x.tar.gz", "x.tar.xz", "x.tar.zst"] {
        let exported = host.work().join(name);
        wsl(&host, &["--export", "alpha", &exported.to_string_lossy()]);
        assert_eq!(import(&host, "beta", &exported).code(), 0, "{name}");
        assert_eq!(shown(&host.work().join("beta/rootfs")), before, "{name}");
        wsl(&host, &["--unregister", "beta", "--yes"]).clean();
    }
    // To a pipe, in the format that is named; the same each time.
    let bytes = wsl(&host, &["--export", "alpha", "-", "--format", "tar.zst"]).stdout;
    assert!(bytes == fs::read(host.work().join("x.tar.zst")).expect("the archive"));
    // Where it cannot be written nothing is left, and what was there stays.
    fs::write(host.work().join("kept"), "kept").expect("a file");
    let full = format!("ulimit -f 100; wsl --export alpha {}/kept; echo $?", host.work().display());
    let outcome = finish(host.command("sh", Placement::InPlace).args(["-c", &full]));
    assert!(!outcome.text().ends_with("0\n") || outcome.text().ends_with("126\n"), "{outcome:?}");
    assert_eq!(fs::read_to_string(host.work().join("kept")).expect("kept"), "kept");
    let left = fs::read_dir(host.work()).expect("the folder").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    let is_part = |name: &std::ffi::OsString| name.to_string_lossy().contains(".part-");
    assert!(!left.iter().any(is_part), "{left:?}");
    wsl(&host, &["--export", "nobody", "x"]).refused(126, &["no distribution nobody"]);
    let folder = host.work();
    wsl(&host, &["--export", "alpha", &folder.to_string_lossy()]).refused(126, &["a directory"]);
    wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
}

#[test]
fn disk_images_are_imported_as_their_files() {
    let host = Host::new();
    // It makes the folder that the image is of.
    archive(&host, &[], "a.tar");
    let work = host.work();
    let run = |script: &str| {
        finish(Command::new("sh").current_dir(&work).args(["-ec", script])).clean().text()
    };
    run("truncate -s 48M ext4.img; \
         PATH=$PATH:/usr/sbin mke2fs -q -t ext4 -d ../source -E root_owner=0:0 ext4.img; \
         qemu-img convert -O vhdx ext4.img disk.vhdx; \
         qemu-img convert -O vhdx -o subformat=fixed ext4.img fixed.vhdx; \
         qemu-img convert -O vpc -o force_size=on ext4.img disk.vhd; \
         qemu-img convert -O vpc -o subformat=fixed,force_size=on ext4.img fixed.vhd");
    for name in ["ext4.img", "disk.vhdx", "fixed.vhdx", "disk.vhd", "fixed.vhd"] {
        let outcome = import(&host, "alpha", &work.join(name));
        assert_eq!(outcome.code(), 0, "{name}: {}", outcome.errors());
        let said =
            wsl(&host, &["-d", "alpha", "-u", "me", "-e", "sh", "-c", "id -u; cat /etc/mine"]);
        assert_eq!(said.clean().text(), "1000\ntext", "{name}");
        let root = work.join("alpha/rootfs");
        assert_eq!(fs::metadata(root.join("etc/mine")).expect("a file").uid(), 1000);
        assert_eq!(run("ls -A alpha"), "rootfs\n");
        wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
    }
    // What is damaged, cut off, not closed or no image at all.
    let change = |from: &str, at: usize, bytes: &[u8]| {
        let mut content = fs::read(work.join(from)).expect(from);
        content[at..at + bytes.len()].copy_from_slice(bytes);
        content
    };
    let cut = |from: &str, length: usize| {
        let mut content = fs::read(work.join(from)).expect(from);
        content.truncate(length);
        content
    };
    let both_headers = {
        let mut content = change("disk.vhdx", (64 << 10) + 100, b"x");
        content[(128 << 10) + 100] = b'x';
        content
    };
    let footer = fs::metadata(work.join("fixed.vhd")).expect("its size").len() as usize - 512;
    for (content, words) in [
        (change("ext4.img", 1080, b"??"), "holds nothing"),
        (both_headers, "headers are damaged"),
        (cut("disk.vhdx", 1 << 20), "disk image"),
        (change("fixed.vhd", footer + 50, b"\x7F"), "checksum"),
        (cut("disk.vhd", 4096), "disk image"),
        (change("ext4.img", 1024, &[0xFF; 40]), "checksum"),
        (cut("ext4.img", 10 << 20), "cut off"),
    ] {
        fs::write(work.join("bad"), content).expect("an image");
        fails(&import(&host, "alpha", &work.join("bad")), words);
        nothing_is_left(&host, "alpha");
    }
    let with = ["--import", "alpha", "here", "../a.tar", "--vhd"];
    wsl(&host, &with).refused(126, &["no disk image"]);
}

#[test]
fn a_plain_user_imports_an_image_as_an_archive() {
    let host = Host::of_plain_user();
    archive(&host, &[], "a.tar");
    let image = host.base().join("ext4.img");
    let script =
        "truncate -s 16M ext4.img; PATH=$PATH:/usr/sbin mke2fs -q -t ext4 -d source ext4.img";
    finish(Command::new("sh").current_dir(host.base()).args(["-ec", script])).clean();
    host.own(&image);
    let outcome = import(&host, "alpha", &image);
    assert_eq!(outcome.code(), 0, "{}", outcome.errors());
    assert_eq!(wsl(&host, &["-d", "alpha", "-e", "cat", "/etc/mine"]).text(), "text");
    wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
    nothing_is_left(&host, "alpha");
}

#[test]
fn who_starts_commands_and_how_is_set_and_said() {
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    assert_eq!(import(&host, "alpha", &file).code(), 0);
    let id = ["-d", "alpha", "-e", "id", "-u"];
    assert_eq!(wsl(&host, &id).clean().text(), "0\n");
    wsl(&host, &["--manage", "alpha", "--set-default-user", "me"]).clean();
    assert_eq!(wsl(&host, &id).clean().text(), "1000\n");
    wsl(&host, &["--manage", "alpha", "--set-default-user", "nobody"])
        .refused(126, &["no user nobody"]);
    wsl(&host, &["--manage", "alpha"]).refused(126, &["--set-default-user"]);
    let machine = wsl(&host, &["--list", "-q"]).text();
    let machine = machine.lines().next().expect("the machine");
    let said = wsl(&host, &["--status"]).clean().text();
    assert_eq!(said, format!("Default Distribution: {machine}\nDefault Version: 1\n"));
    wsl(&host, &["--mount", "/dev/sdb", "--bare"]).refused(126, &["share this kernel"]);
    for (shell, name) in [("login", "-sh"), ("standard", "sh")] {
        let words = ["-d", "alpha", "-u", "root", "--shell-type", shell, "eval", "echo $0"];
        assert_eq!(wsl(&host, &words).clean().text().trim_end(), name);
    }
    let none = ["-d", "alpha", "--shell-type", "none", "echo", "$0"];
    assert_eq!(wsl(&host, &none).clean().text(), "$0\n");
    let dashes = ["-d", "alpha", "--", "eval", "echo -n $0"];
    assert_eq!(wsl(&host, &dashes).clean().text(), "sh");
    wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
}

#[test]
fn a_terminal_is_asked_before_anything_is_removed_and_shows_how_far_it_is() {
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    let mut shell = Shell::bash(&host, Placement::InPlace);
    let import = format!(
        "wsl --import alpha {}/alpha {}; echo end''ed",
        host.work().display(),
        file.display()
    );
    shell.does(&import, "ended");
    // A bar, and not the line that scripts get.
    assert!(!shell.written().contains("may take a few minutes"), "{}", shell.written());
    shell.does("wsl --unregister alpha; echo end''ed", "[y/N]");
    shell.does("n", "alpha stays");
    assert!(host.work().join("alpha/rootfs/etc/mine").exists());
    shell.does("wsl --unregister alpha; echo end''ed", "[y/N]");
    shell.does("y", "ended");
    nothing_is_left(&host, "alpha");
    shell.types("exit\r");
    let _ = shell.end();
}

/// An import that began and failed: the reason on one line, what became of it on another.
#[track_caller]
fn fails(outcome: &Outcome, reason: &str) {
    let errors = outcome.errors();
    assert_eq!(outcome.code(), 126, "{errors}");
    assert!(errors.contains(reason) && errors.contains("nothing of it is left"), "{errors}");
}

#[test]
fn of_damaged_archives_nothing_is_left() {
    let host = Host::new();
    let whole = fs::read(archive(&host, &["-z"], "whole.tgz")).expect("the archive");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    let cut = whole[..whole.len() / 2].to_vec();
    for (bytes, words) in
        [(cut, "cut off"), (flipped, "get it again"), (b"no archive".repeat(99), "no tar archive")]
    {
        let file = host.base().join("bad");
        fs::write(&file, bytes).expect("an archive");
        fails(&import(&host, "alpha", &file), words);
        nothing_is_left(&host, "alpha");
    }
    let file = archive(&host, &["--transform", "s,^./etc/mine,../mine,"], "up.tar");
    fails(&import(&host, "alpha", &file), "a part '..'");
    nothing_is_left(&host, "alpha");
    assert!(!host.work().join("mine").exists());
}

#[test]
fn a_killed_import_is_cleaned_up_by_the_next_command_and_not_before_it_ended() {
    let host = Host::new();
    let bytes = fs::read(archive(&host, &[], "a.tar")).expect("the archive");
    let mut command = host.command("wsl", Placement::InPlace);
    command.args(["--import", "alpha"]).arg(host.work().join("alpha")).arg("-");
    let mut running = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("wsl");
    let mut input = running.stdin.take().expect("a pipe");
    input.write_all(&bytes[..bytes.len() / 2]).expect("the first half");
    let half = host.work().join("alpha/rootfs");
    expect_soon("a first file", || fs::read_dir(&half).ok()?.next()?.ok());
    // It is at work: nobody takes its files or its name away.
    assert!(wsl(&host, &["-l", "-v"]).text().contains("Installing"));
    import(&host, "alpha", &host.base().join("a.tar")).refused(126, &["there already"]);
    wsl(&host, &["-d", "alpha", "true"]).refused(126, &["being imported"]);
    running.kill().expect("a child of ours");
    running.wait().expect("its end");
    drop(input);
    assert!(half.exists());
    // The child is told by the kernel, which takes its time.
    expect_soon("a free name", || {
        let name = wsl(&host, &["--set-default", "nobody"]);
        assert_ne!(name.code(), 0);
        (!half.exists()).then_some(())
    });
    nothing_is_left(&host, "alpha");
}

#[test]
fn a_full_disk_leaves_nothing() {
    let host = Host::new();
    let file = archive(&host, &[], "a.tar");
    let place = host.work().join("small");
    fs::create_dir(&place).expect("a directory");
    let script = format!(
        "mount -t tmpfs -o size=300k tmpfs {place} && wsl --import alpha {place}/alpha {file}; \
         echo $?; ls {place} | wc -l",
        place = place.display(),
        file = file.display()
    );
    let mut command = host.command_as_root("unshare", Placement::InPlace);
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    let outcome = finish(&mut command);
    assert_eq!(outcome.text(), "126\n0\n", "{}", outcome.errors());
    assert!(outcome.errors().contains("No space left"), "{}", outcome.errors());
    nothing_is_left(&host, "alpha");
}

#[test]
fn a_plain_user_is_told_what_cannot_be_preserved() {
    let host = Host::of_plain_user();
    let file = archive(&host, &[], "a.tar");
    let outcome = import(&host, "alpha", &file);
    assert_eq!(outcome.code(), 0, "{}", outcome.errors());
    assert!(outcome.errors().contains("owners could not be kept"), "{}", outcome.errors());
    assert_eq!(wsl(&host, &["-d", "alpha", "-e", "cat", "/etc/mine"]).text(), "text");
    wsl(&host, &["--unregister", "alpha", "--yes"]).clean();
    nothing_is_left(&host, "alpha");
}

/// A real Debian, which `cargo xtask test` makes once.
fn debian() -> PathBuf {
    needs_root("only root has a Debian made, and all of its users");
    built("cache/debian.tar")
}

#[test]
fn debian_is_imported_runs_and_goes_round() {
    let archive = debian();
    let host = Host::new();
    host.settled();
    let outcome = import(&host, "Bookworm", &archive);
    assert_eq!(outcome.code(), 0, "{}", outcome.errors());
    let root = host.work().join("Bookworm/rootfs");
    fs::copy(host.windows().join("hello.exe"), root.join("usr/local/bin/hello.exe")).expect("it");
    let said = |words: &[&str]| wsl(&host, &[&["-d", "Bookworm"], words].concat());
    let line = |script: &str| said(&["-e", "bash", "-lc", script]).clean().text();
    // Its own tools make a user, and are content with what they find.
    assert_eq!(
        line("useradd -m -s /bin/bash me && id -u me && dpkg --audit && echo ok"),
        "1000\nok\n"
    );
    wsl(&host, &["--manage", "Bookworm", "--set-default-user", "me"]).clean();
    assert_eq!(line("id -un; cd; pwd; echo $HOME"), "me\n/home/me\n/home/me\n");
    // Where ids are the machine's, only root starts Windows programs.
    let as_root = ["-u", "root", "-e", "bash", "-lc", "hello.exe; hello.exe | tr a-z A-Z"];
    assert_eq!(said(&as_root).clean().text(), "hello\nHELLO\n");
    assert_eq!(
        line("echo $WSL_DISTRO_NAME; wslpath -w /etc"),
        "Bookworm\n\\\\wsl.localhost\\Bookworm\\etc\n"
    );
    // A second one beside it sees none of its processes.
    assert_eq!(import(&host, "Other", &archive).code(), 0);
    let mut sleeper = host.command("wsl", Placement::InPlace);
    sleeper.args(["-d", "Bookworm", "-e", "sleep", "1000"]).stdin(Stdio::null());
    let mut sleeper = sleeper.spawn().expect("a sleeper");
    expect_soon("it sleeps", || {
        (said(&["-e", "pgrep", "-c", "sleep"]).text() == "1\n").then_some(())
    });
    assert_eq!(wsl(&host, &["-d", "Other", "-e", "pgrep", "-c", "sleep"]).text(), "0\n");
    wsl(&host, &["--terminate", "Bookworm"]).clean();
    assert!(!sleeper.wait().expect("its end").success());
    // Out and in again it is the same, with everything that a file can have.
    let exported = host.work().join("debian.tar");
    wsl(&host, &["--export", "Bookworm", &exported.to_string_lossy()]);
    wsl(&host, &["--unregister", "Other", "--yes"]).clean();
    assert_eq!(import(&host, "Other", &exported).code(), 0);
    let shown = |name: &str| {
        let script = "find . -printf '%P %M %U:%G %s %T@ %n %l\\n' | sort; \
                      find . -type f -print0 | sort -z | xargs -0 sha256sum";
        let mut find = Command::new("sh");
        find.current_dir(host.work().join(name).join("rootfs")).args(["-c", script]);
        finish(&mut find).clean().text()
    };
    let (before, after) = (shown("Bookworm"), shown("Other"));
    // A directory's size is its file system's affair.
    let differing = before
        .lines()
        .zip(after.lines())
        .filter(|(one, other)| one != other && !one.contains(" drwx"));
    assert_eq!(differing.collect::<Vec<_>>(), Vec::new());
    assert_eq!(before.lines().count(), after.lines().count());
    assert!(before.lines().count() > 3000, "{}", before.lines().count());
    for name in ["Bookworm", "Other"] {
        wsl(&host, &["--unregister", name, "--yes"]).clean();
    }
}

#[test]
fn debian_that_is_imported_has_its_own_systemd() {
    let archive = debian();
    let _ = needs_cgroups();
    let host = Host::new();
    host.settled();
    assert_eq!(import(&host, "Bookworm", &archive).code(), 0);
    let root = host.work().join("Bookworm/rootfs");
    fs::copy(host.windows().join("hello.exe"), root.join("usr/local/bin/hello.exe")).expect("it");
    fs::write(root.join("etc/wsl.conf"), "[boot]\nsystemd=true\n").expect("wsl.conf");
    let script = "cat /proc/1/comm; systemctl is-active dbus.socket; hello.exe";
    let as_root = ["-d", "Bookworm", "-u", "root", "-e", "bash", "-lc", script];
    assert_eq!(wsl(&host, &as_root).clean().text(), "systemd\nactive\nhello\n");
    wsl(&host, &["--terminate", "Bookworm"]).clean();
    wsl(&host, &["--unregister", "Bookworm", "--yes"]).clean();
}
