//! What whoever serves peers needs: who a peer is, shares of what all need, closing what may block,
//! accepting connections, and the answers to queries.
//!
//! Nothing here knows what is served. Interop servers and hosts both stand on it.
#![forbid(unsafe_code)]

pub mod closer;
pub mod door;
pub mod listener;
pub mod pace;
pub mod peer;
pub mod queries;
pub mod shares;
pub mod starter;
pub mod turned_away;

pub use closer::Closer;
pub use door::{Door, Who};
pub use listener::Listener;
pub use pace::{Pace, TooFast};
pub use peer::{NotKnown, Peer};
pub use shares::{Crowded, Place, Shares};
pub use starter::Starter;
pub use turned_away::{Backlog, TurnedAway};
