//! Where a connection is that an answer gives.

use core::num::NonZeroU32;

/// A connection that an answer gives: what is done with it is the same, however it is had.
#[derive(Debug, PartialEq, Eq)]
pub enum Promise<B> {
    /// It came beside the answer's bytes.
    Attached(B),
    /// Whoever answered waits for it at this port of their transport's.
    Port(NonZeroU32),
}

impl<B> Promise<B> {
    /// What a port field says where there is no connection.
    const NO_PORT: u32 = u32::MAX;

    /// Reads what an answer says: its port, and what came beside it. A port of 0 is none, as where
    /// connections are attached; `None` where there is neither, or the answer says that there is none.
    #[must_use]
    pub fn read(port: u32, attached: Option<B>) -> Option<Self> {
        match (NonZeroU32::new(port), attached) {
            (Some(port), _) if port.get() == Self::NO_PORT => None,
            (Some(port), _) => Some(Self::Port(port)),
            (None, attached) => attached.map(Self::Attached),
        }
    }

    /// The port that an answer names: 0 for a connection that is attached to it.
    #[must_use]
    pub fn port(&self) -> u32 {
        match self {
            Self::Attached(_) => 0,
            Self::Port(port) => port.get(),
        }
    }

    /// What goes with the answer.
    #[must_use]
    pub fn attached(&self) -> Option<&B> {
        match self {
            Self::Attached(attached) => Some(attached),
            Self::Port(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_was_put_into_it() {
        for promise in [Promise::Attached('c'), Promise::Port(NonZeroU32::MIN)] {
            let read = Promise::read(promise.port(), promise.attached().copied());
            assert_eq!(read, Some(promise));
        }
        assert_eq!(Promise::<char>::read(0, None), None);
        assert_eq!(Promise::read(u32::MAX, Some('c')), None);
    }
}
