//! Finding the server, the registration, and how both sides take a peer that misbehaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use winterop_e2e::peer::{FakeServer, leave_dead_socket, send_raw, take_request};
use winterop_e2e::{Host, PLACEMENTS, Placement, program, text};
use winterop_wire::{
    CreateProcessResponse, ExitStatus, Extensions, Header, MessageType, ResponseFlags,
};

#[test]
fn f1_f3_an_empty_or_missing_variable_means_the_chain_of_parents() {
    let host = Host::new();
    host.expect("WSL_INTEROP= $T/hello.exe", "hello\n");
    host.expect("unset WSL_INTEROP; sh -c 'sh -c \"$T/hello.exe; true\"; true'", "hello\n");
}

#[test]
fn f2_parents_with_odd_names() {
    let host = Host::new();
    for name in ["bash )", "(bash(", "bash with spaces"] {
        let script =
            format!("unset WSL_INTEROP; cp /bin/sh '{name}'; './{name}' -c '$T/hello.exe; true'");
        host.expect(&script, "hello\n");
    }
}

#[test]
fn f4_f5_a_dead_sessions_variable_falls_back() {
    let host = Host::new();
    let dead = host.work().join("9_interop");
    leave_dead_socket(&dead);
    host.expect(&format!("WSL_INTEROP={} $T/hello.exe", dead.display()), "hello\n");
    host.expect("WSL_INTEROP=/run/WSL/no-such_interop $T/hello.exe", "hello\n");
    host.expect("WSL_INTEROP=/etc/passwd $T/hello.exe", "hello\n");
    host.expect("WSL_INTEROP=/ $T/hello.exe", "hello\n");
}

#[test]
fn b1_b2_b3_b5_b6_the_registration_is_private_and_can_be_switched() {
    let host = Host::new();
    let output = host.shell(Placement::InPlace, "cat /proc/sys/fs/binfmt_misc/WSLInterop");
    let entry = text(&output.stdout);
    assert!(entry.contains("interpreter /init") && entry.contains("magic 4d5a"), "{entry}");
    let flags = entry.lines().find_map(|line| line.strip_prefix("flags: ")).unwrap();
    assert!(['P', 'O', 'F'].iter().all(|flag| flags.contains(*flag)), "{flags}");
    assert!(
        !PathBuf::from("/proc/sys/fs/binfmt_misc/WSLInterop").exists(),
        "the machine's own table was changed"
    );
    // argv[0] and a relative path survive the kernel.
    let output = host.shell(
        Placement::InPlace,
        "cp $T/argv-report.exe r.exe; python3 -c \
         'import os; os.execve(\"./r.exe\", [\"odd name\", \"x\"], dict(os.environ))'",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let script = "E=/proc/sys/fs/binfmt_misc/WSLInterop; cp $T/hello.exe h.exe; \
                  echo 0 > $E; ./h.exe 2>/dev/null && echo ran; \
                  echo 1 > $E; ./h.exe; echo -1 > $E; test -e $E || echo removed";
    let output = host.shell(Placement::InPlace, script);
    assert_eq!(text(&output.stdout), "hello\nremoved\n", "{}", text(&output.stderr));
}

#[test]
fn p2_p5_a_server_that_breaks_off_or_talks_rubbish() {
    let host = Host::without_wine();
    let mut accepted = Vec::new();
    CreateProcessResponse {
        result: 0,
        signal_pipe_id: 0,
        flags: ResponseFlags::NONE,
        extensions: Extensions::new(),
    }
    .encode(&Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1), &mut accepted)
    .unwrap();
    let size = |size: u32| [9_u32.to_le_bytes(), size.to_le_bytes()].concat();
    let cases: [(&str, Vec<u8>); 7] = [
        ("without an answer", Vec::new()),
        ("exit status", accepted.clone()),
        ("header", size(3)),
        ("header", size((16 << 20) + 1)),
        ("middle of a message", accepted[..9].to_vec()),
        ("where", [&accepted[..], &[99, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat()),
        ("middle of a message", [&accepted[..], &[9, 0, 0, 0, 20]].concat()),
    ];
    for (index, (part, bytes)) in cases.into_iter().enumerate() {
        let path = host.work().join(format!("fake{index}"));
        let server = FakeServer::new(path, move |mut connection| {
            take_request(&connection);
            let _ = connection.write_all(&bytes);
        });
        let output = launch_at(&host, &server);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{part}: {errors}");
        assert!(errors.contains(part) && errors.lines().count() == 1, "{part}: {errors}");
    }
}

#[test]
fn p3_p4_messages_come_byte_by_byte_and_longer_than_known() {
    let host = Host::without_wine();
    let server = FakeServer::new(host.work().join("slow"), |mut connection: UnixStream| {
        take_request(&connection);
        let mut bytes = Vec::new();
        let response = CreateProcessResponse {
            result: 0,
            signal_pipe_id: -1,
            flags: ResponseFlags::NONE,
            extensions: Extensions::new(),
        };
        let mut header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 0xdead_beef);
        header.transaction_step = 0xffff_ffff;
        response.encode(&header, &mut bytes).unwrap();
        bytes.extend_from_slice(b"what a later version says");
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        ExitStatus::new(42)
            .encode(&Header::plain(MessageType::EXIT_STATUS, 7), &mut bytes)
            .unwrap();
        for byte in bytes {
            connection.write_all(&[byte]).unwrap();
        }
    });
    let output = launch_at(&host, &server);
    assert_eq!(output.status.code(), Some(42), "{}", text(&output.stderr));
}

/// Runs the interpreter by hand against a server of the test's.
fn launch_at(_host: &Host, server: &FakeServer) -> std::process::Output {
    let init = winterop_e2e::winterop().parent().unwrap().join("../lib/winterop/init");
    std::process::Command::new(init)
        .arg(program("hello.exe"))
        .env("WSL_INTEROP", server.path())
        .output()
        .unwrap()
}

#[test]
fn servers_outlive_every_kind_of_rubbish() {
    let host = Host::new();
    let socket = host.path().join("run/winterop/interop");
    host.expect("$T/hello.exe", "hello\n");
    let header =
        |kind: u32, size: u32| [kind.to_le_bytes(), size.to_le_bytes(), [0; 4], [0; 4]].concat();
    let long = |kind: u32, fill: u8| [header(kind, 200), vec![fill; 184]].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("half a header", vec![1, 0, 0]),
        ("half a request", header(1, 500)),
        ("17 MiB", header(1, 17 << 20)),
        ("a size below the header's", header(1, 7)),
        ("offsets outside", long(1, 0xff)),
        ("no strings", long(1, 0)),
        ("an unknown type", header(4711, 16)),
        ("a hand-over without a client", header(0x5749_0003, 48)),
    ];
    for (what, bytes) in cases {
        let answer = send_raw(&socket, &bytes);
        if !bytes.is_empty() {
            assert!(!answer.is_empty(), "{what}: no answer");
        }
        // The same to the instance's own server, from inside.
        fs::write(host.work().join("rubbish"), &bytes).unwrap();
        let script = "python3 -c '\nimport socket, os\ns = socket.socket(socket.AF_UNIX)\n\
                      s.connect(os.environ[\"WSL_INTEROP\"])\n\
                      s.sendall(open(\"rubbish\", \"rb\").read())\ns.shutdown(socket.SHUT_WR)\n\
                      while s.recv(65536): pass\n'; $T/hello.exe";
        let output = host.shell(Placement::InPlace, script);
        assert_eq!(text(&output.stdout), "hello\n", "{what}: {}", text(&output.stderr));
    }
}

#[test]
fn a_host_that_was_killed_is_replaced_by_the_next_launch() {
    let host = Host::new();
    for placement in PLACEMENTS {
        let script = format!(
            "$T/hello.exe; H=$({} host status | grep -o '[0-9]*$'); kill -9 $H; \
             while grep -q '^State:.[RSD]' /proc/$H/status 2>/dev/null; do :; done; $T/hello.exe",
            winterop_e2e::winterop().display()
        );
        let output = host.shell(placement, &script);
        assert_eq!(text(&output.stdout), "hello\nhello\n", "{}", text(&output.stderr));
    }
}

#[test]
fn an_instance_leaves_nothing_behind() {
    let host = Host::new();
    let output = host.shell(Placement::InPlace, "$T/hello.exe; readlink /run/WSL/1_interop");
    let printed = text(&output.stdout);
    let init = printed.lines().last().and_then(|name| name.strip_suffix("_interop")).unwrap();
    let pid = rustix::process::Pid::from_raw(init.parse().unwrap()).unwrap();
    if let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        let mut interest = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
        let patience = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut interest, Some(&patience)).unwrap(), 1);
    }
    let left: Vec<_> = fs::read_dir(host.path().join("run/winterop"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with("root-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_plain_user_stays_who_they_are() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: the tests run as a plain user already");
        return;
    }
    let host = Host::without_wine();
    host.configure("launcher = \"command\"\ncommand = [\"/bin/echo\", \"ran\"]\n");
    let parts = host.path().join("parts");
    let source = winterop_e2e::winterop();
    let source = source.parent().unwrap().parent().unwrap();
    let copied =
        std::process::Command::new("cp").arg("-a").args([source, &parts]).status().unwrap();
    assert!(copied.success());
    fs::copy(program("hello.exe"), host.work().join("h.exe")).unwrap();
    let mut chown = std::process::Command::new("chown");
    let owned = chown.args(["-R", "4242:4242"]).arg(host.path()).status();
    assert!(owned.unwrap().success());
    let mut command = std::process::Command::new("setpriv");
    host.dress(&mut command);
    command.args(["--reuid=4242", "--regid=4242", "--clear-groups"]);
    command.arg(parts.join("bin/winterop"));
    command.args(["shell", "--", "sh", "-c", "id -u; ./h.exe a b"]).env("HOME", host.path());
    let output = command.output().unwrap();
    let printed = text(&output.stdout);
    assert!(printed.starts_with("4242\nran "), "{printed} {}", text(&output.stderr));
    assert!(printed.trim_end().ends_with("h.exe a b"), "{printed}");
    let mut stop = std::process::Command::new("setpriv");
    host.dress(&mut stop);
    stop.args(["--reuid=4242", "--regid=4242", "--clear-groups"]);
    stop.arg(parts.join("bin/winterop")).args(["host", "stop"]).env("HOME", host.path());
    assert!(stop.status().unwrap().success());
    let back = std::process::Command::new("chown").args(["-R", "0:0"]).arg(host.path()).status();
    assert!(back.unwrap().success());
}
