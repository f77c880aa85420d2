//! Who may use the machine's interop server, and which host serves whom.

use crate::subordinates::Subordinates;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use winterop_accounts::{Account, Accounts, PATH};
use winterop_interop::handoff::{HandOffError, HostLink};
use winterop_places::names::HOST_SOCKET;
use winterop_places::runtime::{directory_of, is_private, login_directory};
use winterop_serve::name_services::{Reaped, ask};
use winterop_serve::starting::{HostAddress, Owner};
use winterop_serve::{Peer, Starter};
use winterop_settings::Policy;
use winterop_settings::peer::{Compared, Connected, Undescribed, lives_elsewhere};
use winterop_settings::policy::Denied;
use winterop_sys::PeerCredentials;
use winterop_words::{Failure, Words};

/// How long it is remembered that the machine does not know a user: name services may be slow.
const FORGETTING: Duration = Duration::from_secs(10);

/// Why the machine's init does not serve a peer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum NotServed {
    /// The policy does not let it in.
    Denied(#[from] Denied),
    /// Nothing can be said of the peer.
    Undescribed(#[from] Undescribed),
    /// The user's runtime directory is somebody else's.
    Squatted(PathBuf),
    /// The machine does not know the user.
    Unknown(u32),
}

impl NotServed {
    /// The reason in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Self::Denied(denied) => denied.words(),
            Self::Undescribed(why) => why.words(),
            Self::Squatted(path) => Failure::RuntimeNotPrivate { path: &path.display() }.words(),
            Self::Unknown(user) => Failure::UnknownUser { user }.words(),
        }
    }
}

/// All users of the machine.
#[derive(Debug)]
pub struct Users {
    policy: Policy,
    /// The program that is a user's host when it is called `wslhost`.
    host: PathBuf,
    /// The way to each user's host, for those who live on the machine and, apart, for guests: those may
    /// be made to wait.
    links: Mutex<HashMap<(u32, bool), Arc<HostLink>>>,
    subordinates: Subordinates,
    starter: Option<Arc<Starter>>,
    unknown: Mutex<HashMap<u32, Instant>>,
    /// One question to the name services at a time.
    asking: tokio::sync::Mutex<()>,
}

impl Users {
    /// Serves whom `policy` lets in, with `host` as the program of their hosts. What this process has started is started
    /// by `starter`, where there is one.
    #[must_use]
    pub fn new(policy: Policy, host: PathBuf, starter: Option<Arc<Starter>>) -> Self {
        Self {
            policy,
            host,
            links: Mutex::default(),
            subordinates: Subordinates::default(),
            starter,
            unknown: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// To whom the connections of a uid count: a user who has many ids is one.
    #[must_use]
    pub fn accountable(&self, uid: u32) -> u32 {
        self.subordinates.owner_of(uid).unwrap_or(uid)
    }

    /// Lets a peer in, and says by which host it is served. One that `is_guest` has come by a guests'
    /// socket, and so lives elsewhere whatever its namespaces are.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn admit(&self, peer: &Peer, is_guest: bool) -> Result<Arc<HostLink>, NotServed> {
        let rules = self.policy.rules();
        let PeerCredentials { uid, gid, .. } = peer.credentials;
        let (pid, is_proven) = (peer.proven_pid(), peer.is_proven());
        let connected = Connected { uid, gid, pid, is_proven, lives: &|| peer.lives() };
        let asked = connected.describe(rules.ask_for_groups(), |pid| {
            Ok(is_guest || lives_elsewhere(pid, Compared::Machine)?)
        })?;
        let user = rules.host_for(&asked)?;
        // As the host sees it: another user is a guest there, too.
        self.link(user, asked.elsewhere || user != uid).await
    }

    /// The way to a user's host.
    async fn link(&self, user: u32, is_guest: bool) -> Result<Arc<HostLink>, NotServed> {
        if let Some(link) = lock(&self.links).get(&(user, is_guest)) {
            return Ok(Arc::clone(link));
        }
        let owner = self.owner(user).await?;
        let command = vec![self.host.clone().into_os_string()];
        let link =
            HostLink::of_machine(self.starter.clone(), move || locate(user, &owner, &command));
        let mut links = lock(&self.links);
        // Two may have come at the same time.
        Ok(Arc::clone(links.entry((user, is_guest)).or_insert_with(|| Arc::new(link))))
    }

    /// The user as whom the host runs.
    async fn owner(&self, user: u32) -> Result<Owner, NotServed> {
        let of_file = tokio::task::spawn_blocking(move || owner(user, None)).await;
        if let Some(owner) = of_file.ok().flatten() {
            return Ok(owner);
        }
        if self.subordinates.owner_of(user).is_some() {
            // Nobody logs in as such a one.
            return Err(NotServed::Unknown(user));
        }
        self.refuse_unknown(user)?;
        // Name services may take their time, and each question is a process.
        let _turn = self.asking.lock().await;
        self.refuse_unknown(user)?;
        let starter = self.starter.clone();
        let ask =
            move |user: u32| ask(user.to_string().as_bytes(), Reaped::Here, starter.as_deref());
        let asked = tokio::task::spawn_blocking(move || owner(user, Some(&ask))).await;
        let found = asked.ok().flatten();
        if found.is_none() {
            self.remember_unknown(user);
        }
        found.ok_or(NotServed::Unknown(user))
    }

    fn refuse_unknown(&self, user: u32) -> Result<(), NotServed> {
        let asked = lock(&self.unknown).get(&user).copied();
        match asked.is_some_and(|when| when.elapsed() < FORGETTING) {
            true => Err(NotServed::Unknown(user)),
            false => Ok(()),
        }
    }

    /// Whoever has many uids must not fill the memory with them.
    fn remember_unknown(&self, user: u32) {
        let mut unknown = lock(&self.unknown);
        unknown.retain(|_, when| when.elapsed() < FORGETTING);
        unknown.insert(user, Instant::now());
    }
}

/// Where a user's host is to be found. The directory is the user's, so to look at it may block.
fn locate(user: u32, owner: &Owner, command: &[OsString]) -> Result<HostAddress, HandOffError> {
    let directory = directory_of(user);
    refuse_squatted(&directory, user)
        .map_err(|error| HandOffError::NotServed(Box::new(error.words())))?;
    Ok(HostAddress {
        socket: directory.join(HOST_SOCKET),
        command: command.to_vec(),
        keeper: None,
        owner: Some(Owner { environment: environment(&owner.account), ..owner.clone() }),
    })
}

/// In `/tmp` anybody can be there first.
fn refuse_squatted(directory: &Path, user: u32) -> Result<(), NotServed> {
    let is_there = std::fs::symlink_metadata(directory).is_ok();
    if is_there && !is_private(directory, user) {
        return Err(NotServed::Squatted(directory.to_owned()));
    }
    Ok(())
}

/// What asks the name services for a user.
type Ask<'a> = &'a dyn Fn(u32) -> Option<Account>;

/// The user as whom the host runs; none whom the machine does not know. Blocks, and for seconds where
/// the name services are asked for one that the file does not have.
fn owner(user: u32, ask: Option<Ask<'_>>) -> Option<Owner> {
    let accounts = Accounts::read();
    let found = accounts.by_id(user).or_else(|| (user == 0).then(Account::root));
    let account = found.or_else(|| ask.and_then(|ask| ask(user)))?;
    let groups = accounts.groups_of(&account);
    Some(Owner { account, groups, environment: Vec::new() })
}

/// The environment of a login.
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

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
