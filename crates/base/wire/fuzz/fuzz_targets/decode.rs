//! Feeds bytes to every decoder, with both headers.
//!
//! No input may make one panic. What decodes is encoded and decoded again, and must be the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_wire::{
    CreateLinuxProcess, CreateLinuxProcessUtilityVm, CreateProcess, CreateProcessResponse,
    CreateProcessUtilityVm, CreateSession, CreateSessionResponse, Credit, EncodeError, ErrorNotice,
    ExitStatus, HandOff, HeaderForm, HostHello, Initialize, InitializeResponse, Instance, Message,
    Prepare, Query, QueryEnvironmentVariable, Signal, TerminateInstance, TransactionResult,
    VmIdReply, WindowSize, frame_length,
};

/// What decodes must survive encoding with the same header and decoding.
macro_rules! both_forms {
    ($message:expr, $($type:ident)*) => {$(
        if let Ok(first) = $type::decode($message) {
            let mut bytes = Vec::new();
            match first.encode_as($message.form, &$message.header, &mut bytes) {
                Ok(()) => {
                    let second = Message::parse_as($message.form, &bytes);
                    let second = second.as_ref().map($type::decode);
                    assert_eq!(second, Ok(Ok(first)));
                }
                Err(error) => assert!(matches!(error, EncodeError::TooLong { .. }), "{error}"),
            }
        }
    )*};
}

/// The same for messages that exist with one header alone.
macro_rules! one_form {
    ($message:expr, $($type:ident)*) => {$(
        if let Ok(first) = $type::decode($message) {
            let mut bytes = Vec::new();
            match first.encode(&$message.header, &mut bytes) {
                Ok(()) => {
                    let second = Message::parse(&bytes);
                    let second = second.as_ref().map($type::decode);
                    assert_eq!(second, Ok(Ok(first)));
                }
                Err(error) => assert!(matches!(error, EncodeError::TooLong { .. }), "{error}"),
            }
        }
    )*};
}

fn check(message: &Message<'_>) {
    both_forms!(message,
        CreateProcess CreateProcessUtilityVm CreateLinuxProcess CreateLinuxProcessUtilityVm
        CreateProcessResponse ExitStatus WindowSize Query QueryEnvironmentVariable VmIdReply
        TransactionResult CreateSession CreateSessionResponse TerminateInstance Initialize
        InitializeResponse);
    one_form!(message, Signal ErrorNotice HandOff Instance Prepare Credit HostHello);
}

fuzz_target!(|bytes: &[u8]| {
    let length = frame_length(bytes);
    for message in [
        Message::parse(bytes),
        Message::parse_as(HeaderForm::Current, bytes),
        Message::parse_as(HeaderForm::Legacy, bytes),
    ] {
        if let Ok(message) = message {
            assert_eq!(length, Ok(Some(message.bytes.len())));
            check(&message);
        }
    }
});
