//! What whoever serves peers needs: the listening socket, who a peer is, shares of what all need, closing
//! what may block, accepting connections, the answers to queries, whether anybody serves; and starting
//! what serves: programs, hosts, and the parts of `init` with their options.
//!
//! Nothing here knows what is served. Interop servers and hosts both stand on it.
#![forbid(unsafe_code)]

pub mod background;
pub mod closer;
pub mod door;
pub mod listener;
pub mod name_services;
pub mod notify;
pub mod options;
pub mod own_host;
pub mod own_terms;
pub mod pace;
pub mod peer;
pub mod presence;
pub mod processes;
pub mod queries;
mod readers;
pub mod shares;
pub mod socket;
pub mod starter;
pub mod starting;
pub mod turned_away;
pub mod wait;

pub use closer::Closer;
pub use door::{Door, Who};
pub use listener::Listener;
pub use pace::{Pace, TooFast};
pub use peer::{NotKnown, Peer};
pub use shares::{Crowded, HeldShare, Shares};
pub use starter::Starter;
pub use turned_away::{Backlog, TurnedAway};
