//! Tells whether sources have changed since something was built from them.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The hash of everything below `roots` (files or folders, with their paths), and of `recipe`: what
/// else the result depends on. Folders called as one of `skipped` do not count.
///
/// It is no cryptographic hash: it tells changes from no changes and does not keep anybody out.
///
/// # Errors
/// If something cannot be listed or read.
pub(crate) fn digest(roots: &[PathBuf], skipped: &[&str], recipe: &[&str]) -> Result<String> {
    let mut files = Vec::new();
    for root in roots {
        if root.is_dir() {
            list(root, skipped, &mut files)?;
        } else {
            files.push(root.clone());
        }
    }
    files.sort_unstable();
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    for file in files {
        let content = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        file.hash(&mut hasher);
        content.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn list(folder: &Path, skipped: &[&str], files: &mut Vec<PathBuf>) -> Result<()> {
    let shown = || format!("list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(shown)? {
        let entry = entry.with_context(shown)?;
        let name = entry.file_name();
        if !entry.file_type().with_context(shown)?.is_dir() {
            files.push(entry.path());
        } else if !skipped.iter().any(|skipped| name == *skipped) {
            list(&entry.path(), skipped, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_changes_with_a_source_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let roots = [folder.path().to_owned()];
        let source = folder.path().join("a.rs");
        fs::write(&source, "one").unwrap();
        let of = |recipe| digest(&roots, &["target"], &[recipe]).unwrap();
        let before = of("1");
        fs::create_dir(folder.path().join("target")).unwrap();
        fs::write(folder.path().join("target/b.rs"), "").unwrap();
        assert_eq!(of("1"), before);
        assert_ne!(of("2"), before);
        fs::write(&source, "two").unwrap();
        assert_ne!(of("1"), before);
    }
}
