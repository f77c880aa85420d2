//! The Windows names that go into WSL's own fields: from the mount table, read only if it is needed.

use crate::start::CallerEnvironment;
use alloc::vec::Vec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fstatfs, open};
use winterop_translate::wslenv::{self, Direction};
use winterop_translate::{MountTable, Translator, WindowsPath};

/// Types of file systems that can be Windows drives: 9p, drvfs and FUSE with virtiofs.
const DRIVE_TYPES: [u64; 3] = [0x0102_1997, 0x5346_4846, 0x6573_5546];

/// A mount table is never larger; the rest of one that is would be machine-made.
const LARGEST_TABLE: usize = 4 << 20;

/// Translates what the request needs.
pub(crate) struct WindowsNames<'a> {
    distribution: &'a [u8],
    /// Knows the mounts.
    full: Option<Translator>,
    /// Knows only the distribution's own files; the mount table was not read for it.
    own: Translator,
}

impl<'a> WindowsNames<'a> {
    pub(crate) fn new(environment: &CallerEnvironment<'a>) -> Self {
        let distribution = environment.non_empty(b"WSL_DISTRO_NAME").unwrap_or(b"Linux");
        let own = Translator::new(MountTable::default()).with_distribution(distribution, b"/");
        Self { distribution, full: None, own }
    }

    /// The executable's name. `file` says whether the mount table matters for it.
    pub(crate) fn executable(&mut self, path: &[u8], file: BorrowedFd<'_>) -> Vec<u8> {
        self.name(path, Some(file))
    }

    /// The working directory's name; empty where it has none.
    pub(crate) fn directory(&mut self, path: &[u8], directory: Option<&OwnedFd>) -> Vec<u8> {
        self.name(path, directory.map(AsFd::as_fd))
    }

    fn name(&mut self, path: &[u8], file: Option<BorrowedFd<'_>>) -> Vec<u8> {
        let is_on_drive = file
            .and_then(|file| fstatfs(file).ok())
            .is_none_or(|status| DRIVE_TYPES.contains(&status.f_type.cast_unsigned()));
        let translator = if is_on_drive { self.full() } else { &self.own };
        translator.to_windows(path.into()).map(WindowsPath::into_bytes).unwrap_or_default()
    }

    /// What WSLENV sends.
    pub(crate) fn variables(&mut self, environment: &CallerEnvironment<'_>) -> Vec<Vec<u8>> {
        let listed = environment.get(b"WSLENV");
        let has_paths = wslenv::entries(listed.unwrap_or_default()).any(|entry| entry.is_path);
        let translator = if has_paths { self.full() } else { &self.own };
        wslenv::translate(
            listed,
            Direction::ToWindows,
            |name| environment.get(name),
            |path| wslenv::windows_value(translator, path),
        )
    }

    fn full(&mut self) -> &Translator {
        let distribution = self.distribution;
        self.full.get_or_insert_with(|| {
            Translator::new(read_mounts()).with_distribution(distribution, b"/")
        })
    }
}

fn read_mounts() -> MountTable {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(file) = open("/proc/self/mountinfo", flags, Mode::empty()) else {
        return MountTable::default();
    };
    MountTable::parse(&crate::discovery::read_limited(&file, LARGEST_TABLE))
}

/// The untranslated values of WSLENV's paths, for a host that knows drives of its own.
pub(crate) fn raw_paths<'a>(environment: &CallerEnvironment<'a>) -> Vec<Vec<u8>> {
    let listed = environment.get(b"WSLENV").unwrap_or_default();
    wslenv::entries(listed)
        .filter(|entry| entry.is_path && entry.travels(Direction::ToWindows))
        .filter_map(|entry| {
            let value = environment.get(entry.name)?;
            Some([entry.name, b"=", value].concat())
        })
        .collect()
}
