//! Feeds the host's answer to the interpreter's reader: a refusal never looks like success.
#![no_main]

use libfuzzer_sys::fuzz_target;
use winterop_wire::{CreateProcessResponse, HeaderForm, Message};

// Private to the interpreter, and so is one of the names that it uses.
mod words {
    pub use winterop_interpreter::words::*;
    pub(crate) use winterop_words::Failure as Why;
}
#[path = "../../src/response.rs"]
#[allow(dead_code)]
mod response;

extern crate alloc;

fuzz_target!(|bytes: &[u8]| {
    for form in [HeaderForm::Current, HeaderForm::Legacy] {
        let Ok(message) = Message::parse_as(form, bytes) else { continue };
        let Ok(answer) = CreateProcessResponse::decode(&message) else { continue };
        match response::understand(&answer, b"program.exe") {
            Ok(_) => assert_eq!(answer.result, 0),
            Err(failure) => assert_ne!(failure.status, 0),
        }
    }
});
