//! Who may use the machine's interop server, and which host serves whom.

use crate::accounts::{self, Account, Accounts, PATH, Reaped};
use crate::handoff::{HostAddress, HostLink, Owner};
use crate::runtime::{HOST_SOCKET, directory_of, is_private, login_directory};
use crate::server::Guest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use winterop_settings::Policy;
use winterop_settings::peer::{Compared, groups_of, lives_elsewhere};
use winterop_settings::policy::{Asked, Denied};
use winterop_sys::{PeerCredentials, peer_process};
use winterop_words::{Failure, Words};

/// How many connections of one user are served at the same time.
pub const MOST: usize = 256;

/// Why the machine's init does not serve a peer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum NotServed {
    /// The policy does not let it in.
    Denied(#[from] Denied),
    /// The user's runtime directory is somebody else's.
    Squatted(PathBuf),
    /// The machine does not know the user.
    Unknown(u32),
    /// Too many connections of the user are being served.
    TooMany,
}

impl NotServed {
    /// The reason in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Denied(denied) => denied.words(),
            Self::Squatted(path) => Failure::RuntimeNotPrivate { path: &path.display() }.words(),
            Self::Unknown(user) => Failure::UnknownUser { user }.words(),
            Self::TooMany => Failure::TooMany { most: &MOST }.words(),
        }
    }
}

/// All users of the machine.
#[derive(Debug)]
pub struct Users {
    policy: Policy,
    /// The program that is a user's host when it is called `wslhost`.
    host: PathBuf,
    links: Mutex<HashMap<u32, Arc<HostLink>>>,
    served: Arc<Served>,
}

impl Users {
    /// Serves whom `policy` lets in, with `host` as the program of their hosts.
    #[must_use]
    pub fn new(policy: Policy, host: PathBuf) -> Self {
        Self { policy, host, links: Mutex::default(), served: Arc::default() }
    }

    /// Lets a peer in, and says by which host it is served.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn admit(
        &self,
        peer: PeerCredentials,
        connection: BorrowedFd<'_>,
    ) -> Result<Guest, NotServed> {
        let place = Served::enter(&self.served, peer.uid)?;
        // What `/proc` says is only true of a process that still is the one that has connected.
        let process = peer_process(connection).ok();
        let rules = self.policy.rules();
        let asked = asked(peer, rules.ask_for_groups());
        let is_alive = process.as_ref().is_none_or(lives);
        let asked = Asked { elsewhere: asked.elsewhere || !is_alive, ..asked };
        let user = rules.host_for(&asked)?;
        Ok(Guest { link: self.link(user)?, place: Some(place) })
    }

    /// The way to a user's host. It is another one when the user's runtime directory is.
    fn link(&self, user: u32) -> Result<Arc<HostLink>, NotServed> {
        let directory = directory_of(user);
        let socket = directory.join(HOST_SOCKET);
        if let Some(link) = lock(&self.links).get(&user).filter(|link| link.leads_to(&socket)) {
            return Ok(Arc::clone(link));
        }
        refuse_squatted(&directory, user)?;
        let owner = owner(user)?;
        let link = Arc::new(HostLink::new(HostAddress {
            socket,
            command: vec![self.host.clone().into_os_string()],
            keeper: None,
            owner: Some(owner),
        }));
        lock(&self.links).insert(user, Arc::clone(&link));
        Ok(link)
    }
}

/// What the policy is asked before the request is read: everything but the program.
fn asked(peer: PeerCredentials, with_groups: bool) -> Asked {
    let mut groups = if with_groups { groups_of(peer.pid) } else { Vec::new() };
    groups.push(peer.gid);
    let elsewhere = lives_elsewhere(peer.pid, Compared::Machine);
    Asked { uid: peer.uid, groups, elsewhere, ..Asked::default() }
}

/// Whether the process of a pidfd has not ended.
fn lives(process: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)), Ok(0))
}

/// In `/tmp` anybody can be there first.
fn refuse_squatted(directory: &Path, user: u32) -> Result<(), NotServed> {
    let is_there = std::fs::symlink_metadata(directory).is_ok();
    if is_there && !is_private(directory, user) {
        return Err(NotServed::Squatted(directory.to_owned()));
    }
    Ok(())
}

/// The user as whom the host runs, with the environment of a login.
fn owner(user: u32) -> Result<Owner, NotServed> {
    let accounts = Accounts::read();
    let found = accounts.by_id(user);
    let found = found.or_else(|| accounts::ask(user.to_string().as_bytes(), Reaped::Here));
    let root = || (user == 0).then(Account::root);
    let account = found.or_else(root).ok_or(NotServed::Unknown(user))?;
    let groups = accounts.groups_of(&account);
    let environment = environment(&account);
    Ok(Owner { account, groups, environment })
}

fn environment(account: &Account) -> Vec<Vec<u8>> {
    let entry = |name: &str, value: &[u8]| [name.as_bytes(), b"=", value].concat();
    let mut environment = vec![
        entry("PATH", PATH.as_bytes()),
        entry("HOME", &account.home),
        entry("USER", &account.name),
        entry("LOGNAME", &account.name),
        entry("SHELL", &account.shell),
    ];
    if let Some(directory) = login_directory(account.user) {
        use std::os::unix::ffi::OsStrExt as _;
        environment.push(entry("XDG_RUNTIME_DIR", directory.as_os_str().as_bytes()));
    }
    // Windows programs have the machine's language and log what its init is to log.
    for name in ["LANG", "LC_ALL", "LC_CTYPE", "WINTEROP_LOG"] {
        if let Ok(value) = std::env::var(name) {
            environment.push(entry(name, value.as_bytes()));
        }
    }
    environment
}

/// How many connections of each user are being served.
#[derive(Debug, Default)]
struct Served(Mutex<HashMap<u32, usize>>);

impl Served {
    fn enter(this: &Arc<Self>, user: u32) -> Result<Place, NotServed> {
        let mut counts = lock(&this.0);
        let count = counts.entry(user).or_default();
        if *count >= MOST {
            return Err(NotServed::TooMany);
        }
        *count += 1;
        Ok(Place { served: Arc::clone(this), user })
    }
}

/// The place of one connection; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    served: Arc<Served>,
    user: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.served.0);
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_everybodys_places() {
        let served = Arc::<Served>::default();
        let places: Vec<_> = (0..MOST).map(|_| Served::enter(&served, 7).unwrap()).collect();
        assert!(Served::enter(&served, 7).unwrap_err().to_string().contains("256"));
        drop(Served::enter(&served, 8).unwrap());
        drop(places);
        drop(Served::enter(&served, 7).unwrap());
        assert!(lock(&served.0).is_empty());
    }

    #[test]
    fn a_host_starts_with_a_logins_environment() {
        let account = Account::parse(b"me:x:4000000:5::/home/me:/bin/zsh").unwrap();
        let text: Vec<_> =
            environment(&account).into_iter().map(|it| String::from_utf8(it).unwrap()).collect();
        for entry in ["HOME=/home/me", "USER=me", "LOGNAME=me", "SHELL=/bin/zsh"] {
            assert!(text.iter().any(|it| it == entry), "{text:?}");
        }
        assert!(!text.iter().any(|it| it.starts_with("XDG_RUNTIME_DIR")), "{text:?}");
    }
}
