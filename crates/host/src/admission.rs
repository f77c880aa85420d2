//! Whether a launch may be: the switches and the policy, asked for what the kernel says of the caller
//! and its program.

use crate::Refusal;
use crate::located::Name;
use crate::request::LaunchRequest;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use winterop_settings::peer::{Compared, groups_of, lives_elsewhere};
use winterop_settings::policy::{Asked, Digest, Verdict};
use winterop_settings::{Policy, Switches};
use winterop_words::Words;

/// The largest program of which a sealed copy is made.
const LARGEST: u64 = 512 << 20;

/// Which way a launch came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// By the host's own socket.
    Own,
    /// From the user's interop server that is this process, which has looked at its distribution's
    /// switch.
    Server(i32),
    /// From the machine's init, which serves everybody.
    Machine,
}

impl Entrance {
    fn compared(self) -> Compared {
        match self {
            // The machine's init belongs to root, so a user's host cannot look at it; both live in
            // the machine's own namespaces.
            Self::Own | Self::Machine => Compared::Own,
            Self::Server(pid) => Compared::Server(pid),
        }
    }
}

/// Root's and the user's settings about who may run what.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The two switches.
    pub switches: Arc<Switches>,
    /// The policy.
    pub policy: Arc<Policy>,
}

impl Admission {
    /// Lets a launch pass, or says why not. Where a rule asks for the program's SHA-256, the request
    /// has the sealed copy of which it was taken from here on.
    ///
    /// # Errors
    /// A [`Refusal`] that names the switch or quotes the rule.
    pub fn admit(&self, request: &mut LaunchRequest, entrance: Entrance) -> Result<(), Refusal> {
        let shown = request.shown();
        let refused = |why: Words| Refusal::from(why.on(&shown));
        let checked = match entrance {
            Entrance::Own | Entrance::Machine => self.switches.check(),
            Entrance::Server(_) => self.switches.check_users(),
        };
        checked.map_err(|off| refused(off.words()))?;
        let own = rustix::process::geteuid().as_raw();
        let rules = self.policy.rules();
        if !rules.say_anything() && entrance != Entrance::Machine {
            return Ok(());
        }
        let asked = asked(request, entrance, rules.ask_for_groups());
        // Only the machine's init brings others than the user; sessions know whom they serve.
        let is_guest = entrance == Entrance::Machine && (asked.elsewhere || asked.uid != own);
        let mut sealed = None;
        let mut digest = || {
            let file = request.descriptors.executable.as_ref();
            let file = file.ok_or("the request came without the open program")?;
            let copy = seal(file.as_fd()).map_err(|error| format!("it cannot be read: {error}"))?;
            let digest = copy.1;
            sealed = Some(copy.0);
            Ok(digest)
        };
        match rules.decide(own, &asked, &mut digest) {
            Verdict::Refused(denied) => return Err(refused(denied.words())),
            Verdict::Allowed(None) if is_guest => {
                return Err(refused(rules.no_rule(&asked).words()));
            }
            Verdict::Allowed(rule) => {
                tracing::debug!(program = shown, rule, "the policy allows it");
            }
        }
        if let Some(copy) = sealed {
            request.descriptors.executable = Some(copy);
        }
        Ok(())
    }
}

/// What the policy is asked.
fn asked(request: &LaunchRequest, entrance: Entrance, with_groups: bool) -> Asked {
    let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    let claimed = request.linux_executable.as_deref().or(request.search.as_deref());
    let claimed = claimed.map(path).unwrap_or_default();
    let program = match &request.descriptors.executable {
        None => Some(claimed.clone()).filter(|_| request.search.is_none()),
        Some(file) => {
            match request.caller().name_of(file.as_fd(), request.linux_executable.as_deref()) {
                Name::Own(name) => Some(name),
                Name::ThroughDescriptor(_) => None,
            }
        }
    };
    let mut groups = if with_groups { groups_of(request.peer.pid) } else { Vec::new() };
    groups.push(request.peer.gid);
    let elsewhere = lives_elsewhere(request.peer.pid, entrance.compared());
    Asked { uid: request.peer.uid, groups, elsewhere, program, claimed }
}

/// Copies a program to where nobody can change it any more, and takes the copy's SHA-256.
fn seal(program: BorrowedFd<'_>) -> io::Result<(OwnedFd, Digest)> {
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
