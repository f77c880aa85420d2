//! The questions of the protocol that need no process: `wslinfo`'s and `wslpath`'s, and whether
//! anybody serves at all.

use rustix::fd::AsFd;
use rustix::net::{SendFlags, send};
use winterop_wire::{
    Features, Header, HostHello, Message, MessageType, Query, QueryEnvironmentVariable,
    TransactionResult, VmIdReply,
};

/// Answers a peer that has closed its side of the connection without a word: it asks whether anybody
/// serves. Whoever only probes and does not read costs nothing.
pub fn tell_presence(connection: impl AsFd) {
    let hello = HostHello { features: Features::NONE, pid: std::process::id() };
    let mut bytes = Vec::new();
    if hello.encode(&Header::plain(MessageType::HOST_HELLO, 1), &mut bytes).is_ok() {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // It may be gone.
        let _ = send(connection, &bytes, flags);
    }
}

/// Appends the answer to a query to `out`; `None` for another message, or one that cannot be read.
///
/// `variable` says the value of a variable, for message 16.
pub fn answer(
    message: &Message<'_>,
    variable: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let header = Header::plain(message.header.message_type, message.header.transaction_id);
    if message.header.message_type == MessageType::QUERY_ENVIRONMENT_VARIABLE {
        let name = QueryEnvironmentVariable::decode(message).ok()?.text;
        let value = variable(name).unwrap_or_default();
        return QueryEnvironmentVariable { text: &value }.encode(&header, out).ok();
    }
    match Query::decode(message).ok()? {
        Query::DrvfsElevated => TransactionResult::Bool(false).encode(&header, out).ok(),
        Query::FeatureFlags => TransactionResult::U32(0).encode(&header, out).ok(),
        // 0 stands for no networking of a virtual machine's own.
        Query::NetworkingMode => TransactionResult::U8(0).encode(&header, out).ok(),
        Query::VmId => VmIdReply { id: b"" }.encode(&header, out).ok(),
    }
}

/// A variable of this process's environment.
#[must_use]
pub fn own_variable(name: &[u8]) -> Option<Vec<u8>> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    // `var_os` takes no name with these in it.
    let is_name = !name.is_empty() && !name.contains(&b'=') && !name.contains(&0);
    let name = std::ffi::OsStr::from_bytes(name);
    is_name.then(|| std::env::var_os(name)).flatten().map(|value| value.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_answered_with_its_value_and_an_odd_name_with_nothing() {
        let ask = |name: &[u8]| {
            let mut bytes = Vec::new();
            let header = Header::plain(MessageType::QUERY_ENVIRONMENT_VARIABLE, 7);
            QueryEnvironmentVariable { text: name }.encode(&header, &mut bytes).unwrap();
            let mut out = Vec::new();
            answer(&Message::parse(&bytes).unwrap(), own_variable, &mut out).unwrap();
            let answer = Message::parse(&out).unwrap();
            QueryEnvironmentVariable::decode(&answer).unwrap().text.to_vec()
        };
        assert_eq!(ask(b"PATH"), std::env::var("PATH").unwrap().into_bytes());
        for odd in [&b""[..], b"=", b"A=B", b"\xFF\xFE", b"NOT_SET_ANYWHERE"] {
            assert_eq!(ask(odd), b"");
        }
    }
}
