//! Whether a launch may be: the switches and the policy, asked for what the kernel says of the caller
//! and its program.

use crate::entrance::{Entrance, Residence};
use crate::identity::{self, Identity};
use crate::located;
use crate::request::LaunchRequest;
use crate::{Launcher, RefusedLaunch, guests};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, MemfdFlags, SealFlags, fcntl_add_seals, fstat, memfd_create};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use winterop_serve::Peer;
use winterop_settings::peer::{Connected, Undescribed};
use winterop_settings::policy::{Asked, Digest, NoDigest, Verdict};
use winterop_settings::{Policy, Switches};
use winterop_sys::{PeerCredentials, is_own_user, system_error};
use winterop_words::{Failure, Words};

/// The largest program of which a sealed copy is made.
const LARGEST: u64 = 512 << 20;

/// Root's and the user's settings about who may run what.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The two switches.
    pub switches: Arc<Switches>,
    /// The policy.
    pub policy: Arc<Policy>,
    /// Whether the user wants to be served in other namespaces, too, as in sandboxes of their own.
    pub sandboxes: bool,
}

impl Admission {
    /// Lets a launch pass, or says why not. `launcher` knows where programs are that came by their
    /// bare name.
    ///
    /// From here on the request has the program that was decided on: the caller's open file; the
    /// machine's own, where a rule has named its path; the sealed copy, where a rule has asked for its
    /// SHA-256. Of a guest's variables it has those that it may set.
    ///
    /// # Errors
    /// A [`RefusedLaunch`] that names the switch or quotes the rule.
    pub fn admit(
        &self,
        request: &mut LaunchRequest,
        caller: &Caller,
        launcher: &dyn Launcher,
    ) -> Result<(), RefusedLaunch> {
        let shown = request.shown();
        let refused = |why: Words| RefusedLaunch::from(why.on(&shown));
        let entrance = caller.entrance;
        let checked = match entrance {
            Entrance::Own | Entrance::Machine => self.switches.check(),
            Entrance::Server(_) => self.switches.check_users(),
        };
        checked.map_err(|off| refused(off.words()))?;
        let rules = self.policy.rules();
        let own = rustix::process::geteuid().as_raw();
        let mut asked =
            caller.describe(rules.ask_for_groups()).map_err(|why| refused(why.words()))?;
        request.is_guest = self.is_guest(&asked, own, caller);
        if !rules.say_anything() && !request.is_guest {
            return Ok(());
        }
        let program = program(request, launcher)?;
        let identified = rules
            .ask_for_programs()
            .then(|| identify(request, program.as_ref(), rules.refuse_by_path()));
        let settled = identified.and_then(|identity| note(&mut asked, identity, &program, own));
        let mut sealed = None;
        let mut digest = || {
            let file = program.as_ref().ok_or(NoDigest::NoProgram)?;
            let copy = seal(file.as_fd())?;
            let digest = copy.1;
            sealed = Some(copy.0);
            Ok(digest)
        };
        let allowance = match rules.decide(own, &asked, &mut digest) {
            Verdict::Refused(denied) => return Err(refused(denied.words())),
            Verdict::Allowed(None) if request.is_guest => {
                return Err(refused(rules.no_rule(&asked).words()));
            }
            Verdict::Allowed(allowance) => allowance.unwrap_or_default(),
        };
        tracing::debug!(program = shown, rule = allowance.rule, "the policy allows it");
        if request.is_guest {
            guests::restrict(request, &allowance.variables);
            // What was decided on is what runs, whatever somebody puts in its place meanwhile.
            request.is_pinned = rules.ask_for_programs() && settled.is_none();
        }
        // What this side has found by a bare name has the name under which it was found.
        let decided = settled.filter(|_| request.found.is_none());
        let pinned = program.filter(|_| request.is_pinned);
        if let Some(file) = sealed.or(decided).or(pinned) {
            request.endpoints.executable = Some(file);
        }
        Ok(())
    }
}

impl Admission {
    /// Whether a caller needs a rule that lets it in: it lives elsewhere, or it is another user. An
    /// instance's servers know whom they serve; its users are the one user outside.
    fn is_guest(&self, asked: &Asked, own: u32, caller: &Caller) -> bool {
        let Caller { entrance, by_guests_socket, .. } = *caller;
        let is_user = is_own_user(asked.uid, own);
        let is_sandbox = is_user && entrance != Entrance::Machine && !by_guests_socket;
        (asked.elsewhere && !(is_sandbox && self.sandboxes))
            || (!is_user && !matches!(entrance, Entrance::Server(_)))
    }
}

/// Who asks, by what the kernel says of its connection.
#[derive(Debug)]
pub struct Caller {
    /// Its process.
    pub peer: Peer,
    /// Which way it came.
    pub entrance: Entrance,
    /// Where it lives, beside those that go with the entrance.
    pub residence: Residence,
    /// Whether it came by a socket that only guests are given.
    pub by_guests_socket: bool,
}

impl Caller {
    /// What the policy is asked about it.
    fn describe(&self, with_groups: bool) -> Result<Asked, Undescribed> {
        let elsewhere = self.residence == Residence::Elsewhere || self.by_guests_socket;
        let PeerCredentials { uid, gid, .. } = self.peer.credentials;
        let (pid, is_proven) = (self.peer.proven_pid(), self.peer.is_proven());
        let connected = Connected { uid, gid, pid, is_proven, lives: &|| self.peer.lives() };
        connected.describe(with_groups, |_| Ok(elsewhere))
    }
}

/// Whether the caller is not the host's user in the host's namespaces.
fn is_foreign(asked: &Asked, own: u32) -> bool {
    asked.elsewhere || !is_own_user(asked.uid, own)
}

/// The program, open. One that came by its path alone is opened once and used from then on; one that
/// came by its bare name is looked for on this side, and that file is decided on.
fn program(
    request: &mut LaunchRequest,
    launcher: &dyn Launcher,
) -> Result<Option<OwnedFd>, RefusedLaunch> {
    let shown = request.shown();
    let cannot_open = |error: Errno| -> RefusedLaunch {
        let text = system_error(error);
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => {
                Failure::ProgramNotThere { program: &shown, error: &text }.into()
            }
            _ => Failure::ProgramNotReadable { program: &shown, error: &text }.into(),
        }
    };
    if let Some(file) = &request.endpoints.executable {
        return fcntl_dupfd_cloexec(file, 3).map(Some).map_err(cannot_open);
    }
    if let Some(path) = request.linux_executable.as_deref().filter(|_| !request.is_guest) {
        let root = request.endpoints.root.as_ref().map(AsFd::as_fd);
        let file = identity::open_program(root, Path::new(OsStr::from_bytes(path)));
        let file = file.map_err(cannot_open)?;
        let copy = fcntl_dupfd_cloexec(&file, 3).map_err(cannot_open)?;
        request.endpoints.executable = Some(file);
        return Ok(Some(copy));
    }
    let is_bare = |name: &&Vec<u8>| !request.is_guest || identity::is_bare(name);
    let is_search = request.linux_executable.is_none();
    if let Some(name) = request.search.as_ref().filter(|_| is_search).filter(is_bare)
        && let Some(found) = launcher.find(name)?
    {
        let file = identity::open_program(None, &found).map_err(cannot_open)?;
        request.found = Some(found);
        return Ok(Some(file));
    }
    if request.is_guest {
        return Err(Failure::GuestWithoutProgram { program: &shown }.into());
    }
    Ok(None)
}

/// The names of the program, as far as they can be found out.
fn identify(request: &LaunchRequest, program: Option<&OwnedFd>, with_all_names: bool) -> Identity {
    let searched = request.search.as_deref().filter(|_| request.endpoints.executable.is_none());
    // What this side has found is in this process's root, and the caller has no part in it.
    let caller = match searched {
        Some(_) => located::Caller { root: None, pid: 0 },
        None => request.caller(),
    };
    let claimed = request.linux_executable.as_deref();
    let mut identity = match program {
        Some(program) => Identity::of(caller, program.as_fd(), claimed),
        None => Identity::default(),
    };
    if with_all_names {
        identity.add_other_names();
    }
    if let Some(name) = searched {
        identity.names.extend(identity::names_of_found(name, request.found.as_deref()));
    }
    identity
}

/// Tells the policy the program's names. Of a guest's program it also finds out whether others can
/// change what is at its name, and returns the machine's own file where they cannot.
fn note(
    asked: &mut Asked,
    identity: Identity,
    program: &Option<OwnedFd>,
    own: u32,
) -> Option<OwnedFd> {
    let Identity { own: name, inside, names } = identity;
    let is_foreign = is_foreign(asked, own);
    let places = name.as_deref().zip(program.as_ref()).filter(|_| is_foreign);
    let settled = places.and_then(|(name, file)| identity::open_settled(name, file.as_fd(), own));
    asked.settled = settled.is_some();
    (asked.program, asked.inside, asked.names) = (name, inside, names);
    settled
}

/// Copies a program to where nobody can change it any more, and takes the copy's SHA-256.
fn seal(program: BorrowedFd<'_>) -> io::Result<(OwnedFd, Digest)> {
    // What is no file may never end, or never begin.
    if !FileType::from_raw_mode(fstat(program)?.st_mode).is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create("program.exe", flags)?);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(program, &mut *buffer, length))?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { break };
        length += part.len() as u64;
        if length > LARGEST {
            return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
        }
        copy.write_all(part)?;
        hash.update(part);
    }
    fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok((copy.into(), hash.finalize().into()))
}

/// The SHA-256 of a program's content, as it is at this moment.
///
/// # Errors
/// The system's; more than the policy looks at.
pub fn digest_of(program: &Path) -> io::Result<Digest> {
    seal(File::open(program)?.as_fd()).map(|(_, digest)| digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_copy_has_the_hash_of_its_content() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        let (copy, digest) = seal(file.as_fd()).unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, known);
        assert!(File::from(copy).write_all(b"x").is_err());
    }
}
