//! The files of an installation, and the manifest that says which of them are ours.

use super::error::{InstallError, failed};
use super::installable::Installable;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use winterop_places::names::INIT;
use winterop_registration as registration;
use winterop_settings::file::replace;
use winterop_settings::machine::EntryName;

/// What systemd-binfmt registers again when it starts or reloads.
pub const BINFMT: &str = "/usr/lib/binfmt.d/WSLInterop.conf";

/// Where systemd looks for units.
pub const UNITS: &str = "/usr/lib/systemd/system";

/// Which files are ours, with what was in them.
pub const MANIFEST: &str = "/var/lib/winterop/manifest.toml";

/// The largest file that is compared: 64 MiB.
const LARGEST: u64 = 64 << 20;

/// A file to be there.
#[derive(Clone, Debug)]
struct Wanted {
    path: PathBuf,
    content: Vec<u8>,
    mode: u32,
}

/// The files of an installation.
#[derive(Clone, Debug)]
pub struct Files {
    entry: EntryName,
    wanted: Vec<Wanted>,
}

impl Files {
    /// The files for this plan; units only where systemd is installed.
    ///
    /// # Errors
    /// The interpreter cannot be read.
    pub fn of(plan: &Installable) -> Result<Self, InstallError> {
        let init = fs::read(&plan.init).map_err(failed("reading", &plan.init))?;
        let line = registration::line(plan.entry.as_str(), INIT);
        let binfmt =
            format!("# Made by `winterop enable`; `winterop disable` removes it.\n{line}\n");
        let file = |path: &str, content: Vec<u8>, mode| Wanted { path: path.into(), content, mode };
        let mut wanted = vec![file(INIT, init, 0o755), file(BINFMT, binfmt.into_bytes(), 0o644)];
        if below(&plan.root, UNITS).is_dir() {
            for (name, text) in [
                ("winterop.socket", SOCKET_UNIT.to_owned()),
                ("winterop.service", service_unit(&plan.program)),
            ] {
                wanted.push(file(&format!("{UNITS}/{name}"), text.into_bytes(), 0o644));
            }
        }
        Ok(Self { entry: plan.entry.clone(), wanted })
    }

    /// Puts the files there; returns what is noted of them.
    ///
    /// What is to be written is noted first, so that an interrupted call leaves nothing unknown.
    ///
    /// # Errors
    /// An [`InstallError`]; a file that is not ours is left alone, and then nothing was changed.
    pub fn install(&self, root: &Path, done: &mut Vec<String>) -> Result<Manifest, InstallError> {
        let mut manifest = Manifest::read(root)?;
        let mut changed = Vec::new();
        for wanted in &self.wanted {
            let place = below(root, &wanted.path);
            match hash_of(&place)? {
                Some(found) if found == hash(&wanted.content) => {}
                Some(found) if !manifest.has(&wanted.path, &found) => {
                    return Err(InstallError::Foreign(place));
                }
                _ => changed.push(wanted.path.clone()),
            }
        }
        manifest.rename_entry(&self.entry);
        for wanted in &self.wanted {
            manifest.note(&wanted.path, hash(&wanted.content));
        }
        manifest.write(root)?;
        for wanted in self.wanted.iter().filter(|wanted| changed.contains(&wanted.path)) {
            let place = below(root, &wanted.path);
            replace(&place, &wanted.content, wanted.mode).map_err(failed("writing", &place))?;
            done.push(format!("wrote {}", place.display()));
        }
        Ok(manifest)
    }
}

/// Which files are ours: each with every content that was written there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name of the entry in the kernel's table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryName>,
    /// The names that it had before and that may be there still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<EntryName>,
    /// The state of the files that the kernel and the machine's init have; none before they have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_effect: Option<String>,
    #[serde(default)]
    file: Vec<Noted>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    path: PathBuf,
    /// SHA-256 in hexadecimal digits; the last one is what should be there.
    sha256: Vec<String>,
}

impl Manifest {
    /// Reads the manifest; an empty one where there is none.
    ///
    /// # Errors
    /// It is there and cannot be read or understood.
    pub fn read(root: &Path) -> Result<Self, InstallError> {
        let path = below(root, MANIFEST);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed("reading", &path)(error)),
        };
        toml::from_str(&text)
            .map_err(|error| failed("understanding", &path)(io::Error::other(error)))
    }

    fn write(&self, root: &Path) -> Result<(), InstallError> {
        let path = below(root, MANIFEST);
        let text = toml::to_string(self).map_err(io::Error::other);
        let written = text.and_then(|text| replace(&path, text.as_bytes(), 0o644));
        written.map_err(failed("writing", &path))
    }

    fn rename_entry(&mut self, name: &EntryName) {
        let old = self.entry.replace(name.clone());
        self.former.extend(old);
        self.former.retain(|former| former != name);
    }

    /// The names that the entry in the kernel's table had before.
    #[must_use]
    pub fn former_entries(&self) -> &[EntryName] {
        &self.former
    }

    /// Whether the kernel and the machine's init have the files as they are now: an installation that
    /// was interrupted after it had written them is not complete.
    #[must_use]
    pub fn is_in_effect(&self) -> bool {
        self.in_effect.as_ref() == Some(&self.state())
    }

    /// Notes that they have, and that no entry with a former name is left.
    ///
    /// # Errors
    /// An [`InstallError`]; the next installation does it again.
    pub fn note_effect(&mut self, root: &Path) -> Result<(), InstallError> {
        if self.is_in_effect() && self.former.is_empty() {
            return Ok(());
        }
        self.in_effect = Some(self.state());
        self.former.clear();
        self.write(root)
    }

    /// All contents that should be there, as one hash.
    fn state(&self) -> String {
        let line = |noted: &Noted| {
            let last = noted.sha256.last().map_or("", String::as_str);
            format!("{} {last}\n", noted.path.display())
        };
        hash(self.file.iter().map(line).collect::<String>().as_bytes())
    }

    /// Whether nothing of ours is installed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.file.is_empty()
    }

    /// The files, each with what is there: ours, changed, or gone.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn states(&self, root: &Path) -> Result<Vec<(PathBuf, FileState)>, InstallError> {
        self.file
            .iter()
            .map(|noted| {
                let state = match hash_of(&below(root, &noted.path))? {
                    None => FileState::Gone,
                    Some(found) if noted.sha256.contains(&found) => FileState::Ours,
                    Some(_) => FileState::Changed,
                };
                Ok((noted.path.clone(), state))
            })
            .collect()
    }

    fn has(&self, path: &Path, found: &str) -> bool {
        let mut noted = self.file.iter().filter(|noted| noted.path == path);
        noted.any(|noted| noted.sha256.iter().any(|hash| hash == found))
    }

    fn note(&mut self, path: &Path, hash: String) {
        match self.file.iter_mut().find(|noted| noted.path == path) {
            Some(noted) => {
                noted.sha256.retain(|known| *known != hash);
                noted.sha256.push(hash);
            }
            None => self.file.push(Noted { path: path.to_owned(), sha256: vec![hash] }),
        }
    }

    /// Removes the files that are as they were written, the manifest last. What somebody has changed
    /// stays, and is told of.
    ///
    /// # Errors
    /// An [`InstallError`]; the manifest is there still.
    pub fn remove(&self, root: &Path, done: &mut Vec<String>) -> Result<(), InstallError> {
        for (path, state) in self.states(root)? {
            let place = below(root, &path);
            match state {
                FileState::Gone => {}
                FileState::Changed => {
                    done.push(format!("kept {}: somebody has changed it", place.display()));
                }
                FileState::Ours => {
                    fs::remove_file(&place).map_err(failed("removing", &place))?;
                    done.push(format!("removed {}", place.display()));
                }
            }
        }
        let manifest = below(root, MANIFEST);
        match fs::remove_file(&manifest) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("removing", &manifest)(error));
            }
            _ => {}
        }
        // The folders, where nothing else is in them.
        for folder in ["/var/lib/winterop", "/usr/lib/binfmt.d"] {
            let _ = fs::remove_dir(below(root, folder));
        }
        Ok(())
    }
}

/// What there is of a file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// It is as it was written.
    Ours,
    /// Somebody has changed it.
    Changed,
    /// It is not there.
    Gone,
}

/// A path of the machine below the directory that is its root.
pub(crate) fn below(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of a file; `None` where there is none. What is no file, or a link, hashes as nothing of
/// ours does.
fn hash_of(path: &Path) -> Result<Option<String>, InstallError> {
    let status = match fs::symlink_metadata(path) {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("looking at", path)(error)),
    };
    if !status.is_file() || status.len() > LARGEST {
        return Ok(Some(String::new()));
    }
    let mut content = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut content));
    read.map_err(failed("reading", path))?;
    Ok(Some(hash(&content)))
}

/// Connections to the machine's interop server start it.
const SOCKET_UNIT: &str = "\
# Made by `winterop enable`; `winterop disable` removes it.
[Unit]
Description=Interop server for Windows programs
Documentation=man:winterop(1)

[Socket]
ListenStream=/run/WSL/1_interop
Backlog=128
SocketMode=0666
DirectoryMode=0755
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
";

/// The machine's init. It keeps the registration too, so it runs from the start.
///
/// It is sandboxed: systemd starts the hosts, so nothing of this is theirs. It can connect to sockets in
/// users' folders and see which namespaces processes live in, for which it has the two capabilities; it
/// asks the name services, which may be anywhere. `/tmp` is the machine's, because hosts' sockets may lie
/// there. `/proc` is the machine's, because the kernel's table is mounted in it: `ProtectControlGroups`,
/// `ProtectProc` and `ProtectKernelTunables` would put another one there.
fn service_unit(program: &Path) -> String {
    format!(
        "\
# Made by `winterop enable`; `winterop disable` removes it.
[Unit]
Description=Windows programs for all users of this machine
Documentation=man:winterop(1)
Requires=winterop.socket
After=systemd-binfmt.service

[Service]
Type=notify
ExecStart={INIT} --machine --host {program}
Restart=on-failure
WatchdogSec=30
LimitNOFILE=16384
# Hosts that a version before this one has started are in its cgroup, with their users' programs.
KillMode=process
{sandbox}
[Install]
WantedBy=multi-user.target
",
        program = quoted(program),
        sandbox = SANDBOX
    )
}

/// What the machine's init may do. Not `RestrictSUIDSGID`: that takes `openat2` away, by which files are
/// opened without being led elsewhere. The directory of guests' sockets outlives the init: containers
/// have it mounted.
const SANDBOX: &str = "\
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_SYS_PTRACE
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectSystem=strict
ReadOnlyPaths=/sys/fs/cgroup
ReadWritePaths=/var/log -/run/WSL
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RuntimeDirectory=winterop
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077
";

/// A word of a unit file.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let escaped =
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, Installable) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(below(root.path(), UNITS)).unwrap();
        let init = root.path().join("new-init");
        fs::write(&init, "init 1").unwrap();
        let plan = Installable {
            root: root.path().to_owned(),
            init,
            program: "/usr/lib/winterop/bin/winterop".into(),
            entry: EntryName::default(),
        };
        (root, plan)
    }

    /// Installs, and says what was written; with whether it had been in effect.
    fn install(plan: &Installable) -> Result<(Vec<String>, bool), InstallError> {
        let mut done = Vec::new();
        let mut manifest = Files::of(plan)?.install(&plan.root, &mut done)?;
        let was_in_effect = manifest.is_in_effect();
        manifest.note_effect(&plan.root)?;
        Ok((done, was_in_effect))
    }

    fn remove(plan: &Installable) -> Vec<String> {
        let mut done = Vec::new();
        Manifest::read(&plan.root).unwrap().remove(&plan.root, &mut done).unwrap();
        done
    }

    #[test]
    fn twice_is_once_and_removing_leaves_nothing() {
        let (root, plan) = machine();
        let (written, was_in_effect) = install(&plan).unwrap();
        assert_eq!((written.len(), was_in_effect), (4, false));
        assert_eq!(install(&plan).unwrap(), (Vec::new(), true));
        let line = fs::read_to_string(below(root.path(), BINFMT)).unwrap();
        assert!(line.ends_with("\n:WSLInterop:M::MZ::/init:POF\n"), "{line}");
        assert_eq!(remove(&plan).len(), 4);
        assert!(
            !below(root.path(), INIT).exists() && !below(root.path(), "/var/lib/winterop").exists()
        );
        assert!(remove(&plan).is_empty());
    }

    #[test]
    fn an_upgrade_replaces_what_is_ours() {
        let (root, plan) = machine();
        install(&plan).unwrap();
        fs::write(&plan.init, "init 2").unwrap();
        let wrote_init = (vec![format!("wrote {}", below(root.path(), INIT).display())], false);
        assert_eq!(install(&plan).unwrap(), wrote_init);
        assert_eq!(fs::read(below(root.path(), INIT)).unwrap(), b"init 2");
        // As if it had been interrupted before the file was replaced.
        fs::write(&plan.init, "init 3").unwrap();
        Files::of(&plan).unwrap().install(&plan.root, &mut Vec::new()).unwrap();
        fs::write(below(root.path(), INIT), "init 2").unwrap();
        assert_eq!(install(&plan).unwrap(), wrote_init);
        // And as if before anybody had noticed: nothing is to be written, and much to be done.
        fs::write(&plan.init, "init 4").unwrap();
        Files::of(&plan).unwrap().install(&plan.root, &mut Vec::new()).unwrap();
        assert_eq!(install(&plan).unwrap(), (Vec::new(), false));
        assert_eq!(install(&plan).unwrap(), (Vec::new(), true));
        assert_eq!(remove(&plan).len(), 4);
    }

    #[test]
    fn a_former_name_of_the_entry_is_known_until_it_is_gone() {
        let (_root, plan) = machine();
        install(&plan).unwrap();
        let renamed =
            |name: &str| Installable { entry: name.to_owned().try_into().unwrap(), ..plan.clone() };
        let noted =
            |plan: &Installable| Files::of(plan).unwrap().install(&plan.root, &mut Vec::new());
        let former = |manifest: &Manifest| {
            manifest.former_entries().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        noted(&renamed("second")).unwrap();
        let mut manifest = noted(&renamed("third")).unwrap();
        assert_eq!(former(&manifest), ["WSLInterop", "second"]);
        assert_eq!(former(&noted(&renamed("second")).unwrap()), ["WSLInterop", "third"]);
        manifest = noted(&renamed("third")).unwrap();
        manifest.note_effect(&plan.root).unwrap();
        assert!(former(&Manifest::read(&plan.root).unwrap()).is_empty());
    }

    #[test]
    fn what_is_foreign_or_changed_stays() {
        let (root, plan) = machine();
        let init = below(root.path(), INIT);
        std::os::unix::fs::symlink("/lib/systemd/systemd", &init).unwrap();
        let error = install(&plan).unwrap_err();
        assert!(error.words().to_string().contains("not Winterop's"), "{error}");
        assert!(!below(root.path(), MANIFEST).exists() && !below(root.path(), BINFMT).exists());
        fs::remove_file(&init).unwrap();
        install(&plan).unwrap();
        fs::write(below(root.path(), BINFMT), "mine").unwrap();
        assert!(matches!(install(&plan), Err(InstallError::Foreign(_))));
        let done = remove(&plan);
        assert!(done.iter().any(|line| line.starts_with("kept ")), "{done:?}");
        assert_eq!(fs::read(below(root.path(), BINFMT)).unwrap(), b"mine");
    }

    #[test]
    fn a_manifest_that_is_not_understood_is_told_of() {
        let (root, plan) = machine();
        fs::create_dir_all(below(root.path(), "/var/lib/winterop")).unwrap();
        fs::write(below(root.path(), MANIFEST), "file = 1").unwrap();
        let error = install(&plan).unwrap_err().words().to_string();
        assert!(error.contains("manifest.toml"), "{error}");
    }

    #[test]
    fn a_path_in_a_unit_is_one_word() {
        assert_eq!(quoted(Path::new("/a b/%x$y\"")), "\"/a b/%%x$$y\\\"\"");
    }
}
