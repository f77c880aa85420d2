//! What all checks look at: who asks, and where things are.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use winterop_places::names::INIT;
use winterop_places::program;
use winterop_settings::machine::{self, EntryName};
use winterop_settings::{LauncherKind, MachineSettings, Settings};
use winterop_words::Words;

/// Where the machine's registration is kept; there once Winterop is enabled for all.
const DROP_INS: [&str; 3] = ["/usr/lib/binfmt.d", "/etc/binfmt.d", "/run/binfmt.d"];

/// Who asks about what.
#[derive(Clone, Debug)]
pub struct Context {
    /// The file that was asked about.
    pub program: Option<PathBuf>,
    /// The user.
    pub uid: u32,
    /// The name of the entry in the kernel's table: sessions always have the same, a machine has the
    /// one that root has set.
    pub entry: EntryName,
}

impl Context {
    /// This process's user, who asks about `program`, if about any.
    #[must_use]
    pub fn new(program: Option<PathBuf>) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let mut context = Self { program, uid, entry: EntryName::default() };
        if !context.is_in_session() {
            let settings = MachineSettings::read(Path::new(machine::DIRECTORY));
            // What is wrong with the settings a check of its own says.
            context.entry = settings.map(|settings| settings.entry).unwrap_or_default();
        }
        context
    }

    /// Whether Winterop is enabled for the whole machine.
    pub fn is_enabled(&self) -> bool {
        DROP_INS.iter().any(|folder| Path::new(folder).join("WSLInterop.conf").exists())
    }

    /// Whether this is a session of `winterop shell`.
    pub fn is_in_session(&self) -> bool {
        std::env::var_os("WSL_INTEROP").is_some_and(|it| !it.is_empty()) && Path::new(INIT).exists()
    }

    /// Whether Windows programs are to run by name here.
    pub fn is_expected(&self) -> bool {
        self.is_enabled() || self.is_in_session()
    }

    /// What makes launches by name work again here.
    pub fn renew(&self) -> &'static str {
        if self.is_in_session() {
            "leave this session, and start a new one with `winterop shell`"
        } else {
            "winterop enable"
        }
    }

    /// The interpreter that belongs to this program.
    pub fn own_init(&self) -> Result<PathBuf, Words> {
        program::init()
    }

    /// The user's settings; the defaults where they are wrong, which a check of its own says.
    pub fn settings(&self) -> Settings {
        Settings::of_user().unwrap_or_default()
    }

    /// Whether the user's programs are started by Wine.
    #[must_use]
    pub fn uses_wine(&self) -> bool {
        self.settings().launcher == LauncherKind::Wine
    }
}

/// Whether two names lead to the same content: the same file, or one with the same bytes.
pub(crate) fn is_same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    let (first, second) = (one.metadata()?, other.metadata()?);
    if (first.dev(), first.ino()) == (second.dev(), second.ino()) {
        return Ok(true);
    }
    if first.len() != second.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    one.take(first.len()).read_to_end(&mut left)?;
    other.take(second.len()).read_to_end(&mut right)?;
    Ok(left == right)
}
