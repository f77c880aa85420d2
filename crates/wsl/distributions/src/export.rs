//! Export: an archive of a distribution's files.

use crate::archive::compression::{Compression, Compressor};
use crate::archive::write::Writer;
use crate::attendance::{Counted, Listener, Work};
use crate::care::registry;
use crate::files::{Outcome, in_child, opened, root_of, tell};
use crate::registry::Distribution;
use crate::tree::pack::pack;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use winterop_places::inside::Directory;
use winterop_words::{Failure, Words};

/// Writes the files of a distribution into an archive, a file or `-` for standard output. A file is
/// there whole or not at all. Where no compression is named, the file's name says which.
///
/// # Errors
/// In words.
pub fn export(
    name: &str,
    file: &Path,
    compression: Option<Compression>,
    listener: &dyn Listener,
) -> Result<(), Words> {
    let found = registry()?.installed(name)?.clone();
    let compression = compression.unwrap_or_else(|| Compression::of_name(file));
    if file.as_os_str() == "-" {
        if io::stdout().is_terminal() {
            return Err(Failure::ArchiveToTerminal {}.words());
        }
        let output = io::stdout().as_fd().try_clone_to_owned().map_err(not_made(file))?;
        return write_archive(&found, File::from(output), compression, listener);
    }
    if file.is_dir() {
        return Err(Failure::ArchiveToDirectory { path: &file.display() }.words());
    }
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(format!(".part-{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    // It has every secret of the distribution, whatever the mask is.
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let sink = options.open(&fresh).map_err(not_made(&fresh))?;
    let written = write_archive(&found, sink, compression, listener)
        .and_then(|()| fs::rename(&fresh, file).map_err(not_made(file)));
    if written.is_err() {
        // What was written so far is nothing.
        let _ = fs::remove_file(&fresh);
    }
    written
}

fn not_made(path: &Path) -> impl FnOnce(io::Error) -> Words + '_ {
    move |error| Failure::ArchiveNotMade { path: &path.display(), error: &error }.words()
}

fn write_archive(
    one: &Distribution,
    sink: File,
    compression: Compression,
    listener: &dyn Listener,
) -> Result<(), Words> {
    let (root, name) = (root_of(one)?, &one.name);
    match in_child(listener, || pack_all(&root, sink, compression, listener))? {
        Outcome::Done => Ok(()),
        Outcome::Failed => Err(Failure::ExportFailed { name }.words()),
        Outcome::Interrupted => Err(Failure::ExportInterrupted { name }.words()),
    }
}

/// In the child. When this returns, a file is on the disk.
fn pack_all(
    root: &Directory,
    sink: File,
    compression: Compression,
    listener: &dyn Listener,
) -> Result<(), Words> {
    let open = opened(root)?;
    let unwritten = |error: io::Error| Failure::ArchiveNotWritten { error: &error }.words();
    listener.begin(Work::Export);
    let is_file = sink.metadata().map_err(unwritten)?.is_file();
    let stream = sink.try_clone().map_err(unwritten)?;
    let counted = Counted { stream, count: |bytes| listener.advance(bytes) };
    let buffered = io::BufWriter::with_capacity(1 << 20, counted);
    let compressor = Compressor::new(compression, buffered).map_err(unwritten)?;
    let (notes, archive) = pack(open, Writer::new(compressor))?;
    let finished = archive.finish().and_then(Compressor::finish);
    finished.and_then(|mut buffered| buffered.flush()).map_err(unwritten)?;
    if is_file {
        sink.sync_all().map_err(unwritten)?;
    }
    listener.finish();
    tell(listener, &notes);
    Ok(())
}
