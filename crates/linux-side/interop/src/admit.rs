//! Whom a server serves, and by which host: what a server asks of whoever has made it.

use crate::handoff::HostLink;
use rustix::process::getuid;
use std::fmt::Debug;
use std::sync::Arc;
use winterop_serve::Peer;
use winterop_settings::Switches;
use winterop_sys::{PeerCredentials, is_own_user};
use winterop_words::{Failure, Words};

/// Whose connections a server gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Those of users for whom this process answers: what one of them does to another is their own
    /// concern.
    Own,
    /// Those of all users of a machine, who must not keep each other from being served.
    AllUsers,
}

/// Says whom a server serves, by what the kernel says of a peer alone.
pub trait Admit: Debug + Send + Sync + 'static {
    /// Lets a peer in, and says by which host it is served; else why it is refused.
    fn admit(&self, peer: &Peer) -> impl Future<Output = Result<Arc<HostLink>, Box<Words>>> + Send;

    /// To whom the connections of a uid count.
    fn accountable(&self, uid: u32) -> u32 {
        uid
    }

    /// Whose connections come.
    fn audience(&self) -> Audience {
        Audience::Own
    }

    /// How many sockets like this one share the places that one socket would have.
    fn sockets(&self) -> usize {
        1
    }

    /// Writes a refusal down, where somebody wants that. Which program it was for only a host ever
    /// knows.
    fn write_down(&self, _switches: &Switches, _peer: PeerCredentials, _refusal: &Words) {}
}

/// The users of an instance, whom one host serves.
#[derive(Clone, Debug)]
pub enum OfInstance {
    /// This process's own user, by the user's host.
    Own(Arc<HostLink>),
    /// Every user of an instance: all of them are the one user outside, by the user's own
    /// subordinate ids.
    Everyone(Arc<HostLink>),
}

impl OfInstance {
    /// Whom the servers of the instance that this process lives in serve. Where its root is the
    /// machine's root its other users are the machine's too, and nobody becomes another here.
    #[must_use]
    pub fn of_this(link: Arc<HostLink>) -> Self {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let outside = map.split_whitespace().nth(1);
        match outside {
            Some(id) if id != "0" => Self::Everyone(link),
            _ => Self::Own(link),
        }
    }
}

impl Admit for OfInstance {
    async fn admit(&self, peer: &Peer) -> Result<Arc<HostLink>, Box<Words>> {
        let (own, uid) = (getuid().as_raw(), peer.credentials.uid);
        match self {
            Self::Own(_) if !is_own_user(uid, own) => {
                Err(Box::new(Failure::ForeignServer { own: &own, peer: &uid }.words()))
            }
            Self::Own(link) | Self::Everyone(link) => Ok(Arc::clone(link)),
        }
    }
}
