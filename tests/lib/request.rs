//! Requests as an interpreter sends them.

use winterop_wire::{CommonBlock, CreateProcess, Header, MessageType};

/// A request to create a process, with what a test says of it and an environment of nothing.
///
/// # Panics
/// Where it has no room in a message.
#[must_use]
pub fn request(said: CommonBlock<'_>) -> Vec<u8> {
    let common = CommonBlock { environment: Some(vec![b"WSLENV="]), ..said };
    let message = CreateProcess { standard_ids: [0; 3], common };
    let mut bytes = Vec::new();
    message.encode(&Header::request(MessageType::CREATE_PROCESS), &mut bytes).expect("a request");
    bytes
}

/// Bytes as hexadecimal digits, for a script.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
