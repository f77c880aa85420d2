//! Follows a program to its end, and its caller to theirs.

use super::answer::tell_end;
use crate::client::Client;
use crate::launcher::{Act, Remains, RunningProgram, Work};
use winterop_channel::Frame;
use winterop_wire::{ExitStatus, Message, MessageType, Signal};

/// What the end of a program's caller means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// It ends with its caller.
    Callers,
    /// It goes on.
    Own,
}

/// Waits for the interpreter to say that its program has ended. If it ends without a word it was
/// killed, and everything it had started is ended.
pub(super) async fn in_place(
    client: &mut Client,
    remains: Box<dyn Remains>,
    lifetime: Lifetime,
) -> Option<u32> {
    loop {
        match client.receive().await {
            Ok(Some(frame)) => {
                client.close_aside(frame.descriptors);
                if let Some(code) = exit_status(&frame.bytes) {
                    client.drop_aside(remains);
                    return Some(code);
                }
            }
            Ok(None) | Err(_) if lifetime == Lifetime::Own => {
                client.drop_aside(remains);
                return None;
            }
            Ok(None) | Err(_) => {
                aside(Box::new(move || remains.end())).await;
                return None;
            }
        }
    }
}

fn exit_status(bytes: &[u8]) -> Option<u32> {
    let message = Message::parse(bytes).ok()?;
    let is_one = message.header.message_type == MessageType::EXIT_STATUS;
    // An end that cannot be read is one all the same.
    is_one.then(|| ExitStatus::decode(&message).map_or(u32::MAX, |it| it.code.cast_unsigned()))
}

/// Follows a program that the host runs: its caller's signals, its caller's end, its own end.
pub(super) async fn running(
    client: &mut Client,
    mut program: Box<dyn RunningProgram>,
    lifetime: Lifetime,
) -> u32 {
    let code = loop {
        tokio::select! {
            code = program.ended() => break code,
            message = client.receive() => match message {
                Ok(Some(frame)) => {
                    if let Some(act) = wanted(&frame) {
                        // One at a time for each client, and not on the thread that serves all.
                        aside(program.act(act)).await;
                    }
                    client.close_aside(frame.descriptors);
                }
                Ok(None) | Err(_) if lifetime == Lifetime::Own => break program.ended().await,
                // WSL's interpreter closes for writing to end a program, ours ends itself.
                Ok(None) | Err(_) => {
                    aside(program.act(Act::End)).await;
                    break program.ended().await;
                }
            },
        }
    };
    tell_end(client, code).await;
    client.drop_aside(program);
    code
}

/// Does what may block on a thread of its own.
async fn aside(work: Work) {
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%error, "what was wanted of a program could not be done");
    }
}

/// What the interpreter wants done to its program.
fn wanted(frame: &Frame) -> Option<Act> {
    let message = Message::parse(&frame.bytes).ok()?;
    match message.header.message_type {
        // The program asks the terminal itself: its size may have changed again.
        MessageType::WINDOW_SIZE_CHANGED => Some(Act::Resize),
        MessageType::SIGNAL => Some(Act::Signal(Signal::decode(&message).ok()?.number)),
        _ => None,
    }
}
