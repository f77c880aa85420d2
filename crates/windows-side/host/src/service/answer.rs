//! What clients are told: that it goes on, what has become of their launch, its end, or why there is none.

use crate::client::Client;
use crate::execution::{Execution, Interface};
use crate::launcher::{Launched, Placed, RefusedLaunch};
use crate::mark::Mark;
use crate::variables::entry;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;
use winterop_serve::Crowded;
use winterop_wire::{
    CreateProcessResponse, ErrorNotice, ExitStatus, Extensions, Features, Header, MessageType,
    ResponseFlags, Tag,
};
use winterop_words::Failure;

/// How long a client may take to read its refusal.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long an interpreter may take to acknowledge an exit status.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(5);

/// Tells the client something that is no answer yet.
pub(super) async fn notify(client: &Client, features: Features, text: &str) {
    if features == Features::NONE {
        // Whoever does not know extensions is not sent any.
        return;
    }
    let mut extensions = Extensions::new();
    extensions.push(Tag::ERROR_TEXT, text.as_bytes());
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::ERROR_NOTICE, 1);
    if (ErrorNotice { extensions }).encode(&header, &mut bytes).is_ok() {
        // A client that went away is noticed with the answer.
        let _ = client.send(&bytes, &[]).await;
    }
}

/// Tells the interpreter the exit code and waits until it has it, as WSL does.
pub(super) async fn tell_end(client: &mut Client, code: u32) {
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::EXIT_STATUS, 2);
    if ExitStatus::new(code.cast_signed()).encode(&header, &mut bytes).is_err() {
        return;
    }
    if client.send(&bytes, &[]).await.is_ok() {
        let _ = tokio::time::timeout(ACKNOWLEDGEMENT, client.receive_bare()).await;
    }
}

pub(super) fn wrong_request(error: &dyn std::fmt::Display) -> RefusedLaunch {
    Failure::WrongRequest { error }.into()
}

fn too_long(error: &winterop_wire::EncodeError) -> RefusedLaunch {
    Failure::AnswerTooLong { error }.into()
}

pub(super) fn too_many(crowded: Crowded) -> RefusedLaunch {
    Failure::TooMany { most: &crowded.most }.into()
}

pub(super) fn crowded_out() -> RefusedLaunch {
    Failure::TooMany { most: &crate::client::MOST_OF_GUEST }.into()
}

/// The answer to a launch that has come to something.
///
/// # Errors
/// A [`RefusedLaunch`] where no answer is long enough for it.
pub(super) fn of(
    launched: &Launched,
    mark: &Mark,
    grace: Duration,
) -> Result<Vec<u8>, RefusedLaunch> {
    let mut extensions = extensions(mark, grace);
    if let Placed::InPlace { execution, .. } = &launched.placed {
        push_execution(&mut extensions, execution);
    }
    response(launched.interface, extensions)
}

/// Adds what the caller is to execute.
fn push_execution<'a>(extensions: &mut Extensions<'a>, execution: &'a Execution) {
    let assignments: Vec<Vec<u8>> =
        execution.environment.iter().map(|(name, value)| entry(name, value)).collect();
    extensions.push(Tag::IN_PLACE_PROGRAM, execution.program.as_os_str().as_bytes());
    extensions.push(
        Tag::IN_PLACE_ARGUMENTS,
        list(execution.arguments.iter().map(|argument| argument.as_bytes())),
    );
    extensions.push(Tag::IN_PLACE_ENVIRONMENT, list(assignments.iter().map(Vec::as_slice)));
    if execution.is_elsewhere {
        extensions.push(Tag::IN_PLACE_DIRECTORY, execution.directory.as_os_str().as_bytes());
    }
    if let Some(report) = execution.report {
        extensions.push(Tag::IN_PLACE_REPORT, report.as_bytes());
    }
    if let Some(console) = execution.console {
        extensions.push(Tag::IN_PLACE_CONSOLE, console.as_bytes());
    }
}

fn list<'a>(strings: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    bytes
}

fn extensions(mark: &Mark, grace: Duration) -> Extensions<'static> {
    let mut extensions = Extensions::new();
    extensions.push_u64(Tag::LAUNCH_ID, mark.launch);
    let grace = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
    extensions.push_u32(Tag::GRACE, grace);
    extensions.push_u32(Tag::HOST_FEATURES, Features::IN_PLACE.with(Features::SIGNALS).0);
    extensions
}

fn response(interface: Interface, extensions: Extensions<'_>) -> Result<Vec<u8>, RefusedLaunch> {
    let flags = match interface {
        Interface::Graphical => ResponseFlags::GRAPHICAL,
        Interface::Console => ResponseFlags::NONE,
    };
    let response = CreateProcessResponse { result: 0, signal_pipe_id: 0, flags, extensions };
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1);
    response.encode(&header, &mut bytes).map_err(|error| too_long(&error))?;
    Ok(bytes)
}

/// Tells a client why its launch does not happen.
pub(super) async fn refuse(client: &Client, refusal: &RefusedLaunch) {
    // Whoever asked and went away does not need the answer, nor who does not read it.
    let message = refusal_message(refusal);
    let _ = tokio::time::timeout(PATIENCE, client.send(&message, &[])).await;
}

/// The same for a client that has asked for no launch.
pub(super) async fn tell_error(client: &Client, refusal: &RefusedLaunch) {
    let message = ErrorNotice::message(&refusal.text, Some(refusal.status));
    let _ = tokio::time::timeout(PATIENCE, client.send(&message, &[])).await;
}

pub(super) fn refusal_message(refusal: &RefusedLaunch) -> Vec<u8> {
    let result = refusal.errno.raw_os_error();
    let response = CreateProcessResponse::refusal(result, &refusal.text, refusal.status);
    let mut bytes = Vec::new();
    let header = Header::plain(MessageType::CREATE_PROCESS_RESPONSE, 1);
    if let Err(error) = response.encode(&header, &mut bytes) {
        tracing::error!(%error, "a refusal that is too long");
    }
    bytes
}
