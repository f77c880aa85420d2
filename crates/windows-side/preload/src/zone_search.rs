//! How a start finds the time zone sooner, as a state machine over what it says to the server.
//!
//! Wine looks through the registry's time zones, one after another in the order of their names, until one
//! is as the system's is: with each it asks about eight things, for most zones several hundred in all. A
//! search that begins with the zone which was found the last time ends there. So index 0 and that zone's
//! are exchanged in what is asked; if it is not the right one, the search goes on as ever.

/// The key with the zones, as Wine opens it.
const KEY: &[u8] =
    b"\\Registry\\Machine\\Software\\Microsoft\\Windows NT\\CurrentVersion\\Time Zones";

/// Where the search is. It is done once in a process; later ones are the program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NotBegun,
    /// The key is being opened.
    Opening,
    /// The key is open, and nothing was asked yet.
    Open {
        key: u32,
    },
    /// The zone with this index was asked for by a request of this number.
    Asking {
        key: u32,
        number: u32,
        index: u32,
        /// Unknown until the answer comes.
        is_there: Option<bool>,
    },
    Over,
}

/// The search of this process.
#[derive(Clone, Copy)]
pub(crate) struct Search {
    state: State,
    /// The index with which it begins.
    first: u32,
}

impl Search {
    pub(crate) const fn new() -> Self {
        Self { state: State::NotBegun, first: 0 }
    }

    /// Whether nothing of it is to be seen any more.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// A request with these data is sent. Says whether a search begins.
    pub(crate) fn sends(&mut self, data: &[u8]) -> bool {
        let begins = self.state == State::NotBegun && is_key(data);
        if begins {
            self.state = State::Opening;
        }
        begins
    }

    /// The index with which the search that has just begun is to begin.
    pub(crate) fn begin_with(&mut self, first: u32) {
        self.first = first;
    }

    /// Looks at a request without data: the numbers of its kind, of the bytes that follow and of those
    /// wanted back, a handle, and then, where it asks for a key's part, the index.
    pub(crate) fn asks(&mut self, request: &mut [u32; 16]) -> Asked {
        let &mut [number, size, _, handle, ref mut index, ..] = request;
        let (key, known, last) = match self.state {
            State::Open { key } => (key, None, None),
            State::Asking { key, number, index, is_there } => {
                (key, Some(number), Some((index, is_there == Some(true))))
            }
            _ => return Asked::Else,
        };
        if handle != key || size != 0 {
            return Asked::Else;
        }
        if known.unwrap_or(number) != number || known.is_none() && *index != 0 {
            self.state = State::Over;
            return match last {
                Some((index, true)) => Asked::Ended(index),
                Some(_) => Asked::EndedWithout,
                None => Asked::Else,
            };
        }
        let asked = *index;
        *index = self.exchanged(asked);
        self.state = State::Asking { key, number, index: *index, is_there: None };
        if *index == asked { Asked::Else } else { Asked::Changed }
    }

    /// Looks at an answer: an error, and a handle in the third place.
    pub(crate) fn answered(&mut self, answer: &[u32; 16]) {
        let &[error, _, handle, ..] = answer;
        match &mut self.state {
            State::Opening if error == 0 => self.state = State::Open { key: handle },
            State::Opening => self.state = State::Over,
            // Only the first answer is that of the question for the zone.
            State::Asking { is_there, .. } if is_there.is_none() => *is_there = Some(error == 0),
            _ => {}
        }
    }

    fn exchanged(&self, index: u32) -> u32 {
        if index == 0 {
            self.first
        } else if index == self.first {
            0
        } else {
            index
        }
    }
}

/// What a request is to the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing has changed.
    Else,
    /// It asks for another zone now.
    Changed,
    /// The search has ended with the zone of this index.
    Ended(u32),
    /// The search has ended without one.
    EndedWithout,
}

fn is_key(data: &[u8]) -> bool {
    let mut units = data.chunks_exact(2).map(|unit| [unit.first(), unit.last()]);
    let is_unit = |byte: &u8, unit: Option<[Option<&u8>; 2]>| unit == Some([Some(byte), Some(&0)]);
    data.len() == KEY.len().wrapping_mul(2) && KEY.iter().all(|byte| is_unit(byte, units.next()))
}
