//! Whom a host has before it, by what the kernel says of the connection, and what they may do.

use crate::instances::Instances;
use std::io;
use winterop_serve::{NotKnown, Peer};
use winterop_settings::peer::{Compared, is_hidden, lives_elsewhere, lives_in_same_container};
use winterop_sys::is_own_user;
use winterop_words::{Failure, Words};

/// Who has connected to a host's own socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The user's own process, where the host lives.
    Own,
    /// The user's own process, of this pid, in an instance that the host knows.
    Instance(i32),
    /// The machine's init. It hands clients over, and nothing else.
    Machine,
    /// A process of root's, before root's own host, with mounts of its own. The machine's init is one where
    /// its unit is sandboxed: it hands clients over. Whoever asks for a launch itself is a guest.
    Root,
    /// A process with the user's uid that lives anywhere else, where the user wants such to be served.
    Sandbox,
    /// A process with the user's uid that lives anywhere else.
    Guest,
}

/// In which namespaces somebody lives, beside those with whom they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// In the same.
    Here,
    /// In others.
    Elsewhere,
}

impl From<bool> for Residence {
    fn from(lives_elsewhere: bool) -> Self {
        if lives_elsewhere { Self::Elsewhere } else { Self::Here }
    }
}

/// Whether a peer is a guest before anything is known of what it wants: another user, or one that lives
/// elsewhere.
#[must_use]
pub fn is_guest(peer: &Peer, residence: Residence) -> bool {
    let own = rustix::process::geteuid().as_raw();
    residence == Residence::Elsewhere || !is_own_user(peer.credentials.uid, own)
}

/// Why nobody is served.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum Unserved {
    /// It is not known who the peer is.
    NotKnown(#[from] NotKnown),
    /// What `/proc` says of the peer cannot be read.
    NotSeen(#[from] io::Error),
    /// It is another user.
    Foreign {
        /// Whose host it is.
        own: u32,
        /// Who asked.
        peer: u32,
    },
}

impl Unserved {
    /// The reason in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::NotKnown(NotKnown::Gone) => Failure::CallerGone {}.words(),
            Self::NotKnown(NotKnown::System(error)) => {
                Failure::CallerUnknown { error: &winterop_sys::system_error(*error) }.words()
            }
            Self::NotSeen(error) => Failure::CallerUnknown { error }.words(),
            Self::Foreign { own, peer } => Failure::ForeignHost { own, peer }.words(),
        }
    }
}

impl Standing {
    /// Who a peer of the host's own socket is. Where `sandboxes` says so, the user's own processes are
    /// that wherever they live.
    ///
    /// # Errors
    /// [`Unserved`]: another user, or nobody knows.
    pub fn of(peer: &Peer, instances: &Instances, sandboxes: bool) -> Result<Self, Unserved> {
        let own = rustix::process::geteuid().as_raw();
        let uid = peer.credentials.uid;
        if !is_own_user(uid, own) {
            return match uid {
                // What root's init is, a user may not look at; who has root's uid here is root on
                // the machine, or in namespaces that root has made.
                0 => Ok(Self::Machine),
                peer => Err(Unserved::Foreign { own, peer }),
            };
        }
        let Some(pid) = peer.proven_pid() else { return Ok(Self::Guest) };
        let found = Self::of_own(peer, pid, instances, sandboxes);
        // What was read by its pid was read of it.
        if peer.lives() { Ok(found?) } else { Err(NotKnown::Gone.into()) }
    }

    /// Who a process with the user's uid is, by where it lives.
    fn of_own(peer: &Peer, pid: i32, instances: &Instances, sandboxes: bool) -> io::Result<Self> {
        Ok(if !lives_elsewhere(pid, Compared::Own)? {
            Self::Own
        } else if instances.have(peer)? {
            Self::Instance(pid)
        } else if sandboxes {
            Self::Sandbox
        } else if rustix::process::geteuid().is_root() && lives_in_same_container(pid)? {
            Self::Root
        } else {
            Self::Guest
        })
    }

    /// Where it lives, beside those that go with its entrance.
    #[must_use]
    pub fn residence(self) -> Residence {
        match self {
            Self::Own | Self::Instance(_) | Self::Machine => Residence::Here,
            Self::Root | Self::Sandbox | Self::Guest => Residence::Elsewhere,
        }
    }

    /// Whether it may hand clients over.
    #[must_use]
    pub fn hands_over(self) -> bool {
        self != Self::Guest
    }

    /// Whether it may say of an instance that it is the user's. Whoever lives in one may make another.
    #[must_use]
    pub fn names_instances(self) -> bool {
        matches!(self, Self::Own | Self::Instance(_) | Self::Sandbox)
    }

    /// By which entrance a client comes that asks here itself; none for whoever only hands over.
    #[must_use]
    pub fn of_direct(self) -> Option<Entrance> {
        match self {
            Self::Own | Self::Root | Self::Sandbox | Self::Guest => Some(Entrance::Own),
            Self::Instance(pid) => Some(Entrance::Server(pid)),
            Self::Machine => None,
        }
    }

    /// By which entrance a client comes that `server` hands over.
    #[must_use]
    pub fn of_handed_over(self, server: i32) -> Entrance {
        match self {
            Self::Own | Self::Sandbox | Self::Guest => Entrance::Server(server),
            Self::Instance(pid) => Entrance::Server(pid),
            Self::Machine | Self::Root => Entrance::Machine,
        }
    }
}

/// Where a client lives that was handed over, beside those it is compared with.
///
/// # Errors
/// [`Unserved`]: it has ended, or nobody knows.
pub fn residence_of_client(peer: &Peer, compared: Compared) -> Result<Residence, Unserved> {
    // Nothing is concluded from a pid that may be another's by now.
    let Some(pid) = peer.proven_pid() else { return Ok(Residence::Elsewhere) };
    let own = rustix::process::geteuid().as_raw();
    match lives_elsewhere(pid, compared) {
        Err(_) if !peer.lives() => Err(NotKnown::Gone.into()),
        // A user may not look at another one's, who is a guest of this one's wherever it lives.
        Err(error) if is_hidden(&error) && !is_own_user(peer.credentials.uid, own) => {
            Ok(Residence::Elsewhere)
        }
        elsewhere => Ok(elsewhere?.into()),
    }
}

/// Which way a launch came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// By the host's own socket.
    Own,
    /// From an interop server of the user's, which has looked at its distribution's switch; its clients
    /// live where this process does.
    Server(i32),
    /// From the machine's init, which serves everybody.
    Machine,
}

impl Entrance {
    /// With whose namespaces a client's are compared.
    #[must_use]
    pub fn compared(self) -> Compared {
        match self {
            // A user's host cannot look at the machine's init; both live in the machine's own
            // namespaces.
            Self::Own | Self::Machine => Compared::Own,
            Self::Server(pid) => Compared::Server(pid),
        }
    }
}
