//! Where a program finds itself: its own path, its working directory, and the files around it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use winterop_tests::{Host, Outcome, Placement, finish, needs_root, placements};

/// The name below `Z:\`, the root.
fn on_z(path: &Path) -> String {
    format!("Z:{}", path.to_string_lossy().replace('/', "\\"))
}

/// What `self-path` has printed: its own path and its working directory.
#[track_caller]
fn two_lines(outcome: Outcome) -> (String, String) {
    let text = outcome.clean().text();
    let Some((program, directory)) = text.trim_end_matches('\n').split_once('\n') else {
        panic!("not two lines: {text}")
    };
    (program.to_owned(), directory.to_owned())
}

#[test]
fn ordinary_places_are_below_z_and_c() {
    let host = Host::new();
    let home = host.base().join("home");
    for placement in placements() {
        let script = "cd && cp $W/self-path.exe . && ./self-path.exe";
        let (program, directory) = two_lines(host.shell(placement, script));
        assert_eq!(program, on_z(&home.join("self-path.exe")));
        assert_eq!(directory, on_z(&home));
        let (_, directory) = two_lines(host.shell(placement, "cd / && exec self-path.exe"));
        assert_eq!(directory, "Z:\\");
        // The prefix's own folder.
        let script = "cd $XDG_DATA_HOME/winterop/prefix/drive_c && cp $W/self-path.exe windows/ && \
                      windows/self-path.exe && cd windows && ./self-path.exe";
        let outcome = host.shell(placement, script).clean();
        let name = "C:\\windows\\self-path.exe";
        assert_eq!(outcome.text(), format!("{name}\nC:\\\n{name}\nC:\\windows\n"));
        // Links are followed, the executable's and the directory's.
        let script = "mkdir -p real; cp $W/self-path.exe real/; ln -sfn real link; \
                      ln -sf real/self-path.exe name.exe; cd link; ../name.exe";
        let (program, directory) = two_lines(host.shell(placement, script));
        assert_eq!(program, on_z(&host.work().join("real/self-path.exe")));
        assert_eq!(directory, on_z(&host.work().join("real")));
    }
}

/// Names that a directory can have under Linux. The second part of each is how Windows programs see
/// it, where it is told by its own name.
const NAMES: [(&[u8], Option<&str>); 21] = [
    (b"a b", Some("a b")),
    ("äöü 日本 😀".as_bytes(), Some("äöü 日本 😀")),
    (b"a:b", Some("a:b")),
    (b"%PATH% &^()!'`$;,=", Some("%PATH% &^()!'`$;,=")),
    (b"-w", Some("-w")),
    (b".hidden", Some(".hidden")),
    (b"con", None),
    (b"~", Some("~")),
    (b"a*b", None),
    (b"?", None),
    (b"\"quoted\"", None),
    (b"<in>|out", None),
    (b"tab\there", None),
    (b"new\nline", None),
    (b"\x01\x1f", None),
    (b"dot.", None),
    (b"...", None),
    (b"blank ", None),
    (b"back\\slash", None),
    (b"\xff\xfe", None),
    (b"\xed\xa0\x80", None),
];

#[test]
fn directories_with_any_name() {
    let host = Host::new();
    for placement in placements() {
        for (name, seen) in NAMES {
            let folder = host.work().join(placement.value()).join(OsStr::from_bytes(name));
            works_in(&host, placement, &folder, seen);
        }
    }
}

/// Runs programs from and in a folder, and looks whether it is that one.
fn works_in(host: &Host, placement: Placement, folder: &Path, seen: Option<&str>) {
    fs::create_dir_all(folder).expect("a folder");
    fs::copy(host.windows().join("self-path.exe"), folder.join("p.exe")).expect("a program");
    host.settled();
    let script = "cd \"$1\" && ./p.exe && cmd.exe /c 'echo x>written' && test -s written && \
                  rm written && cd / && \"$1/p.exe\"";
    let mut command = host.script(placement, script);
    let outcome = finish(command.arg("sh").arg(folder)).clean();
    let text = outcome.text();
    let [program, directory, same, root] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("{}: {text}", folder.display())
    };
    assert_eq!((program, root), (same, "Z:\\"));
    assert!(directory.contains(":\\"), "{directory}");
    assert_eq!(program.strip_suffix("\\p.exe"), Some(directory), "{}", folder.display());
    if let Some(seen) = seen {
        assert_eq!(directory, on_z(&folder.with_file_name(seen)));
    }
}

#[test]
fn directories_that_are_too_long_for_windows() {
    let host = Host::new();
    let long = host.work().join("l".repeat(200)).join("m".repeat(200));
    fs::create_dir_all(&long).expect("a folder");
    fs::copy(host.windows().join("self-path.exe"), long.join("p.exe")).expect("a program");
    for placement in placements() {
        host.settled();
        let script = "cd \"$1\" && ./p.exe && cmd.exe /c 'echo x>written' && rm written";
        let mut command = host.script(placement, script);
        let (program, directory) = two_lines(finish(command.arg("sh").arg(&long)));
        assert_eq!(program, on_z(&long.join("p.exe")));
        assert!(directory.starts_with("Z:\\") && directory.len() < 259, "{directory}");
    }
}

#[test]
fn programs_with_any_name() {
    let host = Host::new();
    for placement in placements() {
        for (name, seen) in NAMES {
            let file = [name, b".exe"].concat();
            let path = host.work().join(OsStr::from_bytes(&file));
            fs::copy(host.windows().join("self-path.exe"), &path).expect("a program");
            host.settled();
            let mut command = host.script(placement, "exec \"./$1\"");
            let outcome = finish(command.arg("sh").arg(OsStr::from_bytes(&file)));
            if name.contains(&b'"') {
                // Its name begins the command line, where Windows has no way to write that.
                outcome.refused(126, &["quotation mark"]);
                continue;
            }
            let (program, directory) = two_lines(outcome);
            assert_eq!(directory, on_z(&host.work()));
            match seen {
                Some(seen) => assert_eq!(program, on_z(&host.work().join(format!("{seen}.exe")))),
                None => assert!(program.ends_with(".exe"), "{program}"),
            }
        }
    }
}

/// A script that runs in a mount namespace of its own, inside an instance.
fn apart(host: &Host, placement: Placement, script: &str) -> Outcome {
    host.settled();
    let inner = ["shell", "unshare", "-m", "sh", "-e", "-c", script];
    finish(&mut host.winterop(placement, &inner))
}

#[test]
fn drive_c_where_it_is_mounted() {
    needs_root("only root mounts here");
    let host = Host::with_settings("sandboxes = true\n");
    let mount = "mount -t tmpfs none /mnt; mkdir /mnt/c; \
                 mount --bind $XDG_DATA_HOME/winterop/prefix/drive_c /mnt/c; \
                 cp $W/self-path.exe /mnt/c/windows/; ";
    for placement in placements() {
        // Mounted by the caller, where the host does not see it.
        let script =
            format!("{mount} cd /mnt/c/windows; ./self-path.exe; /mnt/c/windows/self-path.exe");
        let outcome = apart(&host, placement, &script).clean();
        let lines = "C:\\windows\\self-path.exe\nC:\\windows\n";
        assert_eq!(outcome.text(), lines.repeat(2));
        let script =
            format!("{mount} cd /mnt/c; cmd.exe /c cd; wslpath -w windows; wslpath C:/users");
        let outcome = apart(&host, placement, &script).clean();
        assert_eq!(outcome.text(), "C:\\\nC:\\windows\n/mnt/c/users\n");
    }
}

#[test]
fn bind_mounts_lead_to_what_is_mounted() {
    needs_root("only root mounts here");
    let host = Host::with_settings("sandboxes = true\n");
    for placement in placements() {
        let script = "mkdir -p a/below b c; cp $W/self-path.exe a/below; \
                      mount --bind a b; : >c/self-path.exe; \
                      mount --bind a/below/self-path.exe c/self-path.exe; \
                      cd b/below; ./self-path.exe; cd ../../c; ./self-path.exe; \
                      X=$PWD/../b/new WSLENV=X/p cmd.exe /c 'echo %X%'";
        let outcome = apart(&host, placement, script).clean();
        let below = on_z(&host.work().join("a/below"));
        let c = on_z(&host.work().join("c"));
        let program = format!("{below}\\self-path.exe");
        let new = on_z(&host.work().join("a/new"));
        let expected = format!("{program}\n{below}\n{program}\n{c}\n{new}\n");
        assert_eq!(outcome.text(), expected);
    }
}

/// The folder of a container: the programs of the tests, and the way to the interop server.
const CONTAINER: &str = "mkdir -p $root/run/WSL $root/app/data; \
                         cp $W/self-path.exe $(command -v cmd.exe) $root/app; \
                         mount --bind /run/WSL $root/run/WSL; echo inside >$root/app/data/text; ";

#[test]
fn a_containers_root_that_the_host_sees() {
    needs_root("only root mounts here");
    let host = Host::with_settings("sandboxes = true\n");
    let place = on_z(&host.work().join("root/app"));
    for placement in placements() {
        let script = format!(
            "root=$PWD/root; {CONTAINER} cd root; chroot . /app/self-path.exe; \
             env -C app chroot .. app/self-path.exe; \
             chroot . /app/cmd.exe /c 'type app\\data\\text'; \
             X=/app/data/ WSLENV=X/p chroot . /app/cmd.exe /c 'echo %X%'"
        );
        let outcome = apart(&host, placement, &script).clean();
        let program = format!("{place}\\self-path.exe");
        let root = place.trim_end_matches("\\app");
        let data = format!("{place}\\data\\");
        let expected = format!("{program}\n{root}\n{program}\n{root}\ninside\n{data}\n");
        assert_eq!(outcome.text(), expected);
    }
}

#[test]
fn a_containers_root_that_only_it_has() {
    needs_root("only root mounts here");
    let host = Host::with_settings("sandboxes = true\n");
    let mounts = [
        "mkdir own; root=$PWD/own; mount -t tmpfs none own; ",
        "mkdir low up work all; root=$PWD/all; echo low >low/lower; \
         mount -t overlay none -o lowerdir=low,upperdir=up,workdir=work all; ",
    ];
    for placement in placements() {
        for mount in mounts {
            let script = format!(
                "{mount} {CONTAINER} cd $root/app; chroot $root /app/self-path.exe >data/where; \
                 cd data; cut -c -8 where; \
                 ../cmd.exe /c 'type text'; ../cmd.exe /c 'echo new>fresh'; cat fresh; \
                 chroot $root /app/cmd.exe /c 'type app\\data\\text & echo x>app\\new'; \
                 cat $root/app/new; \
                 X=/app/data WSLENV=X/p chroot $root /app/cmd.exe /c 'type %X%\\text'"
            );
            let outcome = apart(&host, placement, &script).clean();
            let expected = "Z:\\proc\\\nZ:\\proc\\\ninside\nnew\ninside\nx\ninside\n";
            assert_eq!(outcome.text(), expected, "{mount}");
            finish(host.command("rm", placement).args(["-rf", "own", "low", "up", "work", "all"]))
                .clean();
        }
    }
}

#[test]
fn a_directory_that_is_lost_is_told_of_or_refused() {
    let host = Host::new();
    let gone = "mkdir gone; cd gone; rmdir ../gone; ";
    for placement in placements() {
        for command in ["exec self-path.exe", "exec winterop run self-path.exe"] {
            let outcome = host.shell(placement, &[gone, command].concat());
            let errors = outcome.errors();
            assert_eq!(outcome.text().lines().nth(1), Some("C:\\"), "{errors}");
            let told = errors.contains("self-path.exe: the working directory has been removed")
                && errors.contains("starts in C:\\");
            assert!(told && errors.lines().count() == 1, "{errors}");
        }
        let script = [gone, "winterop run --strict-cwd self-path.exe"].concat();
        host.shell(placement, &script).refused(126, &["removed", "--strict-cwd"]);
        // One that is there is no reason to refuse anything.
        let outcome = host.shell(placement, "winterop run --strict-cwd self-path.exe");
        let (_, directory) = two_lines(outcome);
        assert_eq!(directory, on_z(&host.work()));
        // Another one has taken its name.
        let script =
            "mkdir x; cd x; rmdir ../x; mkdir ../x; cwd-report.exe 2>/dev/null; rmdir ../x";
        assert_eq!(host.shell(placement, script).clean().text(), "C:\\\n");
    }
}

#[test]
fn a_directory_that_cannot_be_read_is_told_of_or_refused() {
    let host = Host::of_plain_user();
    for placement in placements() {
        let closed = "mkdir -p closed; cd closed; chmod 0111 .; ";
        let outcome =
            host.shell(placement, &[closed, "cwd-report.exe; cd ..; rmdir closed"].concat());
        assert_eq!(outcome.text(), "C:\\\n");
        assert!(outcome.errors().contains("cwd-report.exe: the working directory cannot be read"));
        assert_eq!(outcome.errors().lines().count(), 1, "{}", outcome.errors());
        let script = [closed, "winterop run --strict-cwd cwd-report.exe"].concat();
        host.shell(placement, &script).refused(126, &["cannot be read", "--strict-cwd"]);
    }
}

#[test]
fn drives_that_change_while_the_host_runs() {
    let host = Host::new();
    host.settled();
    let devices = host.base().join("data/winterop/prefix/dosdevices");
    let add = |letter: &str, folder: &Path| {
        std::os::unix::fs::symlink(folder, devices.join(letter)).expect("a drive");
    };
    let remove = |letter: &str| fs::remove_file(devices.join(letter)).expect("a drive");
    fs::create_dir(host.work().join("sub")).expect("a folder");
    for placement in placements() {
        // The drive that leaves least of the path is the one.
        add("w:", &host.work());
        assert_eq!(host.shell(placement, "cwd-report.exe").clean().text(), "W:\\\n");
        let script = "cd sub; cwd-report.exe; wslpath -w .; wslpath 'W:\\\\sub'";
        let sub = host.work().join("sub");
        let expected = format!("W:\\sub\nW:\\sub\n{}\n", sub.display());
        assert_eq!(host.shell(placement, script).clean().text(), expected);
        remove("w:");
        assert_eq!(
            host.shell(placement, "cwd-report.exe").clean().text(),
            format!("{}\n", on_z(&host.work()))
        );
        // Without any drive that leads there.
        remove("z:");
        let outcome = host.shell(placement, "cwd-report.exe");
        assert_eq!(outcome.text(), "C:\\\n");
        let errors = outcome.errors();
        assert!(errors.contains("has no Windows name") && errors.lines().count() == 1, "{errors}");
        host.shell(placement, "winterop run --strict-cwd self-path.exe")
            .refused(126, &["no Windows name"]);
        add("z:", Path::new("/"));
    }
}

#[test]
fn the_distribution_is_a_share() {
    let host = Host::new();
    for placement in placements() {
        let script = "echo text >file; name=$(printf %s \"$PWD/file\" | tr / '\\\\'); \
                      cmd.exe /c \"type \\\\\\\\wsl.localhost\\\\$WSL_DISTRO_NAME$name\"; \
                      cmd.exe /c \"type \\\\\\\\wsl\\$\\\\$WSL_DISTRO_NAME$name\"; \
                      share=\"\\\\\\\\wsl.localhost\\\\$WSL_DISTRO_NAME$name\"; wslpath \"$share\"; \
                      unset WSL_DISTRO_NAME; wslpath \"$share\"";
        let outcome = host.shell(placement, script).clean();
        let file = host.work().join("file");
        assert_eq!(outcome.text(), format!("text\ntext\n{0}\n{0}\n", file.display()));
    }
}

#[test]
fn mounts_that_come_while_the_host_runs() {
    needs_root("only root mounts here");
    for placement in placements() {
        let host = Host::new();
        // The host is started in the same mount namespace, and sees what is mounted later.
        let script = "run='winterop run cwd-report.exe'; mkdir b; cd b; $run 2>/dev/null; \
                      mount --bind $XDG_DATA_HOME/winterop/prefix/drive_c/windows ../b; \
                      cd ../b; $run; mount -t tmpfs none system32; cd system32; $run; \
                      cd ..; umount system32; cd system32; $run";
        let mut command = host.command("unshare", placement);
        let outcome = finish(command.args(["-m", "sh", "-e", "-c", script])).clean();
        let before = on_z(&host.work().join("b"));
        // What is mounted over system32 is not C:\windows\system32.
        let over = on_z(&host.work().join("b/system32"));
        let expected = format!("{before}\nC:\\windows\n{over}\nC:\\windows\\system32\n");
        assert_eq!(outcome.text(), expected);
    }
}

#[test]
fn the_mount_table_is_read_at_most_once() {
    let host = Host::new();
    for placement in placements() {
        for (variables, expected) in
            [("A=1", 0), ("A=1 WSLENV=A", 0), ("A=/usr B=/etc:/usr WSLENV=A/p:B/l:NOT_SET/p", 1)]
        {
            let script = format!(
                "export {variables}; strace -f -qq -e trace=open,openat,openat2 -o trace \
                 hello.exe; grep -c mountinfo trace"
            );
            let outcome = host.shell(placement, &script);
            assert_eq!(outcome.text(), format!("hello\n{expected}\n"), "{}", outcome.errors());
        }
    }
}

#[test]
fn a_command_of_ones_own_starts_in_the_same_places() {
    let host = Host::with_settings(
        "launcher = \"command\"\ncommand = [\"sh\", \"-c\", \"pwd; echo $0\"]\n",
    );
    let work = host.work();
    for placement in placements() {
        let script = "mkdir -p 'a*b' gone; cd 'a*b'; $W/hello.exe; cd ../gone; rmdir ../gone; $W/hello.exe; \
                      winterop run --strict-cwd $W/hello.exe; echo $?";
        let outcome = host.shell(placement, script);
        let program = host.windows().join("hello.exe");
        let program = program.display();
        let expected = format!("{}/a*b\n{program}\n/\n{program}\n126\n", work.display());
        assert_eq!(outcome.text(), expected, "{}", outcome.errors());
        let lines: Vec<String> = outcome.errors().lines().map(str::to_owned).collect();
        assert!(lines.len() == 2 && lines[0].contains("starts in the root directory"), "{lines:?}");
        assert!(lines[1].contains("--strict-cwd"), "{lines:?}");
    }
}

#[test]
fn a_plain_users_container() {
    let host = Host::of_plain_user_with_settings("sandboxes = true\n");
    // With a root, mounts and processes of its own: what rootless containers are made of.
    let container = "mkdir root; mount -t tmpfs none root; cd root; \
                     mkdir -p old bin lib lib64 usr proc run/WSL app; \
                     for each in bin lib lib64 usr; do mount --rbind /$each $each; done; \
                     mount --rbind /run/WSL run/WSL; cp $W/*.exe app; echo text >app/file; \
                     pivot_root . old; cd /app; mount -t proc none /proc; umount -l /old; \
                     ./hello.exe; ./cat.exe <file; ./exit-with.exe 7 || echo $?; \
                     ./cwd-report.exe >where; cut -c -8 where";
    for placement in placements() {
        host.settled();
        let inner = ["shell", "unshare", "-Urmpf", "sh", "-e", "-c", container];
        let outcome = finish(&mut host.winterop(placement, &inner)).clean();
        assert_eq!(outcome.text(), "hello\ntext\n7\nZ:\\proc\\\n");
        finish(host.command("rmdir", placement).arg("root")).clean();
    }
}
