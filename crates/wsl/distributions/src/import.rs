//! Import: a distribution of a tar archive or a disk image.

use crate::archive::compression::decompressed;
use crate::archive::{Source, read::Reader};
use crate::attendance::{Counted, Listener, Work};
use crate::care::{alone_on, clear, forget, shelf, store};
use crate::files::{Outcome, in_child, opened, tell};
use crate::image::{Image, ImageError, ext4::Walk};
use crate::name::DistributionName;
use crate::registry::{Distribution, Flags, NoVersion, ROOT, State, Uid, Version};
use crate::tree::extract::{ExtractError, extract};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use winterop_accounts::release::Release;
use winterop_distribution::holder::{Holder, HolderError, plain_name};
use winterop_places::inside::Directory;
use winterop_words::{Failure, Words};

/// What an import may be made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accepts {
    /// An archive or a disk image; its content says which it is.
    #[default]
    Any,
    /// A disk image alone.
    Image,
}

/// Refuses versions of distributions that nobody can import.
///
/// # Errors
/// In words: it is not built, or there is none.
pub fn refuse_version(version: Option<u8>) -> Result<(), Words> {
    match version.map(Version::try_from) {
        None | Some(Ok(Version::SharedKernel)) => Ok(()),
        Some(Ok(Version::VirtualMachine)) => Err(Failure::NoVirtualMachine {}.words()),
        Some(Err(NoVersion(version))) => Err(Failure::NoVersion { version: &version }.words()),
    }
}

/// Imports an archive, a file or `-` for standard input, or a disk image, as a distribution in
/// `directory`.
///
/// # Errors
/// In words. Nothing of it is left then.
pub fn import(
    name: &str,
    directory: &Path,
    archive: &Path,
    accepts: Accepts,
    listener: &Arc<dyn Listener>,
) -> Result<(), Words> {
    let name: DistributionName = name.parse()?;
    if name.is(&Release::distribution_of_machine()) {
        return Err(Failure::MachineName { name: &name }.words());
    }
    let source = Content::open(archive)?;
    if accepts == Accepts::Image && !Image::is_one(&source.file) {
        return Err(ImageError::NotAnImage.words().on(archive.display()));
    }
    let distribution = planned(name, directory)?;
    let name = &distribution.name;
    let store = store(&**listener)?;
    let mut registry = store.read()?;
    registry.begin(distribution.clone())?;
    let _work = alone_on(&store, name)?;
    store.write(&registry)?;
    let holder = match hold(&distribution) {
        Ok(holder) => holder,
        Err(error) => {
            forget(&store, &distribution)?;
            return Err(error.words());
        }
    };
    drop(store);
    let written = write_files(source, &distribution, &holder, listener);
    let store = shelf()?.lock()?;
    if let Err(error) = written {
        clear(&store, &distribution, &**listener)?;
        return Err(error);
    }
    let mut registry = store.read()?;
    registry.set_state(name, State::Installed)?;
    store.write(&registry)?;
    store.forget_work(name);
    Ok(())
}

/// The entry of one that is to be imported into `directory`, where no other root may be.
fn planned(name: DistributionName, directory: &Path) -> Result<Distribution, Words> {
    let directory = plain_name(directory)?;
    let is_there = directory.symlink_metadata().is_ok();
    if is_there && Holder::open(&directory)?.has(ROOT) {
        return Err(Failure::RootThere { path: &directory.join(ROOT).display() }.words());
    }
    Ok(Distribution {
        name,
        made_directory: !is_there,
        directory,
        default_uid: Uid::default(),
        version: Version::SharedKernel,
        flags: Flags::default(),
        state: State::Installing,
    })
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

/// What is imported, and its size where that is known.
struct Content {
    file: File,
    size: Option<u64>,
}

impl Content {
    fn open(path: &Path) -> Result<Self, Words> {
        let failed = |error: io::Error| {
            Failure::ArchiveNotOpened { path: &path.display(), error: &error }.words()
        };
        let file = match path.as_os_str() == "-" {
            true => File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?),
            false => File::open(path).map_err(failed)?,
        };
        let status = file.metadata().map_err(failed)?;
        if status.is_dir() {
            return Err(Failure::DirectoryNotImported { path: &path.display() }.words());
        }
        Ok(Self { size: status.is_file().then_some(status.len()), file })
    }

    fn is_image(&self) -> bool {
        self.size.is_some() && Image::is_one(&self.file)
    }
}

fn write_files(
    content: Content,
    distribution: &Distribution,
    holder: &Holder,
    listener: &Arc<dyn Listener>,
) -> Result<(), Words> {
    let name = &distribution.name;
    let what = if content.is_image() { &"disk image" } else { &"archive" };
    let root = holder.root(OsStr::new(ROOT))?;
    match in_child(&**listener, || extract_all(content, &root, listener))? {
        Outcome::Done => Ok(holder.sync()?),
        Outcome::Failed => Err(Failure::ImportFailed { name, what }.words()),
        Outcome::Interrupted => Err(Failure::ImportInterrupted { name }.words()),
    }
}

/// In the child. When this returns, every file is on the disk.
fn extract_all(
    content: Content,
    root: &Directory,
    listener: &Arc<dyn Listener>,
) -> Result<(), Words> {
    listener.begin(Work::Import(content.size));
    if content.is_image() {
        // Read without the kernel, which would trust it.
        let walk = Walk::new(Image::open(content.file)?)?;
        let walk = walk.with_progress(|count| listener.advance(count));
        return extract_from(walk, root, &**listener);
    }
    let unread = |error: io::Error| Failure::ArchiveNotRead { error: &error }.words();
    let heard = Arc::clone(listener);
    let counted = Counted { stream: content.file, count: move |bytes| heard.advance(bytes) };
    extract_from(Reader::new(decompressed(counted).map_err(unread)?), root, &**listener)
}

fn extract_from<S: Source>(
    source: S,
    root: &Directory,
    listener: &dyn Listener,
) -> Result<(), Words>
where
    ExtractError: From<S::Error>,
{
    let root = opened(root)?;
    let copy = root.try_clone().map_err(|error| Failure::NotSynced { error: &error }.words())?;
    let notes = extract(source, copy)?;
    listener.finish();
    tell(listener, &notes);
    let synced = rustix::fs::syncfs(root).map_err(io::Error::from);
    synced.map_err(|error| Failure::NotSynced { error: &error }.words())
}
