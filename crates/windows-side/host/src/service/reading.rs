//! What clients send: hand-overs, queries, which are answered at once, and what they want.

use super::answer;
use crate::client::Client;
use crate::entrance::is_guest;
use crate::launcher::RefusedLaunch;
use rustix::fd::OwnedFd;
use std::time::{Duration, Instant};
use winterop_channel::Frame;
use winterop_serve::queries;
use winterop_wire::{HandOff, Message, MessageType, Tag};
use winterop_words::Failure;

/// How long whoever connects may take to send the first request. A server that has handed one over
/// may keep its connection for the next.
pub(super) const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// What a message is; one that cannot be read is of no known type.
pub(super) fn kind_of(frame: &Frame) -> MessageType {
    Message::parse(&frame.bytes).map_or(MessageType(0), |message| message.header.message_type)
}

/// A client's connection, and the variables of the server that hands it over.
pub type HandedOver = (OwnedFd, Vec<Vec<u8>>);

/// The client of a hand-over, and the variables of its server.
///
/// # Errors
/// What is wrong with it, in words, and what came with it: to close that may block.
pub fn handed_over(frame: Frame) -> Result<HandedOver, (String, Vec<OwnedFd>)> {
    let Frame { bytes, descriptors } = frame;
    match (server_variables(&bytes), <[OwnedFd; 1]>::try_from(descriptors)) {
        (Ok(variables), Ok([client])) => Ok((client, variables)),
        (Ok(_), Err(left)) => {
            Err(("a hand-over has one descriptor, its client's connection".to_owned(), left))
        }
        (Err(error), left) => Err((error, left.map_or_else(|left| left, Vec::from))),
    }
}

/// The variables with which a server hands over.
fn server_variables(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let message = Message::parse(bytes).map_err(|error| text(&error))?;
    let HandOff { extensions } = HandOff::decode(&message).map_err(|error| text(&error))?;
    let variables = extensions.strings(Tag::SERVER_VARIABLES).map_err(|error| text(&error))?;
    Ok(variables.into_iter().flatten().map(<[u8]>::to_vec).collect())
}

/// The next message that is no query; queries are answered, with a server's `variables` before the
/// host's own. None where the client has gone, or has asked for nothing.
pub(super) async fn next_request(
    client: &mut Client,
    deadline: Option<Instant>,
    variables: &[Vec<u8>],
) -> Result<Option<Frame>, RefusedLaunch> {
    let Some(deadline) = deadline else { return next_message(client, variables).await };
    let place = client.place();
    tokio::select! {
        next = tokio::time::timeout_at(deadline.into(), next_message(client, variables)) => {
            let late = || Failure::NoRequest { seconds: &REQUEST_DEADLINE.as_secs() }.into();
            next.unwrap_or_else(|_| Err(late()))
        }
        () = Client::is_turned_away(place) => Err(answer::crowded_out()),
    }
}

async fn next_message(
    client: &mut Client,
    variables: &[Vec<u8>],
) -> Result<Option<Frame>, RefusedLaunch> {
    let cannot_read = |error: &dyn std::fmt::Display| {
        answer::wrong_request(&format!("the request cannot be read: {error}"))
    };
    let mut has_asked = false;
    loop {
        let received = client.receive().await.map_err(|error| cannot_read(&error))?;
        let Some(frame) = received else {
            if !has_asked {
                tell_presence(client);
            }
            return Ok(None);
        };
        let told = if is_guest(&client.peer, client.residence) { Told::Guest } else { Told::User };
        let Some(answer) =
            answer_to(&frame, variables, told).map_err(|error| cannot_read(&error))?
        else {
            return Ok(Some(frame));
        };
        has_asked = true;
        client.close_aside(frame.descriptors);
        client.send(&answer, &[]).await.map_err(|error| cannot_read(&error))?;
    }
}

pub(super) fn tell_presence(client: &Client) {
    if let Some(channel) = client.channel() {
        queries::tell_presence(channel);
    }
}

/// Who is told the value of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The host's own user, who can read them anyway.
    User,
    /// Somebody whom nothing was allowed yet. What a host was started with may hold secrets.
    Guest,
}

impl Told {
    fn own_variable(self, name: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Guest if !name.starts_with(b"WSL") => None,
            Self::Guest | Self::User => queries::own_variable(name),
        }
    }
}

/// The answer to a query; none for another message.
fn answer_to(
    frame: &Frame,
    variables: &[Vec<u8>],
    told: Told,
) -> Result<Option<Vec<u8>>, winterop_wire::DecodeError> {
    let message = Message::parse(&frame.bytes)?;
    let of_server = |name: &[u8]| {
        let mut values = variables.iter().filter_map(|entry| entry.strip_prefix(name));
        values.find_map(|rest| rest.strip_prefix(b"=")).map(<[u8]>::to_vec)
    };
    let variable = |name: &[u8]| of_server(name).or_else(|| told.own_variable(name));
    let mut answer = Vec::new();
    Ok(queries::answer(&message, variable, &mut answer).map(|()| answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use winterop_wire::{Header, QueryEnvironmentVariable};

    /// What is answered to whoever asks for a variable.
    fn value(name: &[u8], variables: &[Vec<u8>], told: Told) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = Header::plain(MessageType::QUERY_ENVIRONMENT_VARIABLE, 1);
        QueryEnvironmentVariable { text: name }.encode(&header, &mut bytes).unwrap();
        let frame = Frame { bytes, descriptors: Vec::new() };
        let answer = answer_to(&frame, variables, told).unwrap().unwrap();
        let answer = Message::parse(&answer).unwrap();
        QueryEnvironmentVariable::decode(&answer).unwrap().text.to_vec()
    }

    #[test]
    fn a_guest_is_told_nothing_of_what_the_host_was_started_with() {
        let path = std::env::var("PATH").unwrap().into_bytes();
        assert_eq!(value(b"PATH", &[], Told::User), path);
        assert_eq!(value(b"PATH", &[], Told::Guest), b"");
        // Its server's own variables come with the hand-over.
        assert_eq!(value(b"PATH", &[b"PATH=/bin".to_vec()], Told::Guest), b"/bin");
    }
}
