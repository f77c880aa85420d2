//! P: an interpreter whose server or host breaks off, or talks rubbish.
//!
//! These faults cannot be had from a real host, so here, and only here, a test plays its part.

use rustix::fd::OwnedFd;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::thread;
use tempfile::TempDir;
use winterop_channel::Inbox;
use winterop_channel::unix::receive;
use winterop_tests::{Outcome, built, finish, noise, placements};
use winterop_wire::{
    CreateProcess, CreateProcessResponse, ExitStatus, Header, Message, MessageType,
};

/// A launch as it has reached the peer.
struct Client {
    stream: UnixStream,
    descriptors: Vec<OwnedFd>,
}

/// Runs the interpreter by hand against a peer that does what `part` says, in both placements.
fn against(part: impl Fn(Client) + Sync, check: impl Fn(&Outcome)) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("interop");
    let listener = UnixListener::bind(&path).expect("a socket");
    for placement in placements() {
        let mut interpreter = Command::new(built("winterop/lib/winterop/init"));
        interpreter.arg(built("windows/hello.exe")).env("WSL_INTEROP", &path);
        interpreter.env("WINTEROP_PLACEMENT", placement.value());
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                let (stream, _) = listener.accept().expect("a connection");
                let frame = receive(&stream, &mut Inbox::default(), None).expect("a request");
                let message = Message::parse(&frame.bytes).expect("a message");
                let request = CreateProcess::decode(&message).expect("a launch");
                assert_eq!(request.common.arguments, [&b"hello.exe"[..]]);
                part(Client { stream, descriptors: frame.descriptors });
            });
            finish(&mut interpreter)
        });
        check(&outcome);
    }
}

/// The answer that the program runs below the host.
fn started() -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1);
    CreateProcessResponse::default().encode(&header, &mut bytes).expect("a response");
    bytes
}

/// The word that it has ended.
fn ended(code: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::EXIT_STATUS, 2);
    ExitStatus::new(code).encode(&header, &mut bytes).expect("an exit status");
    bytes
}

/// The message with `extra` more bytes behind it, said so in its size.
fn longer(mut message: Vec<u8>, extra: usize) -> Vec<u8> {
    message.extend(noise(extra));
    let size = u32::try_from(message.len()).expect("a size");
    message[4..8].copy_from_slice(&size.to_le_bytes());
    message
}

/// The message with junk in id and step.
fn with_junk(mut message: Vec<u8>) -> Vec<u8> {
    message[8..16].copy_from_slice(&[0xA5, 0xFF, 0, 0x80, 0xEE, 0xDD, 0xCC, 0xFF]);
    message
}

fn send(mut stream: &UnixStream, bytes: &[u8]) {
    // An interpreter that has had enough may be gone.
    let _ = stream.write_all(bytes);
}

#[test]
fn p2_an_end_without_an_exit_status_is_an_error() {
    against(drop, |outcome| outcome.refused(1, &["closed", "answer"]));
    against(
        |client| send(&client.stream, &started()),
        |outcome| outcome.refused(1, &["exit status"]),
    );
    // Half of it is none.
    against(
        |client| {
            send(&client.stream, &started());
            send(&client.stream, &ended(0)[..17]);
        },
        |outcome| outcome.refused(1, &["middle"]),
    );
}

#[test]
fn p3_output_that_comes_after_the_exit_status_is_not_lost() {
    let late = noise(300_000);
    against(
        |mut client| {
            let output = client.descriptors.remove(1);
            send(&client.stream, &[started(), ended(7)].concat());
            // As in WSL it comes back as it came, as acknowledgement.
            let mut acknowledgement = vec![0; ended(7).len()];
            client.stream.read_exact(&mut acknowledgement).expect("an acknowledgement");
            assert_eq!(acknowledgement, ended(7));
            // The interpreter ends now, and nobody waits for what still writes.
            assert_eq!(client.stream.read(&mut [0]).expect("the end"), 0);
            std::fs::File::from(output).write_all(&late).expect("the output");
        },
        |outcome| {
            assert_eq!(outcome.code(), 7, "{}", outcome.errors());
            assert!(outcome.stdout == late, "{} bytes", outcome.stdout.len());
        },
    );
}

#[test]
fn p4_messages_in_pieces_longer_than_known_and_with_junk() {
    let said = [
        [started(), ended(3)].concat(),
        [longer(started(), 777), longer(ended(3), 100_000)].concat(),
        [with_junk(started()), with_junk(ended(3))].concat(),
    ];
    for bytes in said {
        // Byte by byte as far as the headers and layouts go; the rest in one piece.
        let pieces = bytes.len().min(1000);
        against(
            |client| {
                for byte in &bytes[..pieces] {
                    send(&client.stream, &[*byte]);
                }
                send(&client.stream, &bytes[pieces..]);
                // It is read to its end: closing with unread data would be another fault.
                let _ = (&client.stream).read_to_end(&mut Vec::new());
            },
            |outcome| {
                assert_eq!(outcome.code(), 3, "{}", outcome.errors());
                assert_eq!(outcome.errors(), "");
            },
        );
    }
}

#[test]
fn p5_rubbish_is_one_clear_line() {
    let sized = |mut message: Vec<u8>, size: u32| {
        message[4..8].copy_from_slice(&size.to_le_bytes());
        message
    };
    let unknown = |mut message: Vec<u8>| {
        message[..4].copy_from_slice(&4711_u32.to_le_bytes());
        message
    };
    for before in [Vec::new(), started()] {
        let whole = if before.is_empty() { started() } else { ended(0) };
        let rubbish = [
            sized(whole.clone(), 0),
            sized(whole.clone(), 11),
            sized(whole.clone(), 15),
            sized(whole.clone(), (16 << 20) + 1),
            sized(whole.clone(), u32::MAX),
            unknown(whole.clone()),
            whole[..5].to_vec(),
            whole[..12].to_vec(),
            // Shorter than any layout of its type: an exit status of 16 bytes would be an old one.
            sized(started()[..18].to_vec(), 18),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        ];
        for bytes in rubbish {
            println!("{} bytes before, then {:?}", before.len(), &bytes[..bytes.len().min(16)]);
            against(
                |client| {
                    send(&client.stream, &[&*before, &bytes].concat());
                    let _ = client.stream.shutdown(std::net::Shutdown::Write);
                    // Until the interpreter has given up.
                    let _ = (&client.stream).read_to_end(&mut Vec::new());
                },
                |outcome| outcome.refused(1, &["winterop:"]),
            );
        }
    }
}

#[test]
fn an_answer_of_refusal_never_looks_like_success() {
    for (result, status) in [(2, 127), (13, 126), (22, 1), (i32::MAX, 1), (-1, 1)] {
        against(
            |client| {
                let response = CreateProcessResponse { result, ..CreateProcessResponse::default() };
                let mut bytes = Vec::new();
                let header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1);
                response.encode(&header, &mut bytes).expect("a response");
                send(&client.stream, &bytes);
            },
            |outcome| outcome.refused(status, &["hello.exe", "Windows side"]),
        );
    }
}

#[test]
fn a_refusal_that_comes_before_the_request_is_read_is_heard() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("interop");
    let listener = UnixListener::bind(&path).expect("a socket");
    let response = CreateProcessResponse::refusal(13, "not you", 126);
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1);
    response.encode(&header, &mut bytes).expect("a response");
    let mut interpreter = Command::new(built("winterop/lib/winterop/init"));
    interpreter.arg(built("windows/hello.exe")).env("WSL_INTEROP", &path);
    // More than the kernel holds for a peer, so that sending it meets the closed connection.
    interpreter.arg("a".repeat(100_000)).arg("b".repeat(100_000)).arg("c".repeat(100_000));
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            let (stream, _) = listener.accept().expect("a connection");
            send(&stream, &bytes);
        });
        finish(&mut interpreter)
    });
    outcome.refused(126, &["not you"]);
}
