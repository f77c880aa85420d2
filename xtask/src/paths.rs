//! Where things lie in a checkout.

use std::path::{Path, PathBuf};

/// The root folder of the checkout.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The folder for everything that is built or fetched: `CARGO_TARGET_DIR`, else `target` in the
/// checkout.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) if !folder.is_empty() => {
            std::path::absolute(&folder).unwrap_or_else(|_| folder.into())
        }
        _ => root().join("target"),
    }
}

/// The folder for what may be kept between builds because it is expensive to get again.
pub(crate) fn cache() -> PathBuf {
    target().join("cache")
}
