//! What peers may send to an interop server and to a host: each is answered or closed, and the next
//! launch works.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;
use winterop_tests::{Host, Process, expect_soon, placements};
use winterop_wire::{
    CommonBlock, CreateProcessResponse, Extensions, HandOff, Header, Message, MessageType, Role,
    Tag,
};

/// Longer than a server may take for any of this.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request without extensions, as WSL's own interpreter sends it.
fn request(extensions: Extensions<'_>) -> Vec<u8> {
    winterop_tests::request(CommonBlock {
        filename: b"Z:\\not\\there.exe",
        working_directory: b"Z:\\",
        arguments: vec![b"there.exe", b"a"],
        extensions,
        ..CommonBlock::default()
    })
}

/// The request with four bytes in it changed.
fn changed(at: usize, value: u32) -> Vec<u8> {
    let mut bytes = request(Extensions::new());
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// Without its last byte, the NUL of the last argument.
fn without_nul() -> Vec<u8> {
    let mut bytes = request(Extensions::new());
    bytes.pop();
    let size = u32::try_from(bytes.len()).expect("a size");
    bytes[4..8].copy_from_slice(&size.to_le_bytes());
    bytes
}

fn send(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
        .expect("a request");
}

/// Sends it, reads what comes until the server closes, and returns that.
fn answer_to(socket: &Path, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Vec<u8> {
    let stream = UnixStream::connect(socket).expect("the server");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    if !bytes.is_empty() {
        send(&stream, bytes, descriptors);
    }
    let mut answer = Vec::new();
    match (&stream).read_to_end(&mut answer) {
        Ok(_) => answer,
        // It has closed with some of the request unread.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => answer,
        Err(error) => panic!("neither answered nor closed: {error}"),
    }
}

/// The words of a refusal, or nothing for a connection that was only closed.
#[track_caller]
fn refusal(answer: &[u8]) -> String {
    if answer.is_empty() {
        return String::new();
    }
    let message = Message::parse(answer).expect("a message");
    let response = CreateProcessResponse::decode(&message).expect("a response");
    assert_ne!(response.result, 0, "a launch");
    String::from_utf8_lossy(response.extensions.get(Tag::ERROR_TEXT).expect("words")).into_owned()
}

/// Descriptors of kinds that nobody expects.
fn odd_descriptors() -> Vec<OwnedFd> {
    let folder = std::fs::File::open("/proc/self/ns").expect("a folder").into();
    let (one, other) = UnixStream::pair().expect("sockets");
    let memory = rustix::fs::memfd_create("odd", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("eventfd");
    let full = std::fs::File::open("/dev/full").expect("/dev/full").into();
    vec![folder, one.into(), other.into(), memory, event, full]
}

fn all_roles() -> Extensions<'static> {
    let mut extensions = Extensions::new();
    extensions.push_roles([
        Role::Stdin,
        Role::Stdout,
        Role::Stderr,
        Role::Executable,
        Role::RootDirectory,
        Role::WorkingDirectory,
    ]);
    extensions
}

/// Sends everything that is wrong.
fn attack(socket: &Path, waits: bool) {
    let good = request(Extensions::new());
    let mut unknown = good.clone();
    unknown[..4].copy_from_slice(&4711_u32.to_le_bytes());
    let mut numbers = Extensions::new();
    numbers.push(Tag::PLACEMENT, &b"too long for a byte"[..]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no descriptors", good.clone()),
        ("17 MiB", changed(4, 17 << 20)),
        ("a size of 0", changed(4, 0)),
        ("a size below a header's", changed(4, 11)),
        ("a header alone", changed(4, 16)[..16].to_vec()),
        ("the file name outside", changed(64, u32::MAX)),
        ("the working directory outside", changed(68, 1 << 20)),
        ("the arguments outside", changed(72, 0x7FFF_FFFF)),
        ("more arguments than there are", changed(76, 9)),
        ("65,535 arguments", changed(76, 0xFFFF)),
        ("the environment outside", changed(80, u32::MAX - 7)),
        ("a missing NUL", without_nul()),
        ("another type", unknown),
        ("an extension of a wrong length", request(numbers)),
        ("text", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in cases {
        let words = refusal(&answer_to(socket, &bytes, &[]));
        // Who sends it learns why it is not taken, whatever it is.
        assert_ne!(words, "", "{what}");
    }
    let odd = odd_descriptors();
    let odd: Vec<_> = odd.iter().map(AsFd::as_fd).collect();
    let roles = request(all_roles());
    assert_ne!(refusal(&answer_to(socket, &roles, &odd)), "");
    assert_ne!(refusal(&answer_to(socket, &roles, &odd[..2])), "");
    let many: Vec<_> = odd.iter().copied().cycle().take(250).collect();
    assert_ne!(refusal(&answer_to(socket, &good, &many)), "");
    assert_ne!(refusal(&answer_to(socket, &roles, many.get(..17).expect("descriptors"))), "");
    // Peers that come and go.
    for _ in 0..50 {
        drop(UnixStream::connect(socket).expect("the server"));
        let half = UnixStream::connect(socket).expect("the server");
        send(&half, &good[..30], &odd);
    }
    // One that goes away while it is answered.
    let gone = UnixStream::connect(socket).expect("the server");
    send(&gone, &good, &[]);
    drop(gone);
    if waits {
        // Nothing, and half a request, for as long as the server waits.
        thread::scope(|scope| {
            scope.spawn(|| assert_ne!(refusal(&answer_to(socket, &[], &[])), ""));
            scope.spawn(|| assert_ne!(refusal(&answer_to(socket, &good[..40], &[])), ""));
        });
    }
}

/// Waits until a process has no more open than before.
fn closes_everything(process: Process, before: usize) {
    expect_soon("the descriptors of peers are closed", || {
        (process.open_files().len() <= before).then_some(())
    });
}

#[test]
fn servers_survive_every_request_and_keep_no_descriptors() {
    let host = Host::new();
    for placement in placements() {
        let mut session = host.session(placement);
        assert_eq!(session.eval("hello.exe"), "hello\n");
        let server = session.init();
        let runs = host.process().expect("the host");
        let before = (server.open_files().len(), runs.open_files().len());
        attack(&session.socket_from_outside(), true);
        assert_eq!(session.eval("hello.exe; echo $?"), "hello\n0\n");
        attack(&host.socket(), false);
        assert_eq!(session.eval("hello.exe; echo $?"), "hello\n0\n");
        closes_everything(server, before.0);
        closes_everything(runs, before.1);
        assert_eq!(host.process(), Some(runs), "the host is another one");
    }
}

#[test]
fn a_hand_over_without_a_client_or_with_rubbish_harms_nobody() {
    let host = Host::new();
    for placement in placements() {
        host.settled();
        let runs = host.process().expect("the host");
        let before = runs.open_files().len();
        let mut hand_off = Vec::new();
        HandOff::default()
            .encode(&Header::plain(MessageType::HAND_OFF, 1), &mut hand_off)
            .expect("a hand-over");
        let good = request(Extensions::new());
        // One connection hands over any number of clients, whatever became of those before.
        let server = UnixStream::connect(host.socket()).expect("the host");
        for inner in [&good, &changed(64, u32::MAX), &changed(0, 4711), &changed(4, (2 << 20) + 1)]
        {
            // Without a client, with two, and with one that is no socket.
            let null = std::fs::File::open("/dev/null").expect("/dev/null");
            for odd in [&[][..], &[null.as_fd(), null.as_fd()], &[null.as_fd()]] {
                send(&server, &hand_off, odd);
            }
            // The client behind them is the one that is answered, on the connection that was handed over.
            let (client, theirs) = UnixStream::pair().expect("sockets");
            client.set_read_timeout(Some(PATIENCE)).expect("a deadline");
            send(&client, inner, &[]);
            send(&server, &hand_off, &[theirs.as_fd()]);
            drop(theirs);
            let mut answer = Vec::new();
            match (&client).read_to_end(&mut answer) {
                Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                    panic!("no answer: {error}")
                }
                _ => assert_ne!(refusal(&answer), ""),
            }
        }
        (&server).write_all(&[0; 3]).expect("the host");
        drop(server);
        closes_everything(runs, before);
        assert_eq!(host.shell(placement, "hello.exe").clean().text(), "hello\n");
        assert_eq!(host.process(), Some(runs), "the host is another one");
    }
}

#[test]
fn a_host_that_was_killed_is_replaced() {
    let host = Host::new();
    for placement in placements() {
        let mut session = host.session(placement);
        assert_eq!(session.eval("hello.exe"), "hello\n");
        let first = host.process().expect("the host");
        let pid = rustix::process::Pid::from_raw(first.0).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the host");
        assert!(first.ends_within(PATIENCE));
        // Wine may have to be started again, which is said on standard error.
        assert_eq!(session.eval("hello.exe 2>/dev/null"), "hello\n");
        assert_ne!(host.process().expect("a host"), first);
    }
}

/// Asks for a program with these arguments and returns the number of the refusal.
fn error_number(host: &Host, program: (Tag, &[u8]), arguments: &[&[u8]]) -> i32 {
    let mut extensions = Extensions::new();
    extensions.push(program.0, program.1);
    let bytes = winterop_tests::request(CommonBlock {
        arguments: [&[&b"called"[..]], arguments].concat(),
        extensions,
        ..CommonBlock::default()
    });
    let answer = answer_to(&host.socket(), &bytes, &[]);
    let message = Message::parse(&answer).expect("a message");
    let response = CreateProcessResponse::decode(&message).expect("a response");
    println!("{:?}", response.extensions.get(Tag::ERROR_TEXT).map(String::from_utf8_lossy));
    response.result
}

#[test]
fn refusals_have_the_error_number_that_says_why() {
    const ENOENT: i32 = 2;
    const E2BIG: i32 = 7;
    const EINVAL: i32 = 22;
    let host = Host::new();
    host.settled();
    let hello = host.windows().join("hello.exe");
    let hello = (Tag::LINUX_EXECUTABLE, hello.as_os_str().as_encoded_bytes());
    let batch = host.work().join("x.cmd");
    std::fs::write(&batch, "@echo started\r\n").expect("a batch file");
    let batch = (Tag::LINUX_EXECUTABLE, batch.as_os_str().as_encoded_bytes());
    let long = vec![b'x'; 40_000];
    assert_eq!(error_number(&host, hello, &[b"a", &long]), E2BIG);
    assert_eq!(error_number(&host, batch, &[&long]), E2BIG);
    assert_eq!(error_number(&host, batch, &[b"a", b"\" & echo b"]), EINVAL);
    for name in [&b"gone"[..], b"", b"..", b"/", b"C:\\gone.exe", b"a\0b", &long] {
        assert_eq!(error_number(&host, (Tag::SEARCH_NAME, name), &[]), ENOENT);
    }
}
