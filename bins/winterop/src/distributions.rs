//! The distributions of this user: imported, listed, removed.
//!
//! There is no process that owns them. Whoever changes something holds the registry's lock for
//! that moment; whoever writes or removes files holds the distribution's own lock, and a child does
//! it. What a `wsl` that was killed has left unfinished, the next one takes away.

use crate::distribution::{self, PATIENCE};
use crate::places;
use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use winterop_accounts::Accounts;
use winterop_distribution::holder::{Holder, HolderError, plain_name};
use winterop_distributions::DistributionName;
use winterop_distributions::archive::compression::{Compression, Compressor, decompressed};
use winterop_distributions::archive::{Source, read::Reader, write::Writer};
use winterop_distributions::image::{Image, ImageError, ext4::Walk};
use winterop_distributions::registry::{Distribution, Flags, ROOT, Registry, State, Uid, Version};
use winterop_distributions::store::{Place, Store};
use winterop_distributions::tree::extract::{ExtractError, extract};
use winterop_distributions::tree::{Notes, pack::pack, remove::remove};
use winterop_namespaces::ids::{Done, with_ids};
use winterop_places::inside::Directory;
use winterop_words::visible;

fn place() -> Result<Place> {
    Ok(Place::below(&places::data()?))
}

/// All of them as they are now.
pub fn registry() -> Result<Registry> {
    Ok(place()?.read()?)
}

/// The store, without what others have left unfinished.
fn store() -> Result<Store> {
    let store = place()?.lock()?;
    let registry = store.read()?;
    let unfinished = registry.distributions().iter().filter(|one| one.state != State::Installed);
    for one in unfinished {
        let Some(_work) = store.work_on(&one.name)? else { continue };
        if let Err(error) = clear(&store, one) {
            // It is listed on, and keeps nobody from working with the others.
            complain(&error.context(format!("cleaning up {}", one.name)));
        }
    }
    Ok(store)
}

/// Removes the files of a distribution, then its entry. The caller holds its work lock.
fn clear(store: &Store, distribution: &Distribution) -> Result<()> {
    remove_files(distribution)?;
    forget(store, distribution)
}

/// Removes the entry of a distribution that has no files.
fn forget(store: &Store, distribution: &Distribution) -> Result<()> {
    let mut registry = store.read()?;
    registry.remove(&distribution.name);
    store.write(&registry)?;
    store.forget_work(&distribution.name);
    Ok(())
}

fn remove_files(distribution: &Distribution) -> Result<()> {
    let directory = &distribution.directory;
    let holder = match Holder::open(directory) {
        Err(error) if error.is_missing() => return Ok(()),
        holder => holder?,
    };
    let removing = || format!("removing {}", distribution.root().display());
    let done = with_ids(|| told(remove(holder.as_fd(), ROOT).with_context(removing)))?;
    if done.status != Some(0) {
        bail!("{} is not removed completely", distribution.root().display());
    }
    if distribution.made_directory {
        // Somebody may have put files of theirs beside the root.
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}

/// Imports an archive, a file or `-` for standard input, or a disk image, as a distribution in
/// `directory`.
pub fn import(name: &str, directory: &Path, archive: &Path, must_be_image: bool) -> Result<()> {
    let name: DistributionName = name.parse()?;
    if name.is(&places::distribution()) {
        bail!("{name} is this machine's own name; choose another one");
    }
    let (source, size) = open_archive(archive)?;
    if must_be_image && !Image::is_one(&source) {
        bail!("{}: {}", archive.display(), ImageError::NotAnImage);
    }
    let directory = plain_name(directory)?;
    let is_there = directory.symlink_metadata().is_ok();
    if is_there && Holder::open(&directory)?.has(ROOT) {
        bail!("{} is there already; choose an empty directory", directory.join(ROOT).display());
    }
    let store = store()?;
    let distribution = Distribution {
        name: name.clone(),
        made_directory: !is_there,
        directory,
        default_uid: Uid::default(),
        version: Version::SharedKernel,
        flags: Flags::default(),
        state: State::Installing,
    };
    let mut registry = store.read()?;
    registry.begin(distribution.clone())?;
    let Some(_work) = store.work_on(&name)? else { bail!("{name} is being imported or removed") };
    store.write(&registry)?;
    let holder = match hold(&distribution) {
        Ok(holder) => holder,
        Err(error) => {
            forget(&store, &distribution)?;
            return Err(error.into());
        }
    };
    drop(store);
    let written = write_files(source, size, &holder);
    let store = place()?.lock()?;
    match written.and_then(|()| Ok(holder.sync()?)) {
        Ok(()) => {
            let mut registry = store.read()?;
            registry.set_state(&name, State::Installed)?;
            store.write(&registry)?;
            store.forget_work(&name);
            Ok(())
        }
        Err(error) => {
            clear(&store, &distribution)?;
            Err(error.context(format!("{name} is not imported, and nothing of it is left")))
        }
    }
}

/// Makes what holds the root, closed to others, and the root's own directory. What it has made is
/// gone where that fails.
fn hold(distribution: &Distribution) -> Result<Holder, HolderError> {
    let held = Holder::make(&distribution.directory).and_then(|(holder, _)| {
        holder.make_root(ROOT)?;
        Ok(holder)
    });
    if held.is_err() && distribution.made_directory {
        // Only an empty one can be removed by this.
        let _ = fs::remove_dir(&distribution.directory);
    }
    held
}

/// The archive, and its size where that is known.
fn open_archive(archive: &Path) -> Result<(File, Option<u64>)> {
    let shown = archive.display();
    let file = match archive.as_os_str() == "-" {
        true => File::from(io::stdin().as_fd().try_clone_to_owned()?),
        false => File::open(archive).with_context(|| format!("opening {shown}"))?,
    };
    let status = file.metadata().with_context(|| shown.to_string())?;
    if status.is_dir() {
        bail!("{shown} is a directory; `wsl -d NAME --root {shown}` runs it as it is");
    }
    Ok((file, status.is_file().then_some(status.len())))
}

fn progress(what: &str, size: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        eprintln!("{what} in progress, this may take a few minutes.");
        return ProgressBar::hidden();
    }
    let (bar, template) = match size {
        Some(size) => (ProgressBar::new(size), "{bar:40} {bytes} of {total_bytes}, {eta}"),
        None => (ProgressBar::no_length(), "{spinner} {bytes}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Works on a distribution's files in a child with its ids, and says what went wrong there and what had
/// to be done without; returns its status, none where a signal has ended it.
fn in_child(work: impl FnOnce() -> Result<()>) -> Result<Option<u8>> {
    let Done { status, note } = with_ids(|| told(work()))?;
    if let Some(note) = note {
        eprintln!("wsl: {note}");
    }
    Ok(status)
}

/// Tells what went wrong in a child; returns its status.
fn told(result: Result<()>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            1
        }
    }
}

fn complain(error: &anyhow::Error) {
    eprintln!("wsl: {error:#}");
}

/// Opens a directory that is held, to be read.
fn opened(directory: impl AsFd) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::openat(directory, ".", flags, Mode::empty());
    open.context("opening the distribution's files")
}

/// The root of a distribution, open, by what holds it.
fn root_of(one: &Distribution) -> Result<Directory> {
    Ok(Holder::open(&one.directory)?.root(OsStr::new(ROOT))?)
}

fn tell(notes: &Notes) {
    for line in notes.lines() {
        eprintln!("wsl: {line}");
    }
}

fn write_files(source: File, size: Option<u64>, holder: &Holder) -> Result<()> {
    let is_image = size.is_some() && Image::is_one(&source);
    let root = holder.root(OsStr::new(ROOT))?;
    let write = || match is_image {
        true => extract_image(source, size, &root),
        false => extract_all(source, size, &root),
    };
    let what = if is_image { "disk image" } else { "archive" };
    match in_child(write)? {
        Some(0) => Ok(()),
        Some(_) => bail!("the {what} cannot be imported"),
        None => bail!("the import was interrupted"),
    }
}

/// In the child: reads the file system in an image, without the kernel.
fn extract_image(source: File, size: Option<u64>, root: &Directory) -> Result<()> {
    let bar = progress("Import", size);
    let walk = Walk::new(Image::open(source)?)?.with_progress(|count| bar.inc(count));
    extract_from(walk, root, &bar)
}

/// In the child. When this returns, every file is on the disk.
fn extract_all(source: File, size: Option<u64>, root: &Directory) -> Result<()> {
    let bar = progress("Import", size);
    extract_from(Reader::new(decompressed(bar.wrap_read(source))?), root, &bar)
}

fn extract_from<S: Source>(source: S, root: &Directory, bar: &ProgressBar) -> Result<()>
where
    ExtractError: From<S::Error>,
{
    let root = opened(root)?;
    let notes = extract(source, root.try_clone()?)?;
    bar.finish_and_clear();
    tell(&notes);
    rustix::fs::syncfs(root).context("writing everything to the disk")
}

/// Ends a distribution where it runs.
pub fn terminate(name: &str) -> Result<()> {
    let Some(instance) = distribution::running(name)? else { return Ok(()) };
    instance.terminate(true)?;
    if !instance.wait_for_end(PATIENCE)? {
        bail!("{name} does not end");
    }
    Ok(())
}

/// Ends all that run.
pub fn shutdown() -> Result<()> {
    for one in registry()?.distributions() {
        terminate(one.name.as_str())?;
    }
    Ok(())
}

/// Removes a distribution with its files; asks before, unless `is_sure`.
pub fn unregister(name: &str, is_sure: bool) -> Result<()> {
    let found = registry()?.installed(name)?.clone();
    if !is_sure && !is_agreed(&found)? {
        bail!("{} stays", found.name);
    }
    let store = store()?;
    let mut registry = store.read()?;
    let found = registry.installed(name)?.clone();
    let Some(_work) = store.work_on(&found.name)? else { bail!("{} is busy", found.name) };
    terminate(found.name.as_str())?;
    // From here on nobody starts it, and whoever comes next goes on with this.
    registry.set_state(&found.name, State::Uninstalling)?;
    store.write(&registry)?;
    drop(store);
    // One that was started a moment ago.
    terminate(found.name.as_str())?;
    remove_files(&found)?;
    let store = place()?.lock()?;
    clear(&store, &found)
}

fn is_agreed(one: &Distribution) -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("this removes {} with all its files; say `--yes` if that is meant", one.name);
    }
    let place = visible::line(&one.root().display().to_string());
    eprint!("Remove {} with all files in {place}? [y/N] ", one.name);
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Makes one the default; the machine's own name makes the machine it.
pub fn set_default(name: &str) -> Result<()> {
    let store = store()?;
    let mut registry = store.read()?;
    let is_machine = name.eq_ignore_ascii_case(&places::distribution());
    registry.set_default(Some(name).filter(|_| !is_machine))?;
    Ok(store.write(&registry)?)
}

/// A distribution that a command is for.
#[derive(Clone, Debug)]
pub struct Meant {
    pub name: String,
    pub root: PathBuf,
    pub default_uid: Uid,
}

/// The one that is meant by a name, or by none. `None` is the machine itself.
pub fn meant(name: Option<&str>) -> Result<Option<Meant>> {
    let own = places::distribution();
    let registry = registry()?;
    let found = match name {
        Some(name) if name.eq_ignore_ascii_case(&own) => None,
        Some(name) => Some(registry.installed(name)?),
        None => registry.default_distribution(),
    };
    Ok(found.map(|one| Meant {
        name: one.name.as_str().to_owned(),
        root: one.root(),
        default_uid: one.default_uid,
    }))
}

/// Makes somebody the one who starts a distribution's commands.
pub fn set_default_user(name: &str, user: &str) -> Result<()> {
    let store = store()?;
    let mut registry = store.read()?;
    let found = registry.installed(name)?.clone();
    let accounts = Accounts::in_root(&root_of(&found)?);
    let account = accounts.by_name(user.as_bytes());
    let account = account.with_context(|| {
        format!("there is no user {user} in {}/etc/passwd", found.root().display())
    })?;
    registry.set_default_uid(&found.name, Uid(account.user))?;
    Ok(store.write(&registry)?)
}

/// Says which is the default one.
pub fn status() -> Result<()> {
    let registry = registry()?;
    let default = registry.default_distribution().map(|one| one.name.as_str().to_owned());
    println!("Default Distribution: {}", default.unwrap_or_else(places::distribution));
    println!("Default Version: {}", u8::from(Version::default()));
    Ok(())
}

/// Writes the files of a distribution into an archive, a file or `-` for standard output. A file is
/// there whole or not at all.
pub fn export(name: &str, file: &Path, compression: Option<Compression>) -> Result<()> {
    let found = registry()?.installed(name)?.clone();
    let compression = compression.unwrap_or_else(|| Compression::of_name(file));
    if file.as_os_str() == "-" {
        if io::stdout().is_terminal() {
            bail!("an archive is nothing for a terminal; name a file, or a pipe");
        }
        return write_archive(
            &found,
            File::from(io::stdout().as_fd().try_clone_to_owned()?),
            compression,
        );
    }
    let shown = file.display();
    if file.is_dir() {
        bail!("{shown} is a directory; name the file that is to be written");
    }
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(format!(".part-{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    // It has every secret of the distribution, whatever the mask is.
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let sink = options.open(&fresh).with_context(|| format!("making {}", fresh.display()))?;
    let written = write_archive(&found, sink, compression)
        .and_then(|()| fs::rename(&fresh, file).with_context(|| format!("making {shown}")));
    if written.is_err() {
        // What was written so far is nothing.
        let _ = fs::remove_file(&fresh);
    }
    written
}

fn write_archive(one: &Distribution, sink: File, compression: Compression) -> Result<()> {
    let root = root_of(one)?;
    match in_child(|| pack_all(&root, sink, compression))? {
        Some(0) => Ok(()),
        Some(_) => bail!("{} is not exported", one.name),
        None => bail!("the export was interrupted"),
    }
}

/// In the child. When this returns, a file is on the disk.
fn pack_all(root: &Directory, sink: File, compression: Compression) -> Result<()> {
    let open = opened(root)?;
    let bar = progress("Export", None);
    let is_file = sink.metadata()?.is_file();
    let buffered = io::BufWriter::with_capacity(1 << 20, bar.wrap_write(sink.try_clone()?));
    let (notes, archive) = pack(open, Writer::new(Compressor::new(compression, buffered)?))?;
    let mut buffered = archive.finish()?.finish().context("writing the archive")?;
    io::Write::flush(&mut buffered).context("writing the archive")?;
    if is_file {
        sink.sync_all().context("writing the archive to the disk")?;
    }
    bar.finish_and_clear();
    tell(&notes);
    Ok(())
}

/// How a list looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListStyle {
    /// State and version too.
    pub verbose: bool,
    /// Names alone.
    pub quiet: bool,
    /// Only those that run.
    pub running: bool,
    /// Those too that are being imported or removed.
    pub all: bool,
}

/// Lists them; the machine comes first, and always runs.
pub fn list(style: ListStyle) -> Result<()> {
    let registry = registry()?;
    let default = registry.default_distribution().map(|one| one.name.clone());
    let mut rows = vec![(places::distribution(), default.is_none(), "Running", 1_u8)];
    for one in registry.distributions() {
        let is_running = distribution::running(one.name.as_str())?.is_some();
        let state = if is_running { "Running" } else { one.state.words() };
        let is_shown = match style.running {
            true => is_running,
            false => style.all || style.verbose || one.state == State::Installed,
        };
        if is_shown {
            let is_default = default.as_ref() == Some(&one.name);
            rows.push((one.name.as_str().to_owned(), is_default, state, one.version.into()));
        }
    }
    let width = rows.iter().map(|row| row.0.len()).max().unwrap_or(0).max(4);
    if style.verbose && !style.quiet {
        println!("  {:width$}  {:12}  VERSION", "NAME", "STATE");
    }
    for (name, is_default, state, version) in rows {
        match (style.quiet, style.verbose) {
            (true, _) => println!("{name}"),
            (false, true) => {
                let mark = if is_default { '*' } else { ' ' };
                println!("{mark} {name:width$}  {state:12}  {version}");
            }
            (false, false) => println!("{name}{}", if is_default { " (Default)" } else { "" }),
        }
    }
    Ok(())
}
