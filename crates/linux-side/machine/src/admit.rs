//! Whom the machine's servers serve: every user by the socket that all find, and guests by theirs.

use crate::users::Users;
use std::sync::Arc;
use std::time::Duration;
use winterop_audit::Record;
use winterop_interop::admit::{Admit, Audience};
use winterop_interop::handoff::HostLink;
use winterop_serve::Peer;
use winterop_settings::Switches;
use winterop_settings::machine::AuditSetting;
use winterop_sys::PeerCredentials;
use winterop_words::Words;

/// Into how many parts the places of one socket are divided: of guests' sockets there may be many.
const GUESTS: usize = 8;

/// Every user of the machine, each by their own host.
#[derive(Clone, Debug)]
pub struct AllUsers(pub Arc<Users>);

/// The same by a socket that only guests are given: whoever comes is one.
#[derive(Clone, Debug)]
pub struct GuestsAlone(pub Arc<Users>);

impl Admit for AllUsers {
    async fn admit(&self, peer: &Peer) -> Result<Arc<HostLink>, Box<Words>> {
        self.0.admit(peer, false).await.map_err(|reason| Box::new(reason.words()))
    }

    fn accountable(&self, uid: u32) -> u32 {
        self.0.accountable(uid)
    }

    fn audience(&self) -> Audience {
        Audience::AllUsers
    }

    fn write_down(&self, switches: &Switches, peer: PeerCredentials, refusal: &Words) {
        write_down(switches, peer, refusal);
    }
}

impl Admit for GuestsAlone {
    async fn admit(&self, peer: &Peer) -> Result<Arc<HostLink>, Box<Words>> {
        self.0.admit(peer, true).await.map_err(|reason| Box::new(reason.words()))
    }

    fn accountable(&self, uid: u32) -> u32 {
        self.0.accountable(uid)
    }

    fn audience(&self) -> Audience {
        Audience::AllUsers
    }

    fn sockets(&self) -> usize {
        GUESTS
    }

    fn write_down(&self, switches: &Switches, peer: PeerCredentials, refusal: &Words) {
        write_down(switches, peer, refusal);
    }
}

/// Writes a refusal into the machine's audit log, where root wants one.
fn write_down(switches: &Switches, peer: PeerCredentials, refusal: &Words) {
    let setting = switches.settings().map_or(AuditSetting::Off, |settings| settings.audit);
    if setting == AuditSetting::Off {
        return;
    }
    let record = Record::ended(peer.uid, peer.pid, "", "refused", Duration::ZERO)
        .refused(&refusal.to_string());
    let audit = winterop_audit::of_machine();
    let Some(lines) = audit.take(&record) else { return };
    // A file may block.
    tokio::task::spawn_blocking(move || audit.put(setting, &lines));
}
